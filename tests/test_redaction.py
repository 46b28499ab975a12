"""The redactor: no form of a secret value passes, and a change of one is still visible."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from deploy_pipeline.redaction import Redactor, leaves

ODD_VALUES = ('with "quotes"', "line one\nline two", "ümläut €", "a b&c=d/e", "{{ template }}", "yes", "0x1F: no")


@pytest.mark.parametrize("value", ODD_VALUES)
def test_no_form_of_a_known_value_passes(value: str) -> None:
    """Plain, base64, JSON-escaped and URL-encoded forms are all masked."""
    redactor = Redactor(b"k" * 32)
    redactor.learn([value])
    forms = (value, base64.b64encode(value.encode()).decode(), json.dumps(value)[1:-1], quote(value, safe=""))
    for form in forms:
        assert form not in redactor.redact(f"before {form} after")


def test_the_longest_value_is_masked_first() -> None:
    """A value that holds another one leaves no rest."""
    redactor = Redactor(b"k" * 32)
    redactor.learn(["pass", "password-of-ann"])
    assert redactor.redact("password-of-ann").startswith("<masked ")
    assert "word" not in redactor.redact("password-of-ann")


def test_fingerprints_need_the_key() -> None:
    """The same value has another fingerprint under another key, and the same under the same."""
    assert Redactor(b"a" * 32).fingerprint(b"x") != Redactor(b"b" * 32).fingerprint(b"x")
    assert Redactor(b"a" * 32).fingerprint(b"x") == Redactor(b"a" * 32).fingerprint(b"x")


def test_leaves_are_found_at_any_depth() -> None:
    """Long numbers count; ports and truth values do not (masking every "true" would mask ordinary text)."""
    assert set(leaves({"a": [{"b": "deep"}], "n": 123456, "p": 8080, "t": True, "e": None})) == {"deep", "123456"}


@pytest.mark.parametrize("kind", ["data", "stringData"])
@pytest.mark.parametrize(
    "content",
    [{"a": "hunter2 is no base64"}, {"a": ["hunter2"]}, {"a": 5, "b": {"c": "hunter2"}}, "hunter2", ["hunter2"]],
)
def test_a_malformed_secret_is_masked_as_well(kind: str, content: Any) -> None:
    """The server would refuse it: until then nothing of it is shown, and a change of it is."""
    redactor = Redactor(b"k" * 32)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "annotations": ["odd"]}, kind: content}
    masked = redactor.mask_object(secret)
    assert "hunter2" not in json.dumps(masked)
    assert all(value.startswith("<masked ") for value in masked["data"].values())
    changed = json.loads(json.dumps(secret).replace("hunter2", "hunter3"))
    assert redactor.mask_object(changed)["data"] != masked["data"]


def test_the_same_secret_has_one_mask_in_both_forms() -> None:
    """Text in ``stringData`` is what the server keeps as base64 in ``data``."""
    redactor = Redactor(b"k" * 32)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    encoded = base64.b64encode(b"hunter2").decode()
    written = redactor.mask_object(secret | {"stringData": {"a": "hunter2"}})
    assert redactor.mask_object(secret | {"data": {"a": encoded}}) == written
