"""The diff where people review: a change set as one comment on a pull request.

What matters comes first and is never cut before the diffs are: what is deleted, what is made anew, hooks, warnings. The
diffs stand in folds; where they do not all fit, the short ones stay whole and the long ones share what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploy_pipeline.changes import AppChanges, ChangeSet, Operation, summary
from deploy_pipeline.changes.report import IN_WORDS, object_lines
from deploy_pipeline.forge.markup import cell, code, fence_for, fold, link, listed, visible

LIMIT = 65_000
"""Characters; GitHub takes 65,536, and the marker of the comment needs some."""

_MOST_LISTED = 60
_MOST_ROWS = 100
_MASK = "<masked "


@dataclass(frozen=True)
class DiffContext:
    """What a reviewer has to know beside the change set.

    ``candidate`` and ``source`` are commits, ``branch`` the source branch; ``computed_at`` says when; ``rendered`` the
    difference of the rendered files in counts; ``news`` what differs from what was approved or shown before.
    """

    candidate: str
    branch: str = ""
    source: str = ""
    computed_at: str = ""
    run_url: str = ""
    rendered: str = ""
    warnings: tuple[str, ...] = ()
    news: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def diff_comment(change_set: ChangeSet, context: DiffContext, *, limit: int = LIMIT) -> str:
    """The comment's Markdown, at most ``limit`` characters, whatever the branch holds."""
    head = "\n".join(_head(change_set, context))
    rest = link("The rest stands in the run.", context.run_url)
    if len(head) > limit:
        return f"{head[: limit - len(rest) - 2].rpartition(chr(10))[0]}\n\n{rest}"
    apps = [app for app in change_set.apps if app.changed]
    bodies = [[visible(line) for change in app.changed for line in object_lines(change)] for app in apps]
    folds = _fitting(apps, bodies, rest, limit - len(head))
    return "\n\n".join([head, *folds])


def _head(change_set: ChangeSet, context: DiffContext) -> Iterator[str]:
    yield f"### {code(change_set.channel)}: {summary(change_set)}"
    yield ""
    yield from _origin(change_set, context)
    if change_set.is_empty:
        yield from ("", "Nothing would change in the cluster.")
    most = _MOST_LISTED
    yield from listed("New since it was shown last", [code(line) for line in context.news], most=most)
    warnings = [*context.warnings, *(f"{app.app}: {line}" for app in change_set.apps for line in app.warnings)]
    yield from listed("⚠ Warnings", [code(line) for line in warnings], most=most)
    yield from listed("Will be deleted", _objects(change_set, "prune"), most=most)
    yield from listed("Will be deleted and made anew", _objects(change_set, "recreate"), most=most)
    hooks = [f"{code(app.app)}: {code(hook)}" for app in change_set.apps for hook in app.hooks]
    yield from listed("Hooks that will run", hooks, most=most)
    ignored = [f"{code(app.app)}: {code(fields)}" for app in change_set.apps for fields in app.ignored]
    yield from listed("Ignored, and left as it is in the cluster", ignored, most=most)
    yield from ("", *_table(change_set))


def _origin(change_set: ChangeSet, context: DiffContext) -> Iterator[str]:
    source = f" of {code(context.branch)}" if context.branch else ""
    source += f" at {code(context.source[:12])}" if context.source else ""
    yield f"- candidate {code(context.candidate[:12])}{source}"
    yield f"- digest {code(change_set.digest)}"
    if context.rendered:
        yield f"- rendered files against the release branch: {code(context.rendered)}"
    masked = sum(_MASK in f"{f.before}{f.after}" for a in change_set.apps for c in a.changed for f in c.fields)
    if masked:
        yield f"- {masked} values are masked; their fingerprints change with them"
    yield from (f"- {code(note)}" for note in context.notes)
    when = f"computed {code(context.computed_at)}" if context.computed_at else ""
    run = link("run", context.run_url) if context.run_url else ""
    if when or run:
        yield f"- {', '.join(part for part in (when, run) if part)}"


def _objects(change_set: ChangeSet, operation: str) -> list[str]:
    return [
        f"{code(app.app)}: {code(str(change.ref))}"
        for app in change_set.apps
        for change in app.changed
        if change.operation.value == operation
    ]


def _table(change_set: ChangeSet) -> Iterator[str]:
    columns = [operation.value for operation in Operation]
    yield f"| app | driver | {' | '.join(IN_WORDS[column] for column in columns)} | |"
    yield f"|---|---|{'--:|' * len(columns)}---|"
    for app in change_set.apps[:_MOST_ROWS]:
        note = "left the channel" if app.removed else cell(app.reapply)
        counts = (str(app.counts[column]) for column in columns)
        yield f"| {cell(app.app)} | {cell(app.driver)} | {' | '.join(counts)} | {note} |"
    if len(change_set.apps) > _MOST_ROWS:
        yield f"| and {len(change_set.apps) - _MOST_ROWS} more |"


def _fitting(apps: Sequence[AppChanges], bodies: Sequence[list[str]], rest: str, room: int) -> list[str]:
    """The folds, whole where they fit; else lines are left out of the longest until all fit."""
    whole = [_fold(app, body, "") for app, body in zip(apps, bodies, strict=True)]
    sizes = [len(text) + 2 for text in whole]
    if sum(sizes) <= room:
        return whole
    level = _level(sizes, room)
    fitting = [
        text if size <= level else _cut(app, body, rest, level - 2)
        for app, body, text, size in zip(apps, bodies, whole, sizes, strict=True)
    ]
    return [text for text in fitting if text]


def _level(sizes: Sequence[int], room: int) -> int:
    """The size at which long ones are cut, so that all together have room."""
    left = room
    for done, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - done)
        if size > share:
            return share
        left -= size
    return room


def _cut(app: AppChanges, body: Sequence[str], rest: str, room: int) -> str:
    """As many lines of a fold as fit; empty if not even its frame does."""
    kept, used = 0, len(_fold(app, (), f"{len(body)} lines are not shown. {rest}")) + 2 * len(fence_for(body))
    while kept < len(body) and used + len(body[kept]) + 1 <= room:
        used += len(body[kept]) + 1
        kept += 1
    return _fold(app, body[:kept], f"{len(body) - kept} lines are not shown. {rest}") if used <= room else ""


def _fold(app: AppChanges, body: Sequence[str], after: str) -> str:
    note = ", ".join(f"{count} {IN_WORDS[name]}" for name, count in app.counts.items() if count and name != "none")
    return fold(app.app, note, body, after)
