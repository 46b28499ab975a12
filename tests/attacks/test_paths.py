"""Getting at files outside of the branch: by paths, symlinks, submodules and what git does with files."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from deploy_pipeline.errors import DeployError
from tests.attacks.conftest import CHART, CHART_APP, SECRET, Attacker, helm_app, kustomize_apps

CHANNEL = "channels/test.yaml"
PATHS = ("../outside", "kubernetes/../../outside", "/etc", "C:\\x", "-x", "$(id)", "kubernetes/c,/etc/passwd")
NAMES = ("../outside/values", "/etc/passwd", "a/b", ".hidden", "-x", "x y", "")
OPENED = (
    "resources: ['{path}/objects.yaml']",
    "re\u017fources: ['{path}/objects.yaml']",
    "components: ['{path}']",
    "crds: ['{path}/crd.json']",
    "openapi: {{path: '{path}/schema.json'}}",
    "configurations: ['{path}/c.yaml']",
    "patches: [{{path: '{path}/patch.yaml'}}]",
    "patchesStrategicMerge: ['{path}/patch.yaml']",
    "patchesJson6902: [{{path: '{path}/patch.yaml', target: {{kind: A, name: b, version: v1}}}}]",
    "replacements: [{{path: '{path}/r.yaml'}}]",
    "configMapGenerator: [{{name: a, files: ['{path}/values.yaml']}}]",
    "secretGenerator: [{{name: a, files: ['k={path}/values.yaml']}}]",
    "secretGenerator: [{{name: a, envs: ['{path}/values.yaml']}}]",
    "configMapGenerator: [{{name: a, env: '{path}/values.yaml'}}]",
    "generators: ['{path}/g.yaml']",
    "transformers: ['{path}/t.yaml']",
    "validators: ['{path}/v.yaml']",
)


def test_no_path_of_a_channel_file_leaves_the_branch(attacker: Attacker) -> None:
    """CVE-2022-24348, -24730, -24731, -24877: the file, the field and the reason are named, for each."""
    apps = [
        app
        for number, path in enumerate(PATHS)
        for app in (
            {"name": f"k{number}", "driver": "kustomize", "kustomize_dir": path},
            {**CHART_APP, "name": f"c{number}", "helm_name": f"c{number}", "helm_chart": path},
            {**CHART_APP, "name": f"v{number}", "helm_name": f"v{number}", "helm_values": [path]},
        )
    ]
    told = attacker.refused(CHART | {CHANNEL: yaml.safe_dump({"channel": "test", "releases": apps})})
    fields = ["kustomize_dir", "helm_chart", "helm_values[0]"] * len(PATHS)
    reasons = [
        re.search(rf"{CHANNEL}: releases\[{number}\]\.{re.escape(field)}: (must|there is no)", told)
        for number, field in enumerate(fields)
    ]
    assert all(reasons)


def test_no_secret_is_named_by_a_path(attacker: Attacker) -> None:
    """They become file names and parts of addresses in the stores."""
    app = {**CHART_APP, "name": "app", "secrets": NAMES, "secret_helm_values": NAMES}
    content = json.dumps({"channel": "test", "releases": [app]})
    told = attacker.refused(CHART | {CHANNEL: content})
    for field in ("secrets", "secret_helm_values"):
        for number in range(len(NAMES)):
            assert f"{CHANNEL}: releases[0].{field}[{number}]: must consist of letters" in told


def test_no_path_of_deploy_yaml_leaves_the_branch(attacker: Attacker) -> None:
    """The same for what takes part in deployments, and nothing that git would take for an option or a program."""
    good = {"url": "https://git.example/x", "ref": "0" * 40, "from": "x", "to": "kubernetes/x"}
    bad = {
        "url": ("ext::sh -c touch% x", "--upload-pack=touch", "https://me:secret@git.example/x", "file:/etc"),
        "ref": ("--upload-pack=touch", "main", "0" * 39),
        "from": ("../x", "/etc"),
        "to": ("/etc", "kubernetes/../../x", "-x"),
    }
    sources = [good | {field: value} for field, values in bad.items() for value in values]
    content = {"channels": "../outside", "include": ["/etc/**", "../**"], "sources": sources}
    told = attacker.refused({"deploy.yaml": json.dumps(content)})
    fields = ["channels", "include[0]", "include[1]"]
    fields += [f"sources[{number}].{field}" for number, field in enumerate(f for f, v in bad.items() for _ in v)]
    assert [field for field in fields if f"deploy.yaml: {field}: must" not in told] == []
    assert "secret" not in told


@pytest.mark.parametrize("relative", [False, True])
def test_no_path_of_a_kustomization_leaves_the_branch(relative: bool, attacker: Attacker) -> None:
    """Wherever kustomize would open a file, in whatever letters; relative ones climb to the top and down again."""
    path = "../" * 30 + str(attacker.outside)[1:] if relative else str(attacker.outside)
    told = attacker.refused(*kustomize_apps(text.format(path=path) for text in OPENED))
    for number in range(len(OPENED)):
        assert re.search(rf"kubernetes/{number}/kustomization\.yaml: \w+ names .*, which is not in the branch", told)


def test_generators_take_no_file_beside_their_folder(attacker: Attacker) -> None:
    """Inside of the branch kustomize itself draws the line at the kustomization's folder."""
    text = "secretGenerator: [{name: a, files: [../../channels/test.yaml]}]\n"
    assert "is not in or below" in attacker.refused({"kubernetes/app/kustomization.yaml": text})


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("kubernetes/app/one.yaml", "{outside}/values.yaml"),
        ("kubernetes/app/one.yaml", "../../../outside/values.yaml"),
        ("kubernetes/app/deep", "../../.."),
        ("kubernetes/c/templates/x.yaml", "/proc/self/environ"),
        ("kubernetes/v.yaml", "{outside}/values.yaml"),
        ("channels/test.yaml", "{outside}/values.yaml"),
        ("deploy.yaml", "{outside}/values.yaml"),
    ],
)
def test_no_symlink_leaves_the_branch(link: str, target: str, attacker: Attacker) -> None:
    """CVE-2022-24904, CVE-2022-31036: seen in git's tree, before anything is written out."""
    attacker.links[link] = target.format(outside=attacker.outside)
    files = {path: content for path, content in CHART.items() if path != link}
    assert f"a symlink that leaves the tree: '{link}'" in attacker.refused(files, apps=helm_app())


