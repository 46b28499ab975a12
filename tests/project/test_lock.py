"""The lock files: complete, pinned by hash, and bound to no package index."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from scripts import make_venv
from tests.support.origin import PROJECT

LOCKS = sorted((PROJECT / "requirements").glob("*.txt"))
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@cache
def _entries(lock: Path) -> tuple[str, ...]:
    """One entry a package: its line and the hashes that go on from it."""
    joined = lock.read_text().replace("\\\n", " ")
    return tuple(line for line in joined.splitlines() if line and not line.startswith("#"))


def _locked(lock: Path, python: str) -> dict[str, Requirement]:
    """What the lock installs on Linux with a version of Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": "linux"}
    requirements = (Requirement(entry.split(" --hash")[0]) for entry in _entries(lock))
    chosen = [item for item in requirements if not item.marker or Marker(str(item.marker)).evaluate(environment)]
    names = [canonicalize_name(item.name) for item in chosen]
    assert len(names) == len(set(names))
    return dict(zip(names, chosen, strict=True))


@cache
def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return project


def _wanted(*extras: str) -> list[Requirement]:
    groups = [_project()["dependencies"], *(_project()["optional-dependencies"][extra] for extra in extras)]
    requirements = [Requirement(line) for group in groups for line in group]
    return [item for item in requirements if item.name != _project()["name"]]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.name))
def test_every_package_is_pinned_with_hashes_and_without_addresses(lock: Path) -> None:
    """Nothing in the lock can change, and nothing in it says where to fetch from."""
    assert "://" not in lock.read_text()
    assert len(_entries(lock)) > 50
    for entry in _entries(lock):
        assert re.match(r"[a-z0-9-]+==[^ ]+( ;.*?)? +(--hash=sha256:[0-9a-f]{64} *)+$", entry), entry[:80]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("name", "extras"),
    [("dev.txt", ("dev", "google", "postgres", "vault")), ("deployer.txt", ("google", "postgres", "vault"))],
)
def test_lock_satisfies_the_project(name: str, extras: tuple[str, ...], python: str) -> None:
    """Every dependency that pyproject.toml states is locked, in a version it allows, for each Python."""
    locked = _locked(PROJECT / "requirements" / name, python)
    for requirement in _wanted(*extras):
        pin = next(iter(locked[canonicalize_name(requirement.name)].specifier)).version
        assert requirement.specifier.contains(pin), f"{requirement} against {pin}"


def test_locks_agree() -> None:
    """What is tested is what is deployed: a package in both files has the same version."""
    first, second = (_locked(lock, "3.12") for lock in LOCKS)
    assert {name: str(first[name]) for name in first if name in second} == {
        name: str(second[name]) for name in second if name in first
    }


def test_supported_pythons_are_those_of_the_package() -> None:
    """The set-up script and the package's metadata name the same range."""
    oldest, newest = make_venv.OLDEST, make_venv.NEWEST
    assert _project()["requires-python"] == f">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"
