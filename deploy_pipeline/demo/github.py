"""GitHub as people use it in the demo: a stand-in on this machine, asked over its API with their own tokens.

The stand-in is the one that the tests hold to GitHub's own description (``tests/support/github``).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from deploy_pipeline.errors import FailedError

REPOSITORY = "demo-team/feeds"
PIPELINE = "deployer"
AUTHOR = "demo"  # whose address the demo's commits carry
REVIEWER = "reviewer"
PEOPLE = {PIPELINE: "write", AUTHOR: "write", REVIEWER: "write"}
AUTO_PR = "prod"  # the channel whose pull requests the pipeline opens itself
EDITS = {"channels/prod.yaml": ("  channel: prod\n", "  channel: prod\n  promote: auto-pr\n")}
"""What the example has to say for that: path to old and new text."""

_TIMEOUT = 30.0
_NOT_NOW = (405, 409)  # what a merge is answered that has to wait
_STATUS = "deploy-pipeline/"


@dataclass(frozen=True)
class GitHub:
    """The repository on the stand-in at ``url``; ``tokens`` are those of the people."""

    url: str
    api_url: str
    tokens: Mapping[str, str]

    @classmethod
    def read(cls, ready: Path) -> GitHub:
        """What the stand-in has written once it listens."""
        return cls(**json.loads(ready.read_text()))

    @property
    def clone_url(self) -> str:
        """Where git finds the repository."""
        return f"{self.url}/{REPOSITORY}.git"

    def pulls(self, **wanted: str) -> list[dict[str, Any]]:
        """Pull requests, by their ``state``, ``base`` or ``head``; all states by default."""
        return self._list("pulls", {"state": "all", **wanted})

    def pull(self, number: int) -> dict[str, Any]:
        """One pull request."""
        return cast(dict[str, Any], self._ask("GET", f"pulls/{number}"))

    def open_pull(self, channel: str, branch: str, title: str) -> int:
        """Let the author open the promotion of a branch's candidate; gives its number."""
        body = {"head": f"candidates/{branch}", "base": f"releases/{channel}", "title": title}
        return int(self._ask("POST", "pulls", body, who=AUTHOR)["number"])

    def approve(self, number: int, head: str) -> None:
        """Let the reviewer approve a pull request at this head."""
        body = {"event": "APPROVE", "body": "Read.", "commit_id": head}
        self._ask("POST", f"pulls/{number}/reviews", body)

    def merge(self, number: int, head: str) -> str:
        """Let the reviewer merge a pull request at this head; gives the commit, "" if GitHub does not let it."""
        status, answer = self._try("PUT", f"pulls/{number}/merge", {"sha": head})
        if status in _NOT_NOW:
            return ""
        return str(self._judged(status, answer, f"merging #{number}")["sha"])

    def comments(self, number: int, kind: str) -> list[str]:
        """What the pipeline says on a pull request: of the diff, or of the release."""
        found = self._list(f"issues/{number}/comments")
        return [
            comment["body"]
            for comment in found
            if comment["user"]["login"] == PIPELINE and comment["body"].startswith(f"<!-- deploy-pipeline:{kind} -->")
        ]

    def status(self, commit: str, channel: str) -> dict[str, Any]:
        """The pipeline's last status of a commit; {} if there is none."""
        found = self._list(f"commits/{commit}/statuses")
        return next((status for status in found if status["context"] == _STATUS + channel), {})

    def deployments(self, channel: str) -> dict[str, str]:
        """Every commit that was deployed to the channel, with the last state of its last deployment."""
        newest_first = self._list("deployments", {"environment": channel})
        return {made["sha"]: self._last_state(made["id"]) for made in reversed(newest_first)}

    def _last_state(self, deployment: int) -> str:
        found = self._list(f"deployments/{deployment}/statuses")
        return str(found[0]["state"]) if found else ""

    def _list(self, path: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """The first hundred, which is more than a demo has."""
        wanted = "&".join(f"{name}={value}" for name, value in {"per_page": "100", **(query or {})}.items())
        return cast(list[dict[str, Any]], self._ask("GET", f"{path}?{wanted}"))

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, who: str = REVIEWER) -> Any:
        status, answer = self._try(method, path, body, who=who)
        return self._judged(status, answer, f"{method} {path}")

    def _judged(self, status: int, answer: Any, what: str) -> Any:
        if status >= 400:
            raise FailedError(f"GitHub's stand-in refused {what} with {status}", details=[json.dumps(answer)])
        return answer

    def _try(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, who: str = REVIEWER
    ) -> tuple[int, Any]:
        request = urllib.request.Request(  # noqa: S310 - the URL is the one the stand-in gave
            f"{self.api_url}/repos/{REPOSITORY}/{path}",
            json.dumps(body).encode() if body is not None else None,
            {"Authorization": f"token {self.tokens[who]}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
