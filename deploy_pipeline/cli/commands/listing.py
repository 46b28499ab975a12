"""``list``: the jobs, channels and apps there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy_pipeline.cli import options
from deploy_pipeline.cli.output import Output, table
from deploy_pipeline.cli.selection import default_branch, open_deployer
from deploy_pipeline.errors import RefusedError

if TYPE_CHECKING:
    from deploy_pipeline.channels import App, Channel


class Kind(str, Enum):
    """What can be listed."""

    JOBS = "jobs"
    CHANNELS = "channels"
    APPS = "apps"


def list_what_there_is(
    kind: Annotated[Kind | None, typer.Argument(help="Only these.", show_default=False)] = None,
    *,
    channel: options.ChannelName = "",
    channel_file: options.ChannelFile = "",
    app: options.AppNames = None,
    driver: options.Driver = None,
    rev: options.FilesRev = "",
    as_json: options.AsJson = False,
    outfile: options.Outfile = None,
) -> None:
    """List jobs, channels and apps.

    deploy-pipeline list channels
    deploy-pipeline list apps --channel prod --driver helm
    """
    output = Output(as_json, outfile)
    found: dict[str, list[dict[str, Any]]] = {}
    if kind in (None, Kind.JOBS):
        found["jobs"] = list(_jobs())
    if kind is not Kind.JOBS:
        channels, heads = _channels(rev, channel, channel_file)
        if kind is not Kind.APPS:
            found["channels"] = [_channel_row(one, heads) for one in channels]
        if kind is not Kind.CHANNELS:
            found["apps"] = [_app_row(one, inner) for one in channels for inner in _apps(one, app, driver)]
    output.show(found, "\n\n".join(_section(name, rows) for name, rows in found.items()))


def _jobs() -> Iterator[dict[str, str]]:
    from deploy_pipeline.pipeline.jobs import JOBS

    for name, job in JOBS.items():
        yield {"job": name, "does": (job.description or "").partition("\n")[0]}


def _channels(rev: str, name: str, file: str) -> tuple[list[Channel], Mapping[str, str]]:
    """The channels that are asked for, as the files at ``rev`` say, and the branches of the repository."""
    from deploy_pipeline.channels import load_channels

    mirror = open_deployer().mirror
    heads = mirror.fetch()
    read = rev or default_branch(heads)
    known = list(load_channels(mirror.tree(read)).values())
    found = [one for one in known if name in ("", one.name) and file in ("", one.path)]
    if not found and (name or file):
        names = ", ".join(f"{one.name} ({one.path})" for one in known)
        raise RefusedError(f"{read} has no channel {name or file}", hint=f"there are: {names or 'none'}")
    return found, heads


def _apps(channel: Channel, names: Sequence[str] | None, driver: options.DriverName | None) -> Iterator[App]:
    for app in channel.apps:
        if (not names or app.name in names) and (driver is None or app.driver.value == driver.value):
            yield app


def _channel_row(channel: Channel, heads: Mapping[str, str]) -> dict[str, Any]:
    from deploy_pipeline.repository import release_branch

    return {
        "channel": channel.name,
        "file": channel.path,
        "apps": len(channel.apps),
        "approval": channel.approval,
        "release": heads.get(release_branch(channel.name), ""),
    }


def _app_row(channel: Channel, app: App) -> dict[str, Any]:
    return {
        "channel": channel.name,
        "app": app.name,
        "driver": app.driver.value,
        "source": app.kustomize_dir or app.helm_chart or "",
        "secrets": [*app.secrets, *app.secret_helm_values],
    }


def _section(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    texts = [tuple(_text(value) for value in row.values()) for row in rows]
    return table(tuple(rows[0]) if rows else (), texts, empty=f"there are no {name}")


def _text(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
