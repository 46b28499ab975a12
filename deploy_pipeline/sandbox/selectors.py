"""Label and field selectors of lists, watches and collection deletes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from deploy_pipeline.sandbox.errors import Json, bad_request

Predicate = Callable[[Json], bool]
TERM = re.compile(
    r"\s*(?:(?P<no>!)\s*(?P<absent>[\w./-]+)"
    r"|(?P<key>[\w./-]+)\s*(?:(?P<op>==|=|!=|>|<)\s*(?P<value>[\w.-]*)"
    r"|\s(?P<set>in|notin)\s*\((?P<values>[^)]*)\))?)\s*(?:,|$)"
)
FIELDS: Mapping[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork "
        "status.phase status.podIP status.nominatedNodeName"
    ).split(),  # type: ignore[dict-item]
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "services": ("spec.clusterIP", "spec.type"),
    "jobs": ("status.successful",),
    "nodes": ("spec.unschedulable",),
    "events": (
        "involvedObject.kind involvedObject.name involvedObject.namespace involvedObject.uid "
        "involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath "
        "reason reportingComponent source type"
    ).split(),  # type: ignore[dict-item]
}


def _label_test(match: re.Match[str]) -> Callable[[Json], bool]:
    if match["no"]:
        return lambda labels: match["absent"] not in labels
    key, operator = match["key"], match["op"] or match["set"]
    if operator is None:
        return lambda labels: key in labels
    if operator in (">", "<"):
        bound, sign = int(match["value"]), 1 if operator == ">" else -1
        return lambda labels: labels.get(key, "").isdigit() and (int(labels[key]) - bound) * sign > 0
    values = {value.strip() for value in (match["values"] or match["value"] or "").split(",")}
    if operator in ("=", "==", "in"):
        return lambda labels: labels.get(key) in values
    return lambda labels: labels.get(key) not in values


def _label_error(rest: str) -> Exception:
    words = rest.split()
    if len(words) > 1:
        return bad_request(f"unable to parse requirement: found '{words[1]}', expected: in, notin, =, ==, !=, gt, lt")
    return bad_request(f"unable to parse requirement: found '{rest}', expected: identifier")


def labels(selector: str) -> Predicate:
    """The predicate of a label selector."""
    tests, at = [], 0
    while at < len(selector):
        match = TERM.match(selector, at)
        if not match or match.end() == at:
            raise _label_error(selector[at:])
        tests.append(_label_test(match))
        at = match.end()

    def matches(value: Json) -> bool:
        found = value["metadata"].get("labels") or {}
        return all(test(found) for test in tests)

    return matches


def matches_selector(selector: Json | None, found: Json) -> bool:
    """Whether labels fit a LabelSelector, as workloads have one."""
    if selector is None:
        return False
    if any(found.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for term in selector.get("matchExpressions", ()):
        key, operator, values = term["key"], term["operator"], term.get("values", ())
        fits = {
            "In": found.get(key) in values,
            "NotIn": found.get(key) not in values,
            "Exists": key in found,
            "DoesNotExist": key not in found,
        }
        if not fits.get(operator, False):
            return False
    return True


def at_path(value: Any, path: str) -> Any:
    """The value at a dotted path, None if it is not there."""
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def fields(selector: str, plural: str, extra: tuple[str, ...] = ()) -> Predicate:
    """The predicate of a field selector; only some fields can be selected by."""
    known = ("metadata.name", "metadata.namespace", *FIELDS.get(plural, ()), *extra)
    tests = []
    for term in filter(None, selector.split(",")):
        match = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", term)
        if not match:
            raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
        if match[1] not in known:
            listed = ", ".join(f'"{name}"' for name in known[:2])
            raise bad_request(f'"{match[1]}" is not a known field selector: only {listed}')
        tests.append((match[1], match[2] != "!=", match[3]))

    def matches(value: Json) -> bool:
        return all((_text(at_path(value, path)) == want) == equal for path, equal, want in tests)

    return matches


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
