"""Fetching the registry that tests run: out of a Debian package, without installing it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts import fetch_registry

CONTROL = "Package: docker-registry\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.invalid>\nDescription: x\n"


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs Debian's dpkg-deb")
def test_the_program_is_taken_out_of_the_package(tmp_path: Path) -> None:
    """Nothing else of it lands anywhere, and no half of it in between."""
    content = tmp_path / "built"
    (content / "DEBIAN").mkdir(parents=True)
    (content / "DEBIAN" / "control").write_text(CONTROL)
    program = content / "usr" / "bin" / "docker-registry"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho served\n")
    program.chmod(0o755)
    package = tmp_path / "docker-registry_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", str(content), str(package)], check=True, capture_output=True)

    target = tmp_path / "bin" / "docker-registry"
    fetch_registry.install(package, tmp_path, target)
    assert subprocess.run([str(target)], capture_output=True, text=True).stdout == "served\n"
    assert list(target.parent.iterdir()) == [target]


def test_a_system_without_apt_goes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Setting up does not fail; it says what the tests will leave out."""
    monkeypatch.setattr(fetch_registry, "TARGET", tmp_path / "docker-registry")
    monkeypatch.setenv("PATH", str(tmp_path))
    fetch_registry.main()
    assert "the tests that need it are skipped" in capsys.readouterr().out


def test_what_apt_cannot_fetch_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that shows why."""
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\nexit 100\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="Next step: try `apt-get download docker-registry`"):
        fetch_registry.download(tmp_path)
