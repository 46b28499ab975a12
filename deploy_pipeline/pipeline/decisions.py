"""What the sensors ask for: pure functions from one reading of the remote's heads to run requests.

Each sensor follows *subjects*, each in a *state*. A subject whose state differs from the one it was last handled in
gets a run; the rest is left alone. The sensors differ in what is a subject:

==================  ==========================  ===============================================
sensor              subject                     state
==================  ==========================  ===============================================
source_branches     a source branch             its commit and the heads of all release branches
                    a candidate without source  the candidate's commit
candidates          a candidate                 its commit
releases            a channel                   the head of its release branch
pull_requests       an open pull request        its head, and all that can make its diff stale
==================  ==========================  ===============================================

A run key names subject, state and the cursor's round. The state alone would not do: Dagster consumes a run key for
good, so a release branch that is set back to an earlier commit would never be released again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any

from pydantic import TypeAdapter, ValidationError

from deploy_pipeline.channels.names import ChannelName
from deploy_pipeline.forge import PullRequest
from deploy_pipeline.pipeline import tags
from deploy_pipeline.pipeline.cursors import Cursor
from deploy_pipeline.repository import channel_of, is_source_branch, release_branch, source_of

_CHANNEL_NAME = TypeAdapter(ChannelName)
_SPREAD = 6_151  # seconds; pull requests that follow each other are compared anew almost two hours apart


@dataclass(frozen=True)
class Request:
    """A run that a sensor asks for; ``config`` is the configuration of the job's only op."""

    run_key: str
    config: Mapping[str, Any]
    tags: Mapping[str, str]
    partition: str | None = None


@dataclass(frozen=True)
class Decision:
    """Which subjects to handle now, how many wait for the next tick, and the cursor to store.

    ``before`` has the state in which each of them was last handled, where it ever was.
    """

    changed: Mapping[str, str]
    waiting: int
    cursor: Cursor
    before: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    mark: str = field(default="", kw_only=True)


def decide(cursor: Cursor, states: Mapping[str, str], *, limit: int) -> Decision:
    """At most ``limit`` subjects whose state is another one than the cursor remembers, in order of their names.

    A subject that is gone leaves the cursor: should it come back, it is new.
    """
    changed = {subject: states[subject] for subject in sorted(states) if cursor.seen.get(subject) != states[subject]}
    taken = dict(list(changed.items())[:limit])
    kept = {subject: state for subject, state in cursor.seen.items() if subject in states}
    following = cursor.model_copy(update={"seen": kept | taken, "round": cursor.round + bool(taken)})
    before = {subject: cursor.seen[subject] for subject in taken if subject in cursor.seen}
    return Decision(taken, len(changed) - len(taken), following, before=before, mark=cursor.mark)


def source_states(heads: Mapping[str, str], patterns: str) -> dict[str, str]:
    """Source branches that match ``patterns``, and candidates whose source branch is gone.

    The release branches' heads are part of the state since a candidate must have them as ancestors.
    """
    releases = _digest(f"{name} {sha}" for name, sha in heads.items() if channel_of(name))
    sources = {
        name: f"{sha}:{releases}" for name, sha in heads.items() if is_source_branch(name) and matches(name, patterns)
    }
    orphans = {name: sha for name, sha in heads.items() if (source := source_of(name)) and source not in heads}
    return sources | orphans


def candidate_states(heads: Mapping[str, str]) -> dict[str, str]:
    """The head of each candidate."""
    return {name: sha for name, sha in heads.items() if source_of(name)}


def release_states(heads: Mapping[str, str]) -> dict[str, str]:
    """The head of each channel's release branch."""
    return {channel: sha for name, sha in heads.items() if (channel := channel_of(name)) and _can_be_channel(channel)}


def promotions(pulls: Iterable[PullRequest]) -> dict[str, tuple[PullRequest, str]]:
    """Open pull requests into the release branch of a channel, each with the channel."""
    found = ((pull, channel_of(pull.base_branch)) for pull in pulls)
    return {f"#{pull.number}": (pull, channel) for pull, channel in found if channel and _can_be_channel(channel)}


