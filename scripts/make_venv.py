"""Make `.venv`: the locked packages, each verified by its hash, and this project as an editable install.

Runs with whatever Python the machine has and nothing else, so it says plainly what is missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import venv
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = (3, 10), (3, 13)


def main() -> None:
    """Make or update the environment."""
    parser = argparse.ArgumentParser(description="Make the project's virtual environment.")
    parser.add_argument("--into", type=Path, default=PROJECT / ".venv", help="where it goes; default: .venv")
    directory: Path = parser.parse_args().into.absolute()
    check_python(sys.version_info[:2], sys.executable)
    check_venv_module()
    python = directory / "bin" / "python"
    if not works(python):
        print(f"making {directory} with Python {sys.version.split()[0]}", flush=True)
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(directory)
    install(python)


def check_python(version: tuple[int, int], executable: str) -> None:
    """Stop with the next step when this Python is too old or too new."""
    if not OLDEST <= version <= NEWEST:
        stop(
            f"Python 3.{OLDEST[1]} to 3.{NEWEST[1]} is needed; {executable} is {version[0]}.{version[1]}",
            "name another one: make setup PYTHON=/path/to/python3.12",
        )


def check_venv_module() -> None:
    """Stop with the next step where the system ships Python without the parts that make environments (Debian)."""
    if importlib.util.find_spec("ensurepip") is None:
        stop(
            f"{sys.executable} cannot make virtual environments: its module `ensurepip` is missing",
            "install it (Debian, Ubuntu: apt-get install python3-venv), then run `make setup` again",
        )


def works(python: Path) -> bool:
    """Whether there is an environment to update; not one half made, moved here, or whose base Python is gone."""
    probe = f"import sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
    try:
        starts_here = str(python.parent) in (python.parent / "pip").read_text()
        return starts_here and subprocess.run([python, "-I", "-c", probe], check=False).returncode == 0
    except OSError:
        return False


def install(python: Path) -> None:
    """Install the lock, then the project itself with the build backend that the lock brought."""
    pip = [str(python), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    print("installing the locked packages", flush=True)
    # The lock is closed, so nothing is left to resolve. Wheels only: a build would run tools that no hash covers.
    locked = ["--require-hashes", "--no-deps", "--only-binary=:all:"]
    run([*pip, *locked, "--requirement", str(PROJECT / "requirements" / "dev.txt")])
    run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(PROJECT)])


def run(command: list[str]) -> None:
    """Run one step; pip's own words stand above the message."""
    if subprocess.run(command, cwd=PROJECT, check=False).returncode:
        stop("pip could not install the packages (see above)", "check the connection to the package index")


def stop(message: str, hint: str) -> None:
    """Leave with a message and the next step."""
    raise SystemExit(f"error: {message}\nNext step: {hint}")


if __name__ == "__main__":
    main()
