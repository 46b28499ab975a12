"""What the stand-in remembers: accounts, Apps, repositories, pull requests and all that hangs on them.

Branches and commits are not here: they lie in real bare repositories (``bare.py``). Tests set the scene by the methods
of :class:`State`, and look at the values directly.
"""

from __future__ import annotations

import itertools
import subprocess
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tests.support.github.bare import WEB_FLOW, Bare

ROLES = ("none", "read", "triage", "write", "maintain", "admin")
HOUR_LIMIT = 5000


@dataclass
class Account:
    """A person, an organisation or the bot of an App."""

    id: int
    login: str
    kind: str = "User"
    email: str = ""


@dataclass
class App:
    """A GitHub App with one installation; ``permissions`` is what it was granted, ``keys`` its public key as PEM."""

    id: int
    slug: str
    installation: int
    public_key: str
    permissions: dict[str, str]
    repositories: set[int] = field(default_factory=set)

    @property
    def login(self) -> str:
        """The account in whose name it acts."""
        return f"{self.slug}[bot]"


@dataclass
class Token:
    """An access token: of a person, or of an App's installation; it ends at ``expires`` if that is set."""

    login: str
    app: App | None = None
    expires: datetime | None = None


@dataclass
class Review:
    """One review of a pull request."""

    id: int
    user: str
    state: str
    commit: str
    submitted: str
    body: str = ""


@dataclass
class Comment:
    """A comment in the conversation of a pull request."""

    id: int
    pull: int
    user: str
    body: str
    created: str
    updated: str


@dataclass
class Pull:
    """A pull request; ``head`` and ``base`` are commits as of the last look."""

    id: int
    number: int
    title: str
    body: str
    user: str
    head_repository: Repository | None
    head_branch: str
    base_branch: str
    head: str
    base: str
    created: str
    updated: str
    draft: bool = False
    state: str = "open"
    closed: str | None = None
    merged: str | None = None
    merged_by: str | None = None
    merge_commit: str | None = None
    computed: tuple[str, str] = ("", "")  # head and base for which `mergeable` was worked out
    reviews: list[Review] = field(default_factory=list)


@dataclass
class Status:
    """A commit status."""

    id: int
    sha: str
    user: str
    created: str
    request: dict[str, Any]


@dataclass
class Deployment:
    """A deployment, with its statuses in the order they came."""

    id: int
    sha: str
    user: str
    created: str
    request: dict[str, Any]
    statuses: list[Status] = field(default_factory=list)


@dataclass
class Protection:
    """What a branch asks of a merge."""

    contexts: tuple[str, ...] = ()
    approvals: int = 0


@dataclass
class Repository:
    """A repository with all that belongs to it."""

    id: int
    owner: str
    name: str
    bare: Bare
    private: bool = True
    parent: Repository | None = None
    former_names: list[str] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    statuses: list[Status] = field(default_factory=list)
    deployments: dict[int, Deployment] = field(default_factory=dict)
    protections: dict[str, Protection] = field(default_factory=dict)
    signed: set[str] = field(default_factory=set)  # commits whose signature is the committer's

    @property
    def full_name(self) -> str:
        """``owner/name``."""
        return f"{self.owner}/{self.name}"

    def role_of(self, login: str) -> str:
        """What somebody may do here; everybody may read what is public."""
        return self.roles.get(login, "none" if self.private else "read")


class State:
    """Everything on the forge. Hold ``lock`` while reading or changing it from another thread than the server's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        self.accounts: dict[str, Account] = {}
        self.apps: list[App] = []
        self.tokens: dict[str, Token] = {}
        self.teams: dict[tuple[str, str], set[str]] = {}
        self.repositories: dict[int, Repository] = {}
        self.hour_limit = HOUR_LIMIT
        self.token_seconds = 3600
        self.ahead = timedelta()
        self._ids = itertools.count(1)
        self.account("web-flow", email=WEB_FLOW)

    def next_id(self) -> int:
        """A number nothing else has."""
        return next(self._ids)

    def time(self) -> datetime:
        """The forge's clock, which tests move by ``ahead``."""
        return datetime.now(timezone.utc) + self.ahead

    def now(self) -> str:
        """The time as it stands in documents: whole seconds."""
        return self.time().strftime("%Y-%m-%dT%H:%M:%SZ")

    def account(self, login: str, kind: str = "User", email: str = "") -> Account:
        """Make an account; its commits are told by ``email``."""
        self.accounts[login] = Account(self.next_id(), login, kind, email or f"{login}@example.invalid")
        return self.accounts[login]

    def user(self, login: str) -> str:
        """Make a person, and give a token of theirs."""
        self.account(login)
        token = f"ghp_{login}{'x' * 20}"
        self.tokens[token] = Token(login)
        return token

    def app(self, slug: str, public_key: str, permissions: dict[str, str], repository: Repository) -> App:
        """Make an App and install it on a repository."""
        app = App(self.next_id(), slug, self.next_id(), public_key, dict(permissions), {repository.id})
        self.account(app.login, "Bot")
        self.apps.append(app)
        return app

    def repository(self, full_name: str, *, private: bool = True, fork_of: Repository | None = None) -> Repository:
        """Make a bare repository, empty or a fork. Its owner's account is made where it is missing."""
        owner, _, name = full_name.partition("/")
        if owner not in self.accounts:
            self.account(owner, "Organization")
        path = self.root / owner / f"{name}.git"
        source = (
            ["clone", "--quiet", "--bare", str(fork_of.bare.path)]
            if fork_of
            else ["init", "--quiet", "--bare", "-b", "main"]
        )
        subprocess.run(["git", *source, str(path)], check=True, capture_output=True)
        subprocess.run(["git", "-C", str(path), "config", "http.receivepack", "true"], check=True)
        made = Repository(self.next_id(), owner, name, Bare(path), private, fork_of, roles={owner: "admin"})
        self.repositories[made.id] = made
        return made

    def find(self, owner: str, name: str) -> Repository | None:
        """The repository of this name, whatever the case; not one that had the name formerly."""
        wanted = f"{owner}/{name}".lower()
        return next((r for r in self.repositories.values() if r.full_name.lower() == wanted), None)

    def renamed(self, owner: str, name: str) -> Repository | None:
        """The repository that had this name formerly."""
        return next((r for r in self.repositories.values() if f"{owner}/{name}" in r.former_names), None)

    def login_of(self, email: str) -> str | None:
        """Whose commits carry this address, if anybody's."""
        return next((account.login for account in self.accounts.values() if account.email == email), None)
