"""What the helm driver does with real charts: what it shows, what it refuses, what it deletes."""

from __future__ import annotations

import pytest

from deploy_pipeline.errors import DeployError
from tests.actions.conftest import World

TEMPLATES = "kubernetes/apps/charts/metabase/templates"
SECRET = ("create", "secret", "generic", "other", "--namespace", "default", "--from-literal=key=hunter2secret")
LOOKUP = '(lookup "v1" "Secret" "default" "other")'
FOUND = f'dig "data" "key" "none" {LOOKUP}'
HOOK = """
apiVersion: v1
kind: ConfigMap
metadata: {name: before, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
"""


def with_template(world: World, text: str) -> None:
    """Put a further template into the example's chart, on main, as a candidate."""
    world.origin.commit("main", {f"{TEMPLATES}/extra.yaml": text})
    world.render()


def config_map(value: str, name: str = "extra") -> str:
    """A template of a ConfigMap."""
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: {value}}}\n"


@pytest.mark.parametrize(
    ("template", "named"),
    [
        (config_map(f"{{{{ {FOUND} | quote }}}}"), "ConfigMap extra"),
        (config_map("a", f"{{{{ {FOUND} | lower }}}}"), "ConfigMap none"),
        (f"{{{{ with {LOOKUP} }}}}{{{{ fail (.data.key | b64dec) }}}}{{{{ end }}}}", "Helm refuses it"),
        (f"{{{{ with {LOOKUP} }}}}\n{config_map('a', '{{ .data.key }}')}\n{{{{ end }}}}", "only the live cluster"),
        (config_map("{{ randAlphaNum 8 | quote }}"), "ConfigMap extra"),
    ],
    ids=["value", "name", "fail", "object", "random"],
)
@pytest.mark.parametrize("installed", [False, True])
def test_what_a_chart_reads_in_the_cluster_is_not_shown(
    world: World, template: str, named: str, *, installed: bool
) -> None:
    """The app is refused: the error names the object as it is without the cluster, and no value of it."""
    if installed:
        world.deliver()
    world.kubectl(*SECRET)
    with_template(world, template)
    with pytest.raises(DeployError, match="reads the live cluster") as refused:
        world.promote()
    assert named in str(refused.value)
    for secret in ("hunter2secret", "aHVudGVyMnNlY3JldA"):
        assert secret.lower() not in str(refused.value).lower()


def test_charts_that_ask_for_capabilities_and_the_release_pass(world: World) -> None:
    """At the first installation and at the next one."""
    served = '{{ .Capabilities.APIVersions.Has "apps/v1/Deployment" }} {{ .Capabilities.KubeVersion.Version }}'
    with_template(world, config_map(f'"{served} {{{{ .Release.IsUpgrade }}}} {{{{ .Release.Revision }}}}"'))
    world.promote()
    world.release()
    first = world.object("configmap", "extra", "metabase")["data"]["key"]
    assert first.startswith("true v")
    assert first.endswith("false 1")
    world.deliver({f"{TEMPLATES}/more.yaml": config_map("b", "more")})
    assert world.object("configmap", "extra", "metabase")["data"]["key"].endswith("true 2")


def test_hooks_are_named(world: World) -> None:
    """Whether the release is installed or not."""
    with_template(world, HOOK)
    for content in "ab":
        shown = {app.app: app.hooks for app in world.promote().change_set.apps}
        assert shown["metabase"] == ("ConfigMap before (pre-install, pre-upgrade)",)
        world.release()
        world.origin.commit("main", {f"{TEMPLATES}/more.yaml": config_map(content, "more")})
        world.render()


def test_why_helm_refuses_an_innocent_chart_is_shown(world: World) -> None:
    """An object of somebody else stands in the way."""
    world.kubectl("create", "namespace", "metabase")
    world.kubectl("create", "configmap", "extra", "--namespace", "metabase")
    with_template(world, config_map("a"))
    with pytest.raises(DeployError, match="invalid ownership metadata"):
        world.promote()
