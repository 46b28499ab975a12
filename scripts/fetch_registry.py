"""Bring a container registry into `.tools/bin`, which the tests of the image check run: Debian's `docker-registry`.

The package is fetched by apt, which verifies it by the signature of the archive that this machine uses, and unpacked,
not installed: no service, no user, no rights are needed. Systems without apt go without; the tests then say that they
are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = "docker-registry"
TARGET = Path(__file__).resolve().parent.parent / ".tools" / "bin" / PACKAGE


def main() -> None:
    """Provide the registry and say where it is."""
    if TARGET.is_file():
        print(f"{PACKAGE} is there")
    elif not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        print(f"{PACKAGE} is left out: this system has no apt, and the tests that need it are skipped")
    else:
        with tempfile.TemporaryDirectory() as scratch:
            install(download(Path(scratch)), Path(scratch), TARGET)
        print(f"{PACKAGE} fetched")


def download(scratch: Path) -> Path:
    """The package, by the lists that apt has; if they are missing or too old, by new ones of our own."""
    (scratch / "lists" / "partial").mkdir(parents=True)
    own = ["-o", f"Dir::State::Lists={scratch / 'lists'}", "-o", f"Dir::Cache={scratch}", "-o", "Debug::NoLocking=1"]
    if not _apt("download", PACKAGE, into=scratch):
        _apt(*own, "update", into=scratch)
        _apt(*own, "download", PACKAGE, into=scratch)
    found = next(scratch.glob(f"{PACKAGE}_*.deb"), None)
    if found is None:
        sys.exit(
            f"error: apt could not fetch {PACKAGE}\nNext step: try `apt-get download {PACKAGE}` and see what it says"
        )
    return found


def _apt(*arguments: str, into: Path) -> bool:
    command = [str(shutil.which("apt-get")), "-qq", *arguments]
    return subprocess.run(command, cwd=into, capture_output=True, check=False).returncode == 0


def install(package: Path, scratch: Path, target: Path) -> None:
    """Take the program out of the package, and put it in place in one step."""
    subprocess.run([str(shutil.which("dpkg-deb")), "-x", str(package), str(scratch / "content")], check=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{PACKAGE}-partial")
    shutil.copy2(scratch / "content" / "usr" / "bin" / PACKAGE, partial)
    partial.replace(target)


if __name__ == "__main__":
    main()
