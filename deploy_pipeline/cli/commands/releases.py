"""``release``, ``secrets``, ``drift`` and ``history``: what a channel's cluster runs, shall run and ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from deploy_pipeline.cli import options
from deploy_pipeline.cli.actions import Accepted, actions
from deploy_pipeline.cli.command import CHANGES
from deploy_pipeline.cli.output import Output, table
from deploy_pipeline.cli.selection import open_deployer, select_apps, select_channel
from deploy_pipeline.errors import ReleaseFailed

if TYPE_CHECKING:
    from deploy_pipeline.execution import AppResult
    from deploy_pipeline.release import ReleaseResult


def release(
    *,
    channel: options.ChannelName = "",
    channel_file: options.ChannelFile = "",
    rev: Annotated[
        str, typer.Option(metavar="REV", help="Only if this commit (or branch) is the head of the release branch.")
    ] = "",
    app: options.AppNames = None,
    driver: options.Driver = None,
    accept_change_set: Annotated[
        str,
        typer.Option(
            metavar="DIGEST",
            help="Let this change set through although it would be refused, where the channel allows that.",
        ),
    ] = "",
    approved_by: Annotated[str, typer.Option(metavar="NAME", help="Who accepts it; with --accept-change-set.")] = "",
    local: options.Local = False,
    as_json: options.AsJson = False,
    outfile: options.Outfile = None,
) -> None:
    """Make a channel's cluster match its release branch, as approved.

    Writes secrets, applies the apps, waits until they are ready, prunes. Running it again changes nothing; after a
    failure it continues.

    deploy-pipeline release --channel prod
    deploy-pipeline release -f channels/test.yaml --app web
    """
    output = Output(as_json, outfile)
    deployer = open_deployer()
    name = select_channel(deployer, channel, channel_file)
    commit = ""
    if rev:
        deployer.mirror.fetch()
        commit = deployer.mirror.commit(rev).sha
    with actions(deployer, local=local) as do:
        try:
            accepted = Accepted(accept_change_set, approved_by) if accept_change_set else None
            result = do.release(name, commit, tuple(app or ()), (driver.value,) if driver else (), accepted)
        except ReleaseFailed as failure:
            if failure.result:
                output.show(failure.result, _released(failure.result))
            raise
    output.show(result, _released(result))


def secrets(
    *,
    channel: options.ChannelName = "",
    channel_file: options.ChannelFile = "",
    app: options.AppNames = None,
    driver: options.Driver = None,
    secret: Annotated[str, typer.Option(metavar="NAME", help="Only this secret of the store.")] = "",
    local: options.Local = False,
    as_json: options.AsJson = False,
    outfile: options.Outfile = None,
) -> None:
    """Put a channel's secrets in place anew, from the secret store.

    Which secrets go where is what the last release said.

    deploy-pipeline secrets --channel prod --secret metabase_database-backup
    """
    output = Output(as_json, outfile)
    deployer = open_deployer()
    name = select_channel(deployer, channel, channel_file)
    apps = select_apps(deployer, name, f"releases/{name}", app, driver)
    with actions(deployer, local=local) as do:
        results = do.secrets(name, apps, secret)
    rows = [(result.app, result.secret, result.version, result.object, result.operation) for result in results]
    empty = f"the apps of {name} have no secrets"
    output.show(results, table(("app", "secret", "version", "object", "operation"), rows, empty=empty))


def drift(
    *,
    channel: options.ChannelName = "",
    channel_file: options.ChannelFile = "",
    app: options.AppNames = None,
    driver: options.Driver = None,
    heal: Annotated[
        bool | None,
        typer.Option("--heal/--no-heal", help="Put the release back, or only look. Default: as the channel says."),
    ] = None,
    local: options.Local = False,
    as_json: options.AsJson = False,
    outfile: options.Outfile = None,
) -> None:
    """Show how a channel's cluster differs from its last release, and who changed it.

    Where the channel file of the release says `drift: heal`, or with --heal, the last approved release is put back;
    extra objects are never deleted. Ends with 0 if the cluster is as it was released in the end, else with 1.

    deploy-pipeline drift --channel prod --driver helm
    """
    from deploy_pipeline.changes.drift_report import drift_text

    output = Output(as_json, outfile)
    deployer = open_deployer()
    name = select_channel(deployer, channel, channel_file)
    apps = select_apps(deployer, name, f"releases/{name}", app, driver)
    with actions(deployer, local=local) as do:
        found = do.drift(name, apps, heal)
    output.show(found, drift_text(found, colour=output.colour))
    if found.drifted:
        raise typer.Exit(CHANGES)


def history(
    *,
    channel: options.ChannelName = "",
    channel_file: options.ChannelFile = "",
    as_json: options.AsJson = False,
    outfile: options.Outfile = None,
) -> None:
    """List a channel's releases, newest first.

    They are what the cluster itself remembers.

    deploy-pipeline history --channel prod
    """
    output = Output(as_json, outfile)
    deployer = open_deployer()
    name = select_channel(deployer, channel, channel_file)
    from deploy_pipeline.release import history as releases

    records = releases(deployer, name)
    rows = [
        (
            record.commit[:12],
            record.state.value,
            record.started,
            record.finished,
            record.approved_by,
            record.trigger,
            record.run_id[:8],
            record.reason,
        )
        for record in records
    ]
    head = ("commit", "state", "started", "finished", "approved by", "trigger", "run", "reason")
    output.show(records, table(head, rows, empty=f"nothing was released to {name} yet"))


def _released(result: ReleaseResult) -> str:
    if result.skipped:
        return f"{result.channel} runs {result.commit} already"
    apps = table(
        ("app", "driver", "state", "objects", "seconds", "reasons"),
        [_app_row(app) for app in result.apps],
        empty=f"channel {result.channel} has no apps",
    )
    return f"{result.channel} runs {result.commit}, after {result.seconds:.1f} s\n\n{apps}"


def _app_row(app: AppResult) -> tuple[str, ...]:
    seconds = f"{app.seconds:.1f}"
    return (app.app, app.driver, app.state, _counted(app.counts), seconds, "; ".join(app.reasons))


_SIGNS = {"create": "+", "update": "~", "recreate": "!", "prune": "-", "none": "="}


def _counted(counts: Mapping[str, int]) -> str:
    """``+2 ~1 =12``: created, changed, recreated (!), pruned (-) and unchanged objects, without those that are none."""
    return " ".join(f"{sign}{counts[key]}" for key, sign in _SIGNS.items() if counts.get(key)) or "none"
