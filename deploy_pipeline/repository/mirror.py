"""The deployer's own copy of a repository: a bare mirror, fetched incrementally, read without ever checking out.

Runs share it safely, as git objects never change and references move under a lock. It holds nothing that cannot be
fetched again: a mirror that is missing or damaged is made anew.
"""

from __future__ import annotations

import difflib
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deploy_pipeline.errors import RefusedError, RepositoryUnreachable, UnknownRevision
from deploy_pipeline.repository.git import GitResult, run_git
from deploy_pipeline.repository.known import KnownObjects
from deploy_pipeline.repository.locking import locked
from deploy_pipeline.repository.objects import COMMIT_FORMAT, Blob, Commit, parse_commits
from deploy_pipeline.repository.push import judge_push
from deploy_pipeline.repository.remote import Access, Remote
from deploy_pipeline.repository.tree import GitTree, check_path
from deploy_pipeline.repository.writing import write_commit, write_tree

_HEADS = "refs/heads/"
_SUSPECT = "suspect"  # a file in the mirror after a read failed
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ABBREVIATED = re.compile(r"[0-9a-f]{4,64}")
_NO_NAME = re.compile(r"[~^:?*\[\s]|@\{|\.\.")  # what git takes for more than a name (gitrevisions(7))

_LOG = ("log", "-z", "--no-color", "--no-show-signature", "--encoding=UTF-8", f"--format={COMMIT_FORMAT}")


@dataclass(frozen=True)
class ChangedFile:
    """A file that differs between two trees: lines that only the newer and only the older has, 0 for binary files."""

    path: str
    added: int
    removed: int


