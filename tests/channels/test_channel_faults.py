"""Channel files that are refused: each kind of fault, with its place, its reason and its line."""

from __future__ import annotations

import pytest

from deploy_pipeline.channels import parse_channel
from deploy_pipeline.errors import ChannelFaults
from tests.channels.memory_tree import MemoryTree

PATH = "channels/test.yaml"
TREE = MemoryTree({}, "k/kustomization.yaml", "c/Chart.yaml", "v.yaml", "empty/README.md")


def faults_of(text: str | bytes) -> list[str]:
    """The faults of a channel file in a tree with a kustomization in k, a chart in c and values in v.yaml."""
    with pytest.raises(ChannelFaults) as refused:
        parse_channel(text, PATH, TREE)
    return list(refused.value.details)


KUSTOMIZE = {"name": "web", "driver": "kustomize", "kustomize_dir": "k"}
HELM = {"name": "web", "driver": "helm", "namespace": "web", "helm_name": "web", "helm_chart": "c"}


def app_text(app: dict[str, str], **changes: str | None) -> str:
    """A channel with this one app, one key a line, from line 3 on; a change to None leaves the key out."""
    lines = [f"{key}: {value}" for key, value in {**app, **changes}.items() if value is not None]
    return "channel: test\nreleases:\n  - " + "\n    ".join(lines) + "\n"


