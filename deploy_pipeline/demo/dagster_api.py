"""Dagster as its UI talks to it: GraphQL over HTTP.

Launching goes the way of the launchpad, which first asks for the tags of the chosen partition and sends them along.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from deploy_pipeline.errors import FailedError

_TIMEOUT = 30.0
_LOCATION = {"repositoryLocationName": "deploy_pipeline", "repositoryName": "__repository__"}

_WORKSPACE = """{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError {
  __typename ... on PythonError { message } } } } } }"""
_PARTITION_TAGS = """query($repository: RepositorySelector!, $set: String!, $partition: String!) {
  partitionSetOrError(repositorySelector: $repository, partitionSetName: $set) { __typename ... on PartitionSet {
    partition(partitionName: $partition) { tagsOrError { ... on PartitionTags { results { key value } } } } } } }"""
_LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { id } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""
_RUN_FIELDS = "id jobName status startTime endTime tags { key value }"
_RUNS = f"""query($filter: RunsFilter!) {{ runsOrError(filter: $filter, limit: 50) {{
  ... on Runs {{ results {{ {_RUN_FIELDS} }} }} }} }}"""
_EVENTS = """query($id: ID!) { logsForRun(runId: $id, limit: 1000) { ... on EventConnection { events { __typename
  ... on MessageEvent { message }
  ... on ExecutionStepFailureEvent { error { message } failureMetadata { description } }
  ... on MaterializationEvent { assetKey { path } metadataEntries { label
    ... on TextMetadataEntry { text } ... on FloatMetadataEntry { floatValue } ... on IntMetadataEntry { intValue }
    ... on MarkdownMetadataEntry { mdStr } } }
  ... on AssetCheckEvaluationEvent { evaluation { checkName success description assetKey { path } } } } } } }"""
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


@dataclass(frozen=True)
class Run:
    """A run as the run list shows it; ``seconds`` from its start to its end, 0 while it lasts."""

    id: str
    job: str
    status: str
    tags: Mapping[str, str]
    seconds: float

    @property
    def ended(self) -> bool:
        """Whether it is over, one way or another."""
        return self.status in _ENDED


@dataclass(frozen=True)
class Check:
    """An asset check as a run evaluated it."""

    app: str
    name: str
    passed: bool
    description: str


@dataclass(frozen=True)
class RunLog:
    """What a run said: its lines, why it failed, the metadata of each asset it materialised, its checks."""

    lines: tuple[str, ...]
    failure: str
    metadata: Mapping[tuple[str, ...], Mapping[str, Any]]
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class DagsterApi:
    """The web server at ``url``."""

    url: str

    def is_ready(self) -> bool:
        """Whether the code location is loaded; raises FailedError if it does not load."""
        try:
            entries = self._ask(_WORKSPACE)["workspaceOrError"]["locationEntries"]
        except OSError:
            return False
        for entry in entries:
            if entry["loadStatus"] == "LOADED" and entry["locationOrLoadError"]["__typename"] == "PythonError":
                message = str(entry["locationOrLoadError"]["message"])
                raise FailedError("the code location does not load", details=message.splitlines())
        return bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)

    def launch(self, job: str, op: str, channel: str, config: Mapping[str, Any]) -> str:
        """Launch a job for a channel with the configuration of its op; returns the id of the run."""
        params = {
            "selector": {**_LOCATION, "jobName": job},
            "runConfigData": json.dumps({"ops": {op: {"config": config}}}),
            "executionMetadata": {"tags": self._partition_tags(job, channel)},
        }
        answer = self._ask(_LAUNCH, params=params)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise FailedError(f"Dagster did not launch {job} for {channel}", details=[json.dumps(answer)])
        return str(answer["run"]["id"])

    def run(self, run_id: str) -> Run:
        """A run by its id."""
        return self._runs({"runIds": [run_id]})[0]

    def runs(self, job: str, **tags: str) -> tuple[Run, ...]:
        """Runs of a job with all of these tags of ours (``commit`` is ``deploy/commit``), newest first."""
        wanted = [{"key": f"deploy/{name}", "value": value} for name, value in tags.items()]
        return self._runs({"pipelineName": job, "tags": wanted})

    def is_idle(self) -> bool:
        """Whether no run is under way, and none is waiting for its turn."""
        return not self._runs({"statuses": ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]})

    def log(self, run_id: str) -> RunLog:
        """What a run has said so far."""
        return _run_log(self._ask(_EVENTS, id=run_id)["logsForRun"]["events"])

    def _runs(self, wanted: Mapping[str, Any]) -> tuple[Run, ...]:
        return tuple(_run(found) for found in self._ask(_RUNS, filter=wanted)["runsOrError"]["results"])

    def _partition_tags(self, job: str, channel: str) -> list[dict[str, str]]:
        found = self._ask(_PARTITION_TAGS, repository=_LOCATION, set=f"{job}_partition_set", partition=channel)
        partition = found["partitionSetOrError"].get("partition")
        if partition is None:
            raise FailedError(f"Dagster knows no partition {channel} of the job {job}")
        return list(partition["tagsOrError"]["results"])

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer. Raises OSError while nobody listens, FailedError for a query that is refused."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(  # noqa: S310 - the URL is the one we started the web server with
            f"{self.url}/graphql", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise FailedError(f"Dagster refused a query with {error.code}", details=[error.read().decode()]) from None
        if answer.get("errors"):
            raise FailedError("Dagster refused a query", details=[json.dumps(answer["errors"])])
        return cast(dict[str, Any], answer["data"])


def _run(found: Mapping[str, Any]) -> Run:
    begun, ended = found["startTime"], found["endTime"]
    return Run(
        id=found["id"],
        job=found["jobName"],
        status=found["status"],
        tags={tag["key"]: tag["value"] for tag in found["tags"]},
        seconds=ended - begun if begun and ended else 0.0,
    )


def _run_log(events: list[dict[str, Any]]) -> RunLog:
    failures = [event for event in events if event["__typename"] == "ExecutionStepFailureEvent"]
    evaluated = [event["evaluation"] for event in events if event["__typename"] == "AssetCheckEvaluationEvent"]
    return RunLog(
        lines=tuple(event["message"] for event in events if event.get("message")),
        failure="\n".join(_reason(event) for event in failures),
        metadata={
            tuple(event["assetKey"]["path"]): {entry["label"]: _value(entry) for entry in event["metadataEntries"]}
            for event in events
            if event["__typename"] == "MaterializationEvent"
        },
        checks=tuple(
            Check(one["assetKey"]["path"][-1], one["checkName"], one["success"], one["description"] or "")
            for one in evaluated
        ),
    )


def _reason(event: Mapping[str, Any]) -> str:
    metadata = event["failureMetadata"] or {}
    return str(metadata.get("description") or (event["error"] or {}).get("message") or "")


def _value(entry: Mapping[str, Any]) -> Any:
    return next((value for key, value in entry.items() if key != "label"), None)
