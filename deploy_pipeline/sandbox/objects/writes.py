"""Creating and changing objects: the path every write takes, in the order of the real server.

Decode and default, settle field ownership, let the kind prepare the object, validate, store. A dry run takes the same
path and stops before the last step.
"""

from __future__ import annotations

import datetime
import random
import uuid
from typing import Any, Literal

from deploy_pipeline.sandbox.errors import (
    ApiError,
    Json,
    bad_request,
    cause,
    internal,
    invalid,
    invalid_option,
    refusal,
    text_of,
)
from deploy_pipeline.sandbox.kinds import Kinds, Resource, Target
from deploy_pipeline.sandbox.objects import strategy
from deploy_pipeline.sandbox.objects.store import Store
from deploy_pipeline.sandbox.objects.validation import validate
from deploy_pipeline.sandbox.request import Options, Request
from deploy_pipeline.sandbox.typed import ownership, patch
from deploy_pipeline.sandbox.typed.body import read_apply
from deploy_pipeline.sandbox.typed.convert import Conversion, empty_object
from deploy_pipeline.sandbox.typed.merge import problems
from deploy_pipeline.sandbox.typed.ownership import ManagerId, Managers, Write

LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # what rand.String of apimachinery draws from
APPLY, JSON_PATCH = "application/apply-patch+yaml", "application/json-patch+json"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
KEPT = ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


