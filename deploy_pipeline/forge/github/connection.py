"""Talking to GitHub's API: one request at a time, with the answers judged and the waiting done in one place.

PyGithub carries requests and tokens. Its objects are not used: they fetch more than they are asked for, take a redirect
of a write for success, and repeat writes blindly. Here each call is one request, and a write is repeated only after a
look at whether it was carried out.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from deploy_pipeline.errors import ForgeRefused, ForgeUnreachable
from deploy_pipeline.forge.github.credentials import Credentials

if TYPE_CHECKING:
    from github import Github

T = TypeVar("T")
Parameters = Mapping[str, str | int]

PAGE = 100
_ATTEMPTS = 4
_UNSAID_LIMIT = 60.0  # seconds: what GitHub asks for where a secondary limit comes without Retry-After
_ABSENT = (403, 404)  # rate limits are told from a refusal before this is looked at


@dataclass(frozen=True)
class Page:
    """One page of a list: its items, its ETag, and whether another one follows."""

    items: list[Any]
    etag: str
    more: bool


@dataclass(frozen=True)
class _Answer:
    """What came back: ``headers`` by lower-case name."""

    status: int
    document: Any
    headers: Mapping[str, str]

    @property
    def message(self) -> str:
        """What GitHub says, of an answer that is no success."""
        return str(self.document.get("message", "")) if isinstance(self.document, dict) else ""

    @property
    def has_more(self) -> bool:
        """Whether another page follows."""
        return 'rel="next"' in self.headers.get("link", "")

    @property
    def asked_wait(self) -> float | None:
        """Seconds until a rate limit is over; None if the answer is about something else."""
        if self.status not in (403, 429):
            return None
        if self.headers.get("retry-after", "").isdigit():
            return float(self.headers["retry-after"])
        if self.headers.get("x-ratelimit-remaining") == "0" and self.headers.get("x-ratelimit-reset", "").isdigit():
            # One more: nobody knows when in that second it is.
            return max(0.0, float(self.headers["x-ratelimit-reset"]) - time.time()) + 1
        return _UNSAID_LIMIT if self.status == 429 or "rate limit" in self.message.lower() else None


class _Transient(Exception):
    """A try that failed and may be repeated after ``wait`` seconds."""

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


class Connection:
    """GitHub's API as one repository sees it. Opens nothing until it is used; safe to share between threads.

    ``timeout`` is for one request, ``patience`` the longest wait before a repetition, ``pause`` lies between two writes
    (GitHub asks for a second); all in seconds.
    """

    def __init__(
        self,
        api_url: str,
        repository: str,
        credentials: Credentials,
        *,
        timeout: int = 15,
        patience: float = 60,
        pause: float = 1,
    ) -> None:
        self.api_url = api_url.rstrip("/")
        self.repository = repository
        self.credentials = credentials
        self._timeout = timeout
        self._patience = patience
        self._pause = pause
        self._local = threading.local()
        self._login = ""

    @property
    def owner(self) -> str:
        """Whose repository it is."""
        return self.repository.partition("/")[0]

    @property
    def web_url(self) -> str:
        """Where the pages and git are; an Enterprise server has them beside its API."""
        return self.api_url.replace("://api.", "://", 1).removesuffix("/api/v3")

    def login(self) -> str:
        """The name our own comments carry."""
        if not self._login:
            app = self.patiently(self.credentials.app)
            self._login = f"{self.patiently(lambda: app.get_app().slug)}[bot]" if app else self.get("/user")["login"]
        return self._login

    # -- reading -----------------------------------------------------------------------------------------------------

    def get(self, path: str, parameters: Parameters | None = None) -> Any:
        """A document; a path that does not begin with ``/`` belongs to the repository."""
        return self.patiently(lambda: self._request("GET", path, parameters)).document

    def find(self, path: str, parameters: Parameters | None = None) -> Any | None:
        """A document, or None if there is none, or none for us: GitHub does not always tell which."""
        answer = self.patiently(lambda: self._request("GET", path, parameters, accept=_ABSENT))
        return None if answer.status in _ABSENT else answer.document

    def items(self, path: str, parameters: Parameters | None = None, *, within: str = "") -> Iterator[Any]:
        """Everything in a list, page by page; ``within`` is where it stands if the document is more than a list."""
        number, more = 1, True
        while more:
            query = {**(parameters or {}), "per_page": PAGE, "page": number}
            answer = self.patiently(partial(self._request, "GET", path, query))
            yield from answer.document[within] if within else answer.document
            number, more = number + 1, answer.has_more

    def page(self, path: str, parameters: Parameters, etag: str) -> Page | None:
        """One page of a list; None if it is still as it was when it had this ETag. That costs nothing of our limit."""
        accept = (304,) if etag else ()
        answer = self.patiently(lambda: self._request("GET", path, parameters, etag=etag, accept=accept))
        return None if answer.status == 304 else Page(answer.document, answer.headers.get("etag", ""), answer.has_more)

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One write, not repeated: for use in :meth:`patiently`. Deleting what is gone is fine."""
        accept = (404,) if method == "DELETE" else ()
        return self._request(method, path, body=body, accept=accept).document

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Repeat what failed in passing, a few times and with growing pauses, or as long as GitHub asks for.

        An answer that is lost says nothing about whether a write was carried out: an attempt that writes has to look
        first whether there is anything left to write.
        """
        for number in range(_ATTEMPTS):
            try:
                return self._tried(attempt)
            except _Transient as failure:
                wait = max(failure.wait, 2.0**number * min(self._pause, 1))
                if number + 1 == _ATTEMPTS or wait > self._patience:
                    asked = f" and asks to wait {failure.wait:.0f} s" if failure.wait > self._patience else ""
                    raise ForgeUnreachable(
                        self.credentials.redact(f"GitHub does not answer for {self.repository}: {failure}{asked}"),
                        hint="try again later; https://www.githubstatus.com says whether GitHub has trouble",
                    ) from None
            time.sleep(wait)
        raise AssertionError("unreachable")

    # -- one request -------------------------------------------------------------------------------------------------

    def _tried(self, attempt: Callable[[], T]) -> T:
        """One attempt, with what the libraries raise in our words; theirs could quote what must not be shown."""
        from github import GithubException
        from requests import RequestException

        try:
            return attempt()
        except RequestException as error:
            raise _Transient(type(error).__name__) from None
        except GithubException as error:  # an App asking for its token, which PyGithub does by itself
            headers = {name.lower(): str(value) for name, value in (error.headers or {}).items()}
            judged = self._judged(_Answer(error.status, error.data, headers), "the App's token")
        raise judged

    def _request(
        self,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        etag: str = "",
        accept: Container[int] = (),
    ) -> _Answer:
        """One request; raises what a status means that is neither success nor accepted."""
        address = path if path.startswith("/") else f"/repos/{self.repository}/{path}"
        token = self.credentials.token()
        conditional = {"If-None-Match": etag} if etag else {}
        try:
            status, headers, text = self._github(token).requester.requestJson(
                method, address, dict(parameters or {}), conditional, dict(body) if body is not None else None
            )
        except RuntimeError as error:  # PyGithub's word for a redirect that would take the token to another host
            raise ForgeRefused(
                f"{self.api_url} is not where the API is",
                details=[self.credentials.redact(str(error))],
                hint="let DEPLOY_GITHUB_URL be the address it leads to",
            ) from None
        answer = _Answer(status, _parsed(text, status), headers)
        if status == 401 and self.credentials.forget(token):
            raise _Transient("the App's token is refused")
        if not (200 <= status < 300 or (status in accept and answer.asked_wait is None)):
            raise self._judged(answer, f"{method} {address}")
        return answer

    def _github(self, token: str) -> Github:
        """The PyGithub object of this thread; sharing one between threads gives wrong answers."""
        if getattr(self._local, "token", None) != token:
            from github import Auth, Github

            self._local.github = Github(
                auth=Auth.Token(token),
                base_url=self.api_url,
                timeout=self._timeout,
                user_agent="deploy-pipeline",
                retry=None,
                seconds_between_requests=None,
                seconds_between_writes=self._pause,
            )
            self._local.token = token
        github: Github = self._local.github
        return github

    def _judged(self, answer: _Answer, what: str) -> Exception:
        """What an answer that is no success means."""
        wait = answer.asked_wait
        if answer.status >= 500 or wait is not None:
            return _Transient(f"{answer.status} {answer.message[:200]}", wait or 0)
        if 300 <= answer.status < 400:
            return ForgeRefused(
                f"{self.repository} has moved on GitHub", hint="let DEPLOY_GITHUB_REPOSITORY be its present name"
            )
        return ForgeRefused(
            self.credentials.redact(f"GitHub refuses {what}: {answer.status} {answer.message}"),
            details=[self.credentials.redact(line) for line in _errors(answer.document)],
            hint=_HINTS.get(answer.status, ""),
        )


_HINTS = {
    401: "the token is wrong, expired or revoked: check DEPLOY_GITHUB_TOKEN, or the App's id and key",
    403: "the token or the App must be allowed to write contents, pull requests, commit statuses and deployments, "
    "and to read metadata and members",
    404: "check DEPLOY_GITHUB_REPOSITORY, and that the token or the App may read that repository",
}


def _errors(document: Any) -> Iterator[str]:
    """What a refusal says of each field."""
    errors = document.get("errors") if isinstance(document, dict) else None
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            yield " ".join(str(error[key]) for key in ("resource", "field", "code", "message") if error.get(key))
        else:
            yield str(error)


def said(error: ForgeRefused, words: str) -> bool:
    """Whether a refusal is the one with these words."""
    return any(words in text for text in (error.message, *error.details))


def _parsed(text: str, status: int) -> Any:
    """The document; None for a page of something on the way, which can be an error and never a success."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        if status < 300:
            raise _Transient("the answer is no JSON") from None
        return None
