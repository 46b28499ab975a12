"""Drift for people: what differs, who did it and when, what was put back and what was not.

Values come from a cluster that somebody else wrote to: nothing of them can end a code fence or start markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deploy_pipeline.changes.change_set import FieldChange
from deploy_pipeline.changes.drift import AppDrift, Deviation, DriftResult, FieldDrift, ObjectDrift, Writer
from deploy_pipeline.changes.report import clip, cut, fenced, field_lines, painted

COLUMNS = ("object", "field", "is", "released", "by", "since")
_SIGNS = {Deviation.CHANGED: "~", Deviation.MISSING: "+", Deviation.EXTRA: "-"}


def drift_summary(result: DriftResult) -> str:
    """One line: ``no drift``, or the counts, and what became of it."""
    if not any(app.objects for app in result.apps):
        return "no drift"
    found = _counted({key: sum(app.counts[key] for app in result.apps) for key in result.apps[0].counts})
    healed = [app.app for app in result.apps if app.healed and app.restorable]
    return f"drifted: {found}" + (f"; healed: {', '.join(healed)}" if healed else "")


def drift_text(result: DriftResult, *, colour: bool = False) -> str:
    """The drift of a channel for a terminal."""
    if not result.released:
        return f"nothing was released to {result.channel} yet"
    verdict = "is not as it was released" if result.drifted else "is as it was released"
    lines = [f"{result.channel} {verdict} at {result.commit}", drift_summary(result)]
    lines += [f"not healed: {reason}" for reason in result.not_healed]
    for app in result.apps:
        if app.objects:
            lines += ["", f"{app.app} ({app.driver or 'not an app of the channel'}): {app_summary(app)}"]
            lines += [f"  not healed: {reason}" for reason in app.not_healed]
            lines += [f"  {painted(line, colour)}" for line in _app_lines(app)]
    if result.unseen:
        lines += ["", f"not looked at for extra objects: {', '.join(result.unseen)}"]
    return "\n".join(lines)


def app_summary(app: AppDrift) -> str:
    """The counts of one app in one line, and whether they were put back."""
    if not app.objects:
        return "as released"
    return f"{_counted(app.counts)}, {app.as_released} as released" + (
        "; healed" if app.healed and app.restorable else ""
    )


def app_differences(app: AppDrift, *, limit: int = 60_000) -> str:
    """Everything that differs in one app, as Markdown."""
    return cut("\n".join(fenced(list(_app_lines(app)))), limit, "drift") if app.objects else "none"


def drift_rows(app: AppDrift) -> Iterator[dict[str, str]]:
    """What differs in one app as rows of a table: a field each, or a missing or extra object."""
    for item in app.objects:
        if item.deviation is not Deviation.CHANGED:
            yield _row(item, "", item.deviation.value, "", item.writer)
        for field in item.fields:
            yield _row(item, field.path, clip(field.live), clip(field.released), field.writer)


def _row(item: ObjectDrift, field: str, live: str, released: str, writer: Writer | None) -> dict[str, str]:
    cells = (str(item.ref), field, live, released, writer.manager if writer else "", writer.time if writer else "")
    return dict(zip(COLUMNS, cells, strict=True))


def _app_lines(app: AppDrift) -> Iterator[str]:
    for item in app.objects:
        note = "" if item.deviation is Deviation.CHANGED else f" is {item.deviation.value}{_by(item.writer)}"
        yield f"{_SIGNS[item.deviation]} {item.ref}{note}"
        for field in item.fields:
            yield from field_lines(FieldChange(field.path, field.live, field.released))
            yield f"    {_doing(field)}"


def _doing(field: FieldDrift) -> str:
    if field.live is None:
        return "removed"
    return f"{'changed' if field.released is not None else 'added'}{_by(field.writer)}"


def _by(writer: Writer | None) -> str:
    parts = (
        [f"by {writer.manager}" if writer.manager else "", f"at {writer.time}" if writer.time else ""] if writer else ()
    )
    words = " ".join(filter(None, parts))
    return f" ({words})" if words else ""


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {word}" for word, number in counts.items())
