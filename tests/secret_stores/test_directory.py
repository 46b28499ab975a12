"""The directory store: plain files, and files of SOPS decrypted by its real program."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

from deploy_pipeline.errors import SecretFault, SecretStoreUnreachable, SettingsError
from deploy_pipeline.secret_stores.directory import DirectoryStore
from deploy_pipeline.secret_stores.sops import Sops
from deploy_pipeline.settings import PROJECT_TOOLS
from tests.secret_stores.conftest import everything_said

PAYLOAD = "apiVersion: v1\nkind: Secret\nmetadata:\n    name: token\nstringData:\n    word: hunter2\n"
# Made up for these tests; each opens what is encrypted for its recipient.
KEY = "AGE-SECRET-KEY-1GZ022KU6Q7LXSWJVPDXTA04DPVUVRVV5YDE0GKNH77S3WDAN4DEQD00HJT"
RECIPIENT = "age1ewv4dtyfhp5xwp2060q0a3vgpcmek7u08s2jm8mljewnm02dhq3sq702hw"

needs_sops = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="no package carries sops elsewhere"
)


def _encrypted(tmp_path: Path) -> bytes:
    plain = tmp_path / "plain.yaml"
    plain.write_text(PAYLOAD)
    command = [str(PROJECT_TOOLS / "sops"), "encrypt", "--age", RECIPIENT, str(plain)]
    made = subprocess.run(command, capture_output=True, check=True, env={"HOME": str(tmp_path)}).stdout
    plain.unlink()
    return made


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The file with the deployer's age key."""
    file = tmp_path / "age.txt"
    file.write_text(f"# the deployer's\n{KEY}\n")
    return file


@pytest.fixture
def store(tmp_path: Path, key: Path) -> DirectoryStore:
    """An empty directory, and a key for what will be encrypted in it."""
    (tmp_path / "secrets").mkdir()
    return DirectoryStore(tmp_path / "secrets", Sops(key))


@pytest.mark.parametrize("ending", ["", ".yaml", ".yml"])
def test_one_file_a_name(store: DirectoryStore, tmp_path: Path, ending: str) -> None:
    """With the usual endings or none."""
    (tmp_path / "secrets" / f"a{ending}").write_text(PAYLOAD)
    read = store.read("a")
    assert (read.content, read.version) == (PAYLOAD.encode(), "")


def test_as_kubernetes_mounts_it(store: DirectoryStore, tmp_path: Path) -> None:
    """The kubelet lays a Secret out by links that stay inside."""
    root = tmp_path / "secrets"
    (root / "..2026").mkdir()
    (root / "..2026" / "a").write_text(PAYLOAD)
    (root / "..data").symlink_to("..2026")
    (root / "a").symlink_to("..data/a")
    assert store.read("a").content == PAYLOAD.encode()


def test_two_files_for_one_name(store: DirectoryStore, tmp_path: Path) -> None:
    """Nobody can say which one is meant."""
    for name in ("a.yaml", "a.sops.yaml"):
        (tmp_path / "secrets" / name).write_text(PAYLOAD)
    with pytest.raises(SecretFault, match=r"several files for the secret a .*: a\.yaml, a\.sops\.yaml"):
        store.read("a")


def test_nothing_outside_is_read(store: DirectoryStore, tmp_path: Path) -> None:
    """Neither by a name nor by a link."""
    (tmp_path / "other.yaml").write_text(PAYLOAD)
    (tmp_path / "secrets" / "linked.yaml").symlink_to(tmp_path / "other.yaml")
    with pytest.raises(SecretFault, match="is not the name of a secret"):
        store.read("../other")
    with pytest.raises(SecretFault, match="is a link that leaves"):
        store.read("linked")


def test_what_is_not_there(tmp_path: Path, store: DirectoryStore) -> None:
    """A missing file is a fault; a missing directory may be mounted later."""
    with pytest.raises(SecretFault, match="there is no secret a"):
        store.read("a")
    with pytest.raises(SecretStoreUnreachable, match="is not there"):
        DirectoryStore(tmp_path / "elsewhere").read("a")


def test_too_large_a_file(store: DirectoryStore, tmp_path: Path) -> None:
    """It is not even read."""
    (tmp_path / "secrets" / "a").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(SecretFault, match="larger than 1048576 bytes"):
        store.read("a")


@needs_sops
@pytest.mark.parametrize("name", ["a.sops.yaml", "a.enc.yaml", "a.yaml", "a"])
def test_a_file_of_sops_is_decrypted(store: DirectoryStore, tmp_path: Path, name: str) -> None:
    """Whatever its name is: what counts is the key `sops` in it. The plain text lies nowhere."""
    (tmp_path / "secrets" / name).write_bytes(_encrypted(tmp_path))
    assert store.read("a").content == PAYLOAD.encode()
    assert not any(b"hunter2" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@needs_sops
def test_the_program_gets_nothing_of_the_deployer(
    store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that lies in the deployer's own environment does not count, nor does its home."""
    (tmp_path / "secrets" / "a.yaml").write_bytes(_encrypted(tmp_path))
    monkeypatch.setenv("SOPS_AGE_KEY", KEY)
    home = Path(os.environ["HOME"]) / ".config" / "sops" / "age"
    home.mkdir(parents=True, exist_ok=True)
    (home / "keys.txt").write_text(KEY)
    with pytest.raises(SecretFault, match="cannot be decrypted") as caught:
        DirectoryStore(tmp_path / "secrets").read("a")
    assert caught.value.hint == "set DEPLOY_SOPS_AGE_KEY_FILE to the file with the deployer's age key"


@needs_sops
def test_a_key_for_something_else(store: DirectoryStore, tmp_path: Path, key: Path) -> None:
    """The error names the secret, and shows nothing of the key or the file."""
    (tmp_path / "secrets" / "a.yaml").write_bytes(_encrypted(tmp_path))
    key.write_text("AGE-SECRET-KEY-1" + "Q" * 58)
    with pytest.raises(SecretFault, match="the secret a cannot be decrypted: sops ended with status") as caught:
        store.read("a")
    assert "AGE-SECRET-KEY" not in everything_said(caught.value)
    key.unlink()
    with pytest.raises(SecretFault) as caught:
        store.read("a")
    assert "which is not there" in caught.value.hint


@needs_sops
def test_a_file_that_was_changed(store: DirectoryStore, tmp_path: Path) -> None:
    """SOPS vouches for the whole file: a line added to it in plain is noticed."""
    changed = _encrypted(tmp_path).replace(b"stringData:\n", b"stringData:\n    other: mine\n")
    (tmp_path / "secrets" / "a.yaml").write_bytes(changed)
    with pytest.raises(SecretFault, match="cannot be decrypted"):
        store.read("a")


def test_without_the_program(store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encrypted text is never taken for the payload."""
    (tmp_path / "secrets" / "a.yaml").write_text(f"{PAYLOAD}sops: {{version: 3.11.0}}\n")
    monkeypatch.setattr("deploy_pipeline.settings.PROJECT_TOOLS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="the secret a is encrypted by SOPS, but sops is neither"):
        store.read("a")


def test_a_name_that_promises_more(store: DirectoryStore, tmp_path: Path) -> None:
    """A file named as encrypted that is not: somebody forgot it."""
    (tmp_path / "secrets" / "a.sops.yaml").write_text(PAYLOAD)
    with pytest.raises(SecretFault, match=r"is not encrypted, although its file a\.sops\.yaml says so"):
        store.read("a")
