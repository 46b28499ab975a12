"""Admitting the plan of a channel: refusals of all apps at once, warnings into what people see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from deploy_pipeline.admission.finding import Finding, Severity
from deploy_pipeline.admission.judging import findings
from deploy_pipeline.admission.new_images import image_findings
from deploy_pipeline.admission.rules import Rules
from deploy_pipeline.admission.subject import subject_of
from deploy_pipeline.channels import AdmissionPolicy
from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.objects import Manifest, defined_kinds
from deploy_pipeline.drivers.plan import AppPlan
from deploy_pipeline.errors import RefusedError
from deploy_pipeline.images import Registries
from deploy_pipeline.settings import Settings

_HINT = (
    "change the objects; or let the channel file `allow` them and release that first; "
    "or let the deployer's settings allow them (DEPLOY_ALLOWED_KINDS, DEPLOY_ALLOWED_NAMESPACES, "
    "DEPLOY_ALLOWED_REGISTRIES)"
)


@dataclass(frozen=True)
class Admission:
    """Plans that may be shown, with what people should know; ``missing`` images keep them from being released."""

    plans: tuple[AppPlan, ...]
    missing: tuple[str, ...] = ()

    def check_images(self) -> None:
        """Raise RefusedError when images are missing that a release would run."""
        if self.missing:
            raise RefusedError(
                f"{len(self.missing)} image(s) that would be run are missing",
                details=self.missing,
                hint="push them and try again, or correct their names",
            )


def admit(
    channel: str,
    plans: Sequence[AppPlan],
    *,
    policy: AdmissionPolicy,
    settings: Settings,
    cluster: Cluster,
    progress: Callable[[str], None],
) -> Admission:
    """The plans with warnings, by the policy that was released last.

    Raises RefusedError that has every refusal of every app. Missing images are only said: they may be pushed before the
    release.
    """
    is_namespaced = _scopes(cluster, plans)
    subjects = [subject for plan in plans if (subject := subject_of(plan, is_namespaced))]
    if not subjects:
        return Admission(tuple(plans))
    rules = Rules.of(policy, settings, cluster.namespaces_of_others(channel))
    found = [finding for subject in subjects for finding in findings(rules, subject, cluster.version)]
    if refusals := [finding for finding in found if finding.severity is Severity.REFUSAL]:
        raise RefusedError(
            f"channel {channel}: {len(refusals)} finding(s) keep it from being released",
            details=[_shown(finding, cluster) for finding in refusals],
            hint=_HINT,
        )
    of_images = image_findings(subjects, cluster.objects.live, _registries(channel, policy, settings, progress))
    warned = tuple(_with_warnings(plan, (*found, *of_images), cluster) for plan in plans)
    missing = (finding for finding in of_images if finding.severity is Severity.REFUSAL)
    return Admission(warned, tuple(_shown(finding, cluster) for finding in missing))


def _registries(
    channel: str, policy: AdmissionPolicy, settings: Settings, progress: Callable[[str], None]
) -> Registries | None:
    """The registries to ask about images; None if nobody is to be asked."""
    if policy.images == "off":
        return None
    registries = Registries.from_settings(settings)
    if not registries.hosts:
        progress(f"{channel}: images are not checked, as DEPLOY_REGISTRIES name no registry")
    return registries if registries.hosts else None


def _scopes(cluster: Cluster, plans: Sequence[AppPlan]) -> Callable[[Manifest], bool]:
    """Whether an object has a namespace: by the definitions that come with the release, else by the cluster."""
    brought = {
        kind: manifest["spec"]["scope"] == "Namespaced"
        for plan in plans
        for manifest in plan.wanted
        for kind in defined_kinds(manifest)
    }

    def is_namespaced(manifest: Manifest) -> bool:
        kind = (manifest["apiVersion"], manifest["kind"])
        resource = cluster.resources.find(*kind)
        return resource.namespaced if resource else brought.get(kind, False)

    return is_namespaced


def _shown(finding: Finding, cluster: Cluster) -> str:
    """The finding in words; names that a chart makes of secret values are masked."""
    return cluster.redactor.redact(str(finding))


def _with_warnings(plan: AppPlan, found: Iterable[Finding], cluster: Cluster) -> AppPlan:
    own = tuple(_shown(finding, cluster) for finding in found if finding.app == plan.changes.app)
    return replace(plan, changes=replace(plan.changes, warnings=(*plan.changes.warnings, *own))) if own else plan