@pytest.mark.parametrize("target", ["../../other", "../../evil", "../../../../../../outside"])
def test_a_link_hides_no_way_out(target: str, attacker: Attacker) -> None:
    """Kustomize takes `..` from the text of a name, not from where a link has led: so does the check."""
    files = {
        "kubernetes/0/kustomization.yaml": f"resources: [lnk/{target}]\n",
        "kubernetes/deep/a/b/c/d/x.yaml": "x: 1\n",
        "kubernetes/deep/a/b/other/kustomization.yaml": "resources: []\n",
        "kubernetes/deep/a/b/evil/kustomization.yaml": "resources: []\n",
        "kubernetes/evil/kustomization.yaml": "resources: ['http://127.0.0.1:9/x.yaml']\n",
    }
    attacker.links["kubernetes/0/lnk"] = "../deep/a/b/c/d"
    told = attacker.refused(files, "- {name: app, driver: kustomize, kustomize_dir: kubernetes/0}\n")
    expected = {"../../evil": "which is an address", "../../other": "kustomize failed"}
    assert expected.get(target, "which is not in the branch") in told


def test_a_file_below_a_thousand_folders_is_refused(attacker: Attacker) -> None:
    """What goes through folders by a function that calls itself would fail in them, and remove none of them."""
    files, apps = kustomize_apps(["resources: []"])
    deployer = attacker.push(files, apps)
    blob = deployer.origin.git("hash-object", "-w", "--stdin", stdin=b"x").strip()
    attacker.push_entry(deployer.origin, f"100644 {blob}\tkubernetes/0/{'d/' * 1000}x\n")
    told = attacker.told(deployer)
    assert "a path of more than 100 folders: 'kubernetes/0/d/" in told
    assert len(told) < 500


