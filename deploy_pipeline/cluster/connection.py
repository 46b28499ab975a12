"""The connection to one Kubernetes API server, as the official Python client configures it.

The client's configuration does what it does well (kubeconfig, contexts, in-cluster accounts, token refresh); requests
are plain JSON, because the generated model classes would drop fields they do not know. What the client does not do:
credentials that the server does not accept (any more) are read anew, once, since files are replaced and plugins fail
for a moment while a deployer runs for days.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

from deploy_pipeline import process_redaction
from deploy_pipeline.cluster.transport import Transport
from deploy_pipeline.errors import ClusterUnreachable, SettingsError
from deploy_pipeline.private_files import process_directory
from kubernetes import client, config

APPLY_PATCH = "application/apply-patch+yaml"
_IDEMPOTENT_TRIES = 3
_LONGEST_MESSAGE = 500
_encode = json.JSONEncoder(separators=(",", ":")).encode
# A plugin that fails, is not there, or prints something else than credentials; a kubeconfig that is something else. The
# client has no common type for them.
_NOT_AS_EXPECTED = (LookupError, ValueError, TypeError, AttributeError)
_NO_CREDENTIALS = (config.ConfigException, OSError, *_NOT_AS_EXPECTED)


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
        """Whether the server does not know who asked: there were no credentials, or none that it accepts."""
        return self.status == 401 or (self.status == 403 and 'User "system:anonymous"' in self.message)

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
        self._named = kubeconfig, context
        self._access = _Access(*self._named)
        self._renewing = threading.Lock()

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
        repeatable = method == "GET" or (content_type == APPLY_PATCH and not once)
        for attempt in range(_IDEMPOTENT_TRIES if repeatable else 1):
            if attempt:
                time.sleep(0.2 * 2**attempt)
            try:
                answer = self._once(method, path, query, body, content_type)
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

    def _once(self, *request: Any) -> Answer:
        """The server's answer to us; it has carried nothing out of what it answered to nobody."""
        used = self._access
        answer = used.ask(*request)
        if answer.is_to_nobody:
            answer = self._renewed(used).ask(*request)
        if answer.is_to_nobody:
            raise ClusterUnreachable(
                f"the cluster at {self.host} does not accept the deployer's credentials: HTTP {answer.status}",
                hint="try `kubectl get namespaces` with this kubeconfig: a token may have expired, or the plugin that "
                "gets one may fail; the run is retried by itself",
            )
        return answer

    def _renewed(self, used: _Access) -> _Access:
        """Access by the kubeconfig as it is now, unless another thread has got it already."""
        with self._renewing:
            if self._access is used:
                self._access = _Access(*self._named)
            return self._access


class _Access:
    """Where the server is and who we are there, by the kubeconfig as it was when it was read."""

    def __init__(self, kubeconfig: Path | None, context: str | None) -> None:
        configuration = _load(kubeconfig, context)
        self.host = str(configuration.host)
        self._transport = Transport(configuration)
        self._client = client.ApiClient(configuration)
        self._prefix = urlsplit(self.host).path.rstrip("/")
        self._authenticating = threading.Lock()

    def ask(self, method: str, path: str, query: Mapping[str, str] | None, body: Any, content_type: str) -> Answer:
        """Send one request, once. Raises what the transport does."""
        headers = {"Accept": "application/json", "User-Agent": "deploy-pipeline"}
        fields = list((query or {}).items())
        self._authenticate(headers, fields)
        target = self._prefix + path + ("?" + urlencode(fields) if fields else "")
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = _encode(body).encode()
        status, content = self._transport.send(method, target, data, headers)
        return Answer(status, _parse(content))

    def _authenticate(self, headers: dict[str, str], fields: list[tuple[str, str]]) -> None:
        """Add the credentials, which refreshes tokens in place and may run a plugin that the kubeconfig names."""
        try:
            with self._authenticating:
                self._client.update_params_for_auth(headers, fields, ["BearerToken"])
        except _NO_CREDENTIALS as error:
            problem = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_MESSAGE]
            raise ClusterUnreachable(
                f"no credentials for the cluster at {self.host}: {problem}",
                hint="run the credential plugin of the kubeconfig by hand; the run is retried by itself",
            ) from None
        if given := headers.pop("authorization", "").strip():  # the client keeps the line break of a token file
            process_redaction.learn([given.partition(" ")[2]])
            if not (given.isascii() and given.isprintable()):
                raise SettingsError(
                    f"the token for the cluster at {self.host} holds what no token does: line breaks, or letters "
                    "beyond ASCII",
                    hint="write it into the kubeconfig, or its token file, anew",
                )
            headers["Authorization"] = given


def _load(kubeconfig: Path | None, context: str | None) -> client.Configuration:
    configuration = client.Configuration()
    try:
        if kubeconfig is None and context is None and not _has_default_kubeconfig():
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(
                config_file=str(kubeconfig) if kubeconfig else None,
                context=context,
                client_configuration=configuration,
                temp_file_path=str(process_directory()),  # for the keys that are in it: the client needs them as files
            )
        if configuration.key_file:
            process_redaction.learn([Path(configuration.key_file).read_text(encoding="utf-8")])
    except (config.ConfigException, OSError, yaml.YAMLError, *_NOT_AS_EXPECTED) as error:
        named = f" by {kubeconfig}" if kubeconfig else ""
        raise SettingsError(
            f"no cluster to talk to{named}: {_problem(error)}",
            hint="set KUBECONFIG (or DEPLOY_KUBECONFIG, and DEPLOY_DIFF_KUBECONFIG) to a kubeconfig of the cluster",
        ) from None
    return configuration


def _problem(error: Exception) -> str:
    """What is wrong with a kubeconfig, without what is in it."""
    if isinstance(error, config.ConfigException):
        return str(error).partition("{")[0]  # the client names entries by all that is in them, tokens as well
    if isinstance(error, OSError):
        return str(error)
    mark = getattr(error, "problem_mark", None)
    return f"it is no kubeconfig ({type(error).__name__}{f', line {mark.line + 1}' if mark else ''})"


def _has_default_kubeconfig() -> bool:
    return any(Path(part).expanduser().exists() for part in config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION.split(":"))


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
