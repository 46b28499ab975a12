"""Loading channels from a tree: all of them, or one by its name."""

from __future__ import annotations

import pytest

from deploy_pipeline.channels import DeployFile, load_channel, load_channels, parse_channel
from deploy_pipeline.errors import ChannelFaults, RefusedError
from tests.channels.memory_tree import MemoryTree

REF = "0123456789abcdef0123456789abcdef01234567"
SOURCES = f"sources: [{{url: https://git.example/x.git, ref: {REF}, from: redis, to: kubernetes/redis}}]"
USES_SOURCE = """
channel: test
releases:
  - {name: redis, driver: kustomize, kustomize_dir: kubernetes/redis/overlays/test}
  - name: chart
    driver: helm
    namespace: x
    helm_name: x
    helm_chart: kubernetes/redis
    helm_values: [kubernetes/redis/values.yaml]
"""


def test_all_channel_files_of_the_folder_are_loaded_by_name() -> None:
    """Both endings count, the file's name need not be the channel's, and folders below are left alone."""
    tree = MemoryTree(
        {
            "channels/a.yaml": "channel: test",
            "channels/b.yml": "calitp: {channel: prod}",
            "channels/README.md": "text: [",
            "channels/old/c.yaml": "nothing: [",
            "elsewhere/d.yaml": "nothing: [",
        }
    )
    channels = load_channels(tree)
    assert [(name, channel.name, channel.path) for name, channel in channels.items()] == [
        ("prod", "prod", "channels/b.yml"),
        ("test", "test", "channels/a.yaml"),
    ]


@pytest.mark.parametrize("folder", ["ci/channels", "."])
def test_deploy_yaml_says_where_the_channel_files_are(folder: str) -> None:
    """An older repository need not move them; deploy.yaml itself is never taken for one."""
    path = "test.yaml" if folder == "." else f"{folder}/test.yaml"
    tree = MemoryTree({"deploy.yaml": f"channels: {folder}", path: "channel: test"})
    assert list(load_channels(tree)) == ["test"]
    assert load_channel(tree, "test").path == path


def test_a_given_deploy_file_is_used_instead_of_the_trees() -> None:
    """Who has read deploy.yaml already does not read it twice."""
    tree = MemoryTree({"deploy.yaml": "faulty: true", "ci/test.yaml": "channel: test"})
    assert list(load_channels(tree, DeployFile(channels="ci"))) == ["test"]


def test_a_tree_without_channel_files_has_no_channels() -> None:
    """Not every branch of a repository is deployed."""
    assert load_channels(MemoryTree({"README.md": "hello"})) == {}


def test_a_folder_of_channels_that_is_named_must_have_some() -> None:
    """A typing error in deploy.yaml must not look like a repository without channels."""
    tree = MemoryTree({"deploy.yaml": "channels: chanels", "channels/test.yaml": "channel: test"})
    with pytest.raises(ChannelFaults) as refused:
        load_channels(tree)
    assert refused.value.details == ("deploy.yaml: channels: there is no channel file in 'chanels'",)


def test_the_faults_of_all_files_come_at_once() -> None:
    """One round of corrections is enough for the whole tree, deploy.yaml included."""
    tree = MemoryTree(
        {
            "deploy.yaml": "include: x",
            "channels/a.yaml": "channel: A\napproval: never",
            "channels/b.yaml": "channel: [",
            "channels/c.yaml": "channel: test",
        }
    )
    with pytest.raises(ChannelFaults) as refused:
        load_channels(tree)
    assert refused.value.message == "4 faults in 3 files"
    assert [detail.split(":")[0] for detail in refused.value.details] == [
        "channels/a.yaml",
        "channels/a.yaml",
        "channels/b.yaml",
        "deploy.yaml",
    ]
    assert "deploy-pipeline validate" in refused.value.hint


def test_two_files_with_the_same_channel_are_a_fault() -> None:
    """Otherwise the order of the files would say what a channel runs."""
    tree = MemoryTree({"channels/a.yaml": "channel: test", "channels/b.yaml": "calitp:\n  channel: test"})
    expected = ("channels/b.yaml: channel: 'test' is the channel of channels/a.yaml too (line 2)",)
    with pytest.raises(ChannelFaults) as refused:
        load_channels(tree)
    assert refused.value.details == expected
    with pytest.raises(ChannelFaults) as refused:
        load_channel(tree, "test")
    assert refused.value.details == expected


