"""What is read without kubectl is what kubectl reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy_pipeline.rendering.certain import certain_documents
from deploy_pipeline.rendering.manifests import _asked_of_kubectl
from deploy_pipeline.tools import isolated_environment

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
PLAIN = [
    *("yes", "no", "y", "N", "on", "Off", "true", "True", "TRUE", "false", "null", "Null", "~", "", "nan", ".inf"),
    *("0", "-0", "7", "-7", "+7", "007", "08", "0o17", "0x1F", "0b1", "1_000", "1e3", "1E3", "1.0", ".5", "1:30"),
    *("12345678901234567890", "2026-01-02", "10.0.0.1", "64Mi", "10m", "500k", "50%", "90s", "1h", "12abc", "1E"),
    *("web", "registry.example/a:1", "--port=80", "-c", "-", "--", "-1", "/metrics", "a b", "a#b", "key=value"),
    *("=", "<<", "@a", "a: b", "'quoted'", '"quo\\tted"', '"\\x85"', "[a, 1]", "{a: yes}", "!!str 1", "&x a", "*x"),
    *("|\n    a\n    b", ">-\n    a\n    b", "|2\n     a", "\u2028", "é", "a\n    b", "Infinity", "-inf", "inf"),
]


def asked(text: str, directory: Path) -> Any:
    """What kubectl makes of it; None if it refuses."""
    try:
        env = isolated_environment(directory)
        return _asked_of_kubectl(text.encode(), directory, env, 30)
    except Exception:  # noqa: BLE001 - whatever it says: it is no object then
        return None


def test_what_is_certain_is_what_kubectl_reads(tmp_path: Path) -> None:
    """Each scalar that is read here is the very value that kubectl gives; enough of them are."""
    certain = {}
    for scalar in PLAIN:
        found = certain_documents(f"{HEAD}data:\n  key: {scalar}\n".encode())
        if found is not None:
            certain[scalar] = found[0]["data"]["key"]
    document = HEAD + "data:\n" + "".join(f"  k{n}: {scalar}\n" for n, scalar in enumerate(certain))
    (read,) = asked(document, tmp_path)
    assert [read["data"][f"k{n}"] for n in range(len(certain))] == list(certain.values())
    assert {"web", "64Mi", "7", "true", "'quoted'", "registry.example/a:1", "--port=80"} <= certain.keys()
    assert not {"yes", "True", "1.0", "0o17", "1:30", "2026-01-02", "1e3", "!!str 1", "-0"} & certain.keys()


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}---\n",
        f"# a comment\n---\n{HEAD}---\n# another\n---\n{HEAD}",
        f"--- \n{HEAD}",
        f"{HEAD}--- # more\n{HEAD}",
        f"---\n{HEAD}...\n",
        '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}',
        f"{HEAD}data: {{a: 1, a: 2}}\n",
        f"{HEAD}1: a\n",
        "apiVersion: v1\nkind: ConfigMapList\nitems: []\nmetadata: {name: x}\n",
        f"{HEAD}items: [{{apiVersion: v1, kind: Secret, metadata: {{name: y}}}}]\n",
        f"{HEAD}items: []\n",
        f"{HEAD}items:\n",
        "kind: ConfigMap\n",
        "text",
        "",
    ],
)
def test_documents_are_the_same_or_left_to_kubectl(text: str, tmp_path: Path) -> None:
    """Splitting a stream is a dialect of its own."""
    found = certain_documents(text.encode())
    assert found is None or found == (asked(text, tmp_path) or [])


LEAF = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
)
TREE = st.recursive(LEAF | st.sampled_from(PLAIN), lambda inner: st.lists(inner, max_size=3), max_leaves=6)


@given(st.lists(st.tuples(TREE, st.sampled_from(["|", ">", "'", '"', None]), st.booleans()), min_size=20, max_size=60))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_writers_of_yaml_print_is_read_alike(
    tmp_path_factory: pytest.TempPathFactory, contents: list[tuple[Any, str | None, bool]]
) -> None:
    """In any style; many objects for each start of kubectl."""
    texts, found = [], []
    for number, (content, style, flow) in enumerate(contents):
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"x{number}"},
            "data": {"key": content},
        }
        text = yaml.dump(manifest, default_style=style, default_flow_style=flow, allow_unicode=True)
        read = certain_documents(text.encode())
        if read is not None:
            texts.append(text)
            found += read
    assert asked("---\n".join(texts), tmp_path_factory.getbasetemp()) == found
