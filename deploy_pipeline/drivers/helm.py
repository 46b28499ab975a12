"""The helm driver: real Helm releases, planned against live objects.

``helm upgrade --install --dry-run=server`` says exactly what Helm would send; each object of it is compared with the
live one by the same server-side dry run that Helm's own server-side apply amounts to. Helm itself compares with its
stored release only, and would not see what changed in the cluster since.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deploy_pipeline.changes import AppChanges
from deploy_pipeline.channels import App, Driver
from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.objects import Manifest, ObjectRef, helm_release_of
from deploy_pipeline.drivers.plan import (
    AppPlan,
    Leaving,
    Step,
    Target,
    apply_steps,
    plan_leaving,
    plan_objects,
    plan_step,
    prune_objects,
    secret_manifests,
)
from deploy_pipeline.errors import FailedError, ManifestRejected, OwnedByAnother, RefusedError
from deploy_pipeline.private_files import private_directory
from deploy_pipeline.redaction import leaves
from deploy_pipeline.secret_stores import helm_values
from deploy_pipeline.settings import tool_path
from deploy_pipeline.tools import ToolResult, run_tool, tool_environment

_MANAGER = "helm"  # the field manager of Helm 4's server-side apply
_PLAN_TIMEOUT = 120.0
_GRACE = 30.0  # beyond Helm's own --timeout, so that Helm can say what went wrong


@dataclass(frozen=True)
class StoredRelease:
    """What Helm has stored of a release. ``manifest`` may hold secret values."""

    status: str
    objects: tuple[Manifest, ...] = field(repr=False)


def plan(target: Target) -> AppPlan:
    """What a release would do for the app. Reads and tries only."""
    values = _secret_values(target)
    with _workspace(target, values) as helm:
        stored = helm.stored()
        _check_pending(target, stored)
        wanted, hooks = helm.predicted()
    objects = tuple(_as_applied(target, manifest) for manifest in wanted)
    steps = plan_objects(target, tuple(secret_manifests(target).values()))
    changes = [plan_step(target, manifest, _MANAGER).change for manifest in objects]
    leaving = _leaving(target, stored, objects, steps)
    return AppPlan(
        target,
        AppChanges(
            app=target.app.name,
            driver=Driver.HELM.value,
            objects=(*(step.change for step in steps), *changes, *leaving.changes),
            hooks=hooks,
            warnings=leaving.warnings,
            reapply=_reason_to_run(stored, wanted),
        ),
        steps,
        watched=objects,
        prunes=leaving.prunes,
        kept=leaving.kept,
        helm_release=(str(target.app.namespace), str(target.app.helm_name)),
        values=values,
    )


def apply(plan: AppPlan, before_write: Callable[[], None]) -> None:
    """Secrets first, then ``helm upgrade --install``, unless Helm has nothing to do."""
    target = plan.target
    apply_steps(target, plan.rest, before_write)
    ours = {step.change.ref for step in plan.steps}
    if plan.changes.reapply or any(change.ref not in ours for change in plan.changes.changed):
        before_write()
        with _workspace(target, plan.values) as helm:
            revision = helm.upgrade()
        target.progress(f"{target.app.name}: Helm release {target.app.helm_name} is at revision {revision}")


def prune(plan: AppPlan, before_write: Callable[[], None]) -> None:
    """Delete Secrets that left the app; what left the chart, Helm has deleted itself."""
    ours = [live for live in plan.prunes if helm_release_of(live) is None]
    prune_objects(plan.target, ours, before_write)


def uninstall(target: Target, release: tuple[str, str]) -> None:
    """Remove a release whose app left the channel; one that is gone already is fine."""
    namespace, name = release
    with private_directory() as directory:
        environment = tool_environment(directory, kubeconfig=target.cluster.kubeconfig)
        arguments = ["uninstall", name, "--namespace", namespace, "--ignore-not-found", *_context(target)]
        result = run_tool(
            [tool_path("helm"), *arguments], cwd=directory, env=environment, timeout=_PLAN_TIMEOUT + _GRACE
        )
        _checked(target, result, f"helm uninstall {name}")


def free_interrupted(cluster: Cluster, app: App, since: str, progress: Callable[[str], None]) -> None:
    """Forget the revision that a killed Helm left pending, so that the one before it is the current one again.

    Helm refuses to touch a release with a pending revision. What the killed one had made carries the release's
    annotations, so that the next upgrade takes it over. ``since`` is when our release began (RFC 3339): what was
    pending before is not ours.
    """
    secrets = f"/api/v1/namespaces/{app.namespace}/secrets"
    for status in ("pending-install", "pending-upgrade", "pending-rollback"):
        answer = cluster.connection.get(secrets, {"labelSelector": f"owner=helm,name={app.helm_name},status={status}"})
        for item in answer.body.get("items") or ():
            if item["metadata"]["creationTimestamp"] < since:
                continue
            cluster.connection.send("DELETE", f"{secrets}/{item['metadata']['name']}")
            progress(f"{app.name}: removed the interrupted Helm revision {item['metadata']['name']}")


def _secret_values(target: Target) -> tuple[bytes, ...]:
    found = []
    for name in target.app.secret_helm_values:
        stored = target.store.read(name)
        target.cluster.redactor.learn(leaves(helm_values(stored)))
        found.append(stored.content)
    return tuple(found)


def _leaving(
    target: Target, stored: StoredRelease | None, objects: Sequence[Manifest], steps: Sequence[Step]
) -> Leaving:
    """What Helm will delete (by its stored manifest), and Secrets of ours that left the app."""
    wanted = [*objects, *(step.manifest for step in steps)]
    ours = plan_leaving(target, [*wanted, *_only_helm(target, stored)])
    refs = {ObjectRef.of(manifest) for manifest in wanted}
    prunes = []
    for manifest in stored.objects if stored else ():
        located = _as_applied(target, manifest)
        if ObjectRef.of(located) not in refs and not _has_keep_policy(manifest):
            live = target.cluster.objects.live(located)
            prunes += [live] if live is not None else []
    return Leaving((*ours.prunes, *prunes), ours.kept, ours.warnings)


def _only_helm(target: Target, stored: StoredRelease | None) -> list[Manifest]:
    return [_as_applied(target, manifest) for manifest in (stored.objects if stored else ())]


def _has_keep_policy(manifest: Mapping[str, Any]) -> bool:
    annotations = manifest["metadata"].get("annotations") or {}
    return str(annotations.get("helm.sh/resource-policy", "")).strip() == "keep"


def _as_applied(target: Target, manifest: Manifest) -> Manifest:
    """The manifest as Helm sends it: in its namespace, with the release's label and annotations."""
    located = target.cluster.objects.locate(manifest, target.app.namespace)
    metadata = dict(located["metadata"])
    metadata["labels"] = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        "meta.helm.sh/release-name": target.app.helm_name,
        "meta.helm.sh/release-namespace": target.app.namespace,
    }
    return {**located, "metadata": metadata}


