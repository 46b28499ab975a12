"""Rendered manifests: from what a tool printed to the file that is reviewed and applied, and back.

One form only: each object once, sorted, keys sorted, without what the API server would ignore. So a difference between
two candidates is a difference in what would be applied.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy_pipeline.channels import App, Tree
from deploy_pipeline.errors import RefusedError, RenderFailed
from deploy_pipeline.rendering.certain import certain_documents
from deploy_pipeline.rendering.reading import DEEPEST, MOST_NODES, JsonLoader, read_documents
from deploy_pipeline.settings import tool_path
from deploy_pipeline.tools import run_tool

RENDERED = "rendered"

MAX_APP_BYTES = 16 * 1024 * 1024  # the largest in use, monitoring with all its definitions, have a third of it
MOST_VALUES = MOST_NODES // 2  # each may have a key, which is a node as well
_BLANK = re.compile(r"\s*")
_CANNOT = "the output cannot be applied"
_MEND = "correct the manifest or template that it comes from"

Manifest = dict[str, Any]
Key = tuple[str, str, str, str]

# Kinds without a namespace, as far as the API itself has them: two apps share such an object whatever their namespaces.
_CLUSTER_WIDE = frozenset(
    "Namespace Node PersistentVolume ClusterRole ClusterRoleBinding CustomResourceDefinition APIService StorageClass "
    "VolumeAttachment CSIDriver CSINode PriorityClass IngressClass GatewayClass RuntimeClass FlowSchema "
    "PriorityLevelConfiguration MutatingWebhookConfiguration ValidatingWebhookConfiguration ValidatingAdmissionPolicy "
    "ValidatingAdmissionPolicyBinding CertificateSigningRequest ClusterTrustBundle DeviceClass".split()
)
# Plain text that one YAML reader or another takes for a number, a date or a truth value.
_AMBIGUOUS = re.compile(r"[-+.]?[0-9][0-9a-fA-FoOxX_:.,eE+-]*|y|n|yes|no|on|off", re.IGNORECASE)


def rendered_path(channel: str, app: str) -> str:
    """Where the rendered manifests of an app lie in a candidate."""
    return f"{RENDERED}/{channel}/{app}.yaml"


def read_rendered(tree: Tree, channel: str, app: str) -> list[Manifest]:
    """The manifests that a candidate or release holds for an app; empty only if it renders to nothing.

    Raises RefusedError if the file is missing or holds anything but manifests.
    """
    path = rendered_path(channel, app)
    try:
        return rendered_manifests(tree.read(path), path)
    except KeyError:
        raise RefusedError(
            f"{path} is missing: app {app} of channel {channel} was never rendered",
            hint="release a commit that the pipeline rendered, not one of a source branch",
        ) from None


def rendered_manifests(content: bytes, path: str) -> list[Manifest]:
    """The manifests in a rendered file; RefusedError if it holds anything else."""
    if len(content) > MAX_APP_BYTES:
        raise RefusedError(f"{path} is larger than {MAX_APP_BYTES} bytes", hint="render the branch again")
    try:
        documents = read_documents(content, JsonLoader)
    except yaml.YAMLError as error:
        raise RefusedError(
            f"{path} is not as the pipeline writes it: {' '.join(str(error).split())}", hint="render the branch again"
        ) from None
    manifests = [document for document in documents if document is not None]
    if faults := list(_faults(manifests)):
        raise RefusedError(f"{path} holds what is no manifest", details=faults, hint="render the branch again")
    return manifests


def parse_manifests(text: bytes, *, directory: Path, env: Mapping[str, str], timeout: float) -> list[Manifest]:
    """The objects in a tool's output, lists taken apart; RenderFailed if there is anything that cannot be applied.

    kubectl reads them, as it is what the world applies manifests with: YAML readers differ in what ``yes``, ``0o17``
    or ``1:30`` is, and the object that is reviewed must be the one that everybody gets. It is not asked where they all
    agree.
    """
    manifests = certain_documents(text)
    if manifests is None:
        manifests = _asked_of_kubectl(text, directory, env, timeout)
    manifests = [_canonical(manifest) for manifest in manifests]
    if faults := list(_faults(manifests)) or list(_too_much(manifests)):
        raise RenderFailed(_CANNOT, details=faults, hint=_MEND)
    return sorted(manifests, key=_sort_key)


def _asked_of_kubectl(text: bytes, directory: Path, env: Mapping[str, str], timeout: float) -> list[Manifest]:
    command = [tool_path("kubectl"), "patch", "--local", "--type=merge", "-p", "{}", "-f", "-", "-o", "json"]
    result = run_tool(command, cwd=directory, env=env, timeout=timeout, stdin=text, offline=True)
    if result.returncode and "no objects passed" in result.stderr:
        return []
    if result.returncode:
        words = result.stderr.splitlines()
        raise RenderFailed("the output is no list of Kubernetes objects", details=words, hint=_MEND)
    try:
        return list(_json_values(result.stdout.decode()))
    except RecursionError:
        raise RenderFailed(_CANNOT, details=["an object is nested without end"], hint=_MEND) from None


def write_manifests(manifests: Sequence[Manifest], header: Sequence[str]) -> bytes:
    """The content of a rendered file. Equal manifests and header give equal bytes."""
    comment = "".join(f"# {line}\n" for line in header)
    # libyaml's emitter, which PyYAML's wheels carry: the one in Python writes other bytes.
    body = yaml.dump_all(
        manifests, Dumper=_Dumper, explicit_start=True, sort_keys=True, allow_unicode=True, width=1_000_000
    )
    return (comment + (body if manifests else "")).encode()


def shared_objects(apps: Iterable[tuple[App, Sequence[Manifest]]]) -> list[str]:
    """A line for each object that two apps of one channel both have: they would take it from each other for ever."""
    owners: dict[Key, list[str]] = {}
    for app, manifests in apps:
        for manifest in manifests:
            group, kind, namespace, name = _key(manifest)
            namespace = "" if kind in _CLUSTER_WIDE else namespace or app.namespace or ""
            owners.setdefault((group, kind, namespace, name), []).append(app.name)
    return [f"{describe(key)} is in {' and in '.join(names)}" for key, names in owners.items() if len(names) > 1]


def describe(key: Key) -> str:
    """An object for people: ``Deployment web/server``."""
    _, kind, namespace, name = key
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _json_values(text: str) -> Iterator[Manifest]:
    decoder = json.JSONDecoder()
    position = 0
    while (start := _end_of_blank(text, position)) < len(text):
        value, position = decoder.raw_decode(text, start)
        yield value


def _end_of_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _canonical(manifest: Manifest) -> Manifest:
    """Without what a tool may print and the server decides itself."""
    manifest.pop("status", None)
    metadata = manifest.get("metadata")
    if isinstance(metadata, dict) and metadata.get("creationTimestamp", "") is None:
        del metadata["creationTimestamp"]
    return manifest


def _faults(manifests: Sequence[Any]) -> Iterator[str]:
    for number, manifest in enumerate(manifests, 1):
        if missing := _missing(manifest):
            yield f"object {number} has no {missing}"
    keys = Counter(_key(manifest) for manifest in manifests if not _missing(manifest))
    yield from (f"{describe(key)} is there {count} times" for key, count in keys.items() if count > 1)


def _too_much(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Objects that are larger or deeper than any that Kubernetes has, and than the rendered file may be read again."""
    for manifest in manifests:
        level: list[Any] = [manifest]
        count = 0
        for _ in range(DEEPEST):
            count += len(level)
            level = [
                inner
                for value in level
                for inner in (value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
            ]
        if level:
            yield f"{describe(_key(manifest))} is nested more than {DEEPEST} deep"
        if count > MOST_VALUES:
            yield f"{describe(_key(manifest))} has more than {MOST_VALUES} values"


def _missing(manifest: Any) -> str:
    """Which field that names an object is absent or no text; empty if none is."""
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    for holder, name in ((manifest, "apiVersion"), (manifest, "kind"), (metadata, "name")):
        if not isinstance(holder, dict) or not isinstance(holder.get(name), str) or not holder[name]:
            generated = isinstance(holder, dict) and name == "name" and "generateName" in holder
            return "metadata.name (generateName makes a new object each time)" if generated else f"text in {name}"
    return ""


def _key(manifest: Manifest) -> Key:
    group = manifest["apiVersion"].rpartition("/")[0]
    metadata = manifest["metadata"]
    return group, manifest["kind"], metadata.get("namespace") or "", metadata["name"]


def _sort_key(manifest: Manifest) -> tuple[str, ...]:
    group, kind, namespace, name = _key(manifest)
    return namespace, kind, name, group


class _Dumper(yaml.CSafeDumper):
    """Writes texts so that every reader takes them for texts, and long ones so that people can read them."""

    def ignore_aliases(self, _: Any) -> bool:
        """Write equal parts out each time: nobody should have to look up what is applied."""
        return True


def _text(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else "'" if _AMBIGUOUS.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
