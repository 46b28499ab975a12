"""The forms that tools give a secret value in their texts, and finding them quickly.

A value comes as it is, indented or folded by YAML, escaped by JSON or Python, quoted for an address, in base64, and as
a part of something longer that is in base64.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

_INDEXED = 3  # characters of a form by which places for it are found
_GO_JSON = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"})
_SHORTEST_WITHIN = 8  # characters: shorter parts of base64 are found by chance


def forms_of(value: str) -> set[str]:
    """The forms of one value. White space in them stands for any: indents and line breaks come and go."""
    stripped = value.strip()
    texts = {value, stripped}
    forms = set(texts)
    for text in texts:
        forms |= {text.replace("'", "''"), *_escaped(text)}
        raw = text.encode(errors="surrogatepass")
        forms |= {quote(raw, safe=""), quote(raw), quote_plus(raw)}
        forms |= {form.rstrip("=") for form in _base64(raw)}
    return {form for form in (*forms, *_within_base64(stripped.encode(errors="surrogatepass"))) if form.strip()}


def _escaped(text: str) -> Iterator[str]:
    """What stands between quotes: in JSON, in the JSON of Go (which is safe for HTML), in Python, in YAML."""
    import yaml  # not needed to print a help text

    for quoted in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        yield quoted[1:-1]
        yield quoted[1:-1].translate(_GO_JSON)
    yield repr(text)[1:-1]
    for unicode in (True, False):
        yield yaml.safe_dump(text, default_style='"', width=float("inf"), allow_unicode=unicode).strip()[1:-1]


def _base64(value: bytes) -> tuple[str, str]:
    """The value in both alphabets of base64."""
    return base64.b64encode(value).decode(), base64.urlsafe_b64encode(value).decode()


def _within_base64(value: bytes) -> Iterator[str]:
    """What every base64 of a longer text has in common if the value is a part of it.

    Three bytes become four characters, so it depends on how many bytes (modulo three) stand before the value. The
    characters at the ends, which hold bits of its neighbours, are left out.
    """
    for before, mixed in ((0, 0), (1, 2), (2, 3)):
        whole = (before + len(value)) * 8 // 6
        for encoded in _base64(bytes(before) + value):
            if whole - mixed >= _SHORTEST_WITHIN:
                yield encoded[mixed:whole]


class Finder:
    """Finds forms in texts, all of them in one pass."""

    def __init__(self, forms: Iterable[str]) -> None:
        self._by_start: dict[str, list[tuple[re.Pattern[str] | None, str]]] = {}
        for form in sorted(forms, key=lambda form: (-len(form), form)):
            words = form.split()
            spaced = len(words) > 1 or words[0] != form
            pattern = re.compile(r"\s+".join(map(re.escape, words))) if spaced else None
            self._by_start.setdefault(words[0][:_INDEXED], []).append((pattern, form))
        self._lengths = sorted({len(start) for start in self._by_start}, reverse=True)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Begin and end of what is to be masked, in order; forms that overlap make one span."""
        begin, end = 0, 0
        for start, stop in sorted(self._matches(text)):
            if start >= end:
                if end:
                    yield begin, end
                begin = start
            end = max(end, stop)
        if end:
            yield begin, end

    def _matches(self, text: str) -> Iterator[tuple[int, int]]:
        """The longest form at each place where one begins."""
        for length in self._lengths:
            for start in range(len(text)):
                for pattern, form in self._by_start.get(text[start : start + length], ()):
                    match = pattern.match(text, start) if pattern else None
                    if match or (pattern is None and text.startswith(form, start)):
                        yield start, match.end() if match else start + len(form)
                        break
