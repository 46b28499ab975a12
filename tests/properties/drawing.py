"""Small strategies that manifests are drawn with, and the words they are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]
Drawn = st.SearchStrategy[Json]

# The pause image runs for ever; with `-v` it says its version and ends.
IMAGES = ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.10")
OTHER = "-other"
TEXTS = ("", "a", "1", "1:30", "true", "null", "two\nlines\n", "ü “quoted” \\ ' \"", "x" * 60)
LABELS = ("app", "tier", "example.org/team")
LABEL_VALUES = ("a", "b", "")


def optional(**fields: st.SearchStrategy[Any]) -> Drawn:
    """An object that has any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


def always(needed: Mapping[str, st.SearchStrategy[Any]], **fields: st.SearchStrategy[Any]) -> Drawn:
    """An object that has all of the needed and any of the other fields."""
    return st.fixed_dictionaries(dict(needed), optional=fields)


def some(values: st.SearchStrategy[Any], *names: str) -> Drawn:
    """An object with any of the names."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, values))


def several(*elements: Json, least: int = 0) -> st.SearchStrategy[list[Any]]:
    """Any of the elements, each at most once, in any order."""
    if not elements:
        return st.just([])
    return st.lists(st.sampled_from(elements), unique_by=str, min_size=least, max_size=len(elements))


def named(*names: str, least: int = 0, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """A list of objects that go by the names, in any order, each with its own draw of the fields."""
    orders = st.lists(st.sampled_from(names), unique=True, min_size=least, max_size=len(names))
    return orders.flatmap(
        lambda order: st.tuples(*(st.fixed_dictionaries({"name": st.just(name), **fields}) for name in order)).map(list)
    )


texts = st.sampled_from(TEXTS)
labels = some(st.sampled_from(LABEL_VALUES), *LABELS)
metadata = optional(labels=labels, annotations=some(texts, "note", "example.org/reviewed.by"))
secret_values = st.sampled_from(("czNjcmV0LW9uZQ==", "czNjcmV0LXR3bw==", "czNjcmV0LXRocmVl"))  # s3cret-one, -two, …
