"""Creating and changing objects: the path every write takes, in the order of the real server.

Decode and default, settle field ownership, let the kind prepare the object, validate, store. A dry run
takes the same path and stops before the last step.
"""

from __future__ import annotations

import dataclasses
import datetime
import random
import uuid
from typing import Any

from deploy_pipeline.sandbox import apply as ownership
from deploy_pipeline.sandbox import fieldset, patch, strategy, validation
from deploy_pipeline.sandbox.apply import ManagerId, Managers, Write
from deploy_pipeline.sandbox.body import read_apply, read_json, unsupported_media_type
from deploy_pipeline.sandbox.convert import Conversion, empty_object
from deploy_pipeline.sandbox.errors import (
    ApiError,
    Cause,
    Json,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    forbidden_field,
    internal,
    invalid,
    invalid_option,
    invalid_value,
    not_found,
    required,
    text_of,
)
from deploy_pipeline.sandbox.kinds import Kinds, Resource
from deploy_pipeline.sandbox.merge import problems
from deploy_pipeline.sandbox.request import Options, Request, Target
from deploy_pipeline.sandbox.store import Store

LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # what rand.String of apimachinery draws from
APPLY, JSON_PATCH = "application/apply-patch+yaml", "application/json-patch+json"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
Warnings = tuple[str, ...]


