"""Which channel, which apps and which revision the options of a command mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from posixpath import normpath
from typing import TYPE_CHECKING

from deploy_pipeline.cli.options import DriverName
from deploy_pipeline.errors import RefusedError, UnknownRevision

if TYPE_CHECKING:  # seconds of imports on a cold machine, which `--help` can do without
    from deploy_pipeline.deployer import Deployer

_TRUNKS = ("main", "master")


def open_deployer() -> Deployer:
    """The deployer that the environment configures; raises SettingsError."""
    from deploy_pipeline.deployer import Deployer
    from deploy_pipeline.settings import Settings

    return Deployer.from_settings(Settings.from_environment())


def default_branch(heads: Mapping[str, str]) -> str:
    """The branch that is meant when none is named: `main`, or else `master`."""
    for name in _TRUNKS:
        if name in heads:
            return name
    raise UnknownRevision("the repository has neither a branch `main` nor `master`", hint="name a branch with --rev")


def candidate_or_default(deployer: Deployer, rev: str) -> str:
    """The candidate that ``rev`` names, or that of the default branch. Fetches the repository."""
    heads = deployer.mirror.fetch()
    return rev or default_branch(heads)


def select_channel(deployer: Deployer, name: str, file: str, rev: str = "") -> str:
    """The name of the channel that ``--channel`` or ``--channel-file`` means.

    A file is looked up at ``rev`` (a candidate or a commit) or else on the default branch. Raises RefusedError when
    neither or both are given, or when there is no such file.
    """
    if bool(name) == bool(file):
        raise RefusedError(
            "two channels are named" if name else "no channel is named",
            hint="name one with --channel NAME, or by its file with -f channels/NAME.yaml",
        )
    return name or _channel_of_file(deployer, normpath(file), rev)


def select_apps(
    deployer: Deployer, channel: str, rev: str, apps: Sequence[str] | None, driver: DriverName | None
) -> tuple[str, ...]:
    """The names of the apps that an action is narrowed down to; empty for all.

    With a driver these are the channel's apps at ``rev`` that have it. Raises RefusedError when none is left, since an
    action that is narrowed down to nothing must not act on everything.
    """
    if driver is None:
        return tuple(apps or ())
    deployer.mirror.fetch()
    known = deployer.channel_at(rev, channel)
    chosen = [known.app(name) for name in apps] if apps else list(known.apps)
    found = tuple(app.name for app in chosen if app.driver.value == driver.value)
    if not found:
        raise RefusedError(f"channel {channel} has no such app with the driver {driver.value}")
    return found


def _channel_of_file(deployer: Deployer, path: str, rev: str) -> str:
    from deploy_pipeline.channels import load_deploy_file, parse_channel
    from deploy_pipeline.promotion import find_candidate

    heads = deployer.mirror.fetch()
    shown = rev or default_branch(heads)
    tree = deployer.mirror.tree(find_candidate(deployer, rev).sha if rev else shown)
    try:
        content = tree.read(path)
    except KeyError:
        folder = load_deploy_file(tree).channels
        known = [name for name in tree.paths() if name.startswith(f"{folder}/")]
        raise RefusedError(
            f"{shown} has no file {path}", hint=f"its channel files are: {', '.join(known) or 'none'}"
        ) from None
    return parse_channel(content, path, None).name
