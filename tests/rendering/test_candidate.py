"""From a source branch to its candidate."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy_pipeline.cluster import objects
from deploy_pipeline.errors import ChannelFaults, RaceLost, RefusedError, RenderFailed, SecretFault, UnsafeTree
from deploy_pipeline.isolation import network_of_isolated_tools
from deploy_pipeline.rendering import apps, read_rendered
from deploy_pipeline.settings import Settings
from tests.rendering.conftest import CONFIG_MAP, Deployer, shape
from tests.support.origin import PROJECT, Origin

Make = Callable[..., Deployer]


def test_example_becomes_a_candidate(deployer: Deployer, origin: Origin) -> None:
    """Every app of every channel is rendered, told and pushed, with what the candidate was made of."""
    source = origin.heads()["main"]
    result = deployer.render()
    assert result.changed
    assert result.commit == origin.heads()["candidates/main"]
    assert (result.branch, result.candidate, result.source_commit) == ("main", "candidates/main", source)
    assert result.channels == ("prod", "test")
    pairs = {(channel, app) for channel in ("prod", "test") for app in ("archiver", "web", "metabase")}
    assert set(result.apps) == pairs
    assert {f"rendered/{channel}/{app}.yaml" for channel, app in pairs} <= set(deployer.files())
    counts = [len(read_rendered(deployer.mirror.tree("candidates/main"), *pair)) for pair in pairs]
    assert result.objects == sum(counts) > 20
    assert result.warnings == ()
    assert result.isolation == network_of_isolated_tools().value
    assert {line.split(":")[0] for line in deployer.lines} == {f"{channel}/{app}" for channel, app in pairs}
    commit = deployer.mirror.commit("candidates/main")
    assert commit.trailers["Source-branch"] == "main"
    assert commit.trailers["Source-commit"] == source
    assert all(tool in commit.trailers["Rendered-with"] for tool in ("kubectl v1.", "helm v", "deploy-pipeline "))
    assert commit.committed_at == deployer.mirror.commit(source).committed_at


def test_kustomize_objects_say_whose_they_are(deployer: Deployer) -> None:
    """The labels are on the objects alone: in a selector or a template they would restart what runs."""
    deployer.render()
    manifests = read_rendered(deployer.mirror.tree("candidates/main"), "prod", "archiver")
    for manifest in manifests:
        assert manifest["metadata"]["labels"]["deploy-pipeline.io/channel"] == "prod"
        assert manifest["metadata"]["labels"]["deploy-pipeline.io/app"] == "archiver"
        assert "deploy-pipeline.io" not in yaml.safe_dump(manifest.get("spec", {}))


def test_labels_are_those_that_releases_look_for() -> None:
    """Layers that may not import each other agree on them: a release prunes by what rendering wrote."""
    assert (apps.CHANNEL_LABEL, apps.APP_LABEL) == (objects.CHANNEL_LABEL, objects.APP_LABEL)


def test_secret_values_take_no_part(deployer: Deployer) -> None:
    """Where the chart uses a secret value there is its placeholder, and the file says so."""
    deployer.render()
    rendered = deployer.show("rendered/test/metabase.yaml")
    assert "password: <secret:metabase_sensitive-values#/database/password>" in rendered
    assert "# Placeholders stand for the values of metabase_sensitive-values." in rendered
    payload = (PROJECT / "deploy_pipeline/demo/secrets/metabase_sensitive-values.yaml").read_text()
    password = yaml.safe_load(payload)["database"]["password"]
    assert password not in deployer.origin.git("log", "-p", "candidates/main")


def test_missing_secret_stops_the_render(deployer: Deployer, origin: Origin) -> None:
    """The store's own error comes through, and nothing is pushed."""

    def missing(name: str) -> Mapping[str, Any]:
        raise SecretFault(f"there is no secret {name}")

    with pytest.raises(SecretFault, match="metabase_sensitive-values"):
        replace(deployer, secret_shape=missing).render()
    assert set(origin.heads()) == {"main"}


def test_unchanged_source_makes_no_commit(deployer: Deployer, origin: Origin) -> None:
    """Rendering twice pushes once, and the second time no tool runs."""
    first = deployer.render()
    deployer.lines.clear()
    second = deployer.render()
    assert not second.changed
    assert (second.commit, second.tree, second.objects, second.apps) == (
        first.commit,
        first.tree,
        first.objects,
        first.apps,
    )
    assert deployer.lines == ["main: nothing that is rendered changed"]


def test_change_outside_of_the_projection_makes_no_commit(small_deployer: Make) -> None:
    """A README is no part of a deployment."""
    deployer = small_deployer({"README.md": "1"})
    first = deployer.render()
    deployer.origin.commit("main", {"README.md": "2"})
    second = deployer.render()
    assert (second.commit, second.changed) == (first.commit, False)
    assert second.source_commit != first.source_commit
    assert deployer.files() == [
        "channels/test.yaml",
        "kubernetes/app/kustomization.yaml",
        "kubernetes/app/one.yaml",
        "rendered/test/app.yaml",
    ]


