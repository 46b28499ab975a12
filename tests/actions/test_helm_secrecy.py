"""What charts make of secret values, and what they give at another time: shown masked or not at all, and approved."""

from __future__ import annotations

import json

import pytest
import yaml

from deploy_pipeline.errors import ApprovalError, ManifestRejected, ReleaseFailed
from deploy_pipeline.healing import keep_released
from tests.actions.conftest import World
from tests.actions.small import NAMESPACE, Small, config_map, manifest

PASSWORD = "hunter2-abc"
TEMPLATES = "apps/chart/templates"
DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: foos.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Foo, plural: foos, singular: foo, listKind: FooList}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""


@pytest.fixture
def small(small_world: World) -> Small:
    """A chart whose values hold a password, a number and a switch."""
    made = Small(small_world)
    values = f"password: {PASSWORD}\npin: 4829\nenabled: true\n"
    (small_world.secrets / "shop_values.yaml").write_text(values)
    made.put_chart("shop", config_map("chart", c="3"), secret_helm_values=["shop_values"])
    return made


def template(small: Small, *data: str, name: str = "made") -> None:
    """Let the chart have a ConfigMap with these lines of data."""
    lines = "".join(f"  {line}\n" for line in data)
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n{lines}"
    small.files[f"{TEMPLATES}/made.yaml"] = text


def test_whatever_a_template_makes_of_a_secret_value_is_masked(small: Small) -> None:
    """A letter at a time, in capitals, a number, in JSON: nothing of it shows, and a change of it does."""
    template(
        small,
        'spelled: {{ .Values.password | splitList "" | join "." }}',
        "loud: {{ .Values.password | upper }}",
        "letter: {{ .Values.password | trunc 1 }}",
        'pin: "{{ .Values.pin }}"',
        "json: {{ dict 'p' .Values.password | toJson | quote }}".replace("'", '"'),
        '{{ if .Values.enabled }}plain: "shown"{{ end }}',
    )
    shown = small.diff()
    text = json.dumps(shown.to_json())
    for form in ("h.u.n.t", PASSWORD.upper(), PASSWORD, "4829", '\\"h\\"'):
        assert form not in text
    fields = {field.path: field.after or "" for field in small.change("made").fields}
    assert fields["data.plain"] == '"shown"'
    masked = {path for path, value in fields.items() if value.startswith('"<masked ')}
    assert masked == {"data.spelled", "data.loud", "data.letter", "data.pin", "data.json"}
    values = small.world.secrets / "shop_values.yaml"
    values.write_text(values.read_text().replace(PASSWORD, "another-one"))
    assert {field.path: field.after for field in small.change("made").fields}["data.letter"] != fields["data.letter"]


def test_what_was_made_of_an_older_value_is_masked_too(small: Small) -> None:
    """After a rotation the old value is the one that shows as what was before."""
    template(small, "loud: {{ .Values.password | upper }}")
    small.deliver()
    values = small.world.secrets / "shop_values.yaml"
    values.write_text(values.read_text().replace(PASSWORD, "another-one"))
    (field,) = small.change("made").fields
    assert (field.before or "").startswith('"<masked ')
    assert (field.after or "").startswith('"<masked ')
    assert field.before != field.after


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("{{ .Values.password | upper }}", "kind: ConfigMap\n", "which objects it has, or what they are called"),
        ("made", f'kind: {{{{ eq .Values.password "{PASSWORD}" | ternary "ConfigMap" "Secret" }}}}\n', "which objects"),
        (
            "made",
            "kind: Pod\nspec: {containers: [{name: a, image: '{{ .Values.password }}'}]}\n",
            "which image it runs",
        ),
        ("made", "kind: ConfigMap\n{{ .Values.password }}: {a: b}\n", "is, or which image"),
    ],
    ids=["name", "kind", "image", "field"],
)
def test_what_cannot_be_masked_is_refused(small: Small, name: str, kind: str, reason: str) -> None:
    """Which objects there are is shown, and registries are asked for images; so no secret value may decide it."""
    small.files[f"{TEMPLATES}/made.yaml"] = f"apiVersion: v1\n{kind}metadata: {{name: {name}}}\n"
    with pytest.raises(ManifestRejected, match=reason) as refused:
        small.diff()
    assert PASSWORD not in str(refused.value)


