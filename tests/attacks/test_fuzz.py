"""No content of a branch and no name of one gets anything but a result or a clear refusal.

Each property is tried on a few inputs with every run of the tests, and on many with the long ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy_pipeline.channels import load_channels, load_deploy_file
from deploy_pipeline.errors import DeployError, RenderFailed, UnknownRevision
from deploy_pipeline.rendering.kustomization import check_kustomization
from deploy_pipeline.repository import Mirror, candidate_branch
from deploy_pipeline.settings import tool_path
from deploy_pipeline.tools import isolated_environment, run_tool
from tests.attacks.conftest import CHART, Attacker
from tests.channels.memory_tree import MemoryTree
from tests.support.origin import Origin

FIELDS = (
    "resources components bases crds configurations generators transformers validators patches path files envs env "
    "patchesStrategicMerge configMapGenerator secretGenerator replacements openapi helmCharts namespace images"
).split()
NAMES = (
    "x.yaml",
    "../x",
    "/etc/passwd",
    "https://evil.example/x",
    "git@evil.example:x",
    "a=b=c",
    "-x",
    ".",
    "",
    "\0",
    "~",
)
ADDRESS = "https://evil.example/x"
OPENED = ("resources", "Components", "crds", "transformers", "validators", "configurations", "bases", "generators")

texts = st.one_of(st.text(), st.binary(), st.text(alphabet="-[]{}:,&*!<>?#|\"'\\ \n\tabU0%@=~"))
scalars = st.one_of(st.sampled_from(NAMES), st.text(max_size=12), st.integers(), st.none(), st.booleans(), st.floats())
keys = st.one_of(st.sampled_from(FIELDS), st.text(max_size=6))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=25
)
documents = st.dictionaries(keys, values, max_size=6).map(lambda value: yaml.dump(value, allow_unicode=True))
styles = st.sampled_from((None, True, False))


def inputs(quick: int, long: int) -> pytest.MarkDecorator:
    """How many inputs a property is tried on, with every run and with the long tests."""
    return pytest.mark.parametrize("number", [quick, pytest.param(long, marks=pytest.mark.long)])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The copy of a branch with one app, in a folder that nothing else may lie in."""
    (tmp_path / "box" / "tree" / "app").mkdir(parents=True)
    (tmp_path / "box" / "private").mkdir()
    return tmp_path / "box" / "tree"


def outcome(work: Callable[[], object]) -> str:
    """What people are told, "" if all is well. No other exception than a refusal passes, and nothing takes long."""
    started = time.monotonic()
    try:
        work()
    except DeployError as error:
        return error.message
    finally:
        assert time.monotonic() - started < 20
    return ""


