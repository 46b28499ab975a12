"""Reading, trying and writing single objects: GET, server-side dry run, server-side apply, delete.

Server-side apply (KEP-555) makes the server say what an apply would do; the dry run and the apply differ in one query
parameter only, which is what makes the predicted change the real one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy_pipeline.cluster.connection import APPLY_PATCH, Answer, Connection
from deploy_pipeline.cluster.objects import FIELD_MANAGER, Manifest, ObjectRef
from deploy_pipeline.cluster.resources import Resources
from deploy_pipeline.errors import InvalidObject, ManifestRejected, RaceLost
from deploy_pipeline.redaction import Redactor

_JSON_PATCH = "application/json-patch+json"
_CREATED = 201
_INVALID = 422
_LONGEST_NAME = 50  # with what is appended, a name that every kind allows


@dataclass(frozen=True)
class Applied:
    """An object as an apply left it; ``made``: it was not there before."""

    object: Manifest
    made: bool


class Objects:
    """Access to the objects of one cluster. Errors never quote secret values."""

    def __init__(self, connection: Connection, resources: Resources, redactor: Redactor) -> None:
        self._connection = connection
        self._resources = resources
        self._redactor = redactor

    def locate(self, manifest: Manifest, namespace: str | None) -> Manifest:
        """The manifest with its namespace settled: its own, else the app's, else ``default``; none if cluster-wide.

        Kinds the cluster does not serve yet are left as they are.
        """
        resource = self._resources.find(manifest["apiVersion"], manifest["kind"])
        metadata = dict(manifest["metadata"])
        if resource is None:
            return manifest
        if resource.namespaced:
            metadata["namespace"] = metadata.get("namespace") or namespace or "default"
        else:
            metadata.pop("namespace", None)
        return {**manifest, "metadata": metadata}

    def serves(self, manifest: Mapping[str, Any]) -> bool:
        """Whether the cluster serves the manifest's kind now."""
        return self._resources.find(manifest["apiVersion"], manifest["kind"]) is not None

    def live(self, manifest: Mapping[str, Any]) -> Manifest | None:
        """The object as it is in the cluster now, or None; also None when its kind is not served."""
        if not self.serves(manifest):
            return None
        answer = self._connection.get(self._path(manifest))
        if answer.status == 404:
            return None
        return self._result(answer, manifest, "read")

    def find(self, manifest: Mapping[str, Any]) -> Manifest | None:
        """The object as it is in the cluster now, in whatever version of its group the cluster serves; or None."""
        version = self._resources.served_version(manifest["apiVersion"], manifest["kind"])
        return self.live({**manifest, "apiVersion": version}) if version else None

    def dry_run(self, manifest: Manifest, manager: str = FIELD_MANAGER, *, seen: str = "") -> Manifest | None:
        """What the object would be after :meth:`apply`; None when the server cannot say yet.

        That is so for an object whose namespace or kind is made by the same release. Raises RaceLost when ``seen`` is
        given and no longer the resource version of the live object, with the server's words.
        """
        if not self.serves(manifest):
            return None
        answer = self._patch(_at_version(manifest, seen), manager, {"dryRun": "All"})
        if seen and answer.status in (_CREATED, 404):
            raise RaceLost(f"{ObjectRef.of(manifest)} was removed while it was compared")
        if seen and answer.status == 409:
            raise RaceLost(rejection(ObjectRef.of(manifest), answer, "dry run", self._redactor).message)
        if answer.status == 404:
            return None
        return self._result(answer, manifest, "dry run")

    def dry_run_if_new(self, manifest: Manifest, manager: str = FIELD_MANAGER) -> Manifest | None:
        """What the object would be after :meth:`apply`, if that made it; None in all other cases.

        One request says that an object is not there and what it would be.
        """
        if not self.serves(manifest):
            return None
        answer = self._patch(manifest, manager, {"dryRun": "All"})
        return answer.body if answer.status == _CREATED else None

    def dry_run_as_new(self, manifest: Manifest) -> Manifest | None:
        """What the object would be if it were made anew. Tried under another name, since the object is still there.

        Raises ManifestRejected when it would be refused as a new object, too.
        """
        name = manifest["metadata"]["name"]
        other = f"{name[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        tried = self.dry_run({**manifest, "metadata": {**manifest["metadata"], "name": other}})
        renamed: Manifest | None = _replaced(tried, other, name)
        return renamed

    def dry_run_replace(self, manifest: Manifest) -> Manifest | None:
        """What the object would be if it were replaced by this; None when it is no longer the version that was read."""
        metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
        body = {**manifest, "metadata": metadata}
        answer = self._connection.send("PUT", self._path(manifest), {"dryRun": "All"}, body)
        return None if answer.status == 409 else self._result(answer, manifest, "dry run")

    def apply(self, manifest: Manifest, *, seen: str = "") -> Applied | None:
        """Server-side apply; returns the object as it is then.

        ``seen`` is the resource version that must still be the live one; then fields that other managers hold are taken
        over. Without one there was no object, and there is nothing to take over. None is returned when that is no
        longer so; an object that appeared without a field of ours in dispute was written to, and was not made.
        Without ``seen`` ClusterUnreachable may mean that it was made: a second request would not say by whom.
        """
        if not seen:
            answer = self._patch(manifest, FIELD_MANAGER, {"force": "false"}, once=True)
        else:
            answer = self._patch(_at_version(manifest, seen), FIELD_MANAGER, {})
        if answer.status == 409:
            return None
        return Applied(self._result(answer, manifest, "apply"), made=answer.status == _CREATED)

    def set_managed_fields(self, live: Manifest, managed: Sequence[Mapping[str, Any]]) -> bool:
        """Replace who owns which field, and nothing else; False when the object is no longer the one that was read."""
        patch = [
            {"op": "replace", "path": "/metadata/managedFields", "value": managed},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
        ]
        answer = self._connection.send("PATCH", self._path(live), None, patch, _JSON_PATCH)
        if answer.status != 409:
            self._result(answer, live, "taking over")
        return answer.status != 409

    def delete(self, live: Manifest, *, foreground: bool = False) -> bool:
        """Delete exactly the object that was read; False when it was written or replaced since. Gone is fine.

        ``foreground``: it stays until everything it owns is gone.
        """
        metadata = live["metadata"]
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Foreground" if foreground else "Background",
            "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        }
        answer = self._connection.send("DELETE", self._path(live), None, options)
        if answer.status not in (404, 409):
            self._result(answer, live, "delete")
        return answer.status != 409

    def _patch(self, manifest: Manifest, manager: str, query: Mapping[str, str], *, once: bool = False) -> Answer:
        parameters = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict", **query}
        return self._connection.send("PATCH", self._path(manifest), parameters, manifest, APPLY_PATCH, once=once)

    def _path(self, manifest: Mapping[str, Any]) -> str:
        metadata = manifest["metadata"]
        return self._resources.of(manifest).path(metadata.get("namespace") or "default", metadata["name"])

    def _result(self, answer: Answer, manifest: Mapping[str, Any], action: str) -> Manifest:
        if answer.ok:
            return answer.body
        raise rejection(ObjectRef.of(manifest), answer, action, self._redactor)


def _at_version(manifest: Manifest, version: str) -> Manifest:
    """The manifest as the server takes it only while the object is at this resource version; unless that is empty."""
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version}} if version else manifest


def rejection(ref: ObjectRef, answer: Answer, action: str, redactor: Redactor) -> ManifestRejected:
    """The server's refusal as an error; of what holds secret values only the field names, since the server quotes.

    Keys of a map are part of a field's name, and a branch may have made them of anything.
    """
    fields = [redactor.redact(field) for field in answer.fields]
    kind = InvalidObject if answer.status == _INVALID else ManifestRejected
    if ref.kind == "Secret" or redactor.hides(ref.kind, ref.namespace, ref.name):
        return kind(f"{ref}: {action} refused ({answer.reason})", details=fields)
    return kind(f"{ref}: {action} refused: {redactor.redact(answer.message)}", details=fields)


def _replaced(value: Any, old: str, new: str) -> Any:
    """The value with every text that is ``old`` replaced."""
    if isinstance(value, dict):
        return {key: _replaced(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, old, new) for inner in value]
    return new if value == old else value