def test_a_submodule_is_refused(attacker: Attacker) -> None:
    """CVE-2024-32002, CVE-2025-48384: none is ever cloned, whatever `.gitmodules` says."""
    modules = (
        f'[submodule "x"]\n\tpath = kubernetes/x\n\turl = ext::sh -c "touch {attacker.marker}"\n\tupdate = !touch\n'
    )
    deployer = attacker.push({".gitmodules": modules})
    attacker.push_entry(deployer.origin, f"160000 {deployer.origin.heads()['main']}\tkubernetes/x\n")
    assert "a submodule: 'kubernetes/x'" in attacker.told(deployer)


def test_a_branch_that_git_would_not_fetch_stops_no_other(attacker: Attacker) -> None:
    """What git's own check of objects would refuse is refused for the branch that holds it, not for all."""
    deployer = attacker.push({})
    git = deployer.origin.git
    deployer.origin.commit("evil", {".gitmodules": '[submodule "x"]\n\tupdate = !touch x\n\tpath = -x\n\turl = -u\n'})
    blob = git("hash-object", "-w", "--stdin", stdin=b"x").strip()
    folder = git("mktree", stdin=f"100644 blob {blob}\tconfig\n".encode()).strip()
    inner = git("ls-tree", "evil:kubernetes") + f"040000 tree {folder}\t.git\n"
    kubernetes = git("mktree", stdin=inner.encode()).strip()
    top = git("ls-tree", "evil").replace(git("rev-parse", "evil:kubernetes").strip(), kubernetes)
    commit = git("commit-tree", "-p", "evil", "-m", "Attack", git("mktree", stdin=top.encode()).strip()).strip()
    git("update-ref", "refs/heads/evil", commit)
    with pytest.raises(DeployError, match=r"a path into git's own folder: 'kubernetes/\.git/config'"):
        deployer.render("evil")
    assert deployer.render("main").changed


def test_a_pointer_of_git_lfs_is_refused(attacker: Attacker) -> None:
    """No filter runs, so nobody fetches what the pointer stands for: it must not pass for values."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 100\n"
    files = CHART | {".gitattributes": "*.yaml filter=lfs\n", "kubernetes/v.yaml": pointer}
    told = attacker.refused(files, apps=helm_app())
    assert "a Git LFS pointer in place of its file: 'kubernetes/v.yaml'" in told
    assert "commit the file itself" in told


def test_no_filter_and_no_hook_of_a_branch_runs(attacker: Attacker) -> None:
    """CVE-2022-39253, CVE-2022-24439: files come out of git's store as they are, and hooks are off."""
    deployer = attacker.push(
        {
            ".gitattributes": "* filter=evil diff=evil merge=evil\n",
            "hooks/post-checkout": f"#!/bin/sh\ntouch {attacker.marker}\n",
            ".gitconfig": f'[filter "evil"]\n\tsmudge = touch {attacker.marker}\n[core]\n\tfsmonitor = touch\n',
        }
    )
    assert deployer.render().changed


def test_what_stands_in_no_tree_cannot_be_read_back(attacker: Attacker) -> None:
    """A chart's own files are those of the chart's folder: `.Files` reaches no other."""
    template = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
        'data: {a: {{ .Files.Get "../v.yaml" | quote }}, '
        f'b: {{{{ .Files.Get "{attacker.outside}/values.yaml" | quote }}}}}}\n'
    )
    deployer = attacker.push(CHART | {"kubernetes/c/templates/x.yaml": template}, apps=helm_app())
    deployer.render()
    shown = deployer.show("rendered/test/app.yaml")
    assert SECRET not in shown
    assert "of-the-branch" not in shown


def test_no_name_of_a_chart_is_a_path(attacker: Attacker) -> None:
    """CVE-2024-25620, CVE-2026-35206: Helm itself refuses, and says so of the app."""
    chart = "apiVersion: v2\nname: ../../evil\nversion: 1.0.0\n"
    told = attacker.refused(CHART | {"kubernetes/c/Chart.yaml": chart}, apps=helm_app())
    assert "test/app (kubernetes/c)" in told
    assert "is invalid" in told