def test_files_that_sources_bring_in_need_not_exist_yet() -> None:
    """A source branch names them before a candidate holds them; what lies beside them is still looked up."""
    tree = MemoryTree({"deploy.yaml": SOURCES, "channels/test.yaml": USES_SOURCE})
    assert [app.name for app in load_channels(tree)["test"].apps] == ["redis", "chart"]
    assert load_channel(tree, "test") == load_channels(tree)["test"]
    beside = MemoryTree({"deploy.yaml": SOURCES, "channels/test.yaml": USES_SOURCE.replace("/redis", "/redis-2")})
    with pytest.raises(ChannelFaults) as refused:
        load_channels(beside)
    assert len(refused.value.details) == 3


def test_without_sources_the_same_files_are_missing() -> None:
    """It is the source that excuses them."""
    with pytest.raises(ChannelFaults, match="3 faults in channels/test"):
        load_channels(MemoryTree({"channels/test.yaml": USES_SOURCE}))
    with pytest.raises(ChannelFaults, match="3 faults in channels/test"):
        parse_channel(USES_SOURCE, "channels/test.yaml", MemoryTree({}))


def test_a_faulty_deploy_file_causes_no_further_faults() -> None:
    """Files are not called missing while it is unknown what the sources bring in."""
    tree = MemoryTree({"deploy.yaml": f"x: y\n{SOURCES}", "channels/test.yaml": USES_SOURCE})
    with pytest.raises(ChannelFaults) as refused:
        load_channels(tree)
    assert len(refused.value.details) == 1


def test_one_channel_loads_beside_a_broken_one() -> None:
    """A mistake in the test channel's file must not stop a release of production."""
    tree = MemoryTree(
        {"channels/prod.yaml": "channel: prod", "channels/test.yaml": "channel: [", "channels/x.yaml": "5"}
    )
    assert load_channel(tree, "prod").name == "prod"


def test_the_faults_of_one_channel_are_those_of_its_file() -> None:
    """Whoever asks for one channel is not told about another."""
    tree = MemoryTree({"channels/a.yaml": "channel: prod\napproval: x", "channels/test.yaml": "channel: ["})
    for name, path in (("prod", "channels/a.yaml"), ("test", "channels/test.yaml")):
        with pytest.raises(ChannelFaults) as refused:
            load_channel(tree, name)
        assert [detail.split(":")[0] for detail in refused.value.details] == [path]


def test_one_channel_needs_a_right_deploy_file() -> None:
    """It says where the channel's file is."""
    with pytest.raises(ChannelFaults, match=r"1 fault in deploy\.yaml"):
        load_channel(MemoryTree({"deploy.yaml": "x: y", "channels/prod.yaml": "channel: prod"}), "prod")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("prd", "did you mean 'prod'?"), ("zzz", "known are prod, test"), ("../x", "known are prod, test")],
)
def test_an_unknown_channel_is_refused_with_those_that_are_known(name: str, hint: str) -> None:
    """A typing error gets an answer that helps."""
    tree = MemoryTree({"channels/a.yaml": "channel: prod", "channels/b.yaml": "channel: test"})
    with pytest.raises(RefusedError, match="there is no channel") as refused:
        load_channel(tree, name)
    assert refused.value.hint == hint


def test_a_file_called_after_a_channel_is_not_that_channel() -> None:
    """Its content says which channel it is: asking for prod must never give test."""
    with pytest.raises(RefusedError, match="there is no channel 'prod'"):
        load_channel(MemoryTree({"channels/prod.yaml": "channel: test"}), "prod")


def test_an_unknown_channel_of_a_tree_without_channels_is_refused() -> None:
    """There is nothing to suggest then."""
    with pytest.raises(RefusedError, match="there is no channel 'prod' in channels/") as refused:
        load_channel(MemoryTree({}), "prod")
    assert refused.value.hint == "there is none"