def test_change_makes_a_commit_on_top(small_deployer: Make) -> None:
    """The candidate has a history of its own; what the apps do not use comes along unrendered."""
    deployer = small_deployer()
    first = deployer.render()
    deployer.origin.commit("main", {"kubernetes/app/one.yaml": CONFIG_MAP.format(name="two")})
    second = deployer.render()
    assert deployer.mirror.commit(second.commit or "").parents == (first.commit,)
    assert "name: two" in deployer.show("rendered/test/app.yaml")


def test_rendered_belongs_to_the_pipeline(small_deployer: Make) -> None:
    """What a branch puts there is ignored, and what left the channel leaves it."""
    releases = "- {name: app, driver: kustomize, kustomize_dir: kubernetes/app}\n"
    deployer = small_deployer(
        {
            "rendered/test/app.yaml": "smuggled",
            "rendered/prod/x.yaml": "smuggled",
            "deploy.yaml": "include: ['**']\n",
            "channels/other.yaml": "channel: other\nreleases:\n" + releases,
        }
    )
    deployer.render()
    rendered = [path for path in deployer.files() if path.startswith("rendered/")]
    assert rendered == ["rendered/other/app.yaml", "rendered/test/app.yaml"]
    assert "smuggled" not in deployer.show("rendered/test/app.yaml")
    deployer.origin.commit("main", {"channels/other.yaml": None})
    deployer.render()
    assert "rendered/other/app.yaml" not in deployer.files()


def test_deleted_source_takes_its_candidate_along(small_deployer: Make) -> None:
    """And only its own; when there is none, nothing is left to do."""
    deployer = small_deployer()
    deployer.origin.commit("fix/größe", {"a": "1"})
    deployer.render("fix/größe")
    deployer.render("main")
    deployer.origin.delete("fix/größe")
    gone = deployer.render("fix/größe")
    assert (gone.removed, gone.changed, gone.commit, gone.tree) == (True, False, None, None)
    assert set(deployer.origin.heads()) == {"main", "candidates/main"}
    assert not deployer.render("fix/größe").removed


def test_only_source_branches_are_rendered(small_deployer: Make) -> None:
    """A candidate of a candidate would never end."""
    deployer = small_deployer()
    for branch in ("candidates/main", "releases/test"):
        with pytest.raises(RefusedError, match="no source branch"):
            deployer.render(branch)


def test_lost_race_starts_over(small_deployer: Make) -> None:
    """Another deployer pushes in the middle: the next try builds on what it pushed."""
    deployer = small_deployer(CHART, apps=WITH_SECRET)
    theirs: list[str] = []

    def meanwhile(name: str) -> dict[str, Any]:
        if not theirs:
            theirs.append(deployer.origin.commit("candidates/main", {"x": "1"}))
        return shape(name)

    result = replace(deployer, secret_shape=meanwhile).render()
    assert deployer.origin.heads()["candidates/main"] == result.commit
    assert deployer.mirror.commit(result.commit or "").parents == (theirs[0],)
    assert "x" not in deployer.files()
    assert any("starting over" in line for line in deployer.lines)


def test_race_that_is_always_lost_ends(small_deployer: Make) -> None:
    """Three tries, then the caller is told, and their commit stands."""
    deployer = small_deployer(CHART, apps=WITH_SECRET)
    theirs: list[str] = []

    def meanwhile(name: str) -> dict[str, Any]:
        theirs.append(deployer.origin.commit("candidates/main", {"x": str(len(theirs))}))
        return shape(name)

    with pytest.raises(RaceLost):
        replace(deployer, secret_shape=meanwhile).render()
    assert len(theirs) == 3
    assert deployer.origin.heads()["candidates/main"] == theirs[-1]


def test_forged_candidate_is_not_taken_over(small_deployer: Make) -> None:
    """Somebody pushes other manifests with the pipeline's own trailers: the next render puts its own in their place."""
    deployer = small_deployer()
    honest = deployer.render()
    message = deployer.mirror.commit("candidates/main").message
    deployer.origin.commit("candidates/main", {"rendered/test/app.yaml": "forged"}, message)
    result = deployer.render()
    assert result.changed
    assert result.tree == honest.tree
    assert "forged" not in deployer.show("rendered/test/app.yaml")


def test_faulty_channel_pushes_nothing(small_deployer: Make) -> None:
    """The channels' own errors come through as they are."""
    deployer = small_deployer({"channels/other.yaml": "channel: 1\n"})
    with pytest.raises(ChannelFaults):
        deployer.render()
    assert set(deployer.origin.heads()) == {"main"}


