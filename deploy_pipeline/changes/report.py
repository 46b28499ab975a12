"""A change set for people: Markdown for the Dagster UI, plain text for a terminal.

The values shown come from branches nobody trusts yet, so nothing of them can end a code fence or start markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from difflib import unified_diff

from deploy_pipeline.changes.change_set import AppChanges, ChangeSet, FieldChange, ObjectChange, Operation

_SIGNS = {
    Operation.CREATE: "+",
    Operation.UPDATE: "~",
    Operation.RECREATE: "!",
    Operation.PRUNE: "-",
    Operation.NONE: " ",
}
_COLOURS = {"+": "32", "-": "31", "~": "33", "!": "31"}
_LONGEST_VALUE = 400
_LONGEST_TEXT = 20_000
# The line above the fields says these already.
_NAMED_BY_REF = frozenset(("apiVersion", "kind", "metadata.name", "metadata.namespace"))


IN_WORDS = {
    "create": "created",
    "update": "changed",
    "recreate": "recreated",
    "prune": "pruned",
    "none": "unchanged",
}
"""What happened to objects, by the value of Operation."""


def summary(change_set: ChangeSet) -> str:
    """The counts in one line: ``2 created, 1 changed, 0 pruned, 12 unchanged``; recreated ones if there are any."""
    counts = change_set.counts
    line = ", ".join(f"{counts[key]} {word}" for key, word in IN_WORDS.items() if counts[key] or key != "recreate")
    again = sum(1 for app in change_set.apps if app.reapply)
    return f"{line}; {again} app(s) applied again" if again else line


def markdown(change_set: ChangeSet, *, limit: int = 60_000) -> str:
    """Summary table, then each app's changes; cut at ``limit`` characters with a line that says so."""
    lines = [
        f"**{inline(change_set.channel)}**: {summary(change_set)}",
        "",
        f"Digest `{change_set.digest}`",
        "",
        *_versions(change_set),
        f"| app | driver | {' | '.join(IN_WORDS.values())} | |",
        f"|---|---|{'--:|' * len(IN_WORDS)}---|",
        *(_row(app) for app in change_set.apps),
    ]
    for app in change_set.apps:
        if not app.is_empty or app.warnings or app.hooks or app.ignored:
            lines += ["", *_section(app)]
    return cut("\n".join(lines), limit, "diff")


def text(change_set: ChangeSet, *, colour: bool = False) -> str:
    """The change set for a terminal."""
    lines = [f"channel {change_set.channel}: {summary(change_set)}", f"digest {change_set.digest}"]
    lines += [f"secrets: {versions}"] if (versions := secret_versions(change_set)) else []
    for app in change_set.apps:
        if app.is_empty and not app.warnings and not app.ignored:
            continue
        lines += ["", f"{app.app} ({app.driver}{', left the channel' if app.removed else ''})"]
        lines += [f"  ! {warning}" for warning in app.warnings]
        lines += [f"  ~ {app.reapply}"] if app.reapply else []
        lines += [f"    hook: {hook}" for hook in app.hooks]
        lines += [f"    ignored: {fields}" for fields in app.ignored]
        lines += [f"  {painted(line, colour)}" for change in app.changed for line in object_lines(change)]
    return "\n".join(lines)


def secret_versions(change_set: ChangeSet) -> str:
    """Which version of each secret takes part, as far as the store numbers them."""
    return ", ".join(str(secret) for secret in change_set.secrets if secret.version)


def differences(approved: ChangeSet, today: ChangeSet, *, limit: int = 20) -> tuple[str, ...]:
    """What differs between two change sets, one line each: the reasons why one is not the other."""
    found = [
        f"{what}: approved {_short(old)}, now {_short(new)}"
        for what, old, new in (
            ("channel", approved.channel, today.channel),
            ("cluster", approved.cluster, today.cluster),
            ("tree", approved.tree, today.tree),
        )
        if old != new
    ]
    found += _secret_differences(approved, today)
    old_changes, new_changes = _by_object(approved), _by_object(today)
    for key in sorted(old_changes.keys() | new_changes.keys()):
        found += _object_differences(key, old_changes.get(key), new_changes.get(key))
    for name in sorted({app.app for app in (*approved.apps, *today.apps)}):
        before, now = approved.app(name), today.app(name)
        if (before.reapply if before else "") != (now.reapply if now else ""):
            found.append(f"{name}: {(now and now.reapply) or 'no longer applied again'}")
        if before and now and before.rendering != now.rendering:
            found.append(f"{name}: the chart gives something else than then")
        for word, one, other in (("approved", before, now), ("now", now, before)):
            gone = set(one.hooks if one else ()) - set(other.hooks if other else ())
            found += [f"{name}: {word} hook {hook}" for hook in sorted(gone)]
    unique = list(dict.fromkeys(found))
    return tuple(unique[:limit]) + ((f"and {len(unique) - limit} more",) if len(unique) > limit else ())


