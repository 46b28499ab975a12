"""The other texts on a pull request: what a promotion brings, why it has no diff, and how its release went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy_pipeline.forge.markup import code, link, listed

_MOST_COMMITS = 100
_MOST_LINES = 60


@dataclass(frozen=True)
class PromotedCommit:
    """One commit of the source, as it is listed; ``author`` as git has it."""

    sha: str
    subject: str
    author: str


@dataclass(frozen=True)
class ReleaseOutcome:
    """How a release went: a line for each app that was applied, one for each that failed, and the next step if any.

    ``refused``: nothing was begun, and ``failed`` has the reasons.
    """

    channel: str
    commit: str
    seconds: float
    applied: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    next_step: str = ""
    run_url: str = ""
    refused: bool = False


def promotion_body(channel: str, branch: str, commits: Sequence[PromotedCommit]) -> str:
    """The body of a promotion's pull request: the commits since the channel's last release, newest first."""
    lines = [f"Promotes {code(branch)} to {code(channel)}."]
    authors = sorted({commit.author for commit in commits})
    shown = [f"{code(commit.sha[:12])} {code(commit.subject)} by {code(commit.author)}" for commit in commits]
    lines += listed(f"{len(commits)} commits since the last release", shown, most=_MOST_COMMITS)
    lines += listed("Authors", [code(author) for author in authors], most=_MOST_COMMITS)
    return "\n".join([*lines, "", "The change set of the cluster follows as a comment and as a commit status."])


def result_comment(outcome: ReleaseOutcome) -> str:
    """The comment on a merged pull request once its release has ended."""
    verdict = "refused, nothing was changed" if outcome.refused else "failed" if outcome.failed else "done"
    run = f" ({link('run', outcome.run_url)})" if outcome.run_url else ""
    lines = [
        f"### Release to {code(outcome.channel)} {verdict}",
        "",
        f"{code(outcome.commit[:12])}, {outcome.seconds:.0f} s{run}",
    ]
    lines += listed("Why" if outcome.refused else "Failed", [code(line) for line in outcome.failed], most=_MOST_LINES)
    lines += listed("Applied", [code(line) for line in outcome.applied], most=_MOST_LINES)
    if outcome.next_step:
        lines += ["", f"Next step: {code(outcome.next_step)}"]
    return "\n".join(lines)


def refused_diff_comment(
    channel: str, candidate: str, reasons: Sequence[str], next_step: str = "", run_url: str = ""
) -> str:
    """What stands in place of the diff where there is none: why, and that nothing shown before holds."""
    run = f" ({link('run', run_url)})" if run_url else ""
    lines = [f"### {code(channel)}: no diff of {code(candidate[:12])}{run}", "", "It cannot be released."]
    lines += listed("Why", [code(line) for line in reasons], most=_MOST_LINES)
    if next_step:
        lines += ["", f"Next step: {code(next_step)}"]
    return "\n".join(lines)