def _reason_to_run(stored: StoredRelease | None, wanted: Sequence[Manifest]) -> str:
    """Why Helm must run even if no object changes; empty if it need not."""
    if stored is None:
        return "the Helm release is not installed yet"
    if stored.status != "deployed":
        return f"the last Helm operation did not succeed (status {stored.status})"
    if list(stored.objects) != list(wanted):
        return "the manifest that Helm has stored is another one"
    return ""


def _check_pending(target: Target, stored: StoredRelease | None) -> None:
    if stored is not None and stored.status.startswith("pending"):
        name = f"{target.app.namespace}/{target.app.helm_name}"
        raise OwnedByAnother(
            f"the Helm release {name} is in status {stored.status}: another Helm operation is running or was killed",
            hint=f"wait for it; if nobody runs it: helm -n {target.app.namespace} rollback {target.app.helm_name}",
        )


@dataclass(frozen=True)
class _Helm:
    """Helm with one app's chart and values laid out in a private directory."""

    target: Target
    directory: Path
    values: tuple[Path, ...]

    def predicted(self) -> tuple[tuple[Manifest, ...], tuple[str, ...]]:
        """The objects Helm would send, and its hooks, rendered against the live cluster."""
        answer = self._json(
            [*self._upgrade(), "--dry-run=server", "--hide-notes"], "upgrade --dry-run=server", _PLAN_TIMEOUT
        )
        hooks = sorted(_hook(hook) for hook in answer.get("hooks") or ())
        return _documents(answer.get("manifest") or ""), tuple(hooks)

    def stored(self) -> StoredRelease | None:
        """The release as Helm has stored it, or None."""
        app = self.target.app
        arguments = ["status", str(app.helm_name), "--namespace", str(app.namespace), "--output", "json"]
        result = self._run(arguments, _PLAN_TIMEOUT)
        if result.returncode and "not found" in result.stderr:
            return None
        answer = self._parsed(result, "helm status")
        return StoredRelease(str(answer["info"]["status"]), _documents(answer.get("manifest") or ""))

    def upgrade(self) -> int:
        """Install or upgrade the release; returns its revision."""
        timeout = self.target.app.timeout_seconds
        arguments = [*self._upgrade(), "--timeout", f"{timeout:.0f}s", "--hide-notes"]
        return int(self._json(arguments, "upgrade --install", timeout + _GRACE)["version"])

    def _upgrade(self) -> list[str]:
        app = self.target.app
        files = [argument for path in self.values for argument in ("--values", str(path))]
        return [
            *("upgrade", "--install", str(app.helm_name), str(self.directory / str(app.helm_chart)), *files),
            *("--namespace", str(app.namespace), "--create-namespace", "--reset-values"),
            *("--server-side=true", "--force-conflicts", "--output", "json"),
        ]

    def _json(self, arguments: Sequence[str], what: str, timeout: float) -> Mapping[str, Any]:
        return self._parsed(self._run(arguments, timeout), f"helm {what}")

    def _parsed(self, result: ToolResult, what: str) -> Mapping[str, Any]:
        _checked(self.target, result, what)
        answer: Mapping[str, Any] = json.loads(result.stdout)
        return answer

    def _run(self, arguments: Sequence[str], timeout: float) -> ToolResult:
        environment = tool_environment(self.directory, kubeconfig=self.target.cluster.kubeconfig)
        command = [tool_path("helm"), *arguments, *_context(self.target)]
        return run_tool(command, cwd=self.directory, env=environment, timeout=timeout)


