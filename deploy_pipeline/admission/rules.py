"""The rules that hold for a channel: those of its last release, and what the deployer lets every channel do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from deploy_pipeline.channels import AdmissionPolicy
from deploy_pipeline.cluster.objects import ObjectRef
from deploy_pipeline.images import ImageReference
from deploy_pipeline.settings import Settings

_SYSTEM = "kube-"  # reserved for Kubernetes itself


@dataclass(frozen=True)
class Rules:
    """What the objects of a channel's apps may be. ``others``: namespaces in which another channel has objects."""

    kinds: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    registries: tuple[str, ...] = ()
    refuse_plain_secrets: bool = False
    others: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: AdmissionPolicy, settings: Settings, others: Mapping[str, str]) -> Rules:
        """The rules of a channel, given the policy that was released last."""
        return cls(
            kinds=(*policy.allow.kinds, *_entries(settings.allowed_kinds)),
            namespaces=(*policy.allow.namespaces, *_entries(settings.allowed_namespaces)),
            registries=(*policy.allow.registries, *_entries(settings.allowed_registries)),
            refuse_plain_secrets=policy.plain_secrets == "refuse",
            others=others,
        )

    def against_kind(self, ref: ObjectRef) -> str:
        """Why an object without a namespace may not be written; empty if it may."""
        names = ("*", ref.kind, f"{ref.kind}.{ref.group}")
        if any(name in self.kinds for name in names):
            return ""
        return "is cluster-wide, and neither the channel's `allow.kinds` nor DEPLOY_ALLOWED_KINDS name its kind"

    def against_namespace(self, namespace: str, own: Collection[str]) -> str:
        """Why an app may not write into a namespace; empty if it may. ``own`` are the app's; empty: any may be."""
        if any(fnmatchcase(namespace, pattern) for pattern in self.namespaces):
            return ""
        if namespace.startswith(_SYSTEM):
            reason = f"the namespace {namespace} is Kubernetes' own"
        elif namespace in self.others:
            reason = f"channel {self.others[namespace]} has objects in the namespace {namespace}"
        elif own and namespace not in own:
            reason = f"the namespace {namespace} is not the app's own, {' or '.join(sorted(own))}"
        else:
            return ""
        return f"{reason}, and neither the channel's `allow.namespaces` nor DEPLOY_ALLOWED_NAMESPACES name it"

    def against_image(self, image: str) -> str:
        """Why an image may not be run; empty if it may."""
        if not self.registries:
            return ""
        try:
            reference = ImageReference.parse(image)
        except ValueError as error:
            return str(error)
        if any(reference.is_within(prefix) for prefix in self.registries):
            return ""
        return f"the image {reference} is from none of {', '.join(self.registries)}"


def _entries(setting: str) -> Iterable[str]:
    return tuple(entry.strip() for entry in setting.split(",") if entry.strip())
