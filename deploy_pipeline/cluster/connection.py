"""The connection to one Kubernetes API server.

Requests are plain JSON, because the model classes of the official client would drop fields they do not know. What can
do no harm is tried again; credentials that the server does not accept (any more) are read anew, since token files are
replaced and plugins fail for a moment.
"""

from __future__ import annotations

import http.client
import json
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy_pipeline import process_redaction
from deploy_pipeline.cluster.access import Access
from deploy_pipeline.errors import ClusterUnreachable

APPLY_PATCH = "application/apply-patch+yaml"
_IDEMPOTENT_TRIES = 3
_RENEW_AGAIN = 10.0  # seconds: a plugin may be slow, and a cloud may count how often it is asked
_LONGEST_MESSAGE = 500
_UNKNOWN = 'forbidden: User "system:anonymous" cannot '
_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True)
class Answer:
    """What the API server said: HTTP status and the parsed JSON body."""

    status: int
    body: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether the request was carried out."""
        return 200 <= self.status < 300

    @property
    def is_transient(self) -> bool:
        """Whether the server could not answer now: overloaded or broken.

        A manifest with a field that the schema does not know makes server-side apply answer 500 as well; that one will
        not pass by itself.
        """
        return self.status == 429 or (self.status >= 500 and "failed to create typed" not in self.message)

    @property
    def is_to_nobody(self) -> bool:
        """Whether the server does not know who asked: there were no credentials, or none that it accepts.

        Admission webhooks answer with any status.
        """
        if self.message.startswith("admission webhook"):
            return False
        return self.status == 401 or (self.status == 403 and _UNKNOWN in self.message)

    @property
    def reason(self) -> str:
        """The server's machine-readable reason, such as ``NotFound`` or ``Invalid``."""
        return str(self.body.get("reason") or self.status)

    @property
    def message(self) -> str:
        """The server's words. May quote values of the object: redact before showing."""
        return str(self.body.get("message") or f"HTTP {self.status}")

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields the server complains about, with its reason but without their values."""
        causes = (self.body.get("details") or {}).get("causes") or ()
        return tuple(f"{cause.get('field', '?')}: {cause.get('reason', 'invalid')}" for cause in causes)


class Connection:
    """Sends requests to one cluster. Safe to share between threads.

    Raises ClusterUnreachable when the server does not answer, is overloaded (429), broken (5xx) or does not know us
    (401), after trying again where that can do no harm; every other status comes back as an :class:`Answer`.
    """

    def __init__(self, kubeconfig: Path | None = None, context: str | None = None) -> None:
        self._access = Access(kubeconfig, context)
        self._renewing = threading.Lock()
        self._renewed_at = -math.inf

    @property
    def context(self) -> str:
        """The context of the kubeconfig, the same from now on; empty for the account of this pod."""
        return self._access.context

    @property
    def host(self) -> str:
        """The server's URL, for messages."""
        return self._access.host

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Read one resource or list."""
        return self.send("GET", path, query)

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        *,
        once: bool = False,
    ) -> Answer:
        """Send one request; ``query`` values are encoded here, ``path`` must be already.

        With ``once`` an unanswered apply is not repeated, so that the answer tells what this very request did.
        """
        data = None if body is None else _encode(body).encode()
        repeatable = method == "GET" or (content_type == APPLY_PATCH and not once)
        for attempt in range(_IDEMPOTENT_TRIES if repeatable else 1):
            if attempt:
                time.sleep(0.2 * 2**attempt)
            try:
                answer = self._once(path, method, query or {}, data, content_type)
            except OSError as error:
                problem = f"{type(error).__name__}: {error}"
            except http.client.HTTPException as error:  # which quotes whatever came instead of HTTP
                problem = type(error).__name__
            else:
                if not answer.is_transient:
                    return answer
                problem = f"HTTP {answer.status} {answer.reason}{_words(path, answer)}"
        raise ClusterUnreachable(
            f"the cluster at {self.host} did not answer {method} {path.partition('?')[0]}: {problem}",
            hint="check that the API server is up and that KUBECONFIG names it; the run is retried by itself",
        )

    def _once(self, path: str, *request: Any) -> Answer:
        """The server's answer to us; it has carried nothing out of what it answered to nobody."""
        used = self._access
        answer = _answer(used.ask(path, *request))
        if answer.is_to_nobody and (renewed := self._renewed(used)):
            answer = _answer(renewed.ask(path, *request))
        if answer.is_to_nobody:
            said = f"HTTP {answer.status}{_words(path, answer)}"
            raise ClusterUnreachable(
                f"the cluster at {self.host} does not accept {self._access}: {said}",
                hint="try `kubectl get namespaces` with it: a token may have expired, or the plugin that gets one may "
                "fail; the run is retried by itself",
            )
        return answer

    def _renewed(self, used: Access) -> Access | None:
        """Access by the credentials of now; None if they were read a moment ago, and are those that were used."""
        with self._renewing:
            if self._access is used and time.monotonic() - self._renewed_at > _RENEW_AGAIN:
                self._renewed_at = time.monotonic()
                self._access = used.renewed()
            return self._access if self._access is not used else None


def _answer(said: tuple[int, bytes]) -> Answer:
    status, content = said
    return Answer(status, _parse(content))


def _parse(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data) if data else {}
    except ValueError:
        return {"message": "the answer is not JSON"}
    return body if isinstance(body, dict) else {"message": "the answer is not an object"}


def _words(path: str, answer: Answer) -> str:
    """What the server said on top of its status, on one line; not about Secrets, since it may quote their values."""
    if "/secrets" in path or not answer.body.get("message"):
        return ""
    return ": " + process_redaction.redact(" ".join(answer.message.split()))[:_LONGEST_MESSAGE]
