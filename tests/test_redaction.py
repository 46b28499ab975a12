"""The redactor: no form of a secret value passes, and a change of one is still visible."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from deploy_pipeline.redaction import Redactor, leaves

ODD_VALUES = (
    *('with "quotes"', "line one\nline two", "ümläut €", "a b&c=d/e", "{{ template }}", "yes", "0x1F: no"),
    *("<a href='x'>&amp;", "C:\\new\\u0041", "tab\tand\x1b[31m", "un\u200bseen"),
)


@pytest.mark.parametrize("value", ODD_VALUES)
def test_no_form_of_a_known_value_passes(value: str) -> None:
    """Plain, base64, URL-encoded, and escaped by JSON, by Go's JSON, by Python and by YAML: all are masked."""
    redactor = Redactor(b"k" * 32)
    redactor.learn([value])
    escaped = json.dumps(value)[1:-1]
    of_go = escaped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    of_yaml = yaml.safe_dump(value, default_style='"', width=1000).strip()[1:-1]
    encoded = base64.b64encode(value.encode()).decode()
    forms = (value, encoded, escaped, of_go, of_yaml, repr(value)[1:-1], quote(value, safe=""))
    for form in forms:
        assert form not in redactor.redact(f"before {form} after")


def test_the_longest_value_is_masked_first() -> None:
    """A value that holds another one leaves no rest."""
    redactor = Redactor(b"k" * 32)
    redactor.learn(["pass", "password-of-ann"])
    assert redactor.redact("password-of-ann").startswith("<masked ")
    assert "word" not in redactor.redact("password-of-ann")


def test_overlapping_values_leave_no_rest() -> None:
    """Of two values that share text, neither keeps its end."""
    redactor = Redactor(b"k" * 32)
    redactor.learn(["alpha-shared", "shared-omega"])
    assert redactor.redact("x alpha-shared-omega y").count("<masked ") == 1
    assert "alpha" not in redactor.redact("x alpha-shared-omega y")
    assert "omega" not in redactor.redact("x alpha-shared-omega y")


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "a longer text\n"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_value_inside_base64_is_found(before: str, encode: Any) -> None:
    """A Secret's file in base64, wherever in it the value stands: no way back to it is left."""
    value = "hunter2?>~and-more"
    redactor = Redactor(b"k" * 32)
    redactor.learn([value])
    shown = redactor.redact(encode(f"{before}{value}\nthe rest".encode()).decode())
    assert "<masked " in shown
    for part in re.split("<masked [0-9a-f]+>", shown):
        for skipped in range(4):
            cut = part[skipped : skipped + (len(part) - skipped) // 4 * 4].replace("-", "+").replace("_", "/")
            assert b"unt" not in base64.b64decode(cut)
            assert b"mor" not in base64.b64decode(cut)


def test_a_value_of_many_lines_is_found_indented_folded_and_by_the_line() -> None:
    """YAML indents a block and folds a text; a tool may print single lines."""
    lines = ["first line of the key", "c2Vjb25kIGxpbmU", "short", "the very last line"]
    redactor = Redactor(b"k" * 32)
    redactor.learn(["-----BEGIN RSA PRIVATE KEY-----\nhunter2\n"])
    assert redactor.redact("-----BEGIN RSA PRIVATE KEY-----") == "-----BEGIN RSA PRIVATE KEY-----"
    redactor.learn(["\n".join(lines) + "\n"])
    block = yaml.safe_dump({"a": {"key": "\n".join(lines) + "\n"}}, default_style="|")
    folded = "key: first line of\n    the key\n"
    for text in (block, folded, *(f"error in {line}!" for line in lines if len(line) >= 8)):
        shown = redactor.redact(text)
        assert "<masked " in shown
        assert not any(line in shown for line in (*lines, "first line", "the key"))
    assert redactor.redact("short") == "short"


def test_a_value_with_quotes_is_found_in_single_quotes() -> None:
    """YAML doubles them."""
    redactor = Redactor(b"k" * 32)
    redactor.learn(["it's: hunter2"])
    assert "hunter2" not in redactor.redact(yaml.safe_dump({"a": "it's: hunter2"}))


def test_whatever_changes_of_a_masked_text_shows() -> None:
    """Masks are made of the text they stand for, also where only white space differs."""
    redactor = Redactor(b"k" * 32)
    redactor.learn(["hunter2\n", "hunter2"])
    encoded = [base64.b64encode(value).decode() for value in (b"hunter2", b"hunter2\n")]
    assert redactor.redact(encoded[0]) != redactor.redact(encoded[1])
    assert not any(form[:8] in redactor.redact(form) for form in encoded)


def test_many_values_are_found_in_one_pass() -> None:
    """Thousands of forms, thousands of short texts: a plan has both. It took 0.1 s; one pass a form took 3 s."""
    redactor = Redactor(b"k" * 32)
    redactor.learn(f"value-{number:05}-{number * 7919 % 104729}" for number in range(500))
    started = time.process_time()
    for number in range(5000):
        redactor.redact(f'"spec.template.spec.containers[app].env[{number}]"')
    assert time.process_time() - started < 1.5


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


def test_a_place_is_masked_in_its_object_alone() -> None:
    """An object of the same name elsewhere is shown as it is, so that no order of planning decides what is masked."""
    redactor = Redactor(b"key")
    redactor.hide("ConfigMap", "shop", "web", [("data", "key")])
    here, elsewhere = (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": namespace}, "data": data}
        for namespace, data in (("shop", {"key": "h.u.n", "other": "a"}), ("blog", {"key": "h.u.n"}))
    )
    assert redactor.mask_object(here)["data"]["key"].startswith("<masked ")
    assert redactor.mask_object(here)["data"]["other"] == "a"
    assert redactor.mask_object(elsewhere)["data"] == {"key": "h.u.n"}
    assert (redactor.hides("ConfigMap", "shop", "web"), redactor.hides("ConfigMap", "blog", "web")) == (True, False)
