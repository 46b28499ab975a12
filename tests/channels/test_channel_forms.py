"""Channel files that load, in each form they are written in."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from deploy_pipeline.channels import App, Channel, Driver, WorkingTree, load_channels, parse_channel
from deploy_pipeline.errors import RefusedError
from tests.channels.memory_tree import MemoryTree

ROOT = Path(__file__).parents[2]

DESIGN = """\
calitp:
  channel: prod
  releases:
    - name: archiver
      driver: kustomize
      kustomize_dir: kubernetes/apps/overlays/archiver-prod
      secrets: [archiver_feed-secrets]
    - name: metabase
      driver: helm
      namespace: metabase
      helm_name: metabase
      helm_chart: kubernetes/apps/charts/metabase
      helm_values: [kubernetes/apps/values/metabase.yaml, kubernetes/apps/values/metabase-prod.yaml]
      secret_helm_values: [metabase_sensitive-values]
      secrets: [metabase_database-backup]
      timeout: 10m0s
"""

TREE = MemoryTree(
    {},
    "kubernetes/apps/overlays/archiver-prod/kustomization.yaml",
    "kubernetes/apps/charts/metabase/Chart.yaml",
    "kubernetes/apps/values/metabase.yaml",
    "kubernetes/apps/values/metabase-prod.yaml",
)


def test_the_documented_example_loads_with_every_value() -> None:
    """The format in use today means what it meant, defaults included."""
    assert parse_channel(DESIGN, "channels/prod.yaml", TREE) == Channel(
        name="prod",
        path="channels/prod.yaml",
        approval="required",
        drift_schedule=None,
        releases=(
            App(
                name="archiver",
                driver=Driver.KUSTOMIZE,
                kustomize_dir="kubernetes/apps/overlays/archiver-prod",
                secrets=("archiver_feed-secrets",),
                timeout=timedelta(minutes=5),
            ),
            App(
                name="metabase",
                driver=Driver.HELM,
                namespace="metabase",
                helm_name="metabase",
                helm_chart="kubernetes/apps/charts/metabase",
                helm_values=("kubernetes/apps/values/metabase.yaml", "kubernetes/apps/values/metabase-prod.yaml"),
                secret_helm_values=("metabase_sensitive-values",),
                secrets=("metabase_database-backup",),
                timeout=timedelta(minutes=10),
            ),
        ),
    )


def test_the_key_calitp_may_be_left_out() -> None:
    """Both forms of the same file are the same channel."""
    bare = "\n".join(line.removeprefix("  ") for line in DESIGN.splitlines()[1:])
    assert parse_channel(bare, "channels/prod.yaml", TREE) == parse_channel(DESIGN, "channels/prod.yaml", TREE)


def test_the_channels_of_this_repository_load() -> None:
    """The example that the demo deploys is right, in both forms, with every file it names."""
    channels = load_channels(WorkingTree(ROOT))
    assert list(channels) == ["prod", "test"]
    assert {app.driver for app in channels["prod"].apps} == {Driver.KUSTOMIZE, Driver.HELM}


APP = "{channel: test, releases: [{name: web, driver: kustomize, kustomize_dir: k, %s}]}"


@pytest.mark.parametrize(
    ("extra", "field", "value"),
    [
        ("timeout: 600s", "timeout_seconds", 600.0),
        ("timeout: 1.5h", "timeout_seconds", 5400.0),
        ("timeout: ", "timeout_seconds", 300.0),
        ("secrets: ", "secrets", ()),
        ("secrets: []", "secrets", ()),
        ("helm_values: ", "helm_values", ()),
        ("helm_values: []", "helm_values", ()),
        ("namespace: ", "namespace", None),
        ("namespace: web", "namespace", "web"),
        ('secrets: ["_a", "A.b-c_9"]', "secrets", ("_a", "A.b-c_9")),
    ],
)
def test_harmless_forms_load(extra: str, field: str, value: object) -> None:
    """Empty keys count as absent, and durations may be written in any way Go reads."""
    app = parse_channel(APP % extra, "channels/test.yaml", None).app("web")
    assert getattr(app, field) == value


@pytest.mark.parametrize("text", ["channel: test", "channel: test\nreleases:", "channel: test\nreleases: []"])
def test_a_channel_may_have_no_apps(text: str) -> None:
    """A channel can exist before its first app."""
    assert parse_channel(text, "channels/test.yaml", None).apps == ()


@pytest.mark.parametrize("path", ["kubernetes/web", "./kubernetes/web", "kubernetes//web/", "kubernetes/./web"])
def test_paths_are_normalised(path: str) -> None:
    """One folder has one spelling, whatever the file says."""
    text = f"channel: test\nreleases: [{{name: web, driver: kustomize, kustomize_dir: {path}}}]"
    tree = MemoryTree({}, "kubernetes/web/kustomization.yml")
    assert parse_channel(text, "channels/test.yaml", tree).app("web").kustomize_dir == "kubernetes/web"


@pytest.mark.parametrize("name", ["kustomization.yaml", "kustomization.yml", "Kustomization"])
def test_every_name_of_a_kustomization_counts(name: str) -> None:
    """Kustomize knows three names for its file; the top of the tree is a folder like any other."""
    text = "channel: test\nreleases: [{name: web, driver: kustomize, kustomize_dir: .}]"
    assert parse_channel(text, "channels/test.yaml", MemoryTree({}, name)).app("web").kustomize_dir == "."


def test_anchors_and_merge_keys_work() -> None:
    """YAML's means against repetition keep working; a key of the app itself wins over a merged one."""
    text = """
    channel: test
    releases:
      - &common {name: a, driver: helm, namespace: x, helm_name: a, helm_chart: c, secrets: &s [one], timeout: 1m}
      - {<<: *common, name: b, helm_name: b, secrets: *s}
      - {name: c, helm_name: c, <<: [{timeout: 2m}, *common]}
    """
    apps = parse_channel(text, "channels/test.yaml", None).apps
    assert [(app.name, app.helm_name, app.secrets, app.timeout_seconds) for app in apps] == [
        ("a", "a", ("one",), 60.0),
        ("b", "b", ("one",), 60.0),
        ("c", "c", ("one",), 120.0),
    ]


def test_policy_of_a_channel_is_read() -> None:
    """The keys that are not part of the old format reach the channel."""
    text = "channel: test\napproval: none\ndrift_schedule: '*/10  * * * mon-fri'"
    channel = parse_channel(text, "channels/test.yaml", None)
    assert (channel.approval, channel.drift_schedule) == ("none", "*/10 * * * mon-fri")


def test_a_byte_order_mark_is_no_fault() -> None:
    """Some editors write one in front of UTF-8."""
    assert parse_channel(b"\xef\xbb\xbfchannel: test", "channels/test.yaml", None).name == "test"


def test_an_unknown_app_is_refused_with_the_nearest_name() -> None:
    """A typing error on the command line gets an answer, not a stack trace."""
    channel = parse_channel(DESIGN, "channels/prod.yaml", TREE)
    with pytest.raises(RefusedError, match=r"channel prod has no app 'metabse'") as refused:
        channel.app("metabse")
    assert refused.value.hint == "did you mean 'metabase'?"
    with pytest.raises(RefusedError) as refused:
        channel.app("zzz")
    assert refused.value.hint == "known are archiver, metabase"
