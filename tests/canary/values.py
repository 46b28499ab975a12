"""Secret values of odd shapes, and a search for them in every form that a tool may give them.

The forms are worked out here anew and not taken from the redactor: what it does not know of must be found.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

import yaml

_PEM = """-----BEGIN PRIVATE KEY-----
MIIcanaryLineOneOfTheKey0123456789abcdefghijklmnopqrstuvwxyzABCD
MIIcanaryLineTwoOfTheKey+/+/+/9876543210zyxwvutsrqponmlkjihgfedc
-----END PRIVATE KEY-----
"""
PLAIN = "canary-plain-7f3a91"
FEW = {
    "plain": PLAIN,
    "short": "Qz7",
    "lines": _PEM,
    "yaml": ": canary {[*&!|>'\"%@` # -",
    "unicode": "kanarienvögel-€-канарейка-🐤",
    "encoded": base64.b64encode(PLAIN.encode()).decode(),
}
MANY = {
    **FEW,
    "twice": base64.b64encode(base64.b64encode(b"canary-in-a-canary")).decode(),
    "quotes": 'canary \'single\' and "double" \\"escaped\\"',
    "slashes": "C:\\canary\\new\\table\\u0041\\x41",
    "padded": "  canary with blanks around  ",
    "ending": "canary-with-a-line-end\n",
    "control": "canary\tand\x1b[31mred\x07bell",
    "number": "90417358264551",
    "json": '{"canary": {"key": "5521-json", "list": [1, "a"]}}',
    "address": "postgres://canary:p%40ss+w0rd=@db.example/x?y=1&z=<2>",
    "shell": "$(canary) `id` ${HOME} && ; | > canary",
    "html": "<canary a=\"b\">&amp;</canary><script>'x'</script>",
    "template": "{{ canary.template }} {% canary %}",
    "unseen": "can\u200bary\u202eleft\ufeffright",
    "windows": "canary first line\r\ncanary second line\r\n",
    "long": "".join(f"canary{number * 7919 % 104729:06}" for number in range(150)),
}

_SHORTEST = 8  # bytes of a form that chance does not make; shorter ones count as a word of their own only
_WORD = rb"(?<![A-Za-z0-9+/=_-])%s(?![A-Za-z0-9+/=_-])"  # in base64 and ids every short text turns up some day


@dataclass(frozen=True)
class Search:
    """Looks for values, given by their names."""

    patterns: Mapping[str, tuple[bytes | re.Pattern[bytes], ...]]

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Search:
        """A search for these values."""
        return cls({name: tuple(_patterns(value)) for name, value in values.items()})

    def __call__(self, content: bytes) -> frozenset[str]:
        """The names of the values that the content holds in any form."""
        return frozenset(name for name, forms in self.patterns.items() if any(_holds(content, form) for form in forms))


def _holds(content: bytes, form: bytes | re.Pattern[bytes]) -> bool:
    return form in content if isinstance(form, bytes) else form.search(content) is not None


def _patterns(value: str) -> Iterator[bytes | re.Pattern[bytes]]:
    for form in set(forms(value)):
        if len(form) >= _SHORTEST:
            yield form
        elif len(form) >= len(FEW["short"]):
            yield re.compile(_WORD % re.escape(form))


def forms(value: str) -> Iterator[bytes]:
    """The value as it is, by the line, escaped, quoted, encoded."""
    lines = [line.strip() for line in value.splitlines()]
    parts = {value, value.strip(), *(line for line in lines if len(line) >= _SHORTEST and not line.startswith("-----"))}
    for part in parts:
        raw = part.encode()
        yield from _escaped(part)
        yield from (quote(raw).encode(), quote(raw, safe="").encode(), quote_plus(raw).encode())
        yield from _encoded(raw)


def _escaped(text: str) -> Iterable[bytes]:
    for ascii_only in (True, False):
        quoted = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield quoted.encode()
        yield quoted.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode()
        yield json.dumps(quoted)[1:-1].encode()  # JSON as a text in JSON
        for style in ('"', "'"):
            dumped = yaml.safe_dump(text, default_style=style, width=10**9, allow_unicode=not ascii_only)
            yield dumped.strip()[1:-1].encode()
    yield from (text.encode(), repr(text)[1:-1].encode())


def _encoded(raw: bytes) -> Iterator[bytes]:
    """In both alphabets of base64, by itself and as a part of something longer; in hexadecimal."""
    yield raw.hex().encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).rstrip(b"=")
        for before, mixed in ((1, 2), (2, 3)):
            inner = encode(bytes(before) + raw)[mixed : (before + len(raw)) * 8 // 6]
            if len(inner) >= _SHORTEST:
                yield inner
