"""What the pipeline says on GitHub: pull requests, comments, commit statuses, deployments. Nothing of it twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from deploy_pipeline.errors import ForgeRefused
from deploy_pipeline.forge.forge import CommitStatus, DeploymentReport, PullRequest
from deploy_pipeline.forge.github.connection import Connection, said
from deploy_pipeline.forge.github.documents import login_of, pull_request, time_of
from deploy_pipeline.process_redaction import redact

STATUS_PREFIX = "deploy-pipeline/"
_LONGEST_DESCRIPTION = 140
_ATTEMPT = "deploy_pipeline_attempt"  # in a deployment's payload: which release it belongs to


def open_promotion(
    connection: Connection, head_branch: str, base_branch: str, title: str, body: str
) -> PullRequest | None:
    """The open pull request of these branches: made if missing, refreshed if ours; None if there is nothing to do."""
    query = {"state": "open", "head": f"{connection.owner}:{head_branch}", "base": base_branch}
    wanted = {"title": redact(title), "body": redact(body)}

    def settle() -> Any:
        found = next(connection.items("pulls", query), None)
        if found is None:
            return connection.write("POST", "pulls", {"head": head_branch, "base": base_branch, **wanted})
        theirs = login_of(found["user"]) != connection.login()
        if theirs or all(_same(found[name] or "", text) for name, text in wanted.items()):
            return found
        return connection.write("PATCH", f"pulls/{found['number']}", wanted)

    try:
        return pull_request(connection, connection.patiently(settle))
    except ForgeRefused as refusal:
        if said(refusal, "No commits between"):
            return None
        if not said(refusal, "A pull request already exists"):
            raise
    return pull_request(connection, connection.patiently(settle))  # somebody was quicker


def publish_comment(connection: Connection, number: int, kind: str, body: str) -> datetime:
    """Let there be one comment of ours of this kind; gives since when it says this.

    Ours begins with the marker, and was written by our own login.
    """
    marker = f"<!-- deploy-pipeline:{kind} -->"
    text = f"{marker}\n{redact(body)}"

    def settle() -> Any:
        me = connection.login()
        comments = connection.items(f"issues/{number}/comments")
        ours = [c for c in comments if login_of(c["user"]) == me and str(c.get("body") or "").startswith(marker)]
        for comment in ours[1:]:  # two deployers began at the same moment
            connection.write("DELETE", f"issues/comments/{comment['id']}")
        if not ours:
            return connection.write("POST", f"issues/{number}/comments", {"body": text})
        if _same(ours[0]["body"], text):
            return ours[0]
        return connection.write("PATCH", f"issues/comments/{ours[0]['id']}", {"body": text})

    return time_of(connection.patiently(settle)["updated_at"])


def publish_status(connection: Connection, status: CommitStatus) -> None:
    """Let the latest status of the channel's context be this one."""
    context = STATUS_PREFIX + status.channel
    body = {"state": status.state.value, "description": _clipped(status.description), "context": context}
    body |= {"target_url": status.url} if status.url else {}

    def settle() -> None:
        statuses = connection.items(f"commits/{status.commit}/statuses")
        if not _holds(next((s for s in statuses if s["context"] == context), None), body):
            connection.write("POST", f"statuses/{status.commit}", body)

    connection.patiently(settle)


def publish_deployment(connection: Connection, report: DeploymentReport) -> None:
    """Let the attempt's deployment exist, and its latest status be this one.

    The deployment is told by the attempt in its payload. GitHub is asked neither to merge anything into the commit nor
    to wait for statuses: it would answer without having made one.
    """
    query = {"sha": report.commit, "environment": report.channel}
    request = {
        "ref": report.commit,
        "environment": report.channel,
        "auto_merge": False,
        "required_contexts": [],
        "payload": {_ATTEMPT: report.attempt},
        "description": f"deploy-pipeline: {report.channel}"[:_LONGEST_DESCRIPTION],
    }

    def settle() -> Any:
        found = [made for made in connection.items("deployments", query) if _attempt(made) == report.attempt]
        return found or [connection.write("POST", "deployments", request)]

    for deployment in connection.patiently(settle):  # several, if something on the way delivered the request twice
        if "id" not in deployment:
            raise ForgeRefused(f"GitHub made no deployment of {report.commit[:12]}: {deployment.get('message', '')}")
        _publish_deployment_status(connection, f"deployments/{deployment['id']}/statuses", report)


def _publish_deployment_status(connection: Connection, path: str, report: DeploymentReport) -> None:
    body = {"state": report.state.value, "description": _clipped(report.description)}
    body |= {"log_url": report.log_url} if report.log_url else {}

    def settle() -> None:
        if not _holds(next(connection.items(path), None), body):
            connection.write("POST", path, body)

    connection.patiently(settle)


def _attempt(deployment: Mapping[str, Any]) -> str:
    """The attempt in a deployment's payload, which comes as an object or as its JSON text."""
    payload = deployment.get("payload")
    try:
        payload = json.loads(payload) if isinstance(payload, str) and payload else payload
    except ValueError:
        return ""
    return str(payload.get(_ATTEMPT, "")) if isinstance(payload, dict) else ""


def _holds(document: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether everything wanted stands in the document."""
    return document is not None and all((document.get(name) or "") == value for name, value in wanted.items())


def _clipped(text: str) -> str:
    line = " ".join(redact(text).split())
    return line if len(line) <= _LONGEST_DESCRIPTION else f"{line[: _LONGEST_DESCRIPTION - 1]}…"


def _same(one: str, other: str) -> bool:
    """Whether two texts are the same to GitHub, which may change the ends of lines."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
