"""Running kubectl and helm: argument lists, a clean environment, limits, and all output captured.

What a branch says decides what these tools read, so they get nothing that would be worth stealing and no way to run or
reach anything else. Output is never inherited: Dagster would store it with the run.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import select
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from deploy_pipeline.errors import ToolStopped
from deploy_pipeline.isolation import MEMORY_LIMIT, launcher, limit

_OUTPUT_LIMIT = 64 * 1024 * 1024
_CHUNK = 65536
_LOOK = 0.5
_NO_MEMORY = re.compile(rb"(runtime: .*\n)*fatal error: .*(out of|cannot allocate) memory")  # as Go's runtime says it
_REFUSING = "http://127.0.0.1:9"  # the discard port: nobody listens
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_FOREIGN = ("HELM_", "GIT_", "DEPLOY_", "DAGSTER_")
# kubectl and helm live for a tenth of a second, a third of which goes into collecting garbage. Near the limit it is
# collected as ever.
_GO_RUNTIME = {"GOGC": "400", "GOMEMLIMIT": str(MEMORY_LIMIT // 2)}


@dataclass(frozen=True)
class ToolResult:
    """What a tool gave. Both outputs may hold secret values: redact them before showing."""

    stdout: bytes = field(repr=False)
    stderr: str = field(repr=False)
    returncode: int
    seconds: float


def run_tool(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    output_limit: int = _OUTPUT_LIMIT,
    stdin: bytes = b"",
    proceed: Callable[[], None] | None = None,
    offline: bool = False,
) -> ToolResult:
    """Run a tool to its end; its exit status is the caller's to judge.

    ``timeout`` is in seconds, of time as of CPU time, ``output_limit`` in bytes of both outputs together. Beyond any,
    the tool and every process it started are killed and ToolStopped is raised. They are killed as well when
    ``proceed``, which is called every half second meanwhile, raises, and when the deployer itself is killed (on Linux).
    ``offline``: the tool needs no network and gets none, as far as the system lets us (see ``isolation``).
    """
    started = time.monotonic()
    cpu_seconds = math.ceil(timeout) + 1
    watch = _Watch(started + timeout, proceed)
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*launcher(offline=offline), *argv],
        cwd=cwd,
        env=dict(env),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,
    )
    try:
        limit(process.pid, cpu_seconds)
        stdout, stderr = _communicate(process, stdin, watch, output_limit)
        _wait(process, watch)
    except TimeoutError:
        raise _stopped(argv, f"took longer than {timeout:g} s and was stopped") from None
    except OverflowError:
        raise _stopped(argv, f"printed more than {output_limit} bytes and was stopped") from None
    finally:
        _end(process)
    if process.returncode == -signal.SIGKILL:
        raise _stopped(argv, f"was killed: it took more than {cpu_seconds} s of CPU time, or the machine has no memory")
    if process.returncode and _NO_MEMORY.match(stderr):
        raise _stopped(argv, f"needs more than {MEMORY_LIMIT // 1024 // 1024} MiB of memory")
    seconds = time.monotonic() - started
    return ToolResult(stdout, stderr.decode(errors="replace"), process.returncode, seconds)


def isolated_environment(private_dir: Path, *, network: bool = False) -> dict[str, str]:
    """The environment of a tool that works on files alone; made of nothing that the deployer's own environment holds.

    No credentials, no configuration, nothing on PATH (kustomize would start git from there), and a proxy that refuses
    every connection. With ``network`` the deployer's proxies are handed down instead.
    """
    home = Path(tempfile.mkdtemp(prefix=".tool-", dir=private_dir))
    certificates = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ]
    proxies = dict.fromkeys((*_PROXIES[:3], *(name.lower() for name in _PROXIES[:3])), _REFUSING)
    if network:
        proxies = {name: os.environ[name] for name in (*_PROXIES, *map(str.lower, _PROXIES)) if name in os.environ}
    return {
        "PATH": str(home),
        "HOME": str(home),
        "TMPDIR": str(home),
        "KUBECONFIG": os.devnull,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        **{name: os.environ[name] for name in certificates},
        **proxies,
        **_GO_RUNTIME,
        **_private_directories(home),
    }


def tool_environment(private_dir: Path, *, kubeconfig: Path | None = None) -> dict[str, str]:
    """The environment of a tool that talks to a cluster as the deployer; None leaves the usual search for a kubeconfig.

    The deployer's own variables stay, since a kubeconfig may name a credential plugin that needs them; configuration
    and plugins of the tools do not.
    """
    home = Path(tempfile.mkdtemp(prefix=".tool-", dir=private_dir))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    environment = _GO_RUNTIME | environment | _private_directories(home) | {"KUBECACHEDIR": str(home / "kube")}
    return environment | ({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})


def _private_directories(home: Path) -> dict[str, str]:
    """Folders under a name nobody can guess: a chart that brings its own plugins must not hit upon them."""
    return {
        "HELM_CACHE_HOME": str(home / "cache"),
        "HELM_CONFIG_HOME": str(home / "config"),
        "HELM_DATA_HOME": str(home / "data"),
        "HELM_PLUGINS": str(home / "plugins"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
    }


class _Watch:
    """Says how long to wait for the tool at a time, and looks between two waits whether to go on."""

    def __init__(self, deadline: float, proceed: Callable[[], None] | None) -> None:
        self._deadline = deadline
        self._proceed = proceed
        self._looked = time.monotonic()

    def pause(self) -> float:
        """Seconds to wait now; TimeoutError when the time is over, or what ``proceed`` raises."""
        now = time.monotonic()
        if now > self._deadline:
            raise TimeoutError
        if self._proceed and now - self._looked >= _LOOK:
            self._looked = now
            self._proceed()
        return min(_LOOK, self._deadline - now)


def _wait(process: subprocess.Popen[bytes], watch: _Watch) -> None:
    """Wait for the end of a tool that closed its outputs, which most do by ending."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(watch.pause())
            return


