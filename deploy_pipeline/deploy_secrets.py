"""Putting the Secrets of a released channel in place anew, from the store: after a rotation, without a release.

Nothing but Secrets is written. What uses them and is to restart (``restart_on_secret_change``) does so by the next
release, whose change set shows it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from deploy_pipeline.channels import load_channel
from deploy_pipeline.cluster.lock import ChannelLock
from deploy_pipeline.cluster.objects import ObjectRef
from deploy_pipeline.cluster.read_ahead import ReadAhead
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.drivers.applying import apply_steps
from deploy_pipeline.drivers.plan import Target, secret_manifests
from deploy_pipeline.drivers.steps import plan_step
from deploy_pipeline.errors import RefusedError, SecretFault
from deploy_pipeline.planning import each
from deploy_pipeline.secret_stores import ReadOnce


@dataclass(frozen=True)
class SecretResult:
    """One Secret that was put in place: ``create``, ``update`` or ``none``; ``version`` as the store numbers it."""

    app: str
    secret: str
    object: str
    operation: str
    version: str = ""


def deploy_secrets(
    deployer: Deployer, channel: str, *, apps: Collection[str] = (), secret: str = "", progress: Progress
) -> tuple[SecretResult, ...]:
    """Put the Secrets of a released channel in place anew, from the store: all apps, some apps, or one secret.

    Which Secrets go where is taken from what was released last, so that nobody's branch decides it. An app with a
    secret that is missing or malformed is left as it is; the error, raised after the others are done, names it.
    """
    deployer.mirror.fetch()
    cluster = deployer.cluster(channel)
    with cluster.lock(channel).held(f"secrets of {channel}", deployer.settings.lock_wait) as lock:
        last = cluster.records(channel).last_released()
        if last is None:
            raise RefusedError(f"nothing was released to {channel} yet", hint="its first release brings its secrets")
        tree = deployer.mirror.tree(last.commit)
        described = load_channel(tree, channel)
        for name in apps:
            described.app(name)
        owned = cluster.inventories(channel).all()
        chosen = [
            app for app in described.apps if (not apps or app.name in apps) and (not secret or secret in app.secrets)
        ]
        if secret and not chosen:
            raise RefusedError(f"no app of {channel} has the secret {secret}")
        store = ReadOnce(deployer.secret_store)
        read_ahead = ReadAhead(cluster, channel, ())
        targets = [
            Target(channel, app, tree, cluster, read_ahead, store, owned.get(app.name), cluster.redactor, progress)
            for app in chosen
        ]
        results = each(
            deployer,
            targets,
            lambda target: _put_secrets(target, secret, lock),
            lambda target: target.app.name,
            f"channel {channel}",
        )
    return tuple(result for found in results for result in found)


def _put_secrets(target: Target, only: str, lock: ChannelLock) -> list[SecretResult]:
    """The Secrets of one app: all are read, checked and tried before the first one is written."""
    manifests = secret_manifests(target, only)
    for name, manifest in manifests.items():
        _check_released(target, name, ObjectRef.of(manifest))
    steps = {name: plan_step(target, manifest) for name, manifest in manifests.items()}
    apply_steps(target, steps.values(), lock.check)
    return [
        SecretResult(
            target.app.name, name, str(step.change.ref), step.change.operation.value, target.store.read(name).version
        )
        for name, step in steps.items()
    ]


def _check_released(target: Target, name: str, ref: ObjectRef) -> None:
    """Raise SecretFault for a payload that is another object by now: nobody approved that one, or its old one's end."""
    if target.owned is None or ref not in target.owned.refs:
        raise SecretFault(
            f"the secret {name} is another object in the store than the one that was released with the app",
            hint="look at the change set and launch `promote` to approve that",
        )
