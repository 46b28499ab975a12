"""Which files a candidate is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from deploy_pipeline.errors import RefusedError, RepositoryUnreachable
from deploy_pipeline.rendering.patterns import matches
from deploy_pipeline.rendering.projection import is_allowed
from deploy_pipeline.settings import Settings
from tests.rendering.conftest import CONFIG_MAP, Deployer
from tests.support.origin import Origin

Make = Callable[..., Deployer]

APP = "- {name: app, driver: kustomize, kustomize_dir: kubernetes/theirs}\n"


def deploy_yaml(origin: Origin, ref: str, *, where: str = "apps/web", to: str = "kubernetes/theirs") -> str:
    """A deploy.yaml with one source."""
    return f"sources: [{{url: '{origin.url}', ref: {ref}, from: {where}, to: {to}}}]\n"


@pytest.fixture
def theirs(tmp_path: Path) -> Origin:
    """A repository of somebody else, with an app in it."""
    files = {
        "apps/web/kustomization.yaml": "resources: [one.yaml]\n",
        "apps/web/one.yaml": CONFIG_MAP.format(name="theirs"),
        "apps/webby/x": "beside",
    }
    return Origin.create(tmp_path / "theirs" / "manifests.git", files)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("kubernetes/**", "kubernetes/a/b", "kubernetesx/a"),
        ("kubernetes", "kubernetes/a/b", "kubernetesx"),
        ("*.yaml", "a.yaml", "a/b.yaml"),
        ("**/*.yaml", "a.yaml", "a.yml"),
        ("**/*.yaml", "a/b/c.yaml", "a/b/c.yaml/d"),
        ("a/**/z", "a/z", "az"),
        ("a/**/z", "a/b/c/z", "a/b/zz"),
        ("a?c", "abc", "a/c"),
        ("a.c", "a.c", "abc"),
        ("a/**", "a/b/c", "a"),
        ("**", "a", ""),
        ("a/**/b/**/c", "a/b/x/b/c", "a/x/c"),
        ("**/a*b/c", "x/ab/axb/c", "x/ab/axb"),
        ("*a*a*b", "aaab", "aaaba"),
        (".", "a/b", ""),
    ],
)
def test_patterns_cover_paths(pattern: str, yes: str, no: str) -> None:
    """Each pattern with a path that it covers and one that it does not."""
    assert matches(yes, pattern)
    assert not no or not matches(no, pattern)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://git.example/platform/x.git", True),
        ("https://git.example/platform", True),
        ("https://git.example/platform-evil/x.git", False),
        ("https://git.example/platform/../other/x.git", False),
        ("https://git.example/platform/%2e%2e/x.git", False),
        ("https://git.example", False),
        ("http://git.example/platform/x.git", False),
        ("https://git.example.evil.example/platform/x.git", False),
        ("https://git.example@evil.example/platform/x.git", False),
        ("https://me@git.example/platform/x.git", False),
        ("https://git.example:8443/platform/x.git", False),
        ("https://GIT.example/platform/x.git", False),
        ("HTTPS://git.example/platform/x.git", False),
        ("https://git.example\\@evil.example/platform/x.git", False),
        ("https://git.example/platform\\..\\..\\other", False),
        (" https://git.example/platform/x.git", False),
        ("https://git.example/platform/x.git\nevil", False),
        ("oci://git.example/platform/x", False),
        ("@stable", False),
        ("alias:stable", False),
        ("", False),
    ],
)
def test_addresses_are_allowed_by_whole_parts(url: str, allowed: bool) -> None:
    """A prefix ends where a part of the path ends, and nothing climbs out of it."""
    settings = Settings(allowed_sources="https://git.example/platform, https://other.example/")
    assert is_allowed(url, settings) is allowed


def test_no_address_is_allowed_by_default() -> None:
    """An empty setting is no prefix of everything."""
    assert not is_allowed("https://git.example/x", Settings())


def test_source_is_brought_in_where_it_shall_lie(small_deployer: Make, theirs: Origin) -> None:
    """Only its folder, as part of the candidate, rendered like our own files; kept when the other side moves on."""
    ref = theirs.heads()["main"]
    deployer = small_deployer({"deploy.yaml": deploy_yaml(theirs, ref)}, apps=APP, allowed_sources=theirs.url)
    theirs.commit("main", {"apps/web/one.yaml": CONFIG_MAP.format(name="later")})
    deployer.render()
    assert "name: theirs" in deployer.show("rendered/test/app.yaml")
    assert [path for path in deployer.files() if "theirs" in path] == [
        "kubernetes/theirs/kustomization.yaml",
        "kubernetes/theirs/one.yaml",
    ]


def test_source_that_was_fetched_needs_no_network(small_deployer: Make, theirs: Origin) -> None:
    """The other server being away stops nothing: the commit is pinned. A commit never seen has to wait for it."""
    ref = theirs.heads()["main"]
    deployer = small_deployer({"deploy.yaml": deploy_yaml(theirs, ref)}, apps=APP, allowed_sources=theirs.url)
    deployer.render()
    theirs.path.rename(theirs.path.with_name("away"))
    deployer.origin.commit("main", {"kubernetes/x": "1"})
    assert deployer.render().changed
    deployer.origin.commit("main", {"deploy.yaml": deploy_yaml(theirs, "f" * 40)})
    with pytest.raises(RepositoryUnreachable):
        deployer.render()


def test_source_must_be_allowed(small_deployer: Make, theirs: Origin) -> None:
    """The deployer decides where branches may take files from."""
    deployer = small_deployer({"deploy.yaml": deploy_yaml(theirs, theirs.heads()["main"])}, apps=APP)
    with pytest.raises(RefusedError) as refused:
        deployer.render()
    assert theirs.url in refused.value.message
    assert "DEPLOY_ALLOWED_SOURCES" in refused.value.hint


@pytest.mark.parametrize("ref", ["main", "0123abc"])
def test_source_must_be_pinned(ref: str, small_deployer: Make, theirs: Origin) -> None:
    """A branch or a short id can become something else."""
    deployer = small_deployer({"deploy.yaml": deploy_yaml(theirs, f"'{ref}'")}, apps=APP, allowed_sources=theirs.url)
    with pytest.raises(RefusedError, match="full commit id"):
        deployer.render()


def test_unknown_commit_and_folder_are_told(small_deployer: Make, theirs: Origin) -> None:
    """Each with the source it is missing in."""
    deployer = small_deployer({"deploy.yaml": deploy_yaml(theirs, "f" * 40)}, apps=APP, allowed_sources=theirs.url)
    with pytest.raises(RefusedError, match="has no commit"):
        deployer.render()
    deployer.origin.commit("main", {"deploy.yaml": deploy_yaml(theirs, theirs.heads()["main"], where="apps/none")})
    with pytest.raises(RefusedError, match="has no `apps/none`"):
        deployer.render()


def test_source_may_not_lie_over_our_files(small_deployer: Make, theirs: Origin) -> None:
    """Which of the two is deployed must not be a matter of order."""
    text = deploy_yaml(theirs, theirs.heads()["main"], to="kubernetes/app")
    deployer = small_deployer({"deploy.yaml": text}, allowed_sources=theirs.url)
    with pytest.raises(RefusedError, match="would lie over files of the branch") as refused:
        deployer.render()
    assert "kubernetes/app/one.yaml" in refused.value.details


def test_pattern_that_matches_nothing_is_a_warning(small_deployer: Make) -> None:
    """Most likely a slip of the pen."""
    deployer = small_deployer({"deploy.yaml": "include: [kubernetes/**, kubernets/**]\n"})
    assert deployer.render().warnings == ("`include` in deploy.yaml names `kubernets/**`, which matches no file",)


def test_choosing_files_has_a_limit_of_time(small_deployer: Make) -> None:
    """A thousand patterns of stars over a hundred names that nearly fit: the branch is refused, with the reason."""
    pattern = "*a" * 100 + "b"
    files = {f"{'a' * 240}{number}": "" for number in range(100)}
    include = ["channels/**", *(f"{number}/{pattern}" for number in range(3)), *[pattern] * 1_000]
    deployer = small_deployer({"deploy.yaml": yaml.safe_dump({"include": include}), **files}, render_timeout=0.2)
    with pytest.raises(RefusedError, match=r"took longer than 0\.2 s"):
        deployer.render()