def files_in(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@inputs(60, 800)
def test_any_kustomization_is_checked_or_refused(number: int, tree: Path) -> None:
    """Whatever text it is; what is refused is so as a fault of rendering."""

    @settings(max_examples=number)
    @given(text=texts | documents)
    def check(text: str | bytes) -> None:
        content = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
        (tree / "app" / "kustomization.yaml").write_bytes(content)
        with suppress(RenderFailed):
            check_kustomization(tree, "app")

    check()


@inputs(40, 400)
def test_no_kustomization_hides_an_address(number: int, tree: Path) -> None:
    """In any field that kustomize opens, among any others, in any style of YAML, by an alias or not."""

    @settings(max_examples=number)
    @given(
        others=st.dictionaries(keys, values, max_size=4),
        field=st.sampled_from(OPENED),
        flow=styles,
        alias=st.booleans(),
    )
    def check(others: dict[str, Any], field: str, flow: bool | None, alias: bool) -> None:
        names = ["x.yaml", ADDRESS]
        content = {**others, **({"a": names} if alias else {}), field: names}
        text = yaml.dump(content, default_flow_style=flow, allow_unicode=True)
        (tree / "app" / "kustomization.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
        with pytest.raises(RenderFailed) as refused:
            check_kustomization(tree, "app")
        assert any(ADDRESS in detail for detail in refused.value.details) or "is not YAML" in refused.value.message

    check()


@inputs(5, 60)
def test_any_kustomization_that_is_built_stays_in_its_box(number: int, tree: Path) -> None:
    """The real kubectl ends soon, and writes nothing anywhere."""

    @settings(max_examples=number)
    @given(text=documents)
    def check(text: str) -> None:
        (tree / "app" / "kustomization.yaml").write_text(text, encoding="utf-8")
        box = tree.parent
        env = isolated_environment(box / "private")
        command = [tool_path("kubectl"), "kustomize", "./app"]
        outcome(lambda: run_tool(command, cwd=tree, env=env, timeout=15, offline=True))
        assert files_in(box) == ["tree/app/kustomization.yaml"]
        assert [path.name for path in box.parent.iterdir()] == ["box"]

    check()


@inputs(5, 100)
def test_any_values_stay_in_their_box(number: int, tree: Path) -> None:
    """The real Helm ends soon with whatever values, and writes nothing beside its own folders."""
    for path, text in CHART.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    before = files_in(tree)

    @settings(max_examples=number)
    @given(text=texts | documents)
    def check(text: str | bytes) -> None:
        content = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
        (tree / "kubernetes" / "v.yaml").write_bytes(content)
        env = isolated_environment(tree.parent / "private")
        command = [tool_path("helm"), "template", "rel", "./kubernetes/c", "--values", "./kubernetes/v.yaml"]
        outcome(lambda: run_tool(command, cwd=tree, env=env, timeout=15, offline=True))
        assert files_in(tree) == before
        assert [path.name for path in tree.parent.parent.iterdir()] == ["box"]

    check()


@inputs(60, 400)
def test_any_channel_file_gives_channels_or_faults(number: int) -> None:
    """Together with any deploy.yaml."""

    @settings(max_examples=number)
    @given(channel=st.text() | documents, deploy=st.text() | documents)
    def check(channel: str, deploy: str) -> None:
        tree = MemoryTree({"channels/x.yaml": channel, "deploy.yaml": deploy})
        outcome(lambda: load_channels(tree, load_deploy_file(tree)))

    check()


@inputs(30, 240)
def test_any_name_of_a_branch_is_taken_literally(number: int, tmp_path: Path) -> None:
    """As a branch it is pushed to under that very name or not at all; as a revision it is unknown."""
    origin = Origin.create(tmp_path / "origin.git", {"x": "1"})
    mirror = Mirror(origin.url, tmp_path / "mirror.git")
    mirror.fetch()
    commit = origin.heads()["main"]
    names = st.one_of(
        st.text(max_size=20),
        st.text(alphabet="-./@{}~^:?*[\\ ;$`'\"&|<>ab", max_size=12),
        st.sampled_from(
            ("--upload-pack=touch x", "-x", "main:evil", "+main", "HEAD", "../main", "a..b", "@", "main^{}")
        ),
    )

    def refs() -> set[str]:
        return set(origin.git("for-each-ref", "--format=%(refname)").split("\n"))

    @settings(max_examples=number)
    @given(name=names)
    def check(name: str) -> None:
        before, branch = refs(), candidate_branch(name)
        is_new = f"refs/heads/{branch}" not in before
        refused = outcome(lambda: mirror.push(branch, commit, expected=None if is_new else commit))
        assert refs() == (before if refused else before | {f"refs/heads/{branch}"})
        if name != "main":
            with pytest.raises(UnknownRevision):
                mirror.commit(name)

    check()


@pytest.mark.parametrize("name", ["--upload-pack=touch_x", "a;touch$IFS'x'&b", "ä/ö"])
def test_a_branch_of_any_name_is_rendered(name: str, attacker: Attacker) -> None:
    """From what git lists to the name of the candidate, through every call of git."""
    deployer = attacker.push({})
    deployer.origin.git("update-ref", f"refs/heads/{name}", "main")
    assert deployer.render(name).candidate == f"candidates/{name}"
    assert f"candidates/{name}" in deployer.origin.heads()
    assert not list(attacker.directory.rglob("x"))


@pytest.mark.parametrize(
    "name", ["releases/prod\u2028x", "releases/prod\x85x", "releases/prod\udcff", "releases/\u202eprod"]
)
def test_no_branch_passes_for_another(name: str, attacker: Attacker) -> None:
    """Names that hold a line separator, turn letters round or are no text are left out, as if nobody pushed them."""
    deployer = attacker.push({})
    released = deployer.origin.heads()["main"]
    deployer.origin.git("update-ref", "refs/heads/releases/prod", released)
    evil = deployer.origin.commit("evil", {"x": "1"})
    deployer.origin.git("update-ref", f"refs/heads/{name}", evil)
    heads = {"main": released, "releases/prod": released, "evil": evil}
    assert deployer.mirror.remote_heads() == heads
    assert deployer.mirror.fetch() == heads
