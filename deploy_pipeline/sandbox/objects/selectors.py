"""Label and field selectors of lists, watches and collection deletes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from deploy_pipeline.sandbox.errors import Json, bad_request
from deploy_pipeline.sandbox.kinds import TABLE, Resource

Predicate = Callable[[Json], bool]
TERM = re.compile(
    r"\s*(?:(?P<no>!)\s*(?P<absent>[\w./-]+)"
    r"|(?P<key>[\w./-]+)\s*(?:(?P<op>==|=|!=|>|<)\s*(?P<value>[\w.-]*)"
    r"|\s(?P<set>in|notin)\s*\((?P<values>[^)]*)\))?)\s*(?:,|$)"
)


def at_path(value: Any, path: str) -> Any:
    """The value at a dotted path, None if it is not there."""
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def of_query(resource: Resource, query: dict[str, str]) -> Predicate | None:
    """What the selectors of a request let through; None is everything."""
    tests = []
    if text := query.get("labelSelector"):
        tests.append(labels(text))
    if text := query.get("fieldSelector"):
        tests.append(fields(text, resource))
    return (lambda value: all(test(value) for test in tests)) if tests else None


def labels(selector: str) -> Predicate:
    """The predicate of a label selector."""
    tests, at = [], 0
    while at < len(selector):
        match = TERM.match(selector, at)
        if not match or match.end() == at:
            raise _label_error(selector[at:])
        tests.append(_label_test(match))
        at = match.end()
    return lambda value: all(test(value["metadata"].get("labels") or {}) for test in tests)


def _label_test(match: re.Match[str]) -> Predicate:
    if match["no"]:
        return lambda labels: match["absent"] not in labels
    key, operator = match["key"], match["op"] or match["set"]
    if operator is None:
        return lambda labels: key in labels
    if operator in (">", "<"):
        bound, sign = int(match["value"]), 1 if operator == ">" else -1
        return lambda labels: labels.get(key, "").isdigit() and (int(labels[key]) - bound) * sign > 0
    values = {value.strip() for value in (match["values"] or match["value"] or "").split(",")}
    return lambda labels: (labels.get(key) in values) == (operator in ("=", "==", "in"))


def _label_error(rest: str) -> Exception:
    words = rest.split()
    if len(words) > 1:
        return bad_request(f"unable to parse requirement: found '{words[1]}', expected: in, notin, =, ==, !=, gt, lt")
    return bad_request(f"unable to parse requirement: found '{rest}', expected: identifier")


def fields(selector: str, resource: Resource) -> Predicate:
    """The predicate of a field selector; only some fields can be selected by."""
    known = ["metadata.name", "metadata.namespace"]
    if resource.custom:
        known += [entry["jsonPath"].lstrip(".") for entry in resource.custom.get("selectableFields", ())]
    else:
        known += TABLE["selectable fields"].get(resource.plural, ())
    tests = []
    for term in filter(None, selector.split(",")):
        match = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", term)
        if not match:
            raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
        if match[1] not in known:
            raise bad_request(f'"{match[1]}" is not a known field selector: only "metadata.name", "metadata.namespace"')
        tests.append((match[1], match[2] != "!=", match[3]))
    return lambda value: all((_text(at_path(value, path)) == want) == equal for path, equal, want in tests)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def matches_selector(selector: Json | None, found: Json) -> bool:
    """Whether labels fit a LabelSelector, as workloads have one; none fits nothing."""
    if selector is None or any(found.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for term in selector.get("matchExpressions", ()):
        value, values = found.get(term["key"]), term.get("values", ())
        fits = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not fits.get(term["operator"], False):
            return False
    return True
