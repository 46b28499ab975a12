"""Canaries: secret values go through everything that the deployer does, and are found nowhere afterwards.

The search itself is held to places where they do lie, and each step to having brought them near something that is
shown. A value of three characters counts where it stands as a word of its own: inside of base64, ids and compressed
bytes any three characters turn up by chance.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml

from deploy_pipeline import promotion
from tests.canary.places import Place, ProcessWatch, children, content_of, files
from tests.canary.scene import Scene
from tests.canary.values import FEW, MANY, Search, forms

Begin = Callable[[Mapping[str, str]], AbstractContextManager[Scene]]

ROTATED = {"plain": "canary-rotated-91bd04", "short": "Zq9", "yaml": "- canary: [rotated"}
MORE = {"drifted": "canary-drifted-5c02ee", "kubectl": "canary-by-kubectl-aa17", "anew": "canary-put-anew-33d8"}
MASK = "<masked"
MEMORY = Path("/dev/shm")
RELEASE = """
from dagster import DagsterInstance
from deploy_pipeline.pipeline.launch import run_job
with DagsterInstance.get() as instance:
    run_job("release_channel", partition="test", config={}, instance=instance, progress=print)
"""


def test_a_few_values_are_left_nowhere(begin: Begin, log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Through a release, a rotation under review, a refusal and drift."""
    with begin(FEW) as scene, ProcessWatch() as watch:
        search = Search.of({**FEW, **_renamed(ROTATED), **MORE})
        deliver(scene)
        show_a_rotation(scene)
        be_refused(scene, "refused")
        drift(scene)
        assert found(search, [*scene.places(), *watch.places(), *said(log, capfd)]) == {}
        stored = {*FEW, *_renamed(ROTATED)} - {*ROTATED}
        assert stored <= names(search, files(scene.folder / "secrets")), "the search is blind"
    assert watch.calls_of_helm()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_many_values_are_left_nowhere(
    begin: Begin, log: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And through a failed release, refusals, a broken server, a bug, and a run that is killed while Helm works."""
    with begin(MANY) as scene, ProcessWatch() as watch:
        search = Search.of({**MANY, **_renamed(ROTATED), **MORE})
        deliver(scene)
        show_a_rotation(scene, image="web-broken:1")
        fail_to_release(scene)
        be_refused(scene, "refused")
        be_refused(scene, "fails")
        meet_a_talkative_server(scene)
        put_anew(scene)
        meet_a_bug(scene, monkeypatch)
        be_killed(scene, search)
        drift(scene)
        assert found(search, [*scene.places(), *watch.places(), *said(log, capfd)]) == {}
        assert scene.tokens["robot"].encode() not in b"".join(watch.arguments)
    assert watch.calls_of_helm()


def test_the_search_finds_every_form() -> None:
    """Of each value, in the middle of something else."""
    search = Search.of(MANY)
    for name, value in MANY.items():
        for form in forms(value):
            if len(form) >= len(FEW["short"]) and form.strip():
                assert name in search(b"before; " + form + b" ;after"), (name, form)
    assert search(b"nothing of them, and Qz7x in the middle of xQz7 and Qz7=") == frozenset()


# -- what is done ------------------------------------------------------------------------------------------------------


def deliver(scene: Scene) -> None:
    """The first release, promoted by a launch."""
    scene.done("render_candidate", branch="main")
    shown = scene.done("diff_promotion", "test", candidate="main")
    assert json.dumps(shown.to_json()).count(MASK) > 2 * len(scene.values)
    scene.done("promote", "test", candidate="main", approved_by="ann")
    scene.done("release_channel", "test")


def show_a_rotation(scene: Scene, image: str = "web:2") -> None:
    """Secrets change, and the diff is shown on the pull request that the render opened."""
    scene.store(ROTATED)
    scene.commit(step="second", image=image)
    scene.done("render_candidate", branch="main")
    scene.done("review_promotion", "test", pull_request=scene.pull().number)
    (comment,) = scene.repository.comments.values()
    assert comment.body.count(MASK) > 2 * len(ROTATED)


def fail_to_release(scene: Scene) -> None:
    """What was reviewed is merged, and a pod never starts."""
    scene.merge()
    assert "ImagePullBackOff" in scene.fails("release_channel", "test")
    assert len(scene.repository.comments) == 2


def be_refused(scene: Scene, mode: str) -> None:
    """A chart has labels that only the real values bring, or fails with the values in its message."""
    scene.commit(step=mode, mode=mode)
    scene.done("render_candidate", branch="main")
    refusal = scene.fails("diff_promotion", "test", candidate="main")
    assert {"fails": "does not with placeholders", "refused": "secret values decide"}[mode] in refusal


def meet_a_talkative_server(scene: Scene) -> None:
    """An API server that breaks with the values in its words, at each try."""
    scene.commit(step="third")
    scene.done("render_candidate", branch="main")
    for words in (json.dumps(scene.values), *_values_by_fours(scene)):
        with scene.talkative_server(words) as asked:
            assert MASK in scene.fails("diff_promotion", "test", candidate="main")
        assert len(asked) > 3


def drift(scene: Scene) -> None:
    """Somebody changes Secrets, and copies a new value into something that is none.

    At the end: nobody can know a value any more that is in no Secret.
    """
    by_kubectl = base64.b64encode(MORE["kubectl"].encode()).decode()
    drifted = base64.b64encode(MORE["drifted"].encode()).decode()
    for kind, name, data in (
        ("secret", "web", {"plain": drifted}),
        ("secret", "shop", {"plain": by_kubectl}),
        ("configmap", "leak", {"plain": MORE["drifted"]}),
    ):
        scene.patch(kind, name, {"data": data})
    result = scene.done("check_drift", "test")
    assert {item.ref.name for app in result.apps for item in app.objects} >= {"web", "shop", "leak"}


def put_anew(scene: Scene) -> None:
    """The secrets of the channel, by themselves."""
    scene.store({"plain": MORE["anew"]})
    assert "update" in {result.operation for result in scene.done("deploy_secrets", "test")}
    scene.store(ROTATED)


def meet_a_bug(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw, with everything in it and in what it came of."""

    def fail(*_: object, **__: object) -> None:
        try:
            raise KeyError(scene.values)
        except KeyError as error:
            raise ValueError(yaml.safe_dump(scene.values)) from error

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "diff_promotion", fail)
        assert "fault of deploy_pipeline" in scene.fails("diff_promotion", "test", candidate="main")


