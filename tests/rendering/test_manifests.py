"""The form of rendered manifests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy_pipeline.errors import RefusedError
from deploy_pipeline.rendering import read_rendered, rendered_path
from deploy_pipeline.rendering.manifests import parse_manifests, write_manifests
from deploy_pipeline.tools import isolated_environment

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


HEAD = "apiVersion: v1\nkind: X\nmetadata: {name: x}\n"


class _File:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def paths(self) -> Sequence[str]:
        return [rendered_path("test", "app")]

    def read(self, path: str) -> bytes:
        return {rendered_path("test", "app"): self._content}[path]

    def has(self, path: str) -> bool:
        return path in self.paths()

    def prefetch(self, folder: str) -> None:
        pass


def parsed(text: str, directory: Path) -> list[dict[str, Any]]:
    """What the tools' reader makes of a text."""
    env = isolated_environment(directory)
    return parse_manifests(text.encode(), directory=directory, env=env, timeout=20)


def config_map(data: Mapping[str, Any], name: str = "x") -> dict[str, Any]:
    """A manifest that holds anything."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data)}


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_again(data: dict[str, Any]) -> None:
    """Any content of a manifest survives the file."""
    manifest = config_map(data)
    assert read_rendered(_File(write_manifests([manifest], ["A comment."])), "test", "app") == [manifest]


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "y", "N", "on", "null", "~", "1e3", "0o17", "0x1F", "1_000", "1:30", "2026-01-02", ".5", "+1", "1.0"),
        *("=", "<<", "", " a ", "a: b", "a\n", "a\n\nb", "\ta\nb", "a \nb", "- a", "#", "é€😀", "\u2028", "\x7f"),
        "<secret:s#/a>",
    ],
)
def test_texts_stay_texts_for_every_reader(text: str, tmp_path: Path) -> None:
    """What PyYAML writes, kubectl reads as the same text: the YAML 1.1, 1.2 and Go dialects all differ."""
    manifest = config_map({"key": text})
    assert parsed(write_manifests([manifest], []).decode(), tmp_path) == [manifest]


def test_tools_output_is_read_as_the_cluster_would(tmp_path: Path) -> None:
    """Values that Python's reader takes for something else."""
    spec = "{a: yes, b: 0o17, c: 1:30, d: 2026-01-02, e: 1e3, f: 017}"
    text = f"apiVersion: v1\nkind: X\nmetadata: {{name: x}}\nspec: {spec}\n"
    assert parsed(text, tmp_path)[0]["spec"] == {"a": True, "b": 15, "c": "1:30", "d": "2026-01-02", "e": 1000, "f": 15}


def test_lists_are_taken_apart_and_objects_sorted(tmp_path: Path) -> None:
    """By namespace, kind and name, whatever the order of the tool; noise of generators is left out."""
    noisy = config_map({}, "b") | {"status": {"ready": True}}
    noisy["metadata"]["creationTimestamp"] = None
    items = [config_map({}, "c"), {**config_map({}, "a"), "metadata": {"name": "a", "namespace": "z"}}]
    text = yaml.safe_dump_all([{"apiVersion": "v1", "kind": "List", "items": items}, noisy])
    assert [one["metadata"] for one in parsed(text, tmp_path)] == [
        {"name": "b"},
        {"name": "c"},
        {"name": "a", "namespace": "z"},
    ]
    assert all("status" not in one for one in parsed(text, tmp_path))


def test_large_output_is_read(tmp_path: Path) -> None:
    """More than fits into a pipe, both ways."""
    manifests = [config_map({"key": "x" * 2000}, f"n{number:03}") for number in range(200)]
    assert parsed(yaml.safe_dump_all(manifests), tmp_path) == manifests


def test_long_texts_are_written_for_people() -> None:
    """Lines stay lines, so that a diff shows the one that changed."""
    assert b"  key: |\n    first\n    second\n" in write_manifests([config_map({"key": "first\nsecond\n"})], [])


@pytest.mark.parametrize("content", [b"a: [", b"just text\n", b"kind: X\n", b"apiVersion: v1\nkind: X\nmetadata: []\n"])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    """Somebody edited the file by hand: a refusal, not a crash and not an empty app."""
    with pytest.raises(RefusedError, match=r"rendered/test/app\.yaml"):
        read_rendered(_File(content), "test", "app")


@pytest.mark.parametrize(
    "value",
    [
        *("2026-99-99", "1:99:99", "=", "<<", "0b2", "1_0", ".inf", ".nan", "yes", "on"),
        "2026-01-02",
    ],
)
def test_plain_text_that_only_yaml_1_1_takes_for_something_else_stays_text(value: str) -> None:
    """Dates, sexagesimal numbers and the like are no JSON, and some of them crash PyYAML."""
    (manifest,) = read_rendered(_File(f"{HEAD}data: {{a: {value}}}\n".encode()), "test", "app")
    assert manifest["data"] == {"a": value}


def test_plain_values_are_those_of_the_core_schema() -> None:
    """Numbers, truth values and nothing, as JSON has them."""
    text = f"{HEAD}data: [1, -2, 0o17, 0x1F, 1.5, 1e3, .5, true, False, null, ~]\n"
    (manifest,) = read_rendered(_File(text.encode()), "test", "app")
    assert json.dumps(manifest["data"]) == "[1, -2, 15, 31, 1.5, 1000.0, 0.5, true, false, null, null]"


@pytest.mark.parametrize(
    "data",
    [
        *(
            "017",
            "1e999",
            "9" * 5000,
            "!!binary aGk=",
            "!!set {a}",
            "!!timestamp 2026-01-02",
            "!!python/name:os.system",
        ),
        *("{1: a}", "{[a]: b}", "{{a: b}: c}", "{a: 1, a: 2}", "&a [*a]", "{a: &x [1], b: *x}", "{a: &x {}, <<: *x}"),
        *("[" * 900 + "]" * 900, "[" * 100_000, "\xff", "!!int x", "!!float {}", "!!bool maybe", "!!map x"),
    ],
    ids=lambda data: data[:12],
)
def test_what_the_pipeline_never_writes_is_refused(data: str) -> None:
    """No crash, no value that is no JSON, and nothing that two readers see differently."""
    with pytest.raises(RefusedError, match=r"rendered/test/app\.yaml is not as the pipeline writes it"):
        read_rendered(_File(f"{HEAD}data: {data}\n".encode("latin-1")), "test", "app")