def _communicate(process: subprocess.Popen[bytes], stdin: bytes, watch: _Watch, limit: int) -> tuple[bytes, bytes]:
    """Feed and drain the process; TimeoutError or OverflowError when it goes beyond its limits."""
    source, stdout, stderr = _pipes(process)
    outputs = {stdout: bytearray(), stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in outputs:
            selector.register(stream, selectors.EVENT_READ)
        selector.register(source, selectors.EVENT_WRITE)
        while selector.get_map():
            for key, _ in selector.select(watch.pause()):
                if key.fileobj is source:
                    stdin = _feed(source, stdin)
                    done = not stdin
                else:
                    chunk = os.read(key.fd, _CHUNK)
                    outputs[key.fileobj] += chunk  # type: ignore[index]
                    done = not chunk
                if done:
                    # Before it is closed: another thread's child may hold it open a moment longer.
                    selector.unregister(key.fileobj)
                    cast("IO[bytes]", key.fileobj).close()
            if sum(map(len, outputs.values())) > limit:
                raise OverflowError
    return bytes(outputs[stdout]), bytes(outputs[stderr])


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    assert process.stdin  # noqa: S101 (all three are pipes)
    assert process.stdout  # noqa: S101
    assert process.stderr  # noqa: S101
    return process.stdin, process.stdout, process.stderr


def _feed(source: IO[bytes], stdin: bytes) -> bytes:
    """Write as much as never blocks; gives what is left. A tool that does not read to the end is free not to."""
    try:
        return stdin[os.write(source.fileno(), stdin[: select.PIPE_BUF]) :] if stdin else b""
    except BrokenPipeError:
        return b""


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def _stopped(argv: Sequence[str], reason: str) -> ToolStopped:
    hint = "find out what makes it that large or slow; docs/security.md has the limits"
    return ToolStopped(f"{_name(argv)} {reason}", hint=hint)


def _name(argv: Sequence[str]) -> str:
    return " ".join([Path(argv[0]).name, *argv[1:2]])