class Mirror:
    """A bare mirror of ``url`` at ``path``. ``timeout`` is the limit of one git call, in seconds.

    ``access`` is asked for credentials before each call of an http(s) remote whose address holds none.
    Making one opens nothing. Safe to share between threads; processes may share the path.
    """

    def __init__(self, url: str, path: Path, *, timeout: float = 120, access: Access = tuple) -> None:
        self._remote = Remote.parse(url)
        self._access = access
        self._path = path.absolute()
        self._timeout = timeout
        self._known = KnownObjects()

    @property
    def url(self) -> str:
        """The remote's address without credentials."""
        return self._remote.url

    def exists(self) -> bool:
        """Whether something was fetched already."""
        return (self._path / "HEAD").is_file()

    # -- branches ----------------------------------------------------------------------------------------------------

    def remote_heads(self) -> dict[str, str]:
        """Branches of the remote and their commits, by one ``git ls-remote``.

        Raises RepositoryUnreachable if they could not be read: an empty answer means that there are no branches.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        arguments = ("ls-remote", "--quiet", "--end-of-options", self.url, _HEADS + "*")
        listing = self._reached(self._call(arguments, cwd=self._path.parent), "read the branches of")
        return _parse_heads(listing.text, "\t")

    def fetch(self) -> dict[str, str]:
        """Bring the mirror up to date, forget branches that are gone, and give the heads.

        A missing mirror is created; one that is damaged is rebuilt. Raises RepositoryUnreachable.
        """
        with self._locked():
            if self.exists():
                try:
                    self._fetch_into(self._path)
                except RepositoryUnreachable:
                    if self._is_sound():
                        raise
                else:
                    if self._is_sound():
                        self._tidy_up()
                        return self.heads()
            self._rebuild()
            return self.heads()

    def heads(self) -> dict[str, str]:
        """Branches and their commits as of the last fetch or push; without network."""
        if not self.exists():
            return {}
        return _parse_heads(self._git("for-each-ref", "--format=%(objectname) %(refname)", _HEADS).text, " ")

    # -- reading -----------------------------------------------------------------------------------------------------

    def commit(self, rev: str) -> Commit:
        """The commit of a branch, or of a full or abbreviated commit id; UnknownRevision names the nearest branches."""
        return self._by_id(rev) or self._known.remember(self.log(rev, 1)[0])

    def tree(self, rev: str) -> GitTree:
        """The files of a branch or commit, or of a tree given by its full id."""
        sha = rev
        if not self._known.is_tree(rev) and not self._is_tree(rev):
            sha = self.commit(rev).tree
        return self._known.tree(sha, lambda: GitTree(sha, self._git))

    def _is_tree(self, rev: str) -> bool:
        if not _SHA.fullmatch(rev) or self._known.commit(rev):
            return False
        return self._probe("cat-file", "-t", rev).text.strip() == "tree"

    def log(self, rev: str, limit: int, *, without: str = "") -> list[Commit]:
        """A commit and its ancestors, newest first, at most ``limit``; without those of the commit ``without``."""
        excluded = [f"^{self._resolve(without)}"] if without else []
        output = self._git(*_LOG, f"--max-count={limit}", "--end-of-options", self._resolve(rev), *excluded, "--")
        return list(parse_commits(output.stdout.decode(errors="replace")))

    def changed_files(self, older: str, newer: str) -> tuple[ChangedFile, ...]:
        """The files that differ between two branches or commits, or trees by their full ids; a move is two files."""
        trees = (self.tree(older).sha, self.tree(newer).sha)
        output = self._git("diff-tree", "-r", "-z", "--no-renames", "--numstat", "--end-of-options", *trees).text
        rows = (record.split("\t", 2) for record in output.split("\0") if record)
        return tuple(ChangedFile(path, _lines(added), _lines(removed)) for added, removed, path in rows)

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether ``newer`` holds everything of ``older`` (a commit is its own ancestor)."""
        arguments = ("merge-base", "--is-ancestor", self._resolve(older), self._resolve(newer))
        return self._git(*arguments, accept=(0, 1)).returncode == 0

    # -- writing -----------------------------------------------------------------------------------------------------

    def write_tree(self, files: Mapping[str, Blob], base: str | None = None) -> str:
        """Store a tree of these files, on top of those of the tree ``base`` if given; gives its id.

        Raises UnsafeTree for paths that no checkout should hold.
        """
        return write_tree(self._git, files, base)

    def write_commit(self, *, tree: str, parents: Sequence[str], message: str, when: datetime) -> str:
        """Store a commit by the pipeline and give its id; the same arguments always give the same id.

        It belongs to no branch until it is pushed.
        """
        return write_commit(self._git, tree=tree, parents=parents, message=message, when=when)

    def push(self, branch: str, commit: str, *, expected: str | None) -> None:
        """Let a branch of the remote be this commit, provided it is ``expected`` now (None: it must not exist yet).

        Raises RaceLost if it is something else, RefusedError if the remote refuses (hook, protection), and
        RepositoryUnreachable if it does not answer. Pushing what is there already is no error.
        """
        sha = self._resolve(commit)
        with self._locked():
            self._push(branch, f"{sha}:{_HEADS}{branch}", expected)
            self._git("update-ref", _HEADS + branch, sha)

    def delete_branch(self, branch: str, *, expected: str) -> None:
        """Delete a branch of the remote, provided it is ``expected`` now; raises like :meth:`push`."""
        with self._locked():
            self._push(branch, f":{_HEADS}{branch}", expected)
            self._git("update-ref", "-d", _HEADS + branch)

    def _push(self, branch: str, refspec: str, expected: str | None) -> None:
        if not branch.isprintable() or self._probe("check-ref-format", _HEADS + branch).returncode:
            raise RefusedError(f"`{branch}` cannot be the name of a branch")
        lease = f"--force-with-lease={_HEADS}{branch}:{expected or ''}"
        options = ("--porcelain", "--no-verify", "--no-follow-tags", "--no-signed", lease)
        command = (f"--git-dir={self._path}", "push", *options, "--end-of-options", self.url, refspec)
        result = self._call(command, cwd=self._path)
        judge_push(result, branch, self.url)

    # -- the mirror itself -------------------------------------------------------------------------------------------

    def _fetch_into(self, path: Path) -> None:
        options = ("--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--quiet")
        command = ("fetch", *options, "--end-of-options", self.url, f"+{_HEADS}*:{_HEADS}*")
        self._reached(self._call((f"--git-dir={path}", *command), cwd=path), "fetch")

    def _rebuild(self) -> None:
        """Fetch everything into a new mirror and let it replace the old one, which serves readers until then."""
        self._known = KnownObjects()
        fresh = Path(tempfile.mkdtemp(prefix=f"{self._path.name}.new-", dir=self._path.parent))
        try:
            self._reached(self._run(("init", "--quiet", "--bare", "--template=", str(fresh)), cwd=fresh), "mirror")
            self._fetch_into(fresh)
            if self._path.exists():
                old = Path(tempfile.mkdtemp(prefix=f"{self._path.name}.old-", dir=self._path.parent))
                self._path.rename(old / "mirror")
                shutil.rmtree(old, ignore_errors=True)
            fresh.rename(self._path)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _is_sound(self) -> bool:
        """Whether every head has all its files, and no read failed: what a crash or a full disk damages."""
        if (self._path / _SUSPECT).exists():
            return False
        return self._probe("rev-list", "--objects", "--no-walk", "--quiet", "--branches").returncode == 0

    def _tidy_up(self) -> None:
        """Pack objects if there are many. Young unreferenced ones stay: they may be about to be pushed."""
        with suppress(RepositoryUnreachable):
            self._probe("gc", "--auto", "--quiet")

    def _resolve(self, rev: str) -> str:
        """The full commit id. Only branch names and ids get to git: its revision syntax can do more than name."""
        if not self.exists():
            raise UnknownRevision(f"`{rev}` is not known: {self.url} was not fetched yet", hint="fetch first")
        if self._by_id(rev):
            return rev
        candidates = [_HEADS + rev] if not check_path(rev) and not _NO_NAME.search(rev) else []
        candidates += [rev] if _ABBREVIATED.fullmatch(rev) else []
        for candidate in candidates:
            found = self._probe("rev-parse", "--verify", "--quiet", "--end-of-options", candidate + "^{commit}")
            if found.returncode == 0:
                return found.text.split()[-1]
        near = difflib.get_close_matches(rev, self.heads(), n=3, cutoff=0.4)
        raise UnknownRevision(
            f"`{rev}` is neither a branch nor a commit of {self.url}",
            hint="did you mean " + " or ".join(f"`{name}`" for name in near) + "?" if near else "push it first",
        )

    def _by_id(self, rev: str) -> Commit | None:
        """The commit of a full id; None if it is anything else, or not here."""
        if not _SHA.fullmatch(rev) or not self.exists():
            return None
        if known := self._known.commit(rev):
            return known
        found = self._probe(*_LOG, "--max-count=1", "--end-of-options", rev, "--")
        commits = list(parse_commits(found.stdout.decode(errors="replace"))) if found.returncode == 0 else []
        return self._known.remember(commits[0]) if commits and commits[0].sha == rev else None

    # -- calling git -------------------------------------------------------------------------------------------------

    def _git(
        self, *arguments: str, accept: tuple[int, ...] = (0,), stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> GitResult:
        """A call on the mirror that has to work; if it does not, the mirror is suspected and made anew by a fetch."""
        result = self._probe(*arguments, stdin=stdin, env=env)
        if result.returncode not in accept:
            with suppress(FileNotFoundError):
                (self._path / _SUSPECT).touch()
            raise RepositoryUnreachable(
                f"git {arguments[0]} failed on the mirror of {self.url}",
                details=result.last_words,
                hint="try again: a damaged mirror is rebuilt by the next fetch",
            )
        return result

    def _probe(self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> GitResult:
        return self._run((f"--git-dir={self._path}", *arguments), cwd=self._path, stdin=stdin, env=env)

    def _call(self, arguments: Sequence[str], *, cwd: Path) -> GitResult:
        """A call that reaches the remote."""
        return self._run(
            arguments,
            cwd=cwd,
            remote=self._remote.with_access(self._access()) if self._remote.wants_access else self._remote,
        )

    def _run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        remote: Remote | None = None,
    ) -> GitResult:
        remote = remote or self._remote
        result = run_git(arguments, cwd=cwd, timeout=self._timeout, config=remote.config, env=env, stdin=stdin)
        return GitResult(result.stdout, remote.redact(result.stderr), result.returncode)

    def _reached(self, result: GitResult, what: str) -> GitResult:
        if result.returncode:
            raise RepositoryUnreachable(
                f"cannot {what} {self.url}",
                details=result.last_words,
                hint="check the address, the network and the deployer's credentials",
            )
        return result

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._path.with_name(self._path.name + ".lock"), timeout=self._timeout)


def _lines(count: str) -> int:
    return int(count) if count.isdigit() else 0


def _parse_heads(listing: str, separator: str) -> dict[str, str]:
    """Branches that git lists, without those whose names cannot be shown.

    Git allows them line separators beyond its own, by which one branch could pass for another (so no ``splitlines``),
    and bytes that are no text, which no database takes.
    """
    pairs = (line.partition(separator) for line in listing.split("\n") if line)
    return {ref.removeprefix(_HEADS): sha for sha, _, ref in pairs if ref.isprintable()}
