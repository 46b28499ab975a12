"""Write the lock files in `requirements/`: versions and hashes for every supported Python and system.

Two files with the same versions: `dev.txt` is what `make setup` installs, `deployer.txt` what a container image of the
deployer needs. They name no package index, so that each machine uses its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
REQUIREMENTS = PROJECT / "requirements"
UV = "uv==0.13.9"
FILES = {"dev.txt": ("dev",), "deployer.txt": ("google", "postgres", "vault")}
EXTRAS = ("dev", "google", "postgres", "vault")
OLDEST_PYTHON = "3.10"
HEADER = "# Made by `make lock` from pyproject.toml; holds for every supported Python and system.\n"


def main() -> None:
    """Resolve everything once, then cut each file out of that one resolution."""
    with tempfile.TemporaryDirectory() as scratch:
        uv = find_uv(Path(scratch))
        everything = Path(scratch) / "everything.txt"
        resolve(uv, EXTRAS, everything, "--upgrade")
        for name, extras in FILES.items():
            part = Path(scratch) / name
            resolve(uv, extras, part, "--generate-hashes", "--constraint", str(everything))
            (REQUIREMENTS / name).write_text(HEADER + part.read_text())
            print(f"requirements/{name}")


def find_uv(scratch: Path) -> str:
    """The uv on PATH, else one fetched for this run: pip cannot resolve for other systems than its own."""
    found = shutil.which("uv")
    if found:
        return found
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(scratch / "uv"), UV], check=True)
    return str(scratch / "uv" / "bin" / "uv")


def resolve(uv: str, extras: tuple[str, ...], output: Path, *options: str) -> None:
    """One resolution for all supported platforms at once."""
    chosen = [option for extra in extras for option in ("--extra", extra)]
    universal = ["--universal", "--python-version", OLDEST_PYTHON]
    plain = ["--quiet", "--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    command = [uv, "pip", "compile", *universal, *plain, *chosen, *options, "-o", str(output), "pyproject.toml"]
    subprocess.run(command, cwd=PROJECT, check=True)


if __name__ == "__main__":
    main()
