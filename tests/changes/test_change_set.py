"""The change set as a value: its digest says what would happen, no more and no less."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

from deploy_pipeline.changes import AppChanges, ChangeSet, FieldChange, ObjectChange, Operation, SecretVersion
from deploy_pipeline.cluster.objects import ObjectRef

DEPLOYMENT = ObjectRef("apps", "Deployment", "shop", "web")
SERVICE = ObjectRef("", "Service", "shop", "web")
IMAGE = FieldChange("spec.template.spec.containers[web].image", '"web:1"', '"web:2"')


def change_set(*objects: ObjectChange, **overrides: object) -> ChangeSet:
    """A change set of one app."""
    app = AppChanges("web", "kustomize", objects)
    return replace(ChangeSet("test", "uid-1", "a" * 40, (app,), (SecretVersion("token", "f00"),)), **overrides)  # type: ignore[arg-type]


UPDATE = ObjectChange(DEPLOYMENT, Operation.UPDATE, (IMAGE,))
SAME = ObjectChange(SERVICE, Operation.NONE)


def test_digest_is_the_same_in_another_process() -> None:
    """Hash randomisation, order of objects and process make no difference."""
    script = (
        "import json,sys; from deploy_pipeline.changes import ChangeSet;"
        "print(ChangeSet.from_json(json.load(sys.stdin)).digest)"
    )
    other = ObjectChange(SERVICE, Operation.PRUNE)
    found = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(change_set(UPDATE, other).to_json()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == change_set(other, UPDATE).digest


def test_unchanged_objects_do_not_touch_the_digest() -> None:
    """Another app's untouched object is nothing that anybody approves."""
    assert change_set(UPDATE).digest == change_set(UPDATE, SAME).digest


def test_every_intended_change_touches_the_digest() -> None:
    """Operation, field, value before and after, channel, cluster, tree and secrets all count."""
    base = change_set(UPDATE)
    others = [
        change_set(replace(UPDATE, operation=Operation.CREATE)),
        change_set(replace(UPDATE, fields=())),
        change_set(replace(UPDATE, fields=(replace(IMAGE, before='"web:0"'),))),
        change_set(replace(UPDATE, fields=(replace(IMAGE, after='"web:3"'),))),
        change_set(replace(UPDATE, ref=DEPLOYMENT._replace(namespace="other"))),
        change_set(UPDATE, channel="prod"),
        change_set(UPDATE, cluster="uid-2"),
        change_set(UPDATE, tree="b" * 40),
        change_set(UPDATE, secrets=(SecretVersion("token", "f01"),)),
        change_set(UPDATE, apps=(replace(base.apps[0], removed=True),)),
        change_set(UPDATE, apps=(replace(base.apps[0], reapply="why"),)),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == len(others) + 1


def test_json_round_trip_keeps_the_digest() -> None:
    """What is stored with an approval is read back as the same change set."""
    original = change_set(UPDATE, SAME, ObjectChange(SERVICE, Operation.PRUNE))
    restored = ChangeSet.from_json(json.loads(json.dumps(original.to_json())))
    assert restored.digest == original.digest
    assert restored.apps[0].changed == tuple(sorted(original.apps[0].changed, key=lambda c: c.ref))


def test_an_app_that_only_runs_again_is_not_empty() -> None:
    """A Helm release that must be repaired is a change even when no object differs."""
    quiet = AppChanges("web", "helm", (SAME,))
    assert quiet.is_empty
    assert not replace(quiet, reapply="the last Helm operation did not succeed").is_empty