def _secret_differences(approved: ChangeSet, today: ChangeSet) -> Iterator[str]:
    then, now = ({secret.name: secret for secret in one.secrets} for one in (approved, today))
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            versions = [secret.version for secret in (then.get(name), now.get(name)) if secret and secret.version]
            yield f"secret {name} changed" + (f" (version {' → '.join(dict.fromkeys(versions))})" if versions else "")


def _by_object(change_set: ChangeSet) -> dict[tuple[str, str], ObjectChange]:
    return {(app.app, str(change.ref)): change for app in change_set.apps for change in app.changed}


def _object_differences(key: tuple[str, str], old: ObjectChange | None, new: ObjectChange | None) -> Iterator[str]:
    name = f"{key[0]}: {key[1]}"
    if new is None:
        yield f"{name}: approved to {old.operation.value if old else '?'}, now unchanged"
    elif old is None:
        yield f"{name}: now to {new.operation.value}, which was not approved"
        if new.operation is Operation.UPDATE:
            yield from (f"{name}: {f.path}: now {clip(f.before)} → {clip(f.after)}" for f in new.fields)
    elif old.operation is not new.operation:
        yield f"{name}: approved to {old.operation.value}, now to {new.operation.value}"
    else:
        for field in sorted(set(old.fields) ^ set(new.fields), key=lambda field: (field.path, field not in old.fields)):
            word = "approved" if field in old.fields else "now"
            yield f"{name}: {field.path}: {word} {clip(field.before)} → {clip(field.after)}"


def _versions(change_set: ChangeSet) -> Iterator[str]:
    if versions := secret_versions(change_set):
        yield from (f"Secrets: {inline(versions)}", "")


def _row(app: AppChanges) -> str:
    counts = app.counts
    note = "left the channel" if app.removed else app.reapply
    cells = (app.app, app.driver, *(str(counts[key]) for key in IN_WORDS), note)
    return "| " + " | ".join(inline(cell) for cell in cells) + " |"


def _section(app: AppChanges) -> Iterator[str]:
    yield f"### {inline(app.app)}"
    yield from (f"- ⚠ {inline(warning)}" for warning in app.warnings)
    yield from (f"- hook: {inline(hook)}" for hook in app.hooks)
    yield from (f"- ignored: {inline(fields)}" for fields in app.ignored)
    body = [line for change in app.changed for line in object_lines(change)]
    if body:
        yield from ("", *fenced(body))


def fenced(lines: Sequence[str]) -> Iterator[str]:
    """The lines as a Markdown block of a diff that nothing in them can end."""
    fence = "`" * max(3, 1 + max((len(run) for line in lines for run in re.findall("`+", line)), default=0))
    yield from (f"{fence}diff", *lines, fence)


def object_lines(change: ObjectChange) -> Iterator[str]:
    """What happens to an object, as lines of a diff."""
    note = " (deleted, then created anew)" if change.operation is Operation.RECREATE else ""
    yield f"{_SIGNS[change.operation]} {change.ref}{note}"
    for field in change.fields:
        if field.path not in _NAMED_BY_REF:
            yield from field_lines(field)


def field_lines(field: FieldChange) -> Iterator[str]:
    """A field before and after, as lines of a diff; texts of many lines line by line."""
    before, after = _paragraph(field.before), _paragraph(field.after)
    if max(len(before), len(after)) > 1:
        yield f"    {field.path}:"
        changes = unified_diff(before, after, n=2, lineterm="")
        yield from (f"{line[0]}     {line[1:]}" for line in changes if not line.startswith(("---", "+++", "@@")))
        return
    if field.before is not None:
        yield f"-   {field.path}: {clip(field.before)}"
    if field.after is not None:
        yield f"+   {field.path}: {clip(field.after)}"


def _paragraph(value: str | None) -> list[str]:
    """The lines of a text value; at most one for everything else, and for what is too long to be read."""
    if value is None or "\\n" not in value or len(value) > _LONGEST_TEXT:
        return []
    text = json.loads(value) if value.startswith('"') else None
    return text.splitlines() if isinstance(text, str) else []


def clip(value: str | None) -> str:
    """A value as short as people read it."""
    if value is None:
        return "(absent)"
    return value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}… ({len(value)} characters)"


def _short(value: str) -> str:
    return value[:12] if re.fullmatch("[0-9a-f]{40}", value) else value


def inline(value: str) -> str:
    """Text that no Markdown reader takes for markup."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|@~])", r"\\\1", value.replace("\n", " "))


def painted(line: str, colour: bool) -> str:
    """The line of a diff in its colour."""
    code = _COLOURS.get(line[:1])
    return f"\x1b[{code}m{line}\x1b[0m" if colour and code else line


def cut(document: str, limit: int, command: str) -> str:
    """A document of at most ``limit`` characters; one that is cut says which command shows the rest."""
    if len(document) <= limit:
        return document
    kept = document[: limit - 200].rpartition("\n")[0]
    longest = max((len(run) for run in re.findall("^`{3,}", kept, re.MULTILINE)), default=3)
    left = len(document) - len(kept)
    return f"{kept}\n{'`' * longest}\n\nCut here: {left} more characters; `deploy-pipeline {command}` shows all."