def be_killed(scene: Scene, search: Search) -> None:
    """The whole process of a release, while Helm installs; what it leaves in memory, the next one removes."""
    scene.commit(step="fourth")
    scene.done("render_candidate", branch="main")
    scene.done("promote", "test", candidate="main", approved_by="ann")
    with (scene.folder / "tmp" / "killed.log").open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", RELEASE], stdout=output, stderr=output)
        try:
            _wait_for_helm(process)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    left = list(MEMORY.glob(f"deploy-pipeline-{process.pid}-*"))
    assert left
    assert {path.stat().st_mode & 0o777 for path in left} == {0o700}
    assert "lines" in names(search, files(*left)), "there is nothing to be swept"
    scene.done("check_drift", "test")
    assert not list(MEMORY.glob(f"deploy-pipeline-{process.pid}-*"))
    scene.done("release_channel", "test")


def _wait_for_helm(process: subprocess.Popen[bytes]) -> None:
    """Until the release runs Helm in earnest."""
    deadline = time.monotonic() + 120
    while not any(map(_is_installing, children(Path("/proc", str(process.pid))))):
        assert process.poll() is None, "the release is over"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _is_installing(process: Path) -> bool:
    arguments = content_of(process / "cmdline")
    return b"\0upgrade\0" in arguments and b"--dry-run" not in arguments


# -- what is found -----------------------------------------------------------------------------------------------------


def found(search: Search, places: Iterable[Place]) -> dict[str, frozenset[str]]:
    """Which values are found where."""
    return {name: names for name, content in places if (names := search(content))}


def names(search: Search, places: Iterable[Place]) -> frozenset[str]:
    """The values that are found anywhere."""
    return frozenset().union(*found(search, places).values())


def said(log: Path, capfd: pytest.CaptureFixture[str]) -> Iterable[Place]:
    """What was logged and printed."""
    printed = capfd.readouterr()
    yield "log", log.read_bytes()
    yield "output", os.fsencode(printed.out + printed.err)


def _renamed(values: Mapping[str, str]) -> dict[str, str]:
    return {f"{name} rotated": value for name, value in values.items()}


def _values_by_fours(scene: Scene) -> Iterator[str]:
    """Messages are cut, so that not all values come through in one."""
    values = list(scene.values.values())
    for start in range(0, len(values), 4):
        yield " | ".join(values[start : start + 4])
