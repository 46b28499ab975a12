"""What a channel allows: the prune limit, and the paths of fields that somebody else owns."""

from __future__ import annotations

import pytest

from deploy_pipeline.channels import AdmissionPolicy, Allow, PromotionPolicy, PruneLimit, PrunePolicy, parse_channel
from deploy_pipeline.channels.field_path import Element, FieldPath

POLICY = """\
channel: prod
prune_limit: 50%
prune_kinds: [Namespace]
drift: heal
ignore:
  - {kind: Deployment, fields: [spec.replicas]}
releases:
  - name: web
    driver: kustomize
    kustomize_dir: web
    recreate: true
    ignore:
      - {kind: Service, name: web-*, fields: ["spec.ports[*].nodePort"]}
  - {name: db, driver: helm, namespace: db, helm_name: db, helm_chart: db, adopt: true}
"""


def test_a_channel_says_what_it_allows() -> None:
    """Rules of the channel come before those of its kustomize apps; a Helm app has none."""
    channel = parse_channel(POLICY, "channels/prod.yaml", None)
    web, db = channel.apps
    assert channel.prune == PrunePolicy(PruneLimit(percent=50, number=0), frozenset({"Namespace"}))
    assert channel.drift == "heal"
    assert [(rule.kind, rule.name, rule.fields) for rule in web.ignore] == [
        ("Deployment", "*", ("spec.replicas",)),
        ("Service", "web-*", ("spec.ports[*].nodePort",)),
    ]
    assert (web.recreate, web.adopt, db.recreate, db.adopt, db.ignore) == (True, False, False, True, ())


def test_a_channel_says_how_promotions_are_decided() -> None:
    """Each key has its own say; without them one approval is needed and nothing opens by itself."""
    keys = "reviews: 2\ncode_owners: true\nsigned_commits: true\naccept_change_set: true\n"
    keys += "promote: auto-pr\npromote_from: next\n"
    said = parse_channel(f"channel: prod\n{keys}", "channels/prod.yaml", None).promotion
    assert said == PromotionPolicy(
        2, code_owners=True, signed_commits=True, accept_change_set=True, promote="auto-pr", promote_from="next"
    )
    assert (said.opens_by_itself("next"), said.opens_by_itself("main")) == (True, False)
    silent = parse_channel("channel: prod\n", "channels/prod.yaml", None).promotion
    assert silent == PromotionPolicy(
        1, code_owners=False, signed_commits=False, accept_change_set=False, promote="manual"
    )
    assert not silent.opens_by_itself("main")


def test_a_channel_says_what_its_objects_may_be() -> None:
    """``off`` is a boolean to YAML, and a word here."""
    keys = (
        "allow: {kinds: [ClusterRole, A.b.io, '*'], namespaces: [team-*], registries: [ghcr.io/team, localhost:5000]}"
    )
    text = f"channel: prod\n{keys}\nplain_secrets: refuse\nimages: off\n"
    said = parse_channel(text, "channels/prod.yaml", None).admission
    allow = Allow(
        kinds=("ClusterRole", "A.b.io", "*"), namespaces=("team-*",), registries=("ghcr.io/team", "localhost:5000")
    )
    assert said == AdmissionPolicy(allow, "refuse", "off")
    silent = parse_channel("channel: prod\nallow:\nimages:\n", "channels/prod.yaml", None).admission
    assert silent == AdmissionPolicy(Allow(), "warn", "check")


@pytest.mark.parametrize(
    ("limit", "objects", "allowed"),
    [
        (PruneLimit(), 6, 10),
        (PruneLimit(), 100, 30),
        (PruneLimit(percent=50, number=0), 7, 3),
        (PruneLimit(percent=0, number=2), 100, 2),
        (PruneLimit(percent=0, number=0), 5, 0),
    ],
)
def test_the_limit_for_an_app(limit: PruneLimit, objects: int, allowed: int) -> None:
    """By default a share or a number, whichever is more; else just what is said, rounded down."""
    assert limit.of(objects) == allowed


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("spec.replicas", ("spec", "replicas")),
        ("spec.containers[app].image", ("spec", "containers", Element("app"), "image")),
        ("spec.ports[*].nodePort", ("spec", "ports", Element("*"), "nodePort")),
        ('spec.env[name="a b"].value', ("spec", "env", Element("a b"), "value")),
        ("spec.ports[0]", ("spec", "ports", Element("0"))),
        ('metadata.annotations["example.com/note"]', ("metadata", "annotations", "example.com/note")),
        ('data["a.b"].c', ("data", "a.b", "c")),
    ],
)
def test_a_path_is_read_as_change_sets_show_it(text: str, parts: tuple[object, ...]) -> None:
    """Keys, keys in quotes, elements by name, position or all of them."""
    assert FieldPath.parse(text).parts == parts


@pytest.mark.parametrize("text", ["", ".spec", "spec.", "spec..a", "[0].a", "a b", "spec[", "spec[]", 'a["x'])
def test_what_is_no_path_is_refused(text: str) -> None:
    """A typo must not become a rule that never matches."""
    with pytest.raises(ValueError, match="must be a path"):
        FieldPath.parse(text)
