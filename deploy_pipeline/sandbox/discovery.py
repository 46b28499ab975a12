"""Discovery: which groups, versions and resources there are, in both forms clients ask for.

"API Discovery" in the API concepts: one document of everything (aggregated) where `Accept` names it,
otherwise a list for each group and version.
"""

from __future__ import annotations

from collections.abc import Mapping

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.kinds import Kinds, Resource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
SIMULATES = "sandbox: simulates an API server, runs nothing"
VERSION: Mapping[str, str] = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",  # the release whose behaviour is emulated; clients parse it
    "gitCommit": "sandbox",
    "gitTreeState": SIMULATES,
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "sandbox/simulated",
}
SUBRESOURCE_KINDS: Mapping[str, tuple[str, str, str]] = {
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}
OPTION_KINDS = {"attach": "PodAttachOptions", "exec": "PodExecOptions", "portforward": "PodPortForwardOptions"}


def wants_aggregated(accept: str) -> bool:
    """Whether the client understands the aggregated form."""
    return "as=APIGroupDiscoveryList" in accept and "v=v2;" in accept.replace(" ", "") + ";"


def api_versions() -> Json:
    """/api."""
    servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers}


def group(name: str, versions: list[str]) -> Json:
    """/apis/NAME."""
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def group_list(kinds: Kinds) -> Json:
    """/apis."""
    groups = [group(name, versions) for name, versions in kinds.groups().items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _subresource_kind(resource: Resource, name: str) -> Json:
    if name in SUBRESOURCE_KINDS:
        other_group, version, kind = SUBRESOURCE_KINDS[name]
        return {"group": other_group, "version": version, "kind": kind}
    return {"kind": OPTION_KINDS.get(name, resource.kind)}


def resource_list(name: str, version: str, resources: list[Resource]) -> Json:
    """/apis/NAME/VERSION."""
    entries: list[Json] = []
    for resource in resources:
        entry: Json = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
            "shortNames": list(resource.short_names),
            "categories": list(resource.categories),
        }
        if "list" in resource.verbs:
            entry["storageVersionHash"] = resource.storage_hash
        entries.append({key: value for key, value in entry.items() if value != []})
        entries += [
            {
                "name": f"{resource.plural}/{sub}",
                "singularName": "",
                "namespaced": resource.namespaced,
                **_subresource_kind(resource, sub),
                "verbs": list(verbs),
            }
            for sub, verbs in sorted(resource.subresources.items())
        ]
    group_version = f"{name}/{version}" if name else version
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version}
    return {**head, "resources": entries}


def aggregated(kinds: Kinds, *, core: bool) -> Json:
    """/api or /apis as one document."""
    items = []
    for name, versions in kinds.groups().items():
        if (not name) != core:
            continue
        entries = [
            {
                "version": version,
                "resources": [_aggregated_resource(r) for r in kinds.at(name, version)],
                "freshness": "Current",
            }
            for version in versions
        ]
        items.append({"metadata": {"name": name} if name else {}, "versions": entries})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _response_kind(found: Json) -> Json:
    return {"group": "", "version": "", **found}


def _aggregated_resource(resource: Resource) -> Json:
    entry: Json = {
        "resource": resource.plural,
        "responseKind": _response_kind({"kind": resource.kind}),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
        # The order of the generated paths: status comes before scale.
        "subresources": [
            {
                "subresource": sub,
                "responseKind": _response_kind(_subresource_kind(resource, sub)),
                "verbs": list(verbs),
            }
            for sub, verbs in sorted(resource.subresources.items(), key=lambda i: i[0] == "scale")
        ],
    }
    return {key: value for key, value in entry.items() if value != []}
