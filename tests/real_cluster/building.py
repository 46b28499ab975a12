"""From Debian's packages to programs.

Debian 12 has the source of Kubernetes 1.20.2 whole, with all that it is made of; later packages have kubectl's part
only. It is old, and yet what the suite could not be held to otherwise: a server that shares nothing with the sandbox.
Two things of it are brought to where later versions are, both said below.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy_pipeline.demo.processes import tail
from deploy_pipeline.demo.waiting import Stopped
from deploy_pipeline.errors import FailedError, SettingsError

_SOURCE = "kubernetes_1.20.5+really1.20.2.orig.tar.gz"
_SHA256 = "b83c0780efb182d928dc63d46488a847f161f04e40a94b96bf5247dd671ecdfc"
_TREE = "kubernetes-1.20.2"  # in the archive
_BUILT = ("kube-apiserver", "kube-controller-manager")
_NEEDED = (
    "golang-github-json-iterator-go-dev",
    "golang-github-modern-go-reflect2-dev",
    "golang-go",
    "jq",
    "make",
    "rsync",
)
_LIBRARIES = Path("/usr/share/gocode/src/github.com")
# Programs of the system alone, so that the build is the same whatever the caller's shell or a `make` above says.
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_LOOK = 0.2  # seconds between two looks whether somebody said stop
_PORTS = '// +optional\n\tProtocol Protocol `json:"protocol,omitempty" protobuf:"bytes,2,'


@dataclass(frozen=True)
class Building:
    """Makes the programs in ``folder``; all that is made on the way lies there, too, but for packages of Debian.

    ``lock`` is the descriptor of the lock that says who builds. What is started holds it as well: it may outlive us.
    """

    folder: Path
    stop: threading.Event
    lock: int

    def programs(self) -> Path:
        """The folder of etcd and what is built; it takes some minutes unless it was done before.

        Raises SettingsError where this is no Debian 12 or not root, FailedError if a step fails, Stopped when somebody
        said stop.
        """
        programs = self.folder / "bin"
        if not all((programs / name).exists() for name in ("etcd", *_BUILT)):
            _require_debian()
            programs.mkdir(parents=True, exist_ok=True)
            self._step("update of the package lists", "apt-get", "update")
            install = ("apt-get", "install", "--yes", "--no-install-recommends", *_NEEDED)
            self._step("installation", *install, to_its_end=True)  # the system's packages are to be left whole
            _put(self._etcd(), programs)
            tree = self._source()
            _mend(tree)
            self._make(tree)
            for name in _BUILT:
                _put(tree / "_output" / "bin" / name, programs)
            shutil.rmtree(tree)
        return programs

    def _etcd(self) -> Path:
        """The program alone: installed, the package would start a server of its own."""
        for old in self.folder.glob("etcd-server_*.deb"):
            old.unlink()
        self._step("download of etcd", "apt-get", "download", "etcd-server")
        (package,) = self.folder.glob("etcd-server_*.deb")
        self._step("unpacking of etcd", "dpkg", "--extract", str(package), "etcd-server")
        return self.folder / "etcd-server" / "usr" / "bin" / "etcd"

    def _source(self) -> Path:
        """The source, unpacked anew; apt gets a configuration of its own, as that of the system may lack sources."""
        lists, parts = self.folder / "lists", self.folder / "sources"
        for made in (lists / "partial", parts):
            made.mkdir(parents=True, exist_ok=True)
        system = Path("/etc/apt")
        for path in (system / "sources.list", system / "sources.list.d" / "debian.sources"):
            if path.exists():
                text = re.sub(
                    "^(Types: *)?deb( |$)", r"\1deb-src\2", path.read_text(encoding="utf-8"), flags=re.MULTILINE
                )
                (parts / f"system{path.suffix}").write_text(text, encoding="utf-8")
        own = (f"Dir::State::lists={lists}", f"Dir::Etc::sourceparts={parts}", "Dir::Etc::sourcelist=/dev/null")
        apt = ("apt-get", *(word for option in own for word in ("--option", option)))
        self._step("update of the source lists", *apt, "update")
        self._step("download of the source", *apt, "source", "--download-only", "kubernetes")
        archive, tree = self.folder / _SOURCE, self.folder / _TREE
        if not archive.exists() or hashlib.sha256(archive.read_bytes()).hexdigest() != _SHA256:
            raise FailedError(f"Debian's source of kubernetes is not {_SOURCE} as it was reviewed")
        shutil.rmtree(tree, ignore_errors=True)
        self._step("unpacking of the source", "tar", "--extract", "--no-same-owner", "--file", str(archive))
        return tree

    def _make(self, tree: Path) -> None:
        path, home = tree / ".go" / "src" / "k8s.io", tree / ".home"
        for made in (path, home):
            made.mkdir(parents=True)
        (path / "kubernetes").symlink_to(tree)
        own = {"GOPATH": str(tree / ".go"), "HOME": str(home), "CGO_ENABLED": "0", "GO111MODULE": "auto"}
        own |= {"GOPROXY": "off", "GOFLAGS": "", "KUBE_GIT_VERSION": "v1.20.2"}
        what = " ".join(f"cmd/{name}" for name in _BUILT)
        self._step("build", "make", "--directory", str(tree), f"WHAT={what}", "DBG=0", env=own)

    def _step(self, name: str, *argv: str, env: Mapping[str, str] = {}, to_its_end: bool = False) -> None:
        """Run a program to its end, or until somebody says stop; what it prints goes to ``build.log``.

        ``to_its_end``: it is not broken off.
        """
        log = self.folder / "build.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv,
                cwd=self.folder,
                env={**_environment(), **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self.lock,),
            )
        while not _has_ended(process):
            if self.stop.is_set() and not to_its_end:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
        if self.stop.is_set():
            raise Stopped
        if process.returncode:
            raise FailedError(f"the {name} ended with {process.returncode}", details=tail(log))


def _environment() -> dict[str, str]:
    proxies = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    return {"PATH": _PATH, "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **proxies}


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Waits for a moment."""
    try:
        process.wait(_LOOK)
    except subprocess.TimeoutExpired:
        return False
    return True


