"""Directories for secrets: closed to others, and gone also when their process could not clean up."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy_pipeline import private_files
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.private_files import private_directory, sweep
from deploy_pipeline.settings import Settings

HOLDING = """
import sys, time
from deploy_pipeline.private_files import private_directory
with private_directory() as directory:
    (directory / "secret").write_text("hunter2")
    print(directory, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the system's."""
    monkeypatch.setattr(private_files, "_MEMORY", tmp_path)
    return tmp_path


def test_nobody_else_can_look_into_it(memory: Path) -> None:
    """And it is gone after the block, whatever ends that."""

    def stopped() -> None:
        with private_directory() as directory:
            assert directory.stat().st_mode & 0o777 == 0o700
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(memory.iterdir()) == []


def test_what_a_killed_process_left_goes_when_a_deployer_starts() -> None:
    """In the place where it really lies; what a living process has there stays."""
    with subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        left = Path(process.stdout.readline().strip())
        with private_directory() as own:
            Deployer.from_settings(Settings(repository="/nowhere.git"))
            assert (left / "secret").exists()
            process.send_signal(signal.SIGKILL)
            process.wait()
            Deployer.from_settings(Settings(repository="/nowhere.git"))
            assert not left.exists()
            assert own.exists()


def test_a_directory_of_a_process_that_cannot_be_seen_stays(memory: Path) -> None:
    """The containers of a pod share its memory, and each has process numbers of its own."""
    sweeping = f"from deploy_pipeline.private_files import sweep; sweep(__import__('pathlib').Path({str(memory)!r}))"
    alone = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this system gives nobody process numbers of their own")
    with private_directory() as held:
        (left := memory / "deploy-pipeline-1-abcdefgh").mkdir()
        subprocess.run([*alone, sys.executable, "-c", sweeping], check=True)
        assert held.exists()
        assert not left.exists()


def test_what_lies_deep_or_is_closed_is_removed(memory: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Branches bring folders, and tools make some; what stays once would stay in everybody's way."""
    kept = tmp_path_factory.mktemp("elsewhere")
    with private_directory() as directory:
        (left := memory / "deploy-pipeline-1-abcdefgh").mkdir()
        (directory / "closed" / "more").mkdir(parents=True)
        (directory / "closed").chmod(0o500)
        (directory / "link").symlink_to(kept)
        for top in (left, directory):
            for depth in range(1500):
                Path(top, *"a" * depth, "a").mkdir()
    sweep()
    assert list(memory.iterdir()) == []
    assert kept.exists()


def test_what_goes_by_itself_keeps_nothing_else(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper that is still ending may remove its files; the others go all the same."""
    unlink = Path.unlink

    def with_luck(path: Path) -> None:
        unlink(path)
        if path.name == "a":
            raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "unlink", with_luck)
    with private_directory() as directory:
        for name in ("a", "b", "c"):
            (directory / name).write_text("hunter2")
    assert list(memory.iterdir()) == []


def test_a_forked_process_leaves_what_is_its_parents(memory: Path) -> None:
    """And has its own, which goes with it; so has whoever's directory was removed by somebody."""
    program = (
        "import os, pathlib, sys; from deploy_pipeline import private_files\n"
        f"private_files._MEMORY = pathlib.Path({str(memory)!r})\n"
        "mine = private_files.process_directory()\n"
        "if not (child := os.fork()):\n"
        "    assert private_files.process_directory() != mine\n"
        "    sys.exit()\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert list(mine.parent.iterdir()) == [mine]\n"
        "mine.rmdir()\n"
        "assert private_files.process_directory().stat().st_mode & 0o777 == 0o700"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert list(memory.iterdir()) == []


def test_only_what_is_ours_is_removed(memory: Path) -> None:
    """People give their own folders such names."""
    (memory / "deploy-pipeline-notes").mkdir()
    (memory / "elsewhere").mkdir()
    (memory / "deploy-pipeline-1-abcdefgh").symlink_to(memory / "elsewhere")
    sweep()
    assert len(list(memory.iterdir())) == 3


def test_one_for_the_process_goes_with_it(memory: Path) -> None:
    """Also for libraries that remove nothing themselves."""
    program = (
        "import pathlib; from deploy_pipeline import private_files\n"
        f"private_files._MEMORY = pathlib.Path({str(memory)!r})\n"
        "directory = private_files.process_directory()\n"
        "assert directory == private_files.process_directory() and directory.stat().st_mode & 0o777 == 0o700\n"
        "(directory / 'key').write_text('hunter2'); print(directory)"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert Path(said.strip()).parent == memory
    assert list(memory.iterdir()) == []