def review_states(
    pulls: Mapping[str, tuple[PullRequest, str]],
    heads: Mapping[str, str],
    releases: Mapping[str, str],
    *,
    now: float,
    age: float,
) -> dict[str, str]:
    """What the diff of each promotion hangs on: when any of it is another, the diff has to be computed again.

    ``releases`` names the last release of each channel. After each ``age``, in seconds as ``now``, a diff is stale
    without any of it; the moment differs from one pull request to the next, so that they do not all come at once.
    """
    states = {}
    for subject, (pull, channel) in pulls.items():
        facts = {
            "channel": channel,
            "base": heads.get(release_branch(channel), ""),
            "release": releases.get(channel, ""),
            "draft": pull.draft,
            "period": int((now + (pull.number * _SPREAD) % age) // age),
        }
        states[subject] = f"{pull.head}:{_digest(f'{name} {value}' for name, value in facts.items())}"
    return states


def render_requests(decision: Decision) -> list[Request]:
    """Render each changed source branch; for a candidate without source the same job removes it."""
    return [
        _removal(subject, state, decision.mark) if source_of(subject) else _render(subject, state, decision.mark)
        for subject, state in decision.changed.items()
    ]


def diff_requests(decision: Decision, channels: Mapping[str, Collection[str]]) -> list[Request]:
    """A change set of each changed candidate for each of its channels; none for a candidate without any."""
    return [
        Request(
            run_key=f"diff:{channel}:{candidate}:{sha}:{decision.mark}",
            config={"candidate": sha},
            tags={tags.BRANCH: candidate, tags.COMMIT: sha, **tags.IN_BACKGROUND},
            partition=channel,
        )
        for candidate, sha in decision.changed.items()
        for channel in channels.get(candidate, ())
    ]


def review_requests(decision: Decision, pulls: Mapping[str, tuple[PullRequest, str]]) -> list[Request]:
    """Show each changed pull request the change set of its head."""
    return [
        Request(
            run_key=f"review:{subject}:{state}:{decision.mark}",
            config={"pull_request": pull.number, "head": pull.head},
            tags={tags.BRANCH: pull.head_branch, tags.COMMIT: pull.head, tags.PULL_REQUEST: str(pull.number)},
            partition=channel,
        )
        for subject, state in decision.changed.items()
        for pull, channel in [pulls[subject]]
    ]


def release_requests(decision: Decision) -> list[Request]:
    """Release exactly the commit that each moved release branch points to."""
    return [
        Request(
            run_key=f"release:{channel}:{sha}:{decision.mark}",
            config={"commit": sha},
            tags={tags.COMMIT: sha},
            partition=channel,
        )
        for channel, sha in decision.changed.items()
    ]


def matches(branch: str, patterns: str) -> bool:
    """Whether ``branch`` matches glob patterns separated by commas; ``!`` in front excludes, whatever the order.

    ``*`` matches slashes too. Only excluding patterns: every other branch matches.
    """
    globs = [glob.strip() for glob in patterns.split(",") if glob.strip()]
    excluded = [glob[1:] for glob in globs if glob.startswith("!")]
    included = [glob for glob in globs if not glob.startswith("!")] or ["*"]
    return _any_matches(branch, included) and not _any_matches(branch, excluded)


def _can_be_channel(name: str) -> bool:
    """Keeps ``releases/a/b``, which somebody pushed by mistake, from becoming a partition."""
    try:
        _CHANNEL_NAME.validate_python(name)
    except ValidationError:
        return False
    return True


def _render(branch: str, state: str, mark: str) -> Request:
    sha = state.partition(":")[0]
    return Request(f"render:{branch}:{state}:{mark}", {"branch": branch}, {tags.BRANCH: branch, tags.COMMIT: sha})


def _removal(candidate: str, sha: str, mark: str) -> Request:
    branch = source_of(candidate) or candidate
    return Request(f"remove:{branch}:{sha}:{mark}", {"branch": branch}, {tags.BRANCH: branch})


def _any_matches(branch: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(branch, glob) for glob in globs)


def _digest(lines: Iterable[str]) -> str:
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()[:12]
