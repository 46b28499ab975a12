"""What a command says, and where: results on standard output (or in a file), everything else on standard error.

So ``deploy-pipeline … --json | jq`` always works, and a log of standard error tells how it went.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from deploy_pipeline.errors import DeployError, RefusedError
from deploy_pipeline.process_redaction import redact

if TYPE_CHECKING:
    from deploy_pipeline.changes import ChangeSet

Row = Sequence[str]

# All but tab, line break and the start of a colour.
_CONTROL = re.compile(r"(?!\x1b\[[0-9;]*m)[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclasses.dataclass(frozen=True)
class Output:
    """Where the result goes, and in which form: text for people, or JSON (``as_json``)."""

    as_json: bool = False
    outfile: Path | None = None

    def __post_init__(self) -> None:
        # A release must not end with the news that nobody can read what it did.
        if self.outfile and (self.outfile.is_dir() or not os.access(self.outfile.absolute().parent, os.W_OK)):
            raise RefusedError(
                f"{self.outfile} cannot be written", hint="name a file in a folder that you may write to"
            )

    @property
    def colour(self) -> bool:
        """Whether the text may hold colours: on a terminal, unless NO_COLOR says otherwise."""
        return self.outfile is None and has_colour(sys.stdout)

    def show(self, value: Any, text: str) -> None:
        """Write the result: ``value`` if JSON is wanted, else ``text``."""
        content = json.dumps(plain(value), indent=2, ensure_ascii=False) if self.as_json else printable(text)
        if self.outfile:
            _write_file(self.outfile, content + "\n")
        else:
            print(content, flush=True)  # a pipe that nobody reads any more shows here, not when Python exits

    def show_changes(self, value: Any, change_set: ChangeSet, *before: str) -> None:
        """Like :meth:`show`, with a change set as text below the lines ``before``."""
        from deploy_pipeline.changes import text

        self.show(value, "\n".join([*before, text(change_set, colour=self.colour)]))


def progress(line: str) -> None:
    """One line of progress, from any thread.

    Closed standard error must not end a release half way: then nobody is told.
    """
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{printable(redact(line))}\n")
        sys.stderr.flush()


def report(error: DeployError) -> None:
    """What went wrong, in detail, and the next step."""
    start, end = ("\x1b[31m", "\x1b[0m") if has_colour(sys.stderr) else ("", "")
    progress(f"{start}error:{end} {error}")


def has_colour(stream: TextIO) -> bool:
    """Whether the stream is a terminal of somebody who wants colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """The text without control characters, which could hide or forge lines: branches bring texts of anybody."""
    return _CONTROL.sub("�", text)


def table(head: Row, rows: Sequence[Row], *, empty: str) -> str:
    """Columns for a terminal; ``empty`` is said when there is no row."""
    if not rows:
        return empty
    lines = [tuple(name.upper() for name in head), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def plain(value: Any) -> Any:
    """A result of the core as a JSON value; a change set is what :meth:`ChangeSet.to_json` says."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if hasattr(value, "_asdict"):  # a named tuple
        return plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _write_file(path: Path, content: str) -> None:
    """Replace the file as a whole, so that no reader ever sees half of it; a device or pipe is just written to."""
    try:
        if path.exists() and not path.is_file():
            path.write_text(content, encoding="utf-8", errors="backslashreplace")
            return
        target = Path(os.path.realpath(path))
        new = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            new.write_text(content, encoding="utf-8", errors="backslashreplace")
            new.replace(target)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise RefusedError(f"{path} cannot be written: {error.strerror}", hint="name another file") from error
