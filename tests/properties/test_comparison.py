"""For any two states of an object: every difference shows, as what it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy_pipeline.changes import field_changes
from deploy_pipeline.redaction import Redactor
from tests.properties.differ import fields_between, text

REDACTOR = Redactor(b"key")
NAMES = ("a", "b", "name", "0", "p.q", 'p.q"]["r', "[order]", "a].x[b", "a b", "")
scalars = st.sampled_from((None, True, False, 0, 1, 1.0, 1.5, "1", *NAMES))
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
        | st.lists(st.fixed_dictionaries({"name": st.sampled_from(NAMES)}, optional={"x": inner}), max_size=3)
    ),
    max_leaves=8,
)


def lamp(spec: Any) -> dict[str, Any]:
    """A custom resource, which can hold anything."""
    return {"apiVersion": "example.org/v1", "kind": "Lamp", "metadata": {"name": "a"}, "spec": spec}


def shown(old: Any, new: Any) -> dict[str, tuple[str | None, str | None]]:
    """The change as it is shown."""
    changes = field_changes(lamp(old), lamp(new), REDACTOR)
    assert len({change.path for change in changes}) == len(changes), "one field is shown twice"
    return {change.path: (change.before, change.after) for change in changes}


@given(old=values, new=values)
@settings(max_examples=500)
def test_every_difference_is_shown_as_it_is(old: Any, new: Any) -> None:
    """Field for field as the tests' own differ has it; equal states show nothing."""
    assert shown(old, new) == fields_between(lamp(old), lamp(new))
    assert bool(shown(old, new)) == (text(old) != text(new))


@pytest.mark.long
@given(old=values, new=values)
@settings(max_examples=20_000)
def test_every_difference_is_shown_as_it_is_in_many_more_cases(old: Any, new: Any) -> None:
    """The same for more pairs."""
    assert shown(old, new) == fields_between(lamp(old), lamp(new))
    assert bool(shown(old, new)) == (text(old) != text(new))
