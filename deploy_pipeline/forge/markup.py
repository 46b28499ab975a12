"""Markdown that branch content cannot break out of.

Backslashes do not keep a forge from seeing a mention, and HTML in Markdown has rules of its own. So what comes from
branches is never text: it stands in code, inline or fenced, where a forge looks for neither mentions nor links.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

_LONGEST_INLINE = 300
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # control, format (bidi), surrogate, private use, line separators
_LINK = re.compile(r"https?://[^\s<>()\[\]\"'`\\]+")


def visible(text: str) -> str:
    """One line in which every character is seen: others stand as escapes, as they could hide or reorder the rest."""
    return "".join(
        f"\\u{ord(character):04x}" if unicodedata.category(character) in _INVISIBLE and character != "\t" else character
        for character in text
    )


def code(text: str) -> str:
    """Text as code within a line; never empty, and cut where it is too long to be read."""
    shown = visible(text if len(text) <= _LONGEST_INLINE else text[:_LONGEST_INLINE] + "…") or " "
    ticks = "`" * (1 + _longest_run(shown))
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def cell(text: str) -> str:
    """Code in the cell of a table, where a bar would begin the next cell whatever stands around it."""
    return code(text.replace("|", "¦")) if text else ""


def link(text: str, url: str) -> str:
    """A link with a text of ours; the text alone if the address is not plainly http(s)."""
    return f"[{text}]({url})" if _LINK.fullmatch(url) else text


def fence_for(lines: Iterable[str]) -> str:
    """A fence that none of these lines holds."""
    return "`" * max(3, 1 + max((_longest_run(line) for line in lines), default=0))


def fold(title: str, note: str, lines: Sequence[str], after: str = "") -> str:
    """A diff that opens on a click: ``title`` from anywhere, ``note`` and ``after`` of ours, ``lines`` visible ones."""
    fence = fence_for(lines)
    summary = f"<summary><code>{html.escape(visible(title))}</code>: {note}</summary>"
    return "\n".join(
        ["<details>", summary, "", f"{fence}diff", *lines, fence, *(["", after] if after else []), "", "</details>"]
    )


def listed(title: str, items: Sequence[str], *, most: int) -> Iterator[str]:
    """A list of finished Markdown lines under a title, nothing if there are none; ``most`` says how many are shown."""
    if items:
        yield from ("", f"**{title}**", "", *(f"- {item}" for item in items[:most]))
    if len(items) > most:
        yield f"- and {len(items) - most} more"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
