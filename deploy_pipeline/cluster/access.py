"""Where a cluster is and who we are there: a kubeconfig, or the account of the pod, as it was when it was read.

The official client reads it, and gets tokens: from files, plugins and clouds. What it does not do is done here: what is
read is made known to the redactor before anything is said, a fault is said without what stands in the file, and what
is read anew while a deployer runs must be about the same cluster, since all that was planned is about that one.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

from deploy_pipeline import process_redaction
from deploy_pipeline.cluster.transport import Transport
from deploy_pipeline.errors import ClusterUnreachable, DeployError, FailedError, SettingsError
from deploy_pipeline.private_files import process_directory
from kubernetes import client, config

_LONGEST_MESSAGE = 500
# What is secret of a user in a kubeconfig, and of the variables for its plugin; `client-key` and `tokenFile` are paths.
_SECRET = re.compile(r"(token|password|passphrase|secret|key-data|(?<!client-)key)$", re.IGNORECASE)
_SHORTEST_VARIABLE = 8  # characters: shorter ones may be ordinary words
_CERTIFICATE = re.compile(b"-----BEGIN CERTIFICATE-----(.*?)-----END", re.DOTALL)
_NO_CONFIG = (config.ConfigException, yaml.YAMLError, LookupError, ValueError, TypeError, AttributeError)


class Access:
    """Asks one API server as one account; safe to share between threads.

    Without ``context`` it is the current one, without ``kubeconfig`` as well the pod's account where there is no
    kubeconfig in the usual places. Raises SettingsError for what cannot be used, ClusterUnreachable where a plugin or a
    cloud has no credentials now.
    """

    def __init__(self, kubeconfig: Path | None, context: str | None) -> None:
        self._kubeconfig = kubeconfig
        self.context, configuration = _load(kubeconfig, context or "")
        self.host = str(configuration.host)
        self._transport = Transport(configuration)
        self._client = client.ApiClient(configuration)
        self._prefix = urlsplit(self.host).path.rstrip("/")
        self._cluster = self.host, configuration.tls_server_name, configuration.verify_ssl
        self._authorities = _certificates(configuration.ssl_ca_cert)
        self._authenticating = threading.Lock()

    def __str__(self) -> str:
        return _called(self._kubeconfig, self.context)

    def renewed(self) -> Access:
        """The same account of the same cluster by what is in its files now; raises ClusterUnreachable."""
        try:
            access = Access(self._kubeconfig, self.context)
        except SettingsError as error:  # it was of use before, and may just be being written
            raise ClusterUnreachable(error.message, hint=error.hint) from None
        if access._cluster != self._cluster or not self._authorities <= access._authorities:
            raise ClusterUnreachable(
                f"{self} names another server or certificate authority than when this began",
                hint="what was planned is not about that one; the run is retried by itself, and plans anew",
            )
        return access

    def ask(
        self, path: str, method: str, query: Mapping[str, str], body: bytes | None, content_type: str
    ) -> tuple[int, bytes]:
        """Send one request, once; status and body. Raises as the transport does, and where there are no credentials."""
        headers = {"Accept": "application/json", "User-Agent": "deploy-pipeline"}
        fields = list(query.items())
        self._authenticate(headers, fields)
        if body is not None:
            headers["Content-Type"] = content_type
        target = self._prefix + path + ("?" + urlencode(fields) if fields else "")
        return self._transport.send(method, target, body, headers)

    def _authenticate(self, headers: dict[str, str], fields: list[tuple[str, str]]) -> None:
        """Add the credentials, which refreshes tokens in place and may run a plugin that the kubeconfig names."""
        try:
            with self._authenticating:
                self._client.update_params_for_auth(headers, fields, ["BearerToken"])
        except Exception as error:  # noqa: BLE001 (clients of clouds have no common type for their errors)
            raise _no_credentials(str(self), error) from None
        if given := headers.pop("authorization", "").strip():  # the client keeps the line break of a token file
            process_redaction.learn([given.partition(" ")[2]])
            if not (given.isascii() and given.isprintable()):
                raise SettingsError(
                    f"the token of {self} holds what no token does: line breaks, or letters beyond ASCII",
                    hint="write it into the kubeconfig, or its token file, anew",
                )
            headers["Authorization"] = given


def _load(kubeconfig: Path | None, context: str) -> tuple[str, client.Configuration]:
    """The context, empty for the account of this pod, and what the client makes of it."""
    configuration, private = client.Configuration(), _directory_for_keys()
    try:
        if not kubeconfig and not context and not any(path.exists() for path in _files(None)):
            config.load_incluster_config(client_configuration=configuration)
            return "", configuration
        for path in _files(kubeconfig):
            _learn(path)
        file = str(kubeconfig) if kubeconfig else None
        context = context or str(config.list_kube_config_contexts(file)[1]["name"])
        config.load_kube_config(file, context, client_configuration=configuration, temp_file_path=private)
        if configuration.key_file:
            process_redaction.learn([Path(configuration.key_file).read_text(encoding="utf-8", errors="replace")])
    except Exception as error:  # noqa: BLE001 (plugins run here, and clients of clouds: see above)
        raise _unusable(kubeconfig, context, error) from None
    return context, configuration


def _directory_for_keys() -> str:
    """Where the client writes the keys that stand in a kubeconfig, since TLS libraries want files."""
    try:
        return str(process_directory())
    except OSError as error:
        raise FailedError(f"no private directory can be made for the keys of clusters: {error.strerror}") from None


def _files(kubeconfig: Path | None) -> list[Path]:
    named = str(kubeconfig or config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION)
    return [Path(part).expanduser() for part in named.split(":")]


def _learn(path: Path) -> None:
    """Let nobody say what is secret in a kubeconfig: the client logs users as a whole when their plugin fails."""
    with suppress(OSError, *_NO_CONFIG):  # the client says what is wrong
        content = yaml.safe_load(path.read_bytes())
        process_redaction.learn(_secrets(content["users"], ""))


def _secrets(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "name" in value and len(str(value.get("value") or "")) >= _SHORTEST_VARIABLE:  # of a plugin
            yield from _secrets(value["value"], str(value["name"]))
        for name, inner in value.items():
            yield from _secrets(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner, key)
    elif isinstance(value, str) and _SECRET.search(key):
        yield value
        with suppress(ValueError):
            if key.endswith("-data"):
                yield base64.b64decode(value).decode()


def _unusable(kubeconfig: Path | None, context: str, error: Exception) -> DeployError:
    if not isinstance(error, _NO_CONFIG) and not (isinstance(error, OSError) and error.filename):
        return _no_credentials(_called(kubeconfig, context or "(current)"), error)
    named = f" by {kubeconfig}" if kubeconfig else ""
    return SettingsError(
        f"no cluster to talk to{named}: {_fault(error, kubeconfig)}",
        hint="set KUBECONFIG (or DEPLOY_KUBECONFIG, and DEPLOY_DIFF_KUBECONFIG) to a kubeconfig of the cluster",
    )


def _fault(error: Exception, kubeconfig: Path | None) -> str:
    """What is wrong with a kubeconfig, without what is in it: data may stand where a path or a name should."""
    if isinstance(error, OSError):
        itself = Path(error.filename) in _files(kubeconfig)
        return str(error.strerror) if itself else f"{error.strerror}: a file that it names (tokenFile, command)"
    if isinstance(error, config.ConfigException):
        if "File does not exist" in str(error):
            return "a file that it names is not there (certificate-authority, client-certificate or client-key)"
        return _cut(error)
    if isinstance(error, binascii.Error):
        return "data in it is not base64"
    if isinstance(error, yaml.YAMLError):
        mark = getattr(error, "problem_mark", None)
        return f"it is no YAML{f', line {mark.line + 1}' if mark else ''}"
    return "an entry in it is not of the right form"


def _no_credentials(access: str, error: Exception) -> ClusterUnreachable:
    problem = f"{type(error).__name__}: {_cut(error)}"[:_LONGEST_MESSAGE]
    return ClusterUnreachable(
        f"no credentials by {access}: {problem}",
        hint="run the credential plugin of the kubeconfig by hand; the run is retried by itself",
    )


def _cut(error: Exception) -> str:
    """The words of an error on one line; the client names entries by all that is in them, tokens as well."""
    text = str(error).partition("{")[0] if isinstance(error, config.ConfigException) else str(error)
    return process_redaction.redact(" ".join(text.split()))


def _called(kubeconfig: Path | None, context: str) -> str:
    return f"the context {context} of {kubeconfig or 'the kubeconfig'}" if context else "the account of this pod"


def _certificates(path: str | None) -> frozenset[bytes]:
    """The certificates in a file: while authorities are rotated it has the old ones and the new ones."""
    content = Path(path).read_bytes() if path else b""
    return frozenset(b"".join(found.split()) for found in _CERTIFICATE.findall(content))
