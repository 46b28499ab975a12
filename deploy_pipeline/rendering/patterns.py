"""Patterns of paths, as ``include`` in deploy.yaml has them, matched in a time that no pattern can make long.

They come from branches that nobody has reviewed yet. As regular expressions, a dozen stars would keep the deployer busy
for years; here the work is at most the product of both lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_ANY_DEPTH = "**"


def matches(path: str, pattern: str) -> bool:
    """Whether a pattern covers a path: ``*``, ``?`` within one name, ``**`` for any depth, a folder for all of it."""
    if not any(wildcard in pattern for wildcard in "*?"):
        return pattern in (".", path) or path.startswith(f"{pattern}/")
    wanted = pattern.split("/")
    if wanted[-1] == _ANY_DEPTH:
        wanted.append("*")  # what is in the folder, not the folder
    return _covers(path.split("/"), wanted, _ANY_DEPTH, _name_matches)


def _name_matches(name: str, pattern: str) -> bool:
    return name == pattern or _covers(name, pattern, "*", lambda character, wanted: wanted in ("?", character))


def _covers(parts: Sequence[str], wanted: Sequence[str], star: str, equal: Callable[[str, str], bool]) -> bool:
    """Whether the parts are what is wanted, one by one, where a star stands for any number of them.

    Each star takes as few as it can. If that does not work out, only the last one has to take more: what came before it
    fits as it is.
    """
    at = asked = 0
    last_star: tuple[int, int] | None = None
    while at < len(parts):
        if asked < len(wanted) and wanted[asked] == star:
            asked += 1
            last_star = (asked, at)
        elif asked < len(wanted) and equal(parts[at], wanted[asked]):
            at, asked = at + 1, asked + 1
        elif last_star:
            asked, at = last_star[0], last_star[1] + 1
            last_star = (asked, at)
        else:
            return False
    return all(rest == star for rest in wanted[asked:])
