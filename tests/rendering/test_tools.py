"""Running tools: limits, and an environment that holds nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy_pipeline.errors import RaceLost, ToolStopped
from deploy_pipeline.tools import ToolResult, isolated_environment, run_tool, tool_environment


def python(program: str, tmp_path: Path, *, timeout: float = 20, limit: int = 10**7, stdin: bytes = b"") -> ToolResult:
    """Run a Python program as a tool."""
    return run_tool(
        [sys.executable, "-c", program], cwd=tmp_path, env={}, timeout=timeout, output_limit=limit, stdin=stdin
    )


def test_result_holds_both_outputs_and_the_status(tmp_path: Path) -> None:
    """Nothing is judged, nothing is mixed."""
    result = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", tmp_path)
    assert (result.stdout, result.stderr, result.returncode) == (b"out\n", "err\n", 3)
    assert result.seconds > 0
    assert "out" not in repr(result)


def test_large_input_and_output_do_not_block_each_other(tmp_path: Path) -> None:
    """A tool that writes while it still reads: neither side waits for the other for ever."""
    text = os.urandom(1_000_000).hex().encode()
    assert (
        python("import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line)", tmp_path, stdin=text).stdout
        == text
    )


def test_input_may_be_left_unread(tmp_path: Path) -> None:
    """A tool that ends early is no error of ours."""
    assert python("print(1)", tmp_path, stdin=b"x" * 1_000_000).stdout == b"1\n"


def test_tool_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """The child would write a file later: it does not live to do so."""
    child = "import time; time.sleep(1); open('late', 'w')"
    program = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    started = time.monotonic()
    with pytest.raises(ToolStopped, match=r"longer than 0\.5 s"):
        python(program, tmp_path, timeout=0.5)
    assert time.monotonic() - started < 10
    time.sleep(1.2)
    assert not (tmp_path / "late").exists()


def test_tool_that_prints_without_end_is_killed(tmp_path: Path) -> None:
    """The deployer's memory is not at the tool's disposal."""
    with pytest.raises(ToolStopped, match="more than 1000 bytes"):
        python("while True: print('x' * 100)", tmp_path, limit=1000)


def test_tool_is_killed_when_it_may_not_proceed(tmp_path: Path) -> None:
    """Whoever waits loses its lock: the error goes on, and the tool does nothing more, however silent it is."""
    asked: list[float] = []
    pid = tmp_path / "pid"

    def proceed() -> None:
        asked.append(time.monotonic())
        if len(asked) > 1 and pid.exists():
            raise RaceLost("the lock is gone")

    program = (
        "import os, time; os.close(1); os.close(2); open('part', 'w').write(str(os.getpid())); os.rename('part', 'pid')"
        "; time.sleep(60)"
    )
    with pytest.raises(RaceLost):
        run_tool([sys.executable, "-c", program], cwd=tmp_path, env={}, timeout=30, proceed=proceed)
    assert asked[1] - asked[0] > 0.4
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_proceed_is_asked_of_a_tool_that_prints_all_the_time(tmp_path: Path) -> None:
    """As often as of a silent one, not once a line."""
    asked: list[int] = []
    program = "import time\nfor _ in range(60): print('x', flush=True); time.sleep(.02)"
    started = time.monotonic()
    run_tool([sys.executable, "-c", program], cwd=tmp_path, env={}, timeout=20, proceed=lambda: asked.append(1))
    assert 1 <= len(asked) <= (time.monotonic() - started) * 4


@pytest.mark.skipif(not shutil.which("setpriv", path=os.defpath), reason="the system cannot tie a tool to its parent")
@pytest.mark.parametrize("offline", [False, True])
def test_tool_ends_with_its_deployer(offline: bool, tmp_path: Path) -> None:
    """A deployer that is killed leaves no Helm running, though a worker thread started it."""
    tool = "import os, time; open('begun', 'w'); time.sleep(2); open('late', 'w')"
    more = f"cwd=Path({str(tmp_path)!r}), env={{}}, timeout=20, offline={offline}"
    call = f"run_tool([sys.executable, '-c', {tool!r}], {more})"
    program = (
        "import sys, threading\nfrom pathlib import Path\nfrom deploy_pipeline.tools import run_tool\n"
        f"threading.Thread(target=lambda: {call}).start()"
    )
    deployer = subprocess.Popen([sys.executable, "-c", program])
    while not (tmp_path / "begun").exists():
        assert deployer.poll() is None
        time.sleep(0.05)
    deployer.kill()
    deployer.wait()
    time.sleep(2.5)
    assert not (tmp_path / "late").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the system offers no limit")
def test_tool_that_takes_all_memory_fails_alone(tmp_path: Path) -> None:
    """Three gigabytes are refused by the kernel, as the tool's problem."""
    result = python("x = bytearray(3 * 1024**3)", tmp_path)
    assert result.returncode
    assert "MemoryError" in result.stderr


def test_tool_that_the_kernel_kills_is_no_result(tmp_path: Path) -> None:
    """Half an output must not pass for all of it, and people are told what is likely."""
    with pytest.raises(ToolStopped, match="more than 21 s of CPU time, or the machine has no memory"):
        python("import os; print('half', flush=True); os.kill(os.getpid(), 9)", tmp_path)


def test_many_tools_at_once_all_end_well(tmp_path: Path) -> None:
    """Processes that start while others' pipes close do not look like time-outs."""
    with ThreadPoolExecutor(8) as threads:
        results = list(
            threads.map(lambda _: run_tool(["/bin/echo", "1"], cwd=tmp_path, env={}, timeout=20), range(300))
        )
    assert {result.stdout for result in results} == {b"1\n"}


def test_isolated_environment_holds_nothing_of_the_deployer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither credentials nor configuration nor programs; every folder is new, private and inside the given one."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("KUBECONFIG", "/home/me/.kube/config")
    environment = isolated_environment(tmp_path)
    assert "s3cret" not in environment.values()
    assert environment["KUBECONFIG"] == os.devnull
    assert environment["HTTPS_PROXY"] == environment["https_proxy"] == "http://127.0.0.1:9"
    assert not list(Path(environment["PATH"]).iterdir())
    for name in ("HOME", "TMPDIR", "HELM_PLUGINS", "HELM_CONFIG_HOME", "HELM_CACHE_HOME", "XDG_CACHE_HOME"):
        assert Path(environment[name]).is_relative_to(tmp_path)
    assert isolated_environment(tmp_path)["HOME"] != environment["HOME"]


def test_cluster_environment_keeps_what_a_kubeconfig_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credential plugins need the deployer's variables; configuration and plugins of helm are shut out."""
    monkeypatch.setenv("AWS_PROFILE", "deployer")
    monkeypatch.setenv("HELM_PLUGINS", "/somewhere")
    monkeypatch.setenv("HELM_DEBUG", "true")
    monkeypatch.setenv("DEPLOY_REPOSITORY", "https://forge.example")
    environment = tool_environment(tmp_path, kubeconfig=tmp_path / "config")
    assert environment["AWS_PROFILE"] == "deployer"
    assert environment["PATH"] == os.environ["PATH"]
    assert environment["KUBECONFIG"] == str(tmp_path / "config")
    assert Path(environment["HELM_PLUGINS"]).is_relative_to(tmp_path)
    assert not {"HELM_DEBUG", "DEPLOY_REPOSITORY"} & environment.keys()