APP_FAULTS = [
    (KUSTOMIZE, {"name": None}, "name", "is missing", 3),
    (KUSTOMIZE, {"name": "Web"}, "name", "must consist of a-z, 0-9 and '-'", 3),
    (KUSTOMIZE, {"name": "web_1"}, "name", "not 'web_1'", 3),
    (KUSTOMIZE, {"name": "-web"}, "name", "begin and end with a letter or digit", 3),
    (KUSTOMIZE, {"name": '"web\\n"'}, "name", "not 'web\\n'", 3),
    (KUSTOMIZE, {"name": "a" * 64}, "name", "must have at most 63 characters, not 64", 3),
    (KUSTOMIZE, {"name": "12"}, "name", "must be text, not '12': put it in quotes", 3),
    (KUSTOMIZE, {"name": "on"}, "name", "must be text, not 'on': put it in quotes", 3),
    (KUSTOMIZE, {"name": "[web]"}, "name", "must be text, not a list", 3),
    (KUSTOMIZE, {"driver": "kustomise"}, "driver", "must be 'kustomize' or 'helm', not 'kustomise'", 4),
    (KUSTOMIZE, {"driver": None}, "driver", "is missing", 3),
    (KUSTOMIZE, {"driver": "!helm kustomize"}, "driver", "the tag '!helm' has no meaning here", 4),
    (KUSTOMIZE, {"kustomize_dir": None}, "kustomize_dir", "is missing; the driver kustomize needs it", 3),
    (KUSTOMIZE, {"kustomize_dir": ""}, "kustomize_dir", "is missing; the driver kustomize needs it", 5),
    (KUSTOMIZE, {"kustomize_dir": "empty"}, "kustomize_dir", "there is no kustomization.yaml in 'empty'", 5),
    (KUSTOMIZE, {"kustomize_dir": "k/kustomization.yaml"}, "kustomize_dir", "there is no kustomization.yaml in", 5),
    (KUSTOMIZE, {"kustomize_dir": "/etc"}, "kustomize_dir", "must be a path from the top of the repository", 5),
    (KUSTOMIZE, {"kustomize_dir": "C:/k"}, "kustomize_dir", "must be a path from the top of the repository", 5),
    (KUSTOMIZE, {"kustomize_dir": "k/../k"}, "kustomize_dir", "must not contain '..'", 5),
    (KUSTOMIZE, {"kustomize_dir": "k\\..\\k"}, "kustomize_dir", "must not contain '..'", 5),
    (KUSTOMIZE, {"kustomize_dir": "--enable-helm"}, "kustomize_dir", "must not begin with '-'", 5),
    (KUSTOMIZE, {"kustomize_dir": "./-k"}, "kustomize_dir", "must not begin with '-'", 5),
    (KUSTOMIZE, {"kustomize_dir": '""'}, "kustomize_dir", "must be a path, not ''", 5),
    (KUSTOMIZE, {"kustomize_dir": '"k\\0"'}, "kustomize_dir", "must be a path, not 'k\\x00'", 5),
    (KUSTOMIZE, {"kustomize_dir": "k\\k"}, "kustomize_dir", "must not contain '\\'", 5),
    (KUSTOMIZE, {"kustomize_dir": "'k{a}'"}, "kustomize_dir", "must not contain '{'", 5),
    (KUSTOMIZE, {"kustomize_dir": "https://git.example/k"}, "kustomize_dir", "is an address", 5),
    (KUSTOMIZE, {"helm_name": "web"}, "helm_name", "does not belong to an app with the driver kustomize", 6),
    (KUSTOMIZE, {"helm_chart": "c"}, "helm_chart", "does not belong to an app with the driver kustomize", 6),
    (KUSTOMIZE, {"helm_values": "[v.yaml]"}, "helm_values", "does not belong to an app with the driver kustomize", 6),
    (KUSTOMIZE, {"secret_helm_values": "[v]"}, "secret_helm_values", "does not belong to an app with the driver", 6),
    (KUSTOMIZE, {"kustomise_dir": "k"}, "kustomise_dir", "is no known key; did you mean 'kustomize_dir'?", 6),
    (KUSTOMIZE, {"zzz": ""}, "zzz", "is no known key; known are adopt, driver, helm_chart", 6),
    (KUSTOMIZE, {"recreate": '"true"'}, "recreate", "must be true or false, not 'true'", 6),
    (KUSTOMIZE, {"adopt": "maybe"}, "adopt", "must be true or false, not 'maybe'", 6),
    (KUSTOMIZE, {"ignore": "[{kind: Deployment}]"}, "ignore[0].fields", "is missing", 6),
    (KUSTOMIZE, {"ignore": "[{kind: X, fields: [a], field: a}]"}, "ignore[0].field", "did you mean 'fields'?", 6),
    (KUSTOMIZE, {"ignore": "[{kind: X, fields: []}]"}, "ignore[0].fields", "must name a field", 6),
    (KUSTOMIZE, {"ignore": "[{kind: X, fields: [spec..a]}]"}, "ignore[0].fields[0]", "must be a path", 6),
    (KUSTOMIZE, {"ignore": "[{kind: X, fields: [metadata.name]}]"}, "ignore[0].fields[0]", "cannot be ignored", 6),
    (KUSTOMIZE, {"ignore": "[{kind: X, fields: [spec]}]"}, "ignore[0].fields[0]", "cannot be ignored", 6),
    (HELM, {"ignore": "[{kind: X, fields: [a]}]"}, "ignore", "does not belong to an app with the driver helm", 8),
    (KUSTOMIZE, {"secrets": "db"}, "secrets", "must be a list, not 'db'", 6),
    (KUSTOMIZE, {"secrets": "[a/b]"}, "secrets[0]", "must consist of letters, digits, '_', '.' and '-'", 6),
    (KUSTOMIZE, {"secrets": "[ok, .hidden]"}, "secrets[1]", "not '.hidden'", 6),
    (KUSTOMIZE, {"secrets": "[-o]"}, "secrets[0]", "not '-o'", 6),
    (KUSTOMIZE, {"secrets": "['a b']"}, "secrets[0]", "not 'a b'", 6),
    (KUSTOMIZE, {"secrets": "[ok, ]\n      - x"}, None, "is not YAML: line 7, column 7", None),
    (KUSTOMIZE, {"secrets": "[~]"}, "secrets[0]", "must be text, not nothing", 6),
    (KUSTOMIZE, {"timeout": "600"}, "timeout", "the unit is missing: 600s for seconds", 6),
    (KUSTOMIZE, {"timeout": "10 minutes"}, "timeout", "must be a duration such as 90s", 6),
    (KUSTOMIZE, {"timeout": "-5m"}, "timeout", "must be a duration such as 90s", 6),
    (KUSTOMIZE, {"timeout": "{m: 5}"}, "timeout", "not a mapping", 6),
    (KUSTOMIZE, {"timeout": "0s"}, "timeout", "must be at least 1s", 6),
    (KUSTOMIZE, {"timeout": "9999999h"}, "timeout", "is longer than any duration", 6),
    (KUSTOMIZE, {"name": "web\n    name: web"}, "name", "is given twice, first in line 3", 4),
    (HELM, {"namespace": None}, "namespace", "is missing; the driver helm needs it", 3),
    (HELM, {"namespace": "My_NS"}, "namespace", "must consist of a-z", 5),
    (HELM, {"helm_name": None}, "helm_name", "is missing; the driver helm needs it", 3),
    (HELM, {"helm_name": "a" * 54}, "helm_name", "must have at most 53 characters, not 54", 6),
    (HELM, {"helm_name": "--post-renderer=x"}, "helm_name", "must consist of a-z", 6),
    (HELM, {"helm_chart": None}, "helm_chart", "is missing; the driver helm needs it", 3),
    (HELM, {"helm_chart": "k"}, "helm_chart", "there is no Chart.yaml in 'k'", 7),
    (HELM, {"helm_chart": "../c"}, "helm_chart", "must not contain '..'", 7),
    (HELM, {"helm_chart": "oci://registry.example/c"}, "helm_chart", "is an address", 7),
    (HELM, {"helm_values": "[v.yaml, nope.yaml]"}, "helm_values[1]", "there is no file 'nope.yaml'", 8),
    (HELM, {"helm_values": "[k]"}, "helm_values[0]", "there is no file 'k'", 8),
    (HELM, {"helm_values": "['v.yaml,/v.yaml']"}, "helm_values[0]", "must not contain ','", 8),
    (HELM, {"helm_values": "['\"v.yaml\"']"}, "helm_values[0]", "must not contain '\"'", 8),
    (HELM, {"helm_values": "[/v.yaml]"}, "helm_values[0]", "must be a path from the top", 8),
    (HELM, {"helm_values": "[../v.yaml]"}, "helm_values[0]", "must not contain '..'", 8),
    (HELM, {"helm_values": "[-v.yaml]"}, "helm_values[0]", "must not begin with '-'", 8),
    (HELM, {"helm_values": "v.yaml"}, "helm_values", "must be a list, not 'v.yaml'", 8),
    (HELM, {"secret_helm_values": "[../v]"}, "secret_helm_values[0]", "must consist of letters", 8),
    (HELM, {"kustomize_dir": "k"}, "kustomize_dir", "does not belong to an app with the driver helm", 8),
]