def now() -> str:
    """The time as the API writes it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Writer:
    """All writes of clients and controllers."""

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self.store = store
        self.kinds = kinds

    # Create

    def create(self, target: Target, value: Json, options: Options) -> Json:
        """POST to a collection."""
        _check_identity(target, value)
        if value.get("metadata", {}).get("resourceVersion"):
            raise internal("resourceVersion should not be set on objects to be created")
        new = _typed(target.resource, value, options)
        blank = {**empty_object(target.resource.node), "apiVersion": "", "kind": ""}
        managers = ownership.update(blank, new, ownership.decode(new), _write(target, options.manager, "Update"))
        return self._insert(target, new, managers, dry_run=options.dry_run)

    def _insert(self, target: Target, new: Json, managers: Managers, *, dry_run: bool) -> Json:
        """Store a new object, or answer what would be stored."""
        resource, metadata = target.resource, new["metadata"]
        if resource.namespaced:
            self._check_namespace(resource, target.namespace, metadata.get("name", ""))
            metadata["namespace"] = target.namespace
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                problem = cause("Required", "metadata.name", "name or generateName is required")
                raise invalid(resource.group, resource.kind, "", [problem])
            metadata["name"] = metadata["generateName"] + "".join(random.choice(LETTERS) for _ in range(5))
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"):
            metadata.pop(key, None)
        metadata.update(uid=str(uuid.uuid4()), creationTimestamp=now())
        new = self._finish(resource, new, None, managers, dry_run=dry_run)
        taken = self.store.get(resource.key, target.namespace, metadata["name"])
        if taken is not None:
            refused = refusal("AlreadyExists", resource, metadata["name"])
            if "deletionTimestamp" in taken["metadata"]:
                refused.body["message"] = "object is being deleted: " + refused.body["message"]
            raise refused
        return new if dry_run else self.store.put(resource.key, new)

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        found = self.store.get("namespaces", "", namespace)
        if found is None:
            raise refusal("NotFound", self.kinds.storage("namespaces"), namespace)
        if "deletionTimestamp" in found["metadata"]:
            text = f"namespace {namespace} is being terminated"
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            problem = {"reason": "NamespaceTerminating", "message": text, "field": "metadata.namespace"}
            raise refusal("Forbidden", resource, name, why, [problem])

    def _finish(
        self,
        resource: Resource,
        new: Json,
        live: Json | None,
        managers: Managers,
        part: str = "",
        *,
        dry_run: bool,
    ) -> Json:
        """What the kind makes of the object, its refusals, and the owners."""
        if part != "status":
            new = strategy.prepare(resource, new, live, self.store, dry_run=dry_run)
        if causes := validate(resource, new, live):
            raise invalid(resource.group, resource.kind, new["metadata"]["name"], causes)
        return _owned(new, managers)

    # Change

    def replace(self, target: Target, value: Json, options: Options) -> Json:
        """PUT."""
        resource = target.resource
        _check_identity(target, value)
        live = self.store.live(target)
        new = _typed(resource, value, options)
        if not new["metadata"].get("resourceVersion") and (
            resource.custom or resource.listed_in("conditional updates")
        ):
            problem = cause("Invalid", "metadata.resourceVersion", "must be specified for an update", 0)
            raise invalid(resource.group, resource.kind, target.name, [problem])
        present = live["metadata"]["uid"]
        if (wanted := new["metadata"].setdefault("uid", present)) != present:
            path = "/".join(filter(None, [resource.plural, target.namespace, target.name]))
            why = f"StorageError: invalid object, Code: 4, Key: /registry/{path}, ResourceVersion: 0, "
            why += (
                f"AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: {present}"
            )
            raise refusal("Conflict", resource, target.name, why)
        return self.change(target, live, new, options)

    def change(self, target: Target, live: Json, new: Json, options: Options) -> Json:
        """Settle ownership of an update, then store it."""
        if target.subresource == "status":
            new = _with_status_of(live, new)
        before, after = ownership.without_managed_fields(live), ownership.without_managed_fields(new)
        write = _write(target, options.manager, "Update")
        managers = ownership.update(before, after, ownership.sent(live, new), write)
        return self._update(target, live, new, managers, dry_run=options.dry_run)

    def _update(self, target: Target, live: Json, new: Json, managers: Managers, *, dry_run: bool) -> Json:
        """Store a changed object; one that did not change stays as it is."""
        resource, old = target.resource, live["metadata"]
        if new["metadata"].get("resourceVersion", old["resourceVersion"]) != old["resourceVersion"]:
            raise refusal("Conflict", resource, target.name)
        metadata = {key: value for key, value in new["metadata"].items() if key not in KEPT}
        metadata.update({key: old[key] for key in (*KEPT, "namespace", "resourceVersion") if key in old})
        metadata.setdefault("uid", old["uid"])
        new = self._finish(resource, {**new, "metadata": metadata}, live, managers, target.subresource, dry_run=dry_run)
        if _same_but_times(new, live):
            return live
        if dry_run:
            return new
        # A namespace has finalizers in its spec, too.
        held = new["metadata"].get("finalizers") or (resource.key == "namespaces" and new["spec"].get("finalizers"))
        if "deletionTimestamp" in metadata and not held:
            self.store.delete(resource.key, new)
            return new
        return self.store.put(resource.key, new)

    # Patch

    def patch(self, target: Target, request: Request, options: Options) -> Json:
        """PATCH in any form but server-side apply."""
        resource, kind = target.resource, request.content_type
        accepted = [JSON_PATCH, MERGE, *([] if resource.custom else [STRATEGIC]), APPLY]
        if kind not in accepted:
            text = "the body of the request was in an unknown format - accepted media types include: "
            message = text + ", ".join(accepted) if resource.custom else "415: Unsupported Media Type"
            raise ApiError(415, "UnsupportedMediaType", message, None if resource.custom else {})
        if "force" in request.query:
            raise invalid_option(
                "PatchOptions", cause("Forbidden", "force", "may not be specified for non-apply patch")
            )
        live = self.store.live(target)
        raw, document = patch.patched(live, request.body, kind, resource.node)
        _check_identity(target, document)
        try:
            new = _typed(resource, document, options)
        except ApiError as error:
            why = str(error).partition(f"handled as a {resource.kind}: ")[2] or str(error)
            raise invalid("", "", "", [cause("Invalid", "patch", why, text_of(raw))]) from error
        return self.change(target, live, new, options)

    def apply(self, target: Target, body: bytes, options: Options) -> tuple[int, Json]:
        """Server-side apply of a configuration: code and object; what its schema lacks is no warning but an error."""
        resource, config = target.resource, read_apply(body)
        _check_config(target, config)
        silent = Options(options.manager)
        write = _write(target, options.manager, "Apply")
        found = self.store.get(resource.key, target.namespace, target.name)
        if found is None:
            if target.subresource:
                raise refusal("NotFound", resource, target.name)
            if uid := config["metadata"].get("uid"):
                why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                raise refusal("Conflict", resource, target.name, why)
            new = _typed(resource, config, silent)
            return 201, self._insert(target, new, ownership.first_apply(config, write), dry_run=options.dry_run)
        live = resource.at_version(found)
        merged, managers = ownership.server_side_apply(live, config, write, force=options.force)
        new = _typed(resource, merged, silent)
        if target.subresource == "status":
            new = _with_status_of(live, new)
        return 200, self._update(target, live, new, managers, dry_run=options.dry_run)

    # Controllers

    def control(self, resource: Resource, live: Json, new: Json, subresource: str = "status") -> Json:
        """A controller's write: owned by kube-controller-manager, no new generation."""
        before, after = ownership.without_managed_fields(live), ownership.without_managed_fields(new)
        if before == after:
            return live
        manager = ManagerId("kube-controller-manager", "Update", subresource, resource.group_version)
        write = Write(manager, resource.group_version, now(), resource.node, "all")
        managers = ownership.update(before, after, ownership.decode(live, stored=True), write)
        return self.store.put(resource.key, _owned(after, managers))


