"""No content of a file gets anything but a channel or its faults."""

from __future__ import annotations

from collections.abc import Callable

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy_pipeline.channels import Channel, DeployFile, load_deploy_file, parse_channel
from deploy_pipeline.errors import ChannelFaults
from tests.channels.memory_tree import MemoryTree

KEYS = [
    *("calitp", "channel", "releases", "approval", "drift_schedule", "name", "driver", "namespace", "timeout"),
    *("kustomize_dir", "helm_name", "helm_chart", "helm_values", "secret_helm_values", "secrets", "<<"),
]
WORDS = ["prod", "helm", "kustomize", "k", "../k", "-k", "10m0s", "none", "0 0 30 2 *", "*/5 * * * *", "a_b"]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.binary(max_size=4),
    st.text(),
    st.sampled_from(WORDS),
)
keys = st.one_of(st.sampled_from(KEYS), st.text(max_size=8), st.integers(), st.none())
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6), max_leaves=30
)
apps = st.dictionaries(st.sampled_from(KEYS), values, max_size=9)
channels = st.fixed_dictionaries({"channel": scalars, "releases": st.lists(apps | values, max_size=4)})
TREE = MemoryTree({}, "k/kustomization.yaml")


def _faults(load: Callable[[], object], kind: type) -> tuple[str, ...]:
    """Faults of what does not load; what loads is of that kind and has none."""
    try:
        value = load()
    except ChannelFaults as refused:
        return refused.details or ("no fault is named",)
    assert isinstance(value, kind)
    return ()


def _channel_or_faults(text: str | bytes) -> None:
    faults = _faults(lambda: parse_channel(text, "channels/x.yaml", TREE), Channel)
    assert all(fault.startswith("channels/x.yaml: ") and fault.isprintable() for fault in faults)


@settings(max_examples=200, deadline=None)
@given(value=st.one_of(values, channels, st.fixed_dictionaries({"calitp": channels})))
def test_any_value_gives_a_channel_or_faults(value: object) -> None:
    """Whatever can be written as YAML ends in one of the two promised ways."""
    _channel_or_faults(yaml.dump(value, allow_unicode=True))


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(), st.binary(), st.text(alphabet="-[]{}:,&*!<>?#|\"'\\ \n\tabU0%@=~")))
def test_any_text_gives_a_channel_or_faults(text: str | bytes) -> None:
    """The same for what is no YAML at all."""
    _channel_or_faults(text)


@settings(max_examples=100, deadline=None)
@given(
    value=st.dictionaries(
        st.sampled_from(["channels", "include", "sources"]),
        values | st.lists(st.dictionaries(st.sampled_from(["url", "ref", "from", "to", "from_"]), values)),
    )
)
def test_any_deploy_file_gives_a_value_or_faults(value: object) -> None:
    """And for deploy.yaml."""
    tree = MemoryTree({"deploy.yaml": yaml.dump(value)})
    faults = _faults(lambda: load_deploy_file(tree), DeployFile)
    assert all(fault.startswith("deploy.yaml: ") and fault.isprintable() for fault in faults)