@pytest.mark.parametrize(("app", "changes", "field", "reason", "line"), APP_FAULTS)
def test_a_fault_of_an_app_is_named_once(
    app: dict[str, str], changes: dict[str, str | None], field: str | None, reason: str, line: int | None
) -> None:
    """File, path inside the file, reason and line of the fault, and nothing but this fault."""
    (fault,) = faults_of(app_text(app, **changes))
    assert fault.startswith(f"{PATH}: releases[0].{field}: " if field else f"{PATH}: ")
    assert reason in fault
    assert fault.endswith(f"(line {line})") is (line is not None)


CHANNEL_FAULTS = [
    ("", "must be a mapping of keys to values, not nothing"),
    ("# nothing but a comment", "not nothing"),
    ("- channel", "must be a mapping of keys to values, not a list"),
    ("prod", "must be a mapping of keys to values, not 'prod'"),
    ("calitp: [a]", "must be a mapping of keys to values, not a list"),
    ("calitp:", "must be a mapping of keys to values, not nothing"),
    ("calitp: {channel: test}\nchannel: test", "channel: must stand below the key calitp (line 2)"),
    ("releases: []", "channel: is missing"),
    ("channel: Prod", "channel: must consist of a-z"),
    ("channel: a/b", "channel: must consist of a-z"),
    ("channel: prod.lock", "channel: must consist of a-z"),
    (f"channel: {'a' * 41}", "channel: must have at most 40 characters, not 41"),
    ("channel: 2026-01-01", "channel: must be text, not '2026-01-01': put it in quotes"),
    ("channel: t\nrelease: []", "release: is no known key; did you mean 'releases'? (line 2)"),
    (
        "channel: t\npath: x",
        "path: is no known key; known are accept_change_set, allow, approval, channel, code_owners, ",
    ),
    ("channel: t\nprune_limit: 101%", "prune_limit: must be a number of objects such as 25, or a share such as 50%"),
    ("channel: t\nallow: {kind: [A]}", "allow.kind: is no known key; did you mean 'kinds'?"),
    ("channel: t\nallow: {kinds: [clusterroles]}", "allow.kinds[0]: must be a kind such as ClusterRole or"),
    ("channel: t\nallow: {namespaces: [A_b]}", "allow.namespaces[0]: must be a namespace such as monitoring or team-*"),
    (
        "channel: t\nallow: {registries: [nginx]}",
        "allow.registries[0]: must begin with a registry, such as ghcr.io/team",
    ),
    ("channel: t\nplain_secrets: off", "plain_secrets: must be 'warn' or 'refuse', not 'off'"),
    ("channel: t\nimages: on", "images: must be 'check', 'digest' or 'off', not 'on'"),
    ("channel: t\nreviews: some", "reviews: must be a number of approvals such as 2, not 'some'"),
    ("channel: t\nreviews: -1", "reviews: must be a number of approvals"),
    ("channel: t\ncode_owners: maybe", "code_owners: must be true or false"),
    ("channel: t\npromote: always", "promote: must be 'manual' or 'auto-pr'"),
    ("channel: t\npromote_from: candidates/main", "promote_from: must be a branch that people commit to"),
    ("channel: t\nprune_limit: -1", "prune_limit: must be a number of objects"),
    ("channel: t\nprune_kinds: [Pod]", "prune_kinds[0]: must be 'Namespace', 'PersistentVolumeClaim' or 'Custom"),
    ("channel: t\ndrift: fix", "drift: must be 'report' or 'heal', not 'fix' (line 2)"),
    ("channel: t\nname: x", "name: is no known key"),
    ("channel: t\n1: x", "'1': is no known key"),
    ("channel: t\n[1]: x", "a key must be text (line 2)"),
    ("channel: t\nchannel: u", "channel: is given twice, first in line 1 (line 2)"),
    ("calitp:\n  channel: t\n  channel: u", "channel: is given twice, first in line 2 (line 3)"),
    ("channel: t\nreleases: {}", "releases: must be a list, not a mapping (line 2)"),
    ("channel: t\nreleases: [web]", "releases[0]: must be a mapping of keys to values, not 'web' (line 2)"),
    ("channel: t\napproval: no", "approval: must be 'required' or 'none', not 'no' (line 2)"),
    ("channel: t\napproval: [none]", "approval: must be 'required' or 'none', not a list (line 2)"),
    ("channel: t\ndrift_schedule: '@daily'", "drift_schedule: must be a cron expression of five fields"),
    ("channel: t\ndrift_schedule: 61 * * * *", "drift_schedule: minute '61' is not between 0 and 59 (line 2)"),
    ("channel: t\ndrift_schedule: 5", "drift_schedule: must be text, not '5': put it in quotes (line 2)"),
    ("channel: t\n<<: {}\n<<: {}", "'<<': is given twice, first in line 2 (line 3)"),
    ("channel: t\n<<: [x]", "'<<': must name a mapping"),
    ('channel: "\\ud800"', "channel: holds half of a surrogate pair"),
    ("channel: &a [*a]", "is not YAML: line 1, column 10: nested deeper than 32 levels"),
    ("channel: *a", "is not YAML: line 1, column 10: found undefined alias"),
    ("channel: t: u", "is not YAML: line 1, column 11: mapping values are not allowed here"),
    ("channel: t\n\treleases: []", "is not YAML: line 2, column 1"),
    ("channel: t\n---\nchannel: u", "is not YAML: line 2, column 1: but found another document"),
    ("channel: \0", "is not YAML: unacceptable character #x0000"),
    ('channel: "\\UFFFFFFFF"', "is not YAML: "),
    ("!!python/object/apply:os.system [x]", "the tag '!!python/object/apply:os.system' has no meaning here"),
    (b"channel: \xff", "is not UTF-8 (byte 9)"),
    ("[" * 100_000, "nested deeper than 32 levels"),
    ("- " * 1000, "nested deeper than 32 levels"),
    ("#" * (1024 * 1024 + 1), "is larger than 1024 KiB"),
]


