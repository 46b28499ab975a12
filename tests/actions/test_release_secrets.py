"""Secrets of a release: in place before the app, and shown nowhere."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from deploy_pipeline.deployer import Deployer
from deploy_pipeline.errors import SecretFault
from deploy_pipeline.private_files import process_directory
from deploy_pipeline.promotion import diff_promotion
from tests.actions.conftest import World


def test_a_missing_secret_stops_before_the_first_write(world: World) -> None:
    """The error names the secret; nothing of any app is applied."""
    (world.secrets / "archiver_feed-secrets.yaml").unlink()
    world.render()
    with pytest.raises(SecretFault, match="archiver_feed-secrets"):
        world.promote()
    assert "Namespace//archiver" not in world.dump()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("just text, hunter2", "not a Kubernetes Secret"),
        ("a: [hunter2", "not YAML"),
        ("kind: Secret\napiVersion: v1\nmetadata: {name: x, namespace: other}\n", "metadata|namespace"),
        ("kind: Secret\napiVersion: v1\nmetadata: {name: x}\n", "names no namespace"),
        ("{kind: Secret, apiVersion: v1, metadata: {name: x, namespace: a}, data: {k: hunter2}}", "base64"),
        ("kind: Secret\n---\nkind: Secret\n", "one document"),
    ],
)
def test_a_malformed_secret_is_named_and_never_quoted(world: World, payload: str, reason: str) -> None:
    """Whatever is wrong with a payload, its content stays out of the error."""
    target = "metabase_database-backup" if reason == "metadata|namespace" else "archiver_feed-secrets"
    (world.secrets / f"{target}.yaml").write_text(payload)
    world.render()
    with pytest.raises(SecretFault, match=reason) as fault:
        world.promote()
    assert target in str(fault.value)
    assert "hunter2" not in str(fault.value)


def test_secret_values_show_nowhere(released: World) -> None:
    """Not in the change set, progress, records or git; their change does show."""
    first = released.deliver().change_set
    backup = released.secrets / "metabase_database-backup.yaml"
    backup.write_text(backup.read_text().replace("not-a-real-passphrase", "rotated-passphrase"))
    values = released.secrets / "metabase_sensitive-values.yaml"
    values.write_text(values.read_text().replace("not-a-real-password", "rotated-password"))
    released.render()
    changes = released.promote().change_set
    released.release()
    assert first is not None
    assert first.digest != changes.digest
    changed = {str(change.ref) for app in changes.apps for change in app.changed}
    assert {"Secret metabase/database-backup", "Secret metabase/metabase-database"} <= changed
    everything = json.dumps(changes.to_json()) + "\n".join(released.progress)
    everything += released.kubectl("get", "configmaps", "--namespace", "deploy-pipeline", "--output", "yaml")
    everything += released.origin.git("log", "--all", "--patch")
    for value in ("not-a-real", "rotated-"):
        assert value not in everything
    assert released.object("secret", "metabase-database", "metabase")["data"]["password"] == "cm90YXRlZC1wYXNzd29yZA=="


def test_no_file_with_a_secret_stays(released: World) -> None:
    """Values files for Helm lie in private directories that are gone afterwards; a kubeconfig's keys have their own."""
    keys = process_directory()
    assert list(keys.parent.glob(f"deploy-pipeline-{os.getpid()}-*")) == [keys]
    assert not [path for path in keys.rglob("*") if path.is_file() and b"not-a-real" in path.read_bytes()]


def test_a_digest_does_not_depend_on_what_the_process_has_seen(
    world: World, make_deployer: Callable[..., Deployer]
) -> None:
    """A secret value that is an ordinary word is masked everywhere or nowhere."""
    backup = world.secrets / "metabase_database-backup.yaml"
    backup.write_text(backup.read_text().replace("not-a-real-passphrase", "feeds"))
    world.render()
    found = set()
    for deployer in (world.deployer, world.deployer, make_deployer(), make_deployer(app_threads=1)):
        found.add(diff_promotion(deployer, "test", "main", progress=world.progress.append).digest)
    assert len(found) == 1


def test_an_old_secret_value_is_masked_after_a_rotation(world: World) -> None:
    """A chart that writes a secret value into something that is no Secret shows neither the new nor the old one."""
    template = "kubernetes/apps/charts/metabase/templates/configmap.yaml"
    leak = world.origin.show("main", template) + "  LEAK: {{ .Values.database.password | quote }}\n"
    world.deliver({template: leak})
    values = world.secrets / "metabase_sensitive-values.yaml"
    values.write_text(values.read_text().replace("not-a-real-password", "rotated-password"))
    world.render()
    changes = json.dumps(world.promote().change_set.to_json())
    assert "data.LEAK" in changes
    assert "not-a-real" not in changes
    assert "rotated-password" not in changes
