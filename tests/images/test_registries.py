"""Whom the deployer speaks to, and the credentials it has for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy_pipeline.errors import SettingsError
from deploy_pipeline.images import Registries
from deploy_pipeline.settings import Settings


@pytest.mark.parametrize(
    ("host", "listed"),
    [
        ("ghcr.io", True),
        ("eu.pkg.dev", True),
        ("registry-1.docker.io", True),
        ("auth.docker.io", True),
        ("pkg.dev", False),
        ("evilpkg.dev", False),
        ("ghcr.io:444", False),
        ("evil\\@x.pkg.dev", False),
        ("user@x.pkg.dev", False),
        ("", False),
    ],
)
def test_hosts_that_may_be_asked(host: str, listed: bool) -> None:
    """Those named, those below a named domain, and what belongs to Docker Hub."""
    assert Registries.from_settings(Settings(registries="ghcr.io, *.pkg.dev,docker.io")).lists(host) is listed


def test_addresses() -> None:
    """TLS unless marked; Docker Hub's registry has another name than its images."""
    registries = Registries.from_settings(Settings(registries="docker.io,http://localhost:5000"))
    assert [registries.address(name) for name in ("docker.io", "localhost:5000")] == [
        "https://registry-1.docker.io",
        "http://localhost:5000",
    ]


@pytest.mark.parametrize("entry", ["*", "*.", "**.io", "ghcr.io/team", "https://ghcr.io", "a b", "user@host"])
def test_what_is_no_registry_is_refused(entry: str) -> None:
    """An entry that would mean everybody, or nobody."""
    with pytest.raises(SettingsError, match="is no registry"):
        Registries.from_settings(Settings(registries=entry))


def test_credentials_of_a_docker_configuration(tmp_path: Path) -> None:
    """In either form, by host; entries whose password a helper program keeps have none."""
    auths = {
        "ghcr.io": {"auth": "YW5uOnB3OjI="},
        "https://index.docker.io/v1/": {"username": "bob", "password": "pw3"},
        "gcr.io": {},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": auths, "credHelpers": {"gcr.io": "gcloud"}}))
    registries = Registries.from_settings(Settings(docker_config=path))
    assert {host: (c.user, c.password) for host, c in registries.credentials.items()} == {
        "ghcr.io": ("ann", "pw:2"),
        "docker.io": ("bob", "pw3"),
    }
    assert registries.lists("ghcr.io")
    assert not registries.lists("gcr.io")
    assert "pw" not in repr(registries) + repr(registries.credentials)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"auths": [1]}', '{"auths": {"a.b": "c"}}', '{"auths": {"a.b": {"auth": "s3cret!"}}}']
)
def test_a_broken_docker_configuration_is_not_quoted(tmp_path: Path, content: str) -> None:
    """It may hold a password."""
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match="is no docker configuration") as refused:
        Registries.from_settings(Settings(docker_config=path))
    assert "s3cret" not in str(refused.value)


def test_a_docker_configuration_that_is_not_there(tmp_path: Path) -> None:
    """The error names the setting and the file."""
    with pytest.raises(SettingsError, match=r"DEPLOY_DOCKER_CONFIG: .*nothing cannot be read"):
        Registries.from_settings(Settings(docker_config=tmp_path / "nothing"))
