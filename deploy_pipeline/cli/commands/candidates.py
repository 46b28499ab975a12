"""``render``, ``diff`` and ``promote``: from a source branch to an approved commit on a release branch."""

from __future__ import annotations

import getpass
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from deploy_pipeline.cli import options
from deploy_pipeline.cli.actions import actions
from deploy_pipeline.cli.command import CHANGES
from deploy_pipeline.cli.output import Output, has_colour, progress
from deploy_pipeline.cli.selection import candidate_or_default, open_deployer, select_apps, select_channel
from deploy_pipeline.errors import RefusedError

if TYPE_CHECKING:
    from deploy_pipeline.changes import ChangeSet
    from deploy_pipeline.promotion import Promotion
    from deploy_pipeline.rendering import RenderResult


def render(
    branch: Annotated[str, typer.Argument(metavar="BRANCH", help="The source branch.", show_default=False)],
    *,
    local: options.Local = False,
    as_json: options.AsJson = False,
    outfile: options.Outfile = None,
) -> None:
    """Make or refresh the candidate of a source branch.

    The candidate of a branch that is gone is removed.

    deploy-pipeline render feature-x
    """
    output = Output(as_json, outfile)
    with actions(open_deployer(), local=local) as do:
        result = do.render(branch)
    output.show(result, _rendered(result))


def diff(
    *,
    channel: options.ChannelName = "",
    channel_file: options.ChannelFile = "",
    rev: options.CandidateRev = "",
    app: options.AppNames = None,
    driver: options.Driver = None,
    local: options.Local = False,
    as_json: options.AsJson = False,
    outfile: options.Outfile = None,
) -> None:
    """Show what a candidate would change in a channel's cluster.

    Writes nothing. Ends with 0 if nothing would change, with 1 if something would.

    deploy-pipeline diff --channel prod                     the candidate of main
    deploy-pipeline diff -f channels/test.yaml --rev feature-x --app web
    """
    output = Output(as_json, outfile)
    deployer = open_deployer()
    candidate = candidate_or_default(deployer, rev)
    name = select_channel(deployer, channel, channel_file, candidate)
    apps = select_apps(deployer, name, candidate, app, driver)
    with actions(deployer, local=local) as do:
        found = do.diff(name, candidate, apps)
    output.show_changes(found, found)
    if not found.is_empty:
        raise typer.Exit(CHANGES)


def promote(
    *,
    channel: options.ChannelName = "",
    channel_file: options.ChannelFile = "",
    rev: options.CandidateRev = "",
    expect: Annotated[
        str,
        typer.Option(
            metavar="DIGEST", help="Promote only if the change set is the one of this digest, as `diff` says it."
        ),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; without --expect, accept any change set.")] = False,
    approved_by: Annotated[
        str, typer.Option(metavar="WHO", help="Who approves. Default: git's user.email, or else the user's name.")
    ] = "",
    local: options.Local = False,
    as_json: options.AsJson = False,
    outfile: options.Outfile = None,
) -> None:
    """Approve a candidate's change set for a channel.

    It puts the candidate on the channel's release branch, which `deploy-pipeline release` or the sensor then releases.
    On a terminal it shows the change set and asks; elsewhere it needs --expect or --yes.

    deploy-pipeline promote --channel test --rev feature-x
    deploy-pipeline promote --channel prod --expect sha256:…
    """
    output = Output(as_json, outfile)
    ask = not (expect or yes)
    if ask and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RefusedError(
            "a promotion is asked about on a terminal, and this is none",
            hint="add --expect DIGEST with what `deploy-pipeline diff` said, or --yes to accept whatever it is now",
        )
    deployer = open_deployer()
    candidate = candidate_or_default(deployer, rev)
    name = select_channel(deployer, channel, channel_file, candidate)
    with actions(deployer, local=local) as do:
        digest = _confirmed(do.diff(name, candidate, ()), candidate) if ask else expect
        result = do.promote(name, candidate, approved_by or _whoever_this_is(), digest)
    output.show_changes(result, result.change_set, _promoted(result), "")


def _confirmed(change_set: ChangeSet, candidate: str) -> str:
    """The digest of a change set that the person at the terminal accepted; raises RefusedError if not."""
    from deploy_pipeline.changes import text

    progress(f"\n{text(change_set, colour=has_colour(sys.stderr))}\n")
    # Not typer.confirm: it writes a blank to standard output, which is the result's alone.
    print(f"Promote {candidate} to {change_set.channel}? [y/N]: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RefusedError("nothing was promoted")
    return change_set.digest


def _whoever_this_is() -> str:
    """Git's ``user.email`` as configured where the command is run, or else the name of the system's user."""
    command = ["git", "config", "--get", "user.email"]
    try:
        email = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.strip()
        return email or getpass.getuser()
    except (OSError, KeyError, subprocess.TimeoutExpired):
        raise RefusedError("nobody knows who approves this", hint="say it: --approved-by NAME") from None


def _rendered(result: RenderResult) -> str:
    if result.removed:
        return f"{result.candidate} is removed: there is no branch {result.branch}"
    lines = [
        f"{result.candidate} {'is now' if result.changed else 'was already'} at {result.commit}",
        f"{len(result.apps)} apps of {len(result.channels)} channels, {result.objects} objects, {result.seconds:.1f} s",
        f"rendered with {result.isolation}",
    ]
    return "\n".join([*lines, *(f"! {warning}" for warning in result.warnings)])


def _promoted(result: Promotion) -> str:
    verb = "has this candidate already" if result.repeated else "has a new commit"
    return f"releases/{result.channel} {verb}: {result.commit}, approved by {result.approved_by}"
