"""Playing a history and holding the deployer to its promise."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator

import pytest
import yaml
from hypothesis import HealthCheck, given, note, settings
from hypothesis.strategies import SearchStrategy

from deploy_pipeline.changes import ChangeSet, FieldChange, Operation
from deploy_pipeline.errors import DeployError
from tests.properties.cluster_view import Json
from tests.properties.histories import History
from tests.properties.promise import broken_promises
from tests.properties.stage import Place, Stage


def play_all(
    stage: Stage,
    histories: SearchStrategy[History],
    profile: settings,
    player: Callable[[Place, History], bool] | None = None,
) -> None:
    """Play random histories; a broken promise is shown with the smallest history that breaks it."""
    released: list[bool] = []

    @settings(profile, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(history=histories)
    def play_one(history: History) -> None:
        with stage.place() as place:
            released.append((player or play)(place, history))

    play_one()
    assert sum(released) > 0.7 * len(released), "too many histories end in a refusal, which says nothing of releases"


def play(place: Place, history: History) -> bool:
    """The first state is released, the cluster drifts, the second is promoted and released; False if it was refused.

    Raises AssertionError when a promise is broken.
    """
    place.commit(history.first, driver=history.driver, **history.keys)
    place.promote()
    place.release()
    for deed in history.deeds:
        place.do(deed)
    return play_end(place, history)


def play_end(place: Place, history: History) -> bool:
    """The second state is promoted and released; False if it was refused.

    Raises AssertionError when a promise is broken: what is shown is what is done, in every process; then nothing is
    left to do; what is refused changes nothing; what is to be ignored stays as it is.
    """
    place.commit(history.second, driver=history.driver, **history.keys)
    before = place.dump()
    place.stage.other.ask(place.name, place.branch)
    try:
        promotion = place.promote()
    except DeployError as refused:
        note(f"refused: {refused}")
        assert "refused" in place.stage.other.answer(), "another process refuses nothing"
        _assert_none(broken_promises(None, before, place.dump()))
        return False
    _assert_same(place.stage.other.answer(), promotion.change_set)
    place.release()
    _assert_none(broken_promises(promotion.change_set, before, place.dump()))
    left = place.diff().apps
    lines = [f"{app.app}: {change}" for app in left for change in (*app.changed, *filter(None, [app.reapply]))]
    _assert_none(["the second diff is not empty", *lines] if lines else [])
    _assert_none(list(_not_ignored(history, promotion.change_set)))
    return True


def _not_ignored(history: History, done: ChangeSet) -> Iterator[str]:
    """Fields that were changed although a rule of the channel file says that they are somebody else's.

    They go with the element of a list that they are in, when that leaves the manifest: a container without its image
    is none.
    """
    for rule in history.keys.get("app", {}).get("ignore", ()):
        for change in (change for app in done.apps for change in app.changed if change.ref.kind == rule["kind"]):
            if change.operation is Operation.UPDATE:
                named = tuple(rule["fields"]) if rule.get("name", change.ref.name) == change.ref.name else ()
                left = tuple(_below(f.path.removesuffix(".name")) for f in change.fields if _is_name_that_goes(f))
                paths = [path for path in (field.path for field in change.fields) if not _is_within(path, left)]
                ignored = [path for path in paths if path in named or _is_within(path, map(_below, named))]
                yield from (f"{change.ref}: {path} was changed, which is to be ignored" for path in ignored)


def _is_name_that_goes(field: FieldChange) -> bool:
    return field.path.endswith("].name") and field.after is None


def _below(path: str) -> tuple[str, str]:
    """How the paths of what is below a path begin."""
    return f"{path}.", f"{path}["


def _is_within(path: str, beginnings: Iterable[tuple[str, str]]) -> bool:
    return any(path.startswith(beginning) for beginning in beginnings)


def _assert_same(elsewhere: Json, here: ChangeSet) -> None:
    if elsewhere.get("digest") != here.digest:
        pytest.fail("another process computes another change set:\n" + "\n".join(_lines(elsewhere, here.to_json())))


def _lines(old: Json, new: Json) -> Iterator[str]:
    before, after = (yaml.safe_dump(value, sort_keys=True, width=110).splitlines() for value in (old, new))
    return difflib.unified_diff(before, after, "the other process", "this process", n=3, lineterm="")


def _assert_none(faults: list[str]) -> None:
    assert not faults, "\n".join(faults)
