"""Running git: every call through here has a clean environment, a time limit, and no hooks, prompts or submodules.

Branch content and remotes are untrusted, and the caller's environment may point git at another repository (a hook
that starts the deployer, a developer's shell). GitPython starts the process; time limit and environment are ours, since
its own ``kill_after_timeout`` needs ``ps`` and leaves transport helpers behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from git import Git
from git.exc import GitCommandNotFound

from deploy_pipeline.errors import RepositoryUnreachable, SettingsError, UnsafeTree

_OLD_AND_HARMLESS = ("zeroPaddedFilemode", "badTimezone", "missingSpaceBeforeDate", "missingNameBeforeEmail")
# Submodules and such paths are refused for the branch that holds them (tree.py); here they would stop all branches.
_REFUSED_LATER = (
    "hasDot hasDotdot hasDotgit gitmodulesBlob gitmodulesLarge gitmodulesMissing gitmodulesName gitmodulesParse "
    "gitmodulesPath gitmodulesSymlink gitmodulesUpdate gitmodulesUrl"
).split()
# Pinned, so that the configuration of the machine cannot change what is fetched, run or written.
_CONFIG = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("core.quotePath", "false"),
    ("i18n.commitEncoding", "UTF-8"),
    ("protocol.ext.allow", "never"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("push.recurseSubmodules", "no"),
    ("push.gpgSign", "false"),
    # Objects from outside are checked, but for two kinds of faults.
    ("fetch.fsckObjects", "true"),
    *((f"fetch.fsck.{fault}", "ignore") for fault in (*_OLD_AND_HARMLESS, *_REFUSED_LATER)),
    # A commit is written before it is pushed: nothing unreferenced may go that is younger than that.
    ("gc.autoDetach", "false"),
    ("gc.pruneExpire", "2.weeks.ago"),
)
_LOOK = 0.5  # seconds between two looks at how much git has printed
_MOST_OUTPUT = 256 * 1024 * 1024
_PAYLOADS = "DEPLOY_SECRET_PAYLOAD_"  # secrets of the channels, where the environment is their store
# What of the caller's GIT_* variables is the deployer's own choice; all others could redirect git or print headers.
_KEPT = ("GIT_SSH", "GIT_SSL", "GIT_ASKPASS", "GIT_EXEC_PATH", "GIT_CONFIG_")


@dataclass(frozen=True)
class GitResult:
    """What a git call gave."""

    stdout: bytes
    stderr: str
    returncode: int

    @property
    def text(self) -> str:
        """Standard output; bytes that are no UTF-8 survive as surrogates."""
        return self.stdout.decode(errors="surrogateescape")

    @property
    def last_words(self) -> tuple[str, ...]:
        """The end of what git said, for a message."""
        return tuple(line for line in self.stderr.splitlines() if line.strip())[-8:]


def run_git(
    arguments: Sequence[str],
    *,
    cwd: Path,
    timeout: float,
    config: Sequence[tuple[str, str]] = (),
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> GitResult:
    """Run ``git`` with these arguments and give whatever came out; no status is judged here.

    ``timeout`` is in seconds; when it is over, the whole process group ends and RepositoryUnreachable is raised. It
    ends as well when git prints without end, as it does for a few small trees that name each other: UnsafeTree.
    """
    environment = {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
        **_config_environment([*_CONFIG, *config]),
        **(env or {}),
    }
    try:
        handle = Git(str(cwd)).execute(
            [*_without_callers_variables(environment), "git", *arguments],
            as_process=True,
            istream=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except GitCommandNotFound as error:
        raise SettingsError("git is not on PATH", hint="install git 2.34 or newer") from error
    process = cast("subprocess.Popen[bytes]", handle.proc)
    try:
        stdout, stderr = _communicate(process, stdin, timeout)
    except subprocess.TimeoutExpired:
        raise RepositoryUnreachable(
            f"git {arguments[0]} took longer than {timeout:g} s and was stopped",
            hint="try again; raise the limit if the repository is that large",
        ) from None
    finally:
        _end(process)
    return GitResult(stdout, stderr.decode(errors="replace"), process.returncode)


def _communicate(process: subprocess.Popen[bytes], stdin: bytes, timeout: float) -> tuple[bytes, bytes]:
    """Feed and drain the process; looks now and then whether there is more output than fits into memory."""
    deadline = time.monotonic() + timeout
    source: bytes | None = stdin
    while True:
        try:
            return process.communicate(source, timeout=min(_LOOK, max(0.0, deadline - time.monotonic())))
        except subprocess.TimeoutExpired as waiting:  # noqa: PERF203 (twice a second)
            source = None  # communicate goes on with what it was given
            if len(waiting.output or b"") > _MOST_OUTPUT:
                raise UnsafeTree(
                    f"git printed more than {_MOST_OUTPUT // 1024 // 1024} MiB and was stopped",
                    hint="a tree of this repository lists too many files: remove what makes it that large",
                ) from None
            if time.monotonic() >= deadline:
                raise


def _without_callers_variables(environment: Mapping[str, str]) -> list[str]:
    """A prefix of the command: GitPython hands the whole environment down, and can add to it only."""
    dropped = [
        name
        for name in os.environ
        if name.startswith(_PAYLOADS)
        or (name.startswith("GIT_") and not name.startswith(_KEPT) and name not in environment)
    ]
    return ["env", *(part for name in dropped for part in ("-u", name))] if dropped else []


def _config_environment(config: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Configuration as environment variables, after what the caller hands down the same way: the last one wins."""
    first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    variables = {"GIT_CONFIG_COUNT": str(first + len(config))}
    for index, (key, value) in enumerate(config, first):
        variables |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    return variables


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no process of the group behind, whatever happened."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()