@contextmanager
def _workspace(target: Target, values: Sequence[bytes]) -> Iterator[_Helm]:
    app = target.app
    with private_directory() as directory:
        target.tree.export(directory, under=[str(app.helm_chart), *app.helm_values])
        secret_files = []
        for number, content in enumerate(values):
            path = directory / f".secret-values-{number}.yaml"
            path.write_bytes(content)
            secret_files.append(path)
        yield _Helm(target, directory, (*(directory / path for path in app.helm_values), *secret_files))


def _context(target: Target) -> list[str]:
    return ["--kube-context", target.cluster.context] if target.cluster.context else []


def _checked(target: Target, result: ToolResult, what: str) -> None:
    if result.returncode == 0:
        return
    words = target.cluster.redactor.redact(result.stderr.strip())
    message = f"app {target.app.name}: {what} failed: {words}"
    if "dry-run" in what:
        raise ManifestRejected(
            message, hint="the chart, its values, or an object in the cluster stand in the way; Helm says which"
        )
    if "status" in what:
        raise RefusedError(message)
    raise FailedError(message)


def _documents(manifest: str) -> tuple[Manifest, ...]:
    return tuple(document for document in yaml.load_all(manifest, Loader=_LOADER) if document)


def _hook(hook: Mapping[str, Any]) -> str:
    return f"{hook.get('kind')} {hook.get('name')} ({', '.join(hook.get('events') or ())})"


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
