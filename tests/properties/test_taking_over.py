"""Objects that ``kubectl apply`` made are taken over: nothing is lost, nothing is left."""

from __future__ import annotations

import re

import pytest
from hypothesis import settings

from tests.properties.cluster_view import Json
from tests.properties.differ import fields_between
from tests.properties.histories import TAKING_OVER, Deed, History, histories
from tests.properties.playing import play_all, play_end
from tests.properties.promise import is_nobodys_choice
from tests.properties.stage import Place, Stage

MARK = "mark-of-alice"
# A Job without labels is shown by the server with those of its pods. Once somebody gives it a label, they are its own.
_OF_UNLABELLED_JOBS = re.compile(r"metadata\.labels.*(controller-uid|job-name).*")


@pytest.mark.timeout(1800)
def test_what_is_taken_over_becomes_what_a_first_release_makes(stage: Stage) -> None:
    """But for what others wrote besides, which stays; and the takeover itself does what was shown."""
    play_all(stage, histories(stage.able(TAKING_OVER)), settings(max_examples=6, derandomize=True), take_over)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_is_taken_over_becomes_what_a_first_release_makes_in_many_more_histories(stage: Stage) -> None:
    """The same for histories that differ each time."""
    play_all(stage, histories(stage.able(TAKING_OVER)), settings(max_examples=100), take_over)


def take_over(place: Place, history: History) -> bool:
    """The first state is applied by kubectl and marked by somebody; the second released here, and on empty ground."""
    place.kubectl_apply(history.first["web"])
    for manifest in history.first["web"]:
        assert place.do(Deed("merge", _stub(manifest, labels={MARK: "a"})))
    if not play_end(place, history):
        return False
    with place.stage.place() as empty:
        empty.commit(history.second)
        empty.promote()
        empty.release()
        there = {text_of(manifest) for manifest in history.first["web"]}
        for manifest in history.second["web"]:
            _compare(place, empty, manifest, marked=text_of(manifest) in there)
    return True


def _compare(place: Place, empty: Place, manifest: Json, *, marked: bool) -> None:
    taken, new = (there.symbolic(there.stage.view.get(there.real(manifest)) or {}) for there in (place, empty))
    different = {
        path: change
        for path, change in fields_between(new, taken).items()
        if not is_nobodys_choice(manifest["kind"], path) and not _OF_UNLABELLED_JOBS.fullmatch(path)
    }
    expected = {f"metadata.labels.{MARK}": (None, '"a"')} if marked else {}
    assert different == expected, f"{text_of(manifest)}: otherwise than after a first release: {different}"


def text_of(manifest: Json) -> str:
    """Kind, namespace and name."""
    metadata = manifest["metadata"]
    return f"{manifest['kind']} {metadata.get('namespace', '')}/{metadata['name']}"


def _stub(manifest: Json, **metadata: Json) -> Json:
    named = {key: manifest["metadata"][key] for key in ("name", "namespace") if key in manifest["metadata"]}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": {**named, **metadata}}