def now() -> str:
    """The time as the API writes it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def random_suffix(length: int = 5) -> str:
    """A suffix as generateName makes it."""
    return "".join(random.choice(LETTERS) for _ in range(length))


class Writer:
    """All writes of clients and controllers."""

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self.store = store
        self.kinds = kinds

    def live(self, target: Target) -> Json:
        """The object that a request is about."""
        resource = target.resource
        found = self.store.get(resource.key, target.namespace, target.name)
        if found is None:
            raise not_found(resource.group, resource.plural, target.name)
        return at_version(found, resource)

    def typed(self, resource: Resource, value: Json, options: Options, complaints: list[str]) -> tuple[Json, Warnings]:
        """The object in the server's form, and warnings about what got lost."""
        conversion = Conversion(resource.kind, resource.version)
        converted = conversion.convert(value, resource.node)
        converted.update(apiVersion=resource.group_version, kind=resource.kind)
        converted["metadata"] = {**converted.get("metadata", {})}
        problems_found = [*complaints, *conversion.unknown]
        if problems_found and options.validation == "Strict":
            raise conversion.refuse("strict decoding error: " + ", ".join(problems_found))
        warn = options.validation == "Warn"
        return converted, tuple(problems_found) if warn else ()

    # Create

    def create(self, target: Target, value: Json, options: Options, complaints: list[str]) -> tuple[Json, Warnings]:
        """POST to a collection."""
        resource = target.resource
        self._check_identity(target, value)
        if value.get("metadata", {}).get("resourceVersion"):
            raise internal("resourceVersion should not be set on objects to be created")
        new, warnings = self.typed(resource, value, options, complaints)
        write = self._write(resource, ManagerId(options.manager, "Update", "", resource.group_version))
        blank = {**empty_object(resource.node), "apiVersion": "", "kind": ""}
        sent = ownership.decode(new["metadata"].get("managedFields"))
        managers = ownership.update(blank, new, sent, write)
        return self._insert(target, new, managers, dry_run=options.dry_run), warnings

    def _check_identity(self, target: Target, value: Json) -> None:
        """The body has to be what the path says."""
        resource = target.resource
        version, kind = value.get("apiVersion", ""), value.get("kind", "")
        if kind and kind != resource.kind:
            short = version.rpartition("/")[2]
            raise bad_request(
                f'{kind} in version "{short}" cannot be handled as a {resource.kind}: converting '
                f"({short}.{kind}) to ({resource.group.partition('.')[0] or 'core'}.{resource.kind}): "
                "unknown conversion"
            )
        if version and version != resource.group_version:
            raise bad_request(
                f"the API version in the data ({version}) does not match the expected API version "
                f"({resource.group_version})"
            )
        metadata = value.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        name, space = metadata.get("name"), metadata.get("namespace")
        if target.name and not name:
            raise bad_request(
                f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
            )
        if target.name and name != target.name:
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
        if space and space != target.namespace:
            raise bad_request(
                f"the namespace of the object ({space}) does not match the namespace on the request "
                f"({target.namespace})"
                if target.name
                else "the namespace of the provided object does not match the namespace sent on the request"
            )

    def _insert(self, target: Target, new: Json, managers: Managers, *, dry_run: bool) -> Json:
        """Store a new object, or answer what would be stored."""
        resource, metadata = target.resource, new["metadata"]
        self._check_namespace(resource, target.namespace, metadata.get("name", ""))
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                cause = required("metadata.name", "name or generateName is required")
                raise invalid(resource.group, resource.kind, "", [cause])
            metadata["name"] = metadata["generateName"] + random_suffix()
        metadata.update(uid=str(uuid.uuid4()), creationTimestamp=now())
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"):
            metadata.pop(key, None)
        if resource.namespaced:
            metadata["namespace"] = target.namespace
        prepared = strategy.prepare(resource, new, None, self.store)
        self._refuse(resource, prepared, None)
        taken = self.store.get(resource.key, target.namespace, metadata["name"])
        if taken is not None:
            deleting = "deletionTimestamp" in taken["metadata"]
            raise already_exists(resource.group, resource.plural, metadata["name"], deleting=deleting)
        self._own(prepared, managers)
        return prepared if dry_run else self.store.put(resource.key, prepared)

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        if not resource.namespaced:
            return
        found = self.store.get("namespaces", "", namespace)
        if found is None:
            raise not_found("", "namespaces", namespace)
        if "deletionTimestamp" in found["metadata"]:
            text = f"namespace {namespace} is being terminated"
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = Cause("NamespaceTerminating", text, "metadata.namespace")
            raise forbidden(resource.group, resource.plural, name, why, [cause])

    def _refuse(self, resource: Resource, value: Json, old: Json | None) -> None:
        causes = validation.validate(resource, value, old)
        if old is not None:
            causes += strategy.frozen(resource, value, old)
        if causes:
            raise invalid(resource.group, resource.kind, value["metadata"]["name"], causes)

    def _own(self, value: Json, managers: Managers) -> None:
        value["metadata"].pop("managedFields", None)
        if managers:
            value["metadata"]["managedFields"] = ownership.encode(managers)

    def _write(self, resource: Resource, manager: ManagerId) -> Write:
        """Fields that an endpoint resets cannot be owned through it."""

        def mine(fields: fieldset.Set) -> fieldset.Set:
            if manager.subresource == "status":
                return fieldset.only(fields, "f:status")
            return fieldset.without(fields, ("f:status",)) if resource.has_status else fields

        return Write(manager, resource.group_version, now(), resource.node, mine)

    # Change

    def replace(self, target: Target, value: Json, options: Options, complaints: list[str]) -> tuple[Json, Warnings]:
        """PUT."""
        self._check_identity(target, value)
        live = self.live(target)
        new, warnings = self.typed(target.resource, value, options, complaints)
        uid = new["metadata"].setdefault("uid", live["metadata"]["uid"])
        if uid != live["metadata"]["uid"]:
            resource = target.resource
            raise conflict(
                resource.group,
                resource.plural,
                target.name,
                f"StorageError: invalid object, Code: 4, Key: /registry/{resource.plural}/"
                f"{target.namespace + '/' if target.namespace else ''}{target.name}, ResourceVersion: 0, "
                f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, "
                f"UID in object meta: {live['metadata']['uid']}",
            )
        return self.change(target, live, new, options), warnings

    def change(self, target: Target, live: Json, new: Json, options: Options) -> Json:
        """Settle ownership of an update, then store it."""
        resource = target.resource
        manager = ManagerId(options.manager, "Update", target.subresource, resource.group_version)
        if target.subresource == "status":
            new = _with_status_of(live, new)
        sent = new["metadata"].get("managedFields")
        managers = ownership.decode(live["metadata"].get("managedFields"))
        if sent == [{}]:
            managers = {}
        elif sent and not target.subresource:
            managers = ownership.decode(sent) or managers
        before, after = ownership.without_managed_fields(live), ownership.without_managed_fields(new)
        managers = ownership.update(before, after, managers, self._write(resource, manager))
        return self._update(target, live, new, managers, dry_run=options.dry_run)

    def _update(self, target: Target, live: Json, new: Json, managers: Managers, *, dry_run: bool) -> Json:
        """Store a changed object; one that did not change stays as it is."""
        resource, metadata = target.resource, {**new["metadata"]}
        old = live["metadata"]
        if metadata.get("resourceVersion", old["resourceVersion"]) != old["resourceVersion"]:
            raise conflict(resource.group, resource.plural, target.name)
        metadata["resourceVersion"] = old["resourceVersion"]
        metadata.setdefault("uid", old["uid"])
        for key in SYSTEM[1:]:
            metadata.pop(key, None)
            if key in old:
                metadata[key] = old[key]
        if "namespace" in old:
            metadata["namespace"] = old["namespace"]
        new = {**new, "metadata": metadata}
        if target.subresource != "status":
            new = strategy.prepare(resource, new, live, self.store)
        self._refuse(resource, new, live)
        self._own(new, managers)
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

    def patch(self, target: Target, request: Request) -> tuple[int, Json, Warnings]:
        """PATCH in any of its forms: code, object, warnings."""
        if request.content_type == APPLY:
            options = request.options("PatchOptions", applying=True)
            code, value = self.apply(target, read_apply(request.body), options)
            return code, value, ()
        accepted = [JSON_PATCH, MERGE, *([] if target.resource.custom else [STRATEGIC]), APPLY]
        if request.content_type not in accepted:
            if target.resource.custom:
                raise unsupported_media_type(accepted)
            message = "415: Unsupported Media Type"
            raise ApiError(415, "UnsupportedMediaType", message, {})
        options = request.options("PatchOptions")
        if "force" in request.query:
            text = "may not be specified for non-apply patch"
            raise invalid_option("PatchOptions", forbidden_field("force", text))
        live = self.live(target)
        raw, document = self._patched(target.resource, live, request)
        self._check_identity(target, document)
        try:
            new, warnings = self.typed(target.resource, document, options, [])
        except ApiError as error:
            text = str(error).partition(f"handled as a {target.resource.kind}: ")[2] or str(error)
            raise invalid("", "", "", [invalid_value("patch", text_of(raw), text)]) from error
        return 200, self.change(target, live, new, options), warnings

    def _patched(self, resource: Resource, live: Json, request: Request) -> tuple[Any, Json]:
        try:
            raw, _ = read_json(request.body)
        except ValueError as error:
            raise bad_request(f"error decoding patch: {error}") from error
        if request.content_type == JSON_PATCH:
            document = patch.json_patch(live, raw)
        elif not isinstance(raw, dict):
            raise bad_request("error decoding patch: expected an object")
        elif request.content_type == MERGE:
            document = patch.merge_patch(live, raw)
        else:
            document = patch.strategic(live, raw, resource.node)
        if not isinstance(document, dict):
            raise bad_request("the patched document is no object")
        return raw, document

    # Server-side apply

    def apply(self, target: Target, config: Json, options: Options) -> tuple[int, Json]:
        """PATCH with a configuration: code and object."""
        resource = target.resource
        self._check_config(target, config)
        live = self.store.get(resource.key, target.namespace, target.name)
        manager = ManagerId(options.manager, "Apply", target.subresource)
        write = self._write(resource, manager)
        if live is None:
            if target.subresource:
                raise not_found(resource.group, resource.plural, target.name)
            return 201, self._apply_new(target, config, write, dry_run=options.dry_run)
        live = at_version(live, resource)
        merged, managers = self._merge(live, config, write, options)
        merged["metadata"].pop("managedFields", None)
        new, _ = self.typed(resource, merged, options, [])
        if target.subresource == "status":
            new = _with_status_of(live, new)
        return 200, self._update(target, live, new, managers, dry_run=options.dry_run)

    def _apply_new(self, target: Target, config: Json, write: Write, *, dry_run: bool) -> Json:
        resource = target.resource
        uid = config["metadata"].get("uid")
        if uid:
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise conflict(resource.group, resource.plural, target.name, why)
        _, managers = ownership.apply(empty_object(resource.node), config, {}, write, force=True)
        conversion = Conversion(resource.kind, resource.version)
        new = conversion.convert(config, resource.node)
        new["metadata"] = dict(new["metadata"])
        return self._insert(target, new, managers, dry_run=dry_run)

    def _merge(self, live: Json, config: Json, write: Write, options: Options) -> tuple[Json, Managers]:
        managers = ownership.decode(live["metadata"].get("managedFields"))
        before = ownership.without_managed_fields(live)
        if not managers:  # written before anybody kept track
            unknown = ManagerId("before-first-apply", "Update", "", write.version)
            managers = ownership.update({}, before, {}, dataclasses.replace(write, manager=unknown))
        try:
            merged, managers = ownership.apply(before, config, managers, write, force=options.force)
        except ownership.ConflictError as error:
            left = error.fields
            if write.manager.name == ownership.KUBECTL:
                left = ownership.upgrade_conflicts(error, before, write.node)
            if left:
                raise ownership.conflict_status(ownership.ConflictError(left)) from None
            merged, managers = ownership.apply(before, config, managers, write, force=True)
        if write.manager.name == ownership.KUBECTL and ownership.last_applied(before):
            merged = ownership.with_last_applied(merged, config)
        return {**merged, "metadata": dict(merged["metadata"])}, managers

    def _check_config(self, target: Target, config: Json) -> None:
        resource = target.resource
        version, kind = config.get("apiVersion", ""), config.get("kind", "")
        if (version, kind) != (resource.group_version, resource.kind):
            group_version = version if "/" in version else f"/{version}"
            raise bad_request(f"invalid object type: {group_version}, Kind={kind}")
        metadata = config.get("metadata") or {}
        if metadata.get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        found = problems(config, resource.node)
        if found:
            texts = [text.removeprefix(": ") for text in found]
            listed = texts[0] if len(texts) == 1 else "errors:\n" + "\n".join(f"  {t}" for t in texts)
            gv = version if "/" in version else f"/{version}"
            names = [metadata.get(key) or "" for key in ("namespace", "name")]
            where = "/".join(name if isinstance(name, str) else "" for name in names)
            raise internal(f"failed to create typed patch object ({where}; {gv}, Kind={kind}): {listed}")
        self._check_identity(target, config)

    # Controllers

    def control(self, resource: Resource, live: Json, new: Json, subresource: str = "status") -> Json:
        """A controller's write: owned by kube-controller-manager, no new generation."""
        manager = ManagerId("kube-controller-manager", "Update", subresource, resource.group_version)
        write = Write(manager, resource.group_version, now(), resource.node, lambda fields: fields)
        managers = ownership.decode(live["metadata"].get("managedFields"))
        before, after = ownership.without_managed_fields(live), ownership.without_managed_fields(new)
        if before == after:
            return live
        new = {**new, "metadata": dict(new["metadata"])}
        self._own(new, ownership.update(before, after, managers, write))
        return self.store.put(resource.key, new)


def at_version(value: Json, resource: Resource) -> Json:
    """The object under the version it was asked for (conversion strategy None)."""
    if value["apiVersion"] == resource.group_version:
        return value
    return {**value, "apiVersion": resource.group_version}


def _with_status_of(live: Json, new: Json) -> Json:
    """The status endpoint changes nothing but the status."""
    rest = {key: value for key, value in live.items() if key != "status"}
    metadata = dict(live["metadata"])
    if version := new["metadata"].get("resourceVersion"):
        metadata["resourceVersion"] = version
    rest["metadata"] = metadata
    return {**rest, "status": new["status"]} if "status" in new else rest


def _same_but_times(new: Json, old: Json) -> bool:
    """Whether nothing changed but the times in managedFields."""
    if new == old:
        return True

    def timeless(value: Json) -> Json:
        entries = value["metadata"].get("managedFields", ())
        stripped = [{k: v for k, v in entry.items() if k != "time"} for entry in entries]
        ordered = sorted(stripped, key=text_of)
        return {**value, "metadata": {**value["metadata"], "managedFields": ordered}}

    return timeless(new) == timeless(old)