def test_what_helm_says_of_a_secret_value_stays_here(small: Small) -> None:
    """A template may fail with the value in its words, in any form."""
    template(small, "a: b")
    condition = f'{{{{ if eq .Values.password "{PASSWORD}" }}}}'
    failing = f'{condition}{{{{ fail (.Values.password | splitList "" | join ".") }}}}{{{{ end }}}}\n'
    small.files[f"{TEMPLATES}/made.yaml"] += failing
    with pytest.raises(ManifestRejected, match="does not with placeholders") as refused:
        small.diff()
    assert "h.u.n" not in str(refused.value)


def test_what_a_server_says_of_it_stays_here(small: Small) -> None:
    """The API quotes the value that it refuses."""
    small.deliver()
    label = '{{ .Values.password | splitList "" | join " " | quote }}'
    head = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: made, labels: {{spelled: {label}}}}}\n"
    small.files[f"{TEMPLATES}/made.yaml"] = head
    with pytest.raises(ManifestRejected, match=r"metadata\.labels") as refused:
        small.diff()
    assert "h u n t" not in str(refused.value)


def test_a_chart_that_gives_more_as_an_upgrade_is_not_healed(small_world: World) -> None:
    """What was approved is what it gives when it is installed; the rest nobody saw."""
    small = Small(small_world)
    small.channel(drift="heal")
    small.put_chart("shop", config_map("chart", c="3"))
    evil = manifest("ConfigMap", "evil", data={"a": "b"})
    small.files[f"{TEMPLATES}/evil.yaml"] = f"{{{{ if .Release.IsUpgrade }}}}\n{json.dumps(evil)}\n{{{{ end }}}}\n"
    small.deliver()
    result = keep_released(small_world.deployer, "test", progress=small_world.progress.append)
    assert result.drifted
    assert "gives something else than was approved" in " ".join(r for app in result.apps for r in app.not_healed)
    assert small.live("configmap", "evil") is None


def test_a_chart_that_gives_more_once_its_kinds_are_served_is_stopped(small_world: World) -> None:
    """The definition comes with the same release, before Helm runs."""
    small = Small(small_world)
    small.put_chart("shop", config_map("chart", c="3"))
    small.put("platform", yaml.safe_load(DEFINITION))
    evil = config_map("evil", a="b")
    condition = '{{ if .Capabilities.APIVersions.Has "example.org/v1/Foo" }}'
    small.files[f"{TEMPLATES}/evil.yaml"] = f"{condition}\n{json.dumps(evil)}\n{{{{ end }}}}\n"
    small.push()
    small_world.promote()
    with pytest.raises(ReleaseFailed, match="gives something else now than when it was planned"):
        small_world.release()
    assert small.live("configmap", "evil") is None


def test_a_release_goes_on_only_with_what_was_approved_of_a_chart(small_world: World) -> None:
    """The first try fails on purpose; the second one would be an upgrade, with a hook that nobody saw."""
    small = Small(small_world)
    small.put("web", manifest("Deployment", "web", "apps/v1", spec=_broken()), timeout="1s")
    small.put_chart("shop", config_map("chart", c="3"))
    hook = config_map("evil", {"helm.sh/hook": "pre-upgrade"}, a="b")
    documents = f"{json.dumps(hook)}\n---\n{json.dumps(config_map('more', a='b'))}"
    small.files[f"{TEMPLATES}/evil.yaml"] = f"{{{{ if .Release.IsUpgrade }}}}\n{documents}\n{{{{ end }}}}\n"
    small.push()
    small_world.promote()
    with pytest.raises(ReleaseFailed):
        small_world.release()
    with pytest.raises((ApprovalError, ReleaseFailed)) as refused:
        small_world.release()
    assert isinstance(refused.value, ApprovalError)
    assert small.world.object("configmap", "evil", NAMESPACE) is None


def _broken() -> dict[str, object]:
    labels = {"app": "web"}
    container = {"name": "app", "image": "registry.example/web-broken:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {"selector": {"matchLabels": labels}, "template": template}
