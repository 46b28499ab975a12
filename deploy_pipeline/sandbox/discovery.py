"""Discovery: which groups, versions and resources there are, in both forms clients ask for.

"API Discovery" in the API concepts: one document of everything (aggregated) where `Accept` names it, otherwise a list
for each group and version.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from deploy_pipeline.sandbox.errors import Json, no_resource
from deploy_pipeline.sandbox.kinds import Kinds, Resource
from deploy_pipeline.sandbox.request import Answer, Request

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
VERSION: Json = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",  # the release whose behaviour is emulated; clients parse it
    "gitCommit": "sandbox",
    "gitTreeState": "sandbox: simulates an API server, runs nothing",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "sandbox/simulated",
}
SUBRESOURCE_KINDS: Mapping[str, Json] = {
    "attach": {"kind": "PodAttachOptions"},
    "eviction": {"group": "policy", "version": "v1", "kind": "Eviction"},
    "exec": {"kind": "PodExecOptions"},
    "portforward": {"kind": "PodPortForwardOptions"},
    "scale": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
    "token": {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"},
}


def answer(parts: list[str], request: Request, kinds: Kinds) -> Answer:
    """GET of /apis and below, given the rest of the path; the core group's name is empty."""
    groups = kinds.groups()
    accept = request.accept.replace(" ", "") + ";"
    if parts in ([], [""]):
        if "as=APIGroupDiscoveryList" in accept and "v=v2;" in accept:
            return Answer(200, _aggregated(kinds, core=bool(parts)), media_type=AGGREGATED)
        if parts:
            servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]
            return Answer(200, {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers})
        listed = [_group(name, versions) for name, versions in groups.items() if name]
        return Answer(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})
    if parts[0] not in groups:
        return Answer(404, "404 page not found\n", media_type="text/plain; charset=utf-8")
    if len(parts) == 1:
        return Answer(200, {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[0], groups[parts[0]])})
    resources = kinds.at(parts[0], parts[1])
    if not resources:
        raise no_resource()
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": resources[0].group_version}
    return Answer(200, {**head, "resources": [entry for resource in resources for entry in _listed(resource)]})


def _group(name: str, versions: list[str]) -> Json:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _listed(resource: Resource) -> list[Json]:
    """A resource and its subresources in the list of a group version."""
    entry: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
        **_names(resource),
    }
    if "list" in resource.verbs:
        text = f"{resource.group}/{resource.version}/{resource.kind}"
        entry["storageVersionHash"] = base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()
    more = {"singularName": "", "namespaced": resource.namespaced, "kind": resource.kind}
    return [entry] + [
        {"name": f"{resource.plural}/{name}", **more, **SUBRESOURCE_KINDS.get(name, {}), "verbs": list(verbs)}
        for name, verbs in sorted(resource.subresources.items())
    ]


def _names(resource: Resource) -> Json:
    found = {"shortNames": list(resource.short_names), "categories": list(resource.categories)}
    return {key: value for key, value in found.items() if value}


def _aggregated(kinds: Kinds, *, core: bool) -> Json:
    """/api or /apis as one document."""
    items = []
    for name, versions in kinds.groups().items():
        if bool(name) != core:
            entries = [
                {
                    "version": v,
                    "resources": [_aggregated_resource(r) for r in kinds.at(name, v)],
                    "freshness": "Current",
                }
                for v in versions
            ]
            items.append({"metadata": {"name": name} if name else {}, "versions": entries})
    head = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}}
    return {**head, "items": items}


def _aggregated_resource(resource: Resource) -> Json:
    kind = {"group": "", "version": "", "kind": resource.kind}
    subresources = [
        {"subresource": name, "responseKind": {**kind, **SUBRESOURCE_KINDS.get(name, {})}, "verbs": list(verbs)}
        # The order of the generated paths: status comes before scale.
        for name, verbs in sorted(resource.subresources.items(), key=lambda item: item[0] == "scale")
    ]
    return {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
        **_names(resource),
        **({"subresources": subresources} if subresources else {}),
    }
