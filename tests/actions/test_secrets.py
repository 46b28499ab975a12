"""Stored Secrets in the cluster: put there anew, versions in what is approved, the restart of what uses them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy_pipeline.changes import ChangeSet, Operation, SecretVersion, markdown, text
from deploy_pipeline.deploy_secrets import SecretResult, deploy_secrets
from deploy_pipeline.deployer import Deployer, silent
from deploy_pipeline.drift import check_drift
from deploy_pipeline.errors import ApprovalError, RefusedError, SecretFault
from tests.actions.conftest import World
from tests.actions.small import NAMESPACE, Small, config_map, deployment
from tests.secret_stores.conftest import running_bao

TEMPLATE = 'spec.template.metadata.annotations["deploy-pipeline.io/secrets"]'


@pytest.fixture
def small(small_world: World) -> Small:
    """Nothing yet."""
    return Small(small_world)


def _store(small: Small, name: str, word: str, *, called: str = "", **metadata: Any) -> None:
    path = small.world.secrets / f"{name}.yaml"
    path.write_text(_payload(called or name, word, **metadata))


def _payload(name: str, word: str, **metadata: Any) -> str:
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, **metadata}}
    return yaml.safe_dump({**manifest, "stringData": {"word": word}})


def _using(*secrets: str, name: str = "web") -> dict[str, Any]:
    made = deployment(name)
    made["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": one}} for one in secrets]
    return made


def _put_anew(small: Small, **more: Any) -> tuple[SecretResult, ...]:
    return deploy_secrets(small.world.deployer, "test", progress=silent, **more)


def _two_apps(small: Small) -> None:
    for name in ("one", "two", "three"):
        _store(small, name, f"first-{name}")
    small.put("web", config_map("web"), namespace=NAMESPACE, secrets=["one", "two"])
    small.put("api", config_map("api"), namespace=NAMESPACE, secrets=["three"])
    small.deliver()
    for name in ("one", "two", "three"):
        _store(small, name, f"second-{name}")


def _words(small: Small) -> dict[str, str]:
    found = {name: small.live("secret", name) for name in ("one", "two", "three")}
    return {name: base64.b64decode(secret["data"]["word"]).decode().partition("-")[0] for name, secret in found.items()}


def test_secrets_are_put_in_place_anew(small: Small) -> None:
    """One of them, those of one app, or all; the others stay as they are."""
    _two_apps(small)
    for chosen, written, second in (
        ({"secret": "two"}, {"two": "update"}, {"two"}),
        ({"apps": ["web"]}, {"one": "update", "two": "none"}, {"one", "two"}),
        ({}, {"one": "none", "two": "none", "three": "update"}, {"one", "two", "three"}),
    ):
        results = _put_anew(small, **chosen)
        assert {result.secret: result.operation for result in results} == written
        assert {name for name, word in _words(small).items() if word == "second"} == second


BAD = {
    "missing": None,
    "no Secret": "kind: ConfigMap\nword: hunter2\n",
    "another namespace": _payload("two", "hunter2", namespace="hunter2"),
    "two documents": _payload("two", "hunter2") + "---\n" + _payload("two", "hunter2"),
    "another object": _payload("hunter2", "hunter2"),
    "refused by the server": _payload("two", "hunter2", labels={"a": "-bad-"}),
}


def _spoil(small: Small, content: str | None) -> None:
    path = small.world.secrets / "two.yaml"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)


def test_a_bad_secret_leaves_its_app_as_it_is(small: Small) -> None:
    """Also what comes before it; the error names the secret and nothing it holds, other apps get theirs."""
    _two_apps(small)
    for case, content in BAD.items():
        _spoil(small, content)
        with pytest.raises(RefusedError) as caught:
            _put_anew(small)
        assert "two" in str(caught.value), case
        assert "hunter2" not in str(caught.value), case
        assert _words(small) == {"one": "first", "two": "first", "three": "second"}, case


def test_a_bad_secret_stops_a_release_before_its_first_write(small: Small) -> None:
    """Nothing of the app is applied, and nothing of the others."""
    _two_apps(small)
    small.world.promote()
    before = small.world.dump()
    for case in ("missing", "no Secret", "another namespace", "two documents"):
        _spoil(small, BAD[case])
        with pytest.raises(SecretFault) as caught:
            small.world.release()
        assert any("app web" in detail and "secret two" in detail for detail in caught.value.details), case
        assert "hunter2" not in str(caught.value), case
        assert small.world.dump() == before, case


def test_a_rotated_secret_restarts_what_uses_it(small: Small) -> None:
    """The diff and the drift check show a change of the workload that uses it, and of no other; the release does it."""
    for name in ("used", "unused"):
        _store(small, name, f"first-{name}")
    small.put(
        "web",
        _using("used"),
        _using("elsewhere", name="other"),
        namespace=NAMESPACE,
        secrets=["used", "unused"],
        restart_on_secret_change=True,
    )
    small.deliver()
    before = small.live("deployment")["spec"]["template"]["metadata"]["annotations"]
    assert small.diff().is_empty
    assert "annotations" not in small.live("deployment", "other")["spec"]["template"]["metadata"]

    _store(small, "unused", "second-unused")
    assert [change.ref.name for change in small.diff().app("web").changed] == ["unused"]  # type: ignore[union-attr]

    _store(small, "used", "hunter2-rotated")
    change = small.change()
    assert [field.path for field in change.fields] == [TEMPLATE]
    drifted = check_drift(small.world.deployer, "test", progress=silent).apps[0].objects
    assert {item.ref.name: [field.path for field in item.fields] for item in drifted}["web"] == [TEMPLATE]

    small.deliver()
    after = small.live("deployment")["spec"]["template"]["metadata"]["annotations"]
    assert before != after
    assert small.diff().is_empty


def test_a_payload_written_otherwise_restarts_nothing(small: Small) -> None:
    """What pods see of a Secret counts, and nothing else."""
    _store(small, "used", "hunter2")
    small.put("web", _using("used"), namespace=NAMESPACE, secrets=["used"], restart_on_secret_change=True)
    small.deliver()
    (small.world.secrets / "used.yaml").write_text(
        "# as kubectl shows it\napiVersion: v1\nkind: Secret\nmetadata: {name: used}\ndata: {word: aHVudGVyMg==}\n"
    )
    assert small.change("web").operation is Operation.NONE


def test_without_the_key_nothing_is_restarted(small: Small) -> None:
    """A rotation changes the Secret alone."""
    _store(small, "used", "first")
    small.put("web", _using("used"), namespace=NAMESPACE, secrets=["used"])
    small.deliver()
    _store(small, "used", "second")
    assert {change.ref.kind for change in small.diff().app("web").changed} == {"Secret"}  # type: ignore[union-attr]


@pytest.fixture
def vault(small: Small, tmp_path: Path) -> Iterator[Any]:
    """A running server as the store of the deployer; gives what stores a version."""
    with running_bao(tmp_path / "log") as bao:
        settings = small.world.deployer.settings.model_copy(
            update={"secret_store": "vault", "vault_url": bao.url, "vault_path": "deploy"}
        )
        token = tmp_path / "token"
        token.write_text(bao.reader())
        deployer = Deployer.from_settings(settings.model_copy(update={"vault_token_file": token}))
        small.world = replace(small.world, deployer=deployer)
        yield lambda word: bao.put("token", payload=_payload("token", word))


def _versions(change_set: ChangeSet) -> list[str]:
    return [secret.version for secret in change_set.secrets]


def test_versions_are_approved_and_recorded(small: Small, vault: Any) -> None:
    """From the store to the diff, the approval, the release's record, and the refusal of another version."""
    vault("first-word")
    small.put("web", config_map(), namespace=NAMESPACE, secrets=["token"])
    small.push()
    approved = small.world.promote()
    assert _versions(approved.change_set) == ["1"]
    for shown in (markdown(approved.change_set), text(approved.change_set)):
        assert "token version 1" in shown.replace("\\", "")
        assert "first-word" not in shown

    vault("second-word")
    with pytest.raises(ApprovalError) as caught:
        small.world.release()
    assert "secret token changed (version 1 → 2)" in caught.value.details

    released = small.deliver()
    assert released.change_set is not None
    assert _versions(released.change_set) == ["2"]
    record = small.world.deployer.cluster("test").records("test").approval(released.commit)
    assert record is not None
    assert _versions(ChangeSet.from_json(record.change_set)) == ["2"]

    vault("third-word")
    (drifted,) = check_drift(small.world.deployer, "test", progress=silent).apps[0].objects
    assert drifted.ref.name == "token"
    assert [(result.version, result.operation) for result in _put_anew(small)] == [("3", "update")]


def test_the_version_is_part_of_the_digest() -> None:
    """The number as well as the fingerprint; a store without numbers has none in it."""
    plain = ChangeSet("test", "uid", "a" * 40, (), (SecretVersion("token", "f00"),))
    numbered = replace(plain, secrets=(SecretVersion("token", "f00", "7"),))
    assert plain.digest != numbered.digest != replace(plain, secrets=(SecretVersion("token", "f00", "8"),)).digest
    assert ChangeSet.from_json(numbered.to_json()) == numbered
    assert ChangeSet.from_json(plain.to_json()) == plain
