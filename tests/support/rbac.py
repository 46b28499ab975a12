"""What manifests of accounts allow: roles, their bindings and admission policies, judged as an API server judges them.

As much of it as `deploy/rbac` uses; whatever else is in a manifest fails. Of CEL the policies use what Python writes
alike but for three signs, so that Python reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from tests.support.api_gate import ApiRequest

# What every account may ask: system:discovery, which Kubernetes binds to all who have authenticated.
_DISCOVERY = re.compile(r"/(version|apis?|openapi)(/.*)?")
_OPERATIONS = {"create": "CREATE", "delete": "DELETE", "deletecollection": "DELETE"}
_EVERYTHING = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource; ``namespace`` is empty for all of them."""

    namespace: str
    group: str
    resource: str
    verb: str

    def covers(self, request: ApiRequest) -> bool:
        """Whether it allows the request, or one half of it."""
        verbs = {request.verb, "create"} if request.applies else {request.verb}
        return (
            self.namespace in ("", request.namespace)
            and (self.group, self.resource) == (request.group, request.resource)
            and self.verb in verbs
        )


@dataclass(frozen=True)
class Policy:
    """A ValidatingAdmissionPolicy that is bound: of whom it asks, and what must be true."""

    matches: tuple[str, ...]
    validations: tuple[Mapping[str, str], ...]

    def refusal(self, user: str, request: ApiRequest) -> str:
        """Why the request is denied; empty if it is not."""
        seen = _admission_request(user, request)
        if not all(_cel(condition, seen) for condition in self.matches):
            return ""
        failed = (rule["message"] for rule in self.validations if not _cel(rule["expression"], seen))
        return next(failed, "")


@dataclass(frozen=True)
class Account:
    """A service account with all that a file of manifests gives and denies it."""

    user: str
    rights: frozenset[Right]
    policies: tuple[Policy, ...]

    @classmethod
    def read(cls, path: Path) -> Account:
        """The one account of a file."""
        found: dict[str, list[Any]] = {}
        for document in yaml.safe_load_all(path.read_text()):
            found.setdefault(document["kind"], []).append(document)
        (account,) = (item["metadata"] for item in found["ServiceAccount"])
        bound = {item["spec"]["policyName"] for item in found.get("ValidatingAdmissionPolicyBinding", [])}
        policies = (item for item in found.get("ValidatingAdmissionPolicy", []) if item["metadata"]["name"] in bound)
        return cls(
            user=f"system:serviceaccount:{account['namespace']}:{account['name']}",
            rights=frozenset(_rights(found, account)),
            policies=tuple(map(_policy, policies)),
        )

    def refusal(self, request: ApiRequest) -> str:
        """Why an API server would refuse the request; empty if it would not.

        Server-side apply of an object that is not there needs the right to create it as well as the one to patch.
        """
        if not request.resource:
            return "" if request.verb == "get" and _DISCOVERY.fullmatch(request.path) else "no rule for this path"
        needed = {request.verb, "create"} if request.applies else {request.verb}
        missing = needed - {right.verb for right in self.rights if right.covers(request)}
        if missing:
            return f"User {self.user!r} cannot {' or '.join(sorted(missing))} {request.resource}"
        denied = (policy.refusal(self.user, request) for policy in self.policies) if request.writes else ()
        return next(filter(None, denied), "")


def _rights(found: Mapping[str, list[Any]], account: Mapping[str, str]) -> Iterator[Right]:
    """What the roles say that are bound to the account."""
    roles = {(item["kind"], item["metadata"]["name"]): item for item in (*found["ClusterRole"], *found["Role"])}
    subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    for binding in (*found["ClusterRoleBinding"], *found["RoleBinding"]):
        assert binding["subjects"] == [subject]
        role = roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
        for rule in role["rules"]:
            assert rule.keys() == {"apiGroups", "resources", "verbs"}
            namespace = binding["metadata"].get("namespace", "")
            yield from (
                Right(namespace, g, r, v) for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]
            )


def _policy(manifest: Mapping[str, Any]) -> Policy:
    spec = manifest["spec"]
    assert spec["failurePolicy"] == "Fail"
    assert spec["matchConstraints"] == {"resourceRules": [_EVERYTHING]}
    return Policy(tuple(item["expression"] for item in spec["matchConditions"]), tuple(spec["validations"]))


def _admission_request(user: str, request: ApiRequest) -> SimpleNamespace:
    """The variable ``request``; it has no ``namespace`` for what is in none."""
    resource, _, sub = request.resource.partition("/")
    seen = SimpleNamespace(
        userInfo=SimpleNamespace(username=user),
        operation=_OPERATIONS.get(request.verb, "UPDATE"),
        resource=SimpleNamespace(group=request.group, resource=resource),
        subResource=sub,
        name=request.name,
        dryRun=request.dry_run,
    )
    if request.namespace:
        seen.namespace = request.namespace
    return seen


def _cel(expression: str, request: SimpleNamespace) -> bool:
    text = re.sub(r"has\(request\.(\w+)\)", r"hasattr(request, '\1')", expression)
    for sign, word in (("&&", " and "), ("||", " or "), (".startsWith(", ".startswith(")):
        text = text.replace(sign, word)
    return bool(eval(" ".join(text.split()), {"__builtins__": {"hasattr": hasattr}}, {"request": request}))  # noqa: S307