def _require_debian() -> None:
    release = Path("/etc/os-release")
    if not release.exists() or "VERSION_CODENAME=bookworm" not in release.read_text(encoding="utf-8"):
        raise SettingsError("a real API server can be built on Debian 12 only: other versions lack its source")
    if os.geteuid() != 0:
        raise SettingsError("building a real API server installs packages of Debian, which only root may do")


def _put(program: Path, folder: Path) -> None:
    """Copy a program so that it is there whole or not at all."""
    part = folder / f"{program.name}.part"
    shutil.copy(program, part)
    part.replace(folder / program.name)


def _mend(tree: Path) -> None:
    """What keeps this version from being used as later ones are.

    Its JSON libraries crash in programs of today's Go. And its schema lacks the default of a Service port's protocol,
    without which server-side apply refuses ports that do not name it.
    """
    for name in ("json-iterator/go", "modern-go/reflect2"):
        _copy_library(_LIBRARIES / name, tree / "vendor" / "github.com" / name)
    types = tree / "staging/src/k8s.io/api/core/v1/types.go"
    text = types.read_text(encoding="utf-8")
    if text.count(_PORTS) != 1:
        raise FailedError(f"{types} has no such ports")
    types.write_text(text.replace(_PORTS, f'// +default="TCP"\n\t{_PORTS}'), encoding="utf-8")


def _copy_library(new: Path, old: Path) -> None:
    for path in _code(old):
        path.unlink()
    for path in _code(new):
        if not path.name.endswith("_test.go"):
            shutil.copy(path, old / path.name)


def _code(folder: Path) -> Sequence[Path]:
    return [*folder.glob("*.go"), *folder.glob("*.s")]
