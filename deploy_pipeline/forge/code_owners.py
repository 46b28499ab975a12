"""CODEOWNERS: who has to approve changes of a file, as GitHub reads it, and which files nobody of them approved.

The patterns are the business of the package ``codeowners``. What differs between forges is taken care of here: GitHub
knows comments at the end of a line and no sections.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from deploy_pipeline.forge.forge import MergedPullRequest

if TYPE_CHECKING:
    from codeowners import CodeOwners

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where GitHub looks, in this order. Source: GitHub's documentation, "About code owners"."""

_COMMENT = re.compile(r"(^|\s)#.*")
_SHOWN = 10


def owners_named(text: str) -> frozenset[str]:
    """Everybody a CODEOWNERS file names, in lower case: ``@user``, ``@org/team``, ``address@host``."""
    return frozenset(owner.lower() for line in _lines(text) for owner in line.split()[1:] if "@" in owner)


def paths_without_approval(pull: MergedPullRequest, approvers: Iterable[str], paths: Iterable[str]) -> Iterator[str]:
    """One line for each group of owners that has to approve and did not; paths without owners need nobody."""
    if pull.code_owners is None:
        yield "the channel asks for approvals of code owners, and the release branch has no CODEOWNERS"
        return
    try:
        parsed = _parsed(pull.code_owners)
    except (ValueError, re.error):
        yield "CODEOWNERS on the release branch cannot be read"
        return
    logins = {login.lower() for login in approvers}
    waiting: dict[tuple[str, ...], list[str]] = {}
    for path in sorted(paths):
        owners = tuple(sorted(owner for _, owner in parsed.of(path)))
        if owners and not logins & _people(owners, pull.teams, pull.emails):
            waiting.setdefault(owners, []).append(path)
    for owners, theirs in waiting.items():
        more = f" and {len(theirs) - _SHOWN} more" if len(theirs) > _SHOWN else ""
        yield f"no approval of {' or '.join(owners)}, who own {', '.join(theirs[:_SHOWN])}{more}"


def _parsed(text: str) -> CodeOwners:
    from codeowners import CodeOwners

    return CodeOwners("\n".join(line for line in _lines(text) if not line.startswith("[")))


def _lines(text: str) -> list[str]:
    """The rules, without comments."""
    stripped = (_COMMENT.sub("", line).strip() for line in text.split("\n"))
    return [line for line in stripped if line]


def _people(owners: Iterable[str], teams: Mapping[str, frozenset[str]], emails: Mapping[str, str]) -> set[str]:
    """Logins in lower case; a team or address nobody could look up stands for nobody."""
    found: set[str] = set()
    for owner in (owner.lower() for owner in owners):
        if "/" in owner:
            found |= {login.lower() for login in teams.get(owner, frozenset())}
        elif owner.startswith("@"):
            found.add(owner[1:])
        elif owner in emails:
            found.add(emails[owner].lower())
    return found
