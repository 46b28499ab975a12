"""Judging an app: rules and objects in, findings out. Nothing here asks anybody anything."""

from __future__ import annotations

from collections.abc import Iterator

from deploy_pipeline.admission.finding import Finding, Severity, field_name
from deploy_pipeline.admission.plain_secrets import plain_values
from deploy_pipeline.admission.rules import Rules
from deploy_pipeline.admission.subject import Subject
from deploy_pipeline.cluster.objects import Manifest, ObjectRef
from deploy_pipeline.images import images_in
from deploy_pipeline.rendering import schema_faults

_Words = tuple[str, str]  # field and reason


def findings(rules: Rules, subject: Subject, version: str) -> tuple[Finding, ...]:
    """Everything that is wrong with the objects of an app. ``version``: that of its cluster, such as ``1.36``."""
    found = [_release_namespace(rules, subject, *subject.release)] if subject.release else []
    for manifest in subject.written:
        faults = () if ObjectRef.of(manifest) in subject.tried else _schema(manifest, version)
        reasons = (*_place(rules, subject, manifest), *_images(rules, manifest), *faults)
        found += [_finding(subject, manifest, Severity.REFUSAL, *words) for words in reasons]
    severity = Severity.REFUSAL if rules.refuse_plain_secrets else Severity.WARNING
    for manifest in subject.rendered:
        found += [_finding(subject, manifest, severity, *words) for words in _plain_secret(manifest)]
    return tuple(dict.fromkeys(finding for finding in found if finding))


def _finding(subject: Subject, manifest: Manifest, severity: Severity, field: str, words: str) -> Finding:
    return Finding(severity, subject.app, str(ObjectRef.of(manifest)), subject.file, field, words)


def _release_namespace(rules: Rules, subject: Subject, namespace: str, name: str) -> Finding | None:
    """Helm keeps its records, Secrets, in the release's namespace, whatever the chart's objects are."""
    words = rules.against_namespace(namespace, subject.namespaces)
    place = f"Helm release {namespace}/{name}"
    return Finding(Severity.REFUSAL, subject.app, place, subject.file, "", words) if words else None


def _place(rules: Rules, subject: Subject, manifest: Manifest) -> Iterator[_Words]:
    """Why an object may not be where it is; a Namespace counts as lying in itself."""
    ref = ObjectRef.of(manifest)
    is_namespace = (ref.group, ref.kind) == ("", "Namespace")
    if ref.namespace or is_namespace:
        words = rules.against_namespace(ref.name if is_namespace else ref.namespace, subject.namespaces)
        field = "metadata.name" if is_namespace else "metadata.namespace"
    else:
        words, field = rules.against_kind(ref), "kind"
    if words:
        yield field, words


def _images(rules: Rules, manifest: Manifest) -> Iterator[_Words]:
    for named in images_in(manifest):
        if words := rules.against_image(named.image):
            yield field_name(manifest, named.path), words


def _schema(manifest: Manifest, version: str) -> Iterator[_Words]:
    for fault in schema_faults(manifest, version):
        yield fault.field, f"{fault.words} (schema of Kubernetes {version})"


def _plain_secret(manifest: Manifest) -> Iterator[_Words]:
    for path in plain_values(manifest):
        yield field_name(manifest, path), "a plain Secret in git: bring its value as a stored secret (`secrets`)"