def _write(target: Target, name: str, operation: str) -> Write:
    """Fields that an endpoint resets cannot be owned through it."""
    resource = target.resource
    version = resource.group_version if operation == "Update" else ""
    part: Literal["all", "status", "all but status"] = "all but status" if resource.has_status else "all"
    if target.subresource == "status":
        part = "status"
    manager = ManagerId(name, operation, target.subresource, version)
    return Write(manager, resource.group_version, now(), resource.node, part)


def _owned(value: Json, managers: Managers) -> Json:
    metadata = {key: item for key, item in value["metadata"].items() if key != "managedFields"}
    if managers:
        metadata["managedFields"] = ownership.encode(managers)
    return {**value, "metadata": metadata}


def _typed(resource: Resource, value: Json, options: Options) -> Json:
    """The object in the server's form; what got lost is an error or a warning, if the client asked for that."""
    conversion = Conversion(resource.kind, resource.version, unknown=options.unknown)
    converted: Json = conversion.convert(value, resource.node)
    if options.unknown and options.validation == "Strict":
        raise conversion.refuse("strict decoding error: " + ", ".join(options.unknown))
    if options.validation == "Warn":
        options.warnings.extend(options.unknown)
    head = {"apiVersion": resource.group_version, "kind": resource.kind}
    return {**converted, **head, "metadata": dict(converted.get("metadata", {}))}


def _check_identity(target: Target, value: Json) -> None:
    """The body has to be what the path says."""
    resource, path = target.resource, target.name
    version, kind = value.get("apiVersion", ""), value.get("kind", "")
    metadata: Any = value["metadata"] if isinstance(value.get("metadata"), dict) else {}
    name, space, expected = metadata.get("name"), metadata.get("namespace") or "", resource.group_version
    short, group = version.rpartition("/")[2], resource.group.partition(".")[0] or "core"
    other = f"converting ({short}.{kind}) to ({group}.{resource.kind}): unknown conversion"
    differs = f"the namespace of the object ({space}) does not match the namespace on the request ({target.namespace})"
    for wrong, message in (
        (
            kind not in ("", resource.kind),
            f'{kind} in version "{short}" cannot be handled as a {resource.kind}: {other}',
        ),
        (
            version not in ("", expected),
            f"the API version in the data ({version}) does not match the expected API version ({expected})",
        ),
        (path and not name, f"the name of the object ({path} based on URL) was undeterminable: name must be provided"),
        (path and name != path, f"the name of the object ({name}) does not match the name on the URL ({path})"),
        (path and space not in ("", target.namespace), differs),
        (
            space not in ("", target.namespace),
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
    ):
        if wrong:
            raise bad_request(message)


def _check_config(target: Target, config: Json) -> None:
    """What is applied has to fit path and schema, and may say nothing of its owners."""
    resource = target.resource
    version, kind = config.get("apiVersion", ""), config.get("kind", "")
    group_version = version if "/" in version else f"/{version}"
    if (version, kind) != (resource.group_version, resource.kind):
        raise bad_request(f"invalid object type: {group_version}, Kind={kind}")
    metadata = config.get("metadata") or {}
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    if found := [text.removeprefix(": ") for text in problems(config, resource.node)]:
        listed = found[0] if len(found) == 1 else "errors:\n" + "\n".join(f"  {text}" for text in found)
        names = [metadata.get(key) or "" for key in ("namespace", "name")]
        where = "/".join(name if isinstance(name, str) else "" for name in names)
        raise internal(f"failed to create typed patch object ({where}; {group_version}, Kind={kind}): {listed}")
    _check_identity(target, config)


def _with_status_of(live: Json, new: Json) -> Json:
    """The status endpoint changes nothing but the status."""
    metadata = dict(live["metadata"])
    if version := new["metadata"].get("resourceVersion"):
        metadata["resourceVersion"] = version
    rest = {key: value for key, value in live.items() if key != "status"}
    return {**rest, "metadata": metadata, **{key: new[key] for key in ("status",) if key in new}}


def _same_but_times(new: Json, old: Json) -> bool:
    """Whether nothing changed but the times in managedFields."""
    if new == old or ownership.without_managed_fields(new) != ownership.without_managed_fields(old):
        return new == old
    return ownership.timeless(new) == ownership.timeless(old)