@pytest.mark.parametrize(("text", "expected"), CHANNEL_FAULTS, ids=[str(text)[:30] for text, _ in CHANNEL_FAULTS])
def test_a_fault_of_a_file_is_named(text: str | bytes, expected: str) -> None:
    """Whatever a file holds instead of a channel, the answer says what and where."""
    assert any(fault.startswith(f"{PATH}: ") and expected in fault for fault in faults_of(text))


def test_aliases_are_not_expanded_without_end() -> None:
    """Nine lines that stand for a billion values are refused while they are counted, not after."""
    lines = ["l0: &l0 [x]", *(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10))]
    (fault,) = faults_of("\n".join(lines))
    assert "more than 20000 values with aliases expanded" in fault


def test_two_apps_with_the_same_name_are_a_fault() -> None:
    """The second of both is named, even if another of its keys is wrong."""
    text = """
channel: test
releases:
  - {name: web, driver: kustomize, kustomize_dir: k}
  - {name: web, driver: kustomize, kustomize_dir: nope}
"""
    assert faults_of(text) == [
        f"{PATH}: releases[1].kustomize_dir: there is no kustomization.yaml in 'nope' (line 5)",
        f"{PATH}: releases[1].name: 'web' is the name of releases[0] too (line 5)",
    ]


def test_two_apps_with_the_same_helm_release_are_a_fault() -> None:
    """One would overwrite the other; the same release name in another namespace is another release."""
    text = """
channel: test
releases:
  - {name: one, driver: helm, namespace: x, helm_name: db, helm_chart: c}
  - {name: two, driver: helm, namespace: y, helm_name: db, helm_chart: c}
  - {name: three, driver: helm, namespace: x, helm_name: db, helm_chart: c}
"""
    assert faults_of(text) == [
        f"{PATH}: releases[2].helm_name: 'db' in the namespace 'x' is the Helm release of releases[0] too (line 6)"
    ]


