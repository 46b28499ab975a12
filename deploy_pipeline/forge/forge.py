"""What the pipeline asks of a forge, whichever it is: the one interface, and the values that go through it.

A forge shows people what would happen, and says what they decided. It is never where the pipeline's own state lies:
everything but reviews works without one (``none.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

GitConfig = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PullRequest:
    """An open pull request that promotes a candidate; ``head`` is the commit that would be merged."""

    number: int
    head_branch: str
    head: str
    base_branch: str
    author: str
    from_fork: bool
    draft: bool
    url: str


@dataclass(frozen=True)
class OpenPromotions:
    """All open promotions, and the cursor that makes the next look cheap."""

    pull_requests: tuple[PullRequest, ...]
    cursor: str


class StatusState(str, Enum):
    """What a commit status says."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


@dataclass(frozen=True)
class CommitStatus:
    """The verdict on one commit for one channel; ``description`` is cut where the forge has no room for it."""

    commit: str
    channel: str
    state: StatusState
    description: str
    url: str = ""


class DeploymentState(str, Enum):
    """How far a release got, in the forge's words."""

    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


@dataclass(frozen=True)
class DeploymentReport:
    """How a release of ``commit`` to ``channel`` stands. ``attempt`` tells this release from others of the commit."""

    channel: str
    commit: str
    attempt: str
    state: DeploymentState
    description: str = ""
    log_url: str = ""


class ReviewState(str, Enum):
    """What a review says."""

    APPROVED = "APPROVED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    COMMENTED = "COMMENTED"
    DISMISSED = "DISMISSED"
    PENDING = "PENDING"


@dataclass(frozen=True)
class Review:
    """One review, of the head that ``commit`` was; ``user`` is empty where the account is gone."""

    user: str
    state: ReviewState
    commit: str
    submitted_at: datetime


@dataclass(frozen=True)
class SourceRange:
    """The commits a promotion brings: those of ``until`` that ``since`` has not.

    Both are commits of a source branch: what the candidate was rendered from, now and at the channel's last release.
    If ``since`` is empty, nothing was released before, and ``until`` stands for all; if None, nobody knows any more.
    """

    until: str
    since: str | None = ""


@dataclass(frozen=True)
class SourceCommit:
    """Who made a commit of the source, as logins; empty where the forge knows no account for the address.

    Anybody can write any address into a commit. ``verified``: it is signed, and the forge knows the key as the
    committer's.
    """

    sha: str
    author: str
    committer: str
    verified: bool = False


@dataclass(frozen=True)
class MergedPullRequest:
    """The facts about the merged pull request that explains a commit on a release branch.

    ``head`` is the commit that was merged, ``reviews`` stand in the order they were given. ``writers`` are those of the
    reviewers who may write to the repository. ``code_owners`` is the text of CODEOWNERS before the merge, None if there
    is none; ``teams`` and ``emails`` say who is meant by the teams and addresses in it. ``source`` is None where not
    all commits that the promotion brings can be had.
    """

    number: int
    url: str
    author: str
    head_branch: str
    base_branch: str
    head: str
    merge_commit: str
    merged_by: str
    merged_at: datetime
    from_fork: bool
    reviews: tuple[Review, ...] = ()
    writers: frozenset[str] = frozenset()
    source: tuple[SourceCommit, ...] | None = ()
    code_owners: str | None = None
    teams: Mapping[str, frozenset[str]] = field(default_factory=dict)
    emails: Mapping[str, str] = field(default_factory=dict)


class Forge(ABC):
    """Where people review. Every method raises ForgeUnreachable (try again) and ForgeRefused (a person must act).

    Whatever is published is looked up before it is written, so that no call and no repetition of one doubles anything.
    Safe to share between threads.
    """

    gives_reviews: bool
    """Whether approvals can come from here."""

    @abstractmethod
    def open_promotions(self, cursor: str = "") -> OpenPromotions:
        """Open pull requests from ``candidates/*`` into ``releases/*``, read only where something changed.

        A cursor that is lost or broken costs requests, nothing else.
        """

    @abstractmethod
    def open_promotion(self, head_branch: str, base_branch: str, title: str, body: str) -> PullRequest | None:
        """Let there be a pull request, with this title and body if it is our own; None if there is nothing to merge."""

    @abstractmethod
    def publish_comment(self, number: int, kind: str, body: str) -> datetime | None:
        """Let the pull request have exactly one comment of ours of this kind, with this Markdown.

        Gives since when it has, by the clock that reviews are stamped by too; None if nobody sees it.
        """

    @abstractmethod
    def publish_status(self, status: CommitStatus) -> None:
        """Let the latest status ``deploy-pipeline/<channel>`` of the commit be this one."""

    @abstractmethod
    def publish_deployment(self, report: DeploymentReport) -> None:
        """Let the channel's deployment of this attempt exist and stand like this."""

    @abstractmethod
    def merged_pull_request(
        self, commit: str, *, branch: str, before: str, source: SourceRange
    ) -> MergedPullRequest | None:
        """The pull request whose merge made ``commit`` on the release branch ``branch``; None if none did.

        ``before`` is the commit that the branch was before.
        """

    @abstractmethod
    def git_config(self) -> GitConfig:
        """Configuration that lets git in, for its environment; to be asked anew for each call of git, as tokens end."""

    @abstractmethod
    def secrets(self) -> tuple[str, ...]:
        """The texts that must never be shown, as they are now: for a Redactor."""
