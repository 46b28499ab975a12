"""The box a tool works in: no network, no privileges, limits on what it takes, and an end with the deployer's own.

The kernel holds all of it. It is asked by programs of util-linux that turn into the tool, since a ``preexec_fn`` would
run Python in the fork of a process with many threads. What the system does not let us have is left out, but for the
network: then a proxy that refuses takes its place (``tools.isolated_environment``), and results say so.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from enum import Enum
from functools import cache

_MIB = 1024 * 1024
MEMORY_LIMIT = 2048 * _MIB
_TRIAL_SECONDS = 10.0
# prctl(2), PR_SET_PDEATHSIG: the signal comes when the thread that started the tool ends, and that one waits for it.
# It stands last, since a change of privileges takes it back.
_ENDING_WITH_US = ("--pdeathsig", "KILL")
# Root in a namespace of its own could step out of it again. What root keeps is to read what other users own: the
# program itself may lie in somebody's home.
_BARE = ("--no-new-privs", "--bounding-set=-all,+dac_override")


class Network(str, Enum):
    """What keeps an isolated tool from the network, in words for people."""

    NONE = "network namespace (the tools have no network at all)"
    REFUSED = "refusing proxy (the system gives no network namespace; see docs/security.md)"


def launcher(*, offline: bool) -> tuple[str, ...]:
    """The command in front of a tool's own; ``offline`` for one that works on files alone.

    Every tool is killed when the deployer is: Helm must not go on without a lock. On other systems than Linux, and
    where setpriv lacks what is asked of it (busybox), there is less in front, or nothing.
    """
    return _offline() if offline else _online()


def network_of_isolated_tools() -> Network:
    """What it is on this machine; found out once, by trying."""
    return Network.NONE if "--net" in _offline() else Network.REFUSED


def limit(pid: int, cpu_seconds: int) -> None:
    """Set limits to a process and all it turns into; none where the system offers none (macOS).

    Beyond the CPU time the kernel kills it; beyond the others (memory, size of one file, open files) its calls fail. A
    core dump, which could hold secrets, is never written. How many processes a user may have is left alone: the limit
    would count those of the deployer.
    """
    if not hasattr(resource, "prlimit"):
        return
    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_DATA: MEMORY_LIMIT,
        resource.RLIMIT_FSIZE: 256 * _MIB,
        resource.RLIMIT_NOFILE: 1024,
        resource.RLIMIT_CORE: 0,
    }
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        for kind, most in limits.items():
            _, hard = resource.prlimit(pid, kind)
            value = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(pid, kind, (value, value))


@cache
def _offline() -> tuple[str, ...]:
    unshare, setpriv = _program("unshare"), _program("setpriv")
    bare = (setpriv, *_BARE, *_ENDING_WITH_US, "--")
    return _first_that_works(
        (unshare, "--net", "--", *bare),
        (unshare, "--user", "--map-root-user", "--net", "--", *bare),
        bare,
        (setpriv, _BARE[0], *_ENDING_WITH_US, "--"),
        (setpriv, *_ENDING_WITH_US, "--"),
    )


@cache
def _online() -> tuple[str, ...]:
    return _first_that_works((_program("setpriv"), *_ENDING_WITH_US, "--"))


def _first_that_works(*commands: tuple[str, ...]) -> tuple[str, ...]:
    return next((command for command in commands if all(command) and _works(command)), ())


def _works(command: tuple[str, ...]) -> bool:
    """Whether a program can be started so; setpriv itself, as it is there."""
    trial = [*command, _program("setpriv"), "--version"]
    try:
        return subprocess.run(trial, capture_output=True, check=False, timeout=_TRIAL_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _program(name: str) -> str:
    """Its path among the system's own programs; empty if there is none."""
    return shutil.which(name, path=os.defpath) or ""