def test_all_faults_of_a_file_come_at_once_from_top_to_bottom() -> None:
    """One round of corrections is enough, whatever kinds of faults a file has."""
    text = """\
calitp:
  channel: Test
  aproval: none
  drift_schedule: daily
  releases:
    - name: web
      driver: helm
      namespace: web
      namespace: web
      helm_name: UPPER
      helm_chart: nope
      helm_values: [v.yaml, missing.yaml]
      timeout: 5
    - name: web
      driver: kustomize
      helm_name: x
      secrets: [../x]
    - name: other
      driver: docker
other: 1
"""
    places = [fault.removeprefix(f"{PATH}: ").split(": ")[0] for fault in faults_of(text)]
    assert places == [
        "channel",
        "aproval",
        "drift_schedule",
        "releases[0].namespace",
        "releases[0].helm_name",
        "releases[0].helm_chart",
        "releases[0].helm_values[1]",
        "releases[0].timeout",
        "releases[1].kustomize_dir",
        "releases[1].name",
        "releases[1].helm_name",
        "releases[1].secrets[0]",
        "releases[2].driver",
        "other",
    ]


def test_a_fault_never_breaks_out_of_its_line() -> None:
    """Keys and values of an untrusted file are shown without control characters and cut to a length."""
    text = '"a\\n- forged: fault\\e[31m": x\nchannel: "' + "x" * 5000 + '\\n"\n'
    for fault in (*faults_of(text), *faults_of("channel: *" + "a" * 5000)):
        assert fault.isprintable()
        assert len(fault) < 300


def test_without_a_tree_no_file_is_looked_up() -> None:
    """A file can be checked for itself; what is wrong with its names is still found."""
    assert parse_channel(app_text(KUSTOMIZE, kustomize_dir="nope"), PATH, None).app("web").kustomize_dir == "nope"
    with pytest.raises(ChannelFaults, match=r"must not contain '\.\.'"):
        parse_channel(app_text(KUSTOMIZE, kustomize_dir="../nope"), PATH, None)
