"""What is read without starting Helm: its records in the cluster, and whether a chart can give another result."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.cluster.connection import Answer, Connection
from deploy_pipeline.drivers import helm_tool
from deploy_pipeline.drivers.helm_functions import is_reproducible
from deploy_pipeline.drivers.helm_storage import revisions, stored_release
from deploy_pipeline.errors import RefusedError, ReleaseFailed
from deploy_pipeline.settings import tool_path
from deploy_pipeline.tools import ToolResult, run_tool
from tests.actions.conftest import World
from tests.actions.test_helm import CHANNEL, FAILING_HOOK, TEMPLATES, config_map

METABASE = ("metabase", "metabase")


def helm(world: World, *arguments: str) -> str:
    """The real Helm on the cluster."""
    command = [tool_path("helm"), *arguments, "--namespace", "metabase", "--kubeconfig", str(world.kubeconfig)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_what_is_stored_is_what_helm_says(world: World) -> None:
    """After a revision that failed: the last revision is that one, the next upgrade compares with the one before."""
    connection = world.deployer.cluster("test").connection
    assert stored_release(connection, METABASE) is None
    world.deliver()
    channel = world.origin.show("main", CHANNEL).replace("1m30s", "4s")
    with pytest.raises(ReleaseFailed):
        world.deliver({CHANNEL: channel, f"{TEMPLATES}/a.yaml": config_map("a"), f"{TEMPLATES}/b.yaml": FAILING_HOOK})
    stored = stored_release(connection, METABASE)
    assert stored is not None
    status = json.loads(helm(world, "status", "metabase", "--output", "json"))
    last, base = stored.last, stored.base
    assert (last.number, last.status, last.manifest) == (2, status["info"]["status"], status["manifest"])
    assert (last.status, base.number, base.status) == ("failed", 1, "deployed")
    assert base.manifest + "\n" == helm(world, "get", "manifest", "metabase", "--revision", "1")
    assert last.values == json.loads(helm(world, "get", "values", "metabase", "--output", "json"))
    assert last.apply_method == "ssa"
    helm(world, "uninstall", "metabase", "--keep-history")
    left = stored_release(connection, METABASE)
    assert left is not None
    assert not left.is_installed


def test_what_helm_cannot_read_is_no_revision(released: World) -> None:
    """A record that was cut off is passed over, as Helm does."""
    record = "sh.helm.release.v1.metabase.v2"
    labels = "owner=helm,name=metabase,status=deployed,version=2"
    released.kubectl(
        "create", "secret", "generic", record, "--namespace", "metabase", "--from-literal=release=H4sIAAAA"
    )
    released.kubectl("label", "secret", record, "--namespace", "metabase", *labels.split(","))
    assert [revision.number for revision in revisions(released.deployer.cluster("test").connection, METABASE)] == [1]
    assert json.loads(helm(released, "status", "metabase", "--output", "json"))["version"] == 1


def test_a_record_that_may_not_be_read_is_not_taken_for_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a release would be planned as a first installation."""
    connection = world.deployer.cluster("test").connection
    monkeypatch.setattr(Connection, "get", lambda *_: Answer(403, {"message": "secrets is forbidden"}))
    with pytest.raises(RefusedError, match="release metabase/metabase cannot be read: secrets is forbidden"):
        stored_release(connection, METABASE)


def test_helm_is_asked_once_where_nothing_changes(released: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's chart calls nothing that could give another result."""
    asked: list[str] = []

    def counted(argv: list[str], **more: Any) -> ToolResult:
        asked.append(argv[1])
        return run_tool(argv, **more)

    monkeypatch.setattr(helm_tool, "run_tool", counted)
    released.release()
    assert asked == ["upgrade", "upgrade"]  # once more with placeholders for its secret values


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ .Values.name | quote }} {{ toYaml .Values.labels | indent 2 }}", True),
        ("{{ range $key, $value := .Values.labels }}{{ $key }}{{ end }} env: [] # by a values file", True),
        ('{{ required "keys and values are missing" .Values.keys }}', True),
        ("{{ lookup `v1` `Secret` `a` `b` }}", False),
        ("{{ tpl .Values.text . }}", False),
        ("{{now}}", False),
        ("{{ .Values.at | htmlDate }}", False),
        ("{{ mustDateModify `1h` .Values.at }}", False),
        ("{{ randAlphaNum 8 }}", False),
        ("{{ shuffle `abc` }}", False),
        ("{{ (genCA `a` 365).Cert }}", False),
        ("{{ genPrivateKey `rsa` }}", False),
        ("{{ uuidv4 }}", False),
        ("{{ htpasswd `a` `b` }}", False),
        ("{{ bcrypt `a` }}", False),
        ("{{ encryptAES `a` `b` }}", False),
        ("{{ getHostByName `a` }}", False),
        ("{{ keys .Values.labels | first }}", False),
        ("{{ .Values.labels |values|first }}", False),
        ("{{ values $labels }}", False),
        ("{{ keys (dict `a` `b`) }}", False),
    ],
)
def test_charts_that_may_give_another_result_are_known(tmp_path: Path, template: str, *, expected: bool) -> None:
    """By the name of a function, in a template of the chart or of a subchart."""
    for folder in ("templates", "templates/more", "charts/sub/templates"):
        chart = tmp_path / folder.replace("/", "-")
        (chart / folder).mkdir(parents=True)
        (chart / folder / "_all.tpl").write_text(template)
        (chart / "values.yaml").write_text("# lookup\n")
        assert is_reproducible(chart) is expected
        (chart / "charts").mkdir(exist_ok=True)
        (chart / "charts/packed.tgz").touch()
        assert not is_reproducible(chart)
