"""The table of routes, and what a handler is given.

A route says who may use it: a role for people, permissions for Apps. A handler answers a document, a list that is
paged by the server, or refuses by an ApiError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.github.access import Caller
from tests.support.github.errors import not_found
from tests.support.github.state import Pull, Repository, State

REPOSITORY = "/repos/{owner}/{repo}"


@dataclass(frozen=True)
class Call:
    """One request, already checked. ``base_url`` is the address of the API."""

    state: State
    caller: Caller
    arguments: Mapping[str, str]
    query: Mapping[str, str]
    body: dict[str, Any]
    base_url: str
    _repository: Repository | None = None

    @property
    def repository(self) -> Repository:
        """The repository of the path."""
        if self._repository is None:
            raise not_found()
        return self._repository

    @property
    def pull(self) -> Pull:
        """The pull request of the path."""
        number = self.arguments.get("pull_number") or self.arguments["issue_number"]
        found = self.repository.pulls.get(int(number)) if number.isdigit() else None
        if found is None:
            raise not_found()
        return found


@dataclass(frozen=True)
class Answer:
    """What a handler says; ``paged`` is a list of which the server shows one page, in ``wrap`` if that is given."""

    body: Any = None
    status: int = 200
    paged: bool = False
    wrap: Callable[[list[Any]], Any] = field(default=lambda page: page)


@dataclass(frozen=True)
class Route:
    """A handler and who may use it."""

    handler: Callable[[Call], Answer]
    role: str
    permissions: tuple[str, ...]


ROUTES: dict[tuple[str, str], Route] = {}

Handler = Callable[[Call], Answer]


def route(
    method: str, path: str, role: str = "read", permissions: tuple[str, ...] = ("metadata",)
) -> Callable[[Handler], Handler]:
    """Serve an operation of the description by this function."""

    def register(handler: Handler) -> Handler:
        ROUTES[method, path] = Route(handler, role, permissions)
        return handler

    return register


def pages(items: list[Any], *, wrap: Callable[[list[Any]], Any] = lambda page: page) -> Answer:
    """A list that is shown in pages."""
    return Answer(items, paged=True, wrap=wrap)