@pytest.mark.parametrize(("mode", "content"), [("120000", "../../../etc/passwd"), ("120000", "/etc/passwd")])
def test_symlink_attack_is_refused(mode: str, content: str, small_deployer: Make) -> None:
    """A link in the projection that leads to the deployer's own files."""
    deployer = small_deployer()
    origin = deployer.origin
    blob = origin.git("hash-object", "-w", "--stdin", stdin=content.encode()).strip()
    _add(origin, f"{mode} {blob}\tkubernetes/app/one.yaml\n")
    with pytest.raises(UnsafeTree, match="must not be written out"):
        deployer.render()
    assert "candidates/main" not in origin.heads()


def test_branch_without_channel_files_is_refused(small_deployer: Make) -> None:
    """Nothing would be deployed from it; the error says how to leave such branches out."""
    deployer = small_deployer()
    files = deployer.origin.git("ls-tree", "-r", "--name-only", "main", "channels/").split()
    deployer.origin.commit("docs", dict.fromkeys(files))
    with pytest.raises(RenderFailed, match="docs has no channel files in channels/"):
        deployer.render("docs")
    assert "candidates/docs" not in deployer.origin.heads()


def test_submodule_is_refused(small_deployer: Make) -> None:
    """What it would bring in is not in the tree."""
    deployer = small_deployer()
    _add(deployer.origin, f"160000 {deployer.origin.heads()['main']}\tkubernetes/module\n")
    with pytest.raises(UnsafeTree) as unsafe:
        deployer.render()
    assert "a submodule: 'kubernetes/module'" in str(unsafe.value)


def test_two_deployers_make_the_same_commit(origin: Origin, deployer: Deployer, tmp_path: Path) -> None:
    """Another state directory, umask, locale, time zone, identity and process: the same bytes, the same commit."""
    program = tmp_path / "render.py"
    program.write_text(
        "import os, sys; os.umask(0o077)\n"
        "from pathlib import Path\n"
        "from deploy_pipeline.settings import Settings\n"
        "from tests.rendering.conftest import Deployer\n"
        "from tests.support.origin import Origin\n"
        "origin = Origin(Path(sys.argv[1]), sys.argv[2])\n"
        "print(Deployer(origin, Settings(state_dir=Path(sys.argv[3]), app_threads=1)).render().commit)\n"
    )
    first = deployer.render()
    origin.delete("candidates/main")
    environment = os.environ | {
        "PYTHONPATH": str(PROJECT),
        "TZ": "Asia/Tokyo",
        "LC_ALL": "tr_TR.UTF-8",
        "PYTHONHASHSEED": "7",
        "GIT_AUTHOR_NAME": "Somebody else",
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, str(program), str(origin.path), origin.url, str(tmp_path / "other")]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert output.strip() == first.commit == origin.heads()["candidates/main"]


def test_nothing_is_left_behind(small_deployer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a good nor a bad render leaves files in the temporary directory."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    deployer = small_deployer()
    deployer.render()
    deployer.origin.commit("main", {"kubernetes/app/one.yaml": "kind: [\n"})
    with pytest.raises(RefusedError):
        deployer.render()
    assert list(temporary.iterdir()) == []


def test_missing_rendered_file_is_refused(origin: Origin, deployer: Deployer) -> None:
    """A commit that was never rendered is not an app without objects."""
    deployer.mirror.fetch()
    with pytest.raises(RefusedError, match=r"rendered/test/web\.yaml is missing"):
        read_rendered(deployer.mirror.tree("main"), "test", "web")


def test_settings_are_all_that_is_needed(tmp_path: Path, origin: Origin) -> None:
    """Rendering works over HTTP-less file paths too, with a state directory that does not exist yet."""
    plain = Deployer(Origin(origin.path, str(origin.path)), Settings(state_dir=tmp_path / "a" / "b"))
    assert plain.render().changed


WITH_SECRET = """\
- name: app
  driver: helm
  namespace: x
  helm_name: x
  helm_chart: kubernetes/c
  secret_helm_values: [s]
"""
CHART = {
    "kubernetes/c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n",
    "kubernetes/c/templates/x.yaml": CONFIG_MAP.format(name="x"),
}


def _add(origin: Origin, line: str) -> None:
    """Put an entry that fast-import does not make into the tree of ``main``."""
    index = {"GIT_INDEX_FILE": str(origin.path / "test-index")}
    environment = os.environ | index
    git = ["git", "-C", str(origin.path)]
    subprocess.run([*git, "read-tree", "main"], env=environment, check=True)
    subprocess.run([*git, "update-index", "--add", "--index-info"], input=line.encode(), env=environment, check=True)
    tree = subprocess.run([*git, "write-tree"], env=environment, check=True, capture_output=True, text=True).stdout
    commit = origin.git("commit-tree", "-p", "main", "-m", "Attack", tree.strip()).strip()
    origin.git("update-ref", "refs/heads/main", commit)
