"""A channel whose every secret is a canary, delivered by jobs on a real Dagster instance, reviewed on a forge."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from deploy_pipeline.pipeline import failures
from deploy_pipeline.pipeline.launch import LaunchResult, run_job
from deploy_pipeline.sandbox import SandboxCluster
from deploy_pipeline.sandbox.request import Answer
from deploy_pipeline.settings import tool_path
from tests.canary import places
from tests.support.github.server import GitHubServer
from tests.support.github.state import Pull, Repository
from tests.support.origin import Origin

HOME = "acme/shop"
NAMESPACE = "shop"
SYSTEM = "deploy-pipeline"

_CHANNEL = {
    "channel": "test",
    "promote": "auto-pr",
    "accept_change_set": True,
    "releases": [
        {"name": "web", "driver": "kustomize", "kustomize_dir": "apps/web", "namespace": NAMESPACE, "timeout": "1s"}
        | {"secrets": ["web"]},
        {"name": "shop", "driver": "helm", "helm_name": "shop", "helm_chart": "apps/chart", "namespace": NAMESPACE}
        | {"helm_values": ["apps/values.yaml"], "secret_helm_values": ["values"], "timeout": "20s"},
    ],
}
# What a chart may do with values: keep them in a Secret, and show them in things that are none, or in its errors. A
# candidate has placeholders for them, with which it must render.
_CHART = """\
{{- $real := not (hasPrefix "<secret:" .Values.canary.plain) }}
{{- if and $real (eq .Values.mode "fails") }}
{{- fail (printf "%s %v %s" (toJson .Values.canary) (values .Values.canary) (toYaml .Values.canary)) }}
{{- end }}
apiVersion: v1
kind: Secret
metadata: {name: shop}
data:
{{- range $name, $value := .Values.canary }}
  {{ $name }}: {{ $value | b64enc }}
{{- end }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: leak
  annotations:
    all: {{ toJson .Values.canary | quote }}
    more: {{ toYaml .Values.canary | quote }}
{{- if and $real (eq .Values.mode "refused") }}
  labels:
{{- range $name, $value := .Values.canary }}
    {{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}
data:
  step: {{ .Values.step }}
{{- range $name, $value := .Values.canary }}
  {{ $name }}: {{ $value | quote }}
  {{ $name }}.encoded: {{ $value | b64enc }}
  {{ $name }}.address: {{ $value | urlquery | quote }}
{{- end }}
"""


@dataclass(frozen=True)
class Scene:
    """``robot`` is the deployer, ``ann`` writes the source and ``bob`` merges; ``values`` are the canaries by name."""

    server: GitHubServer
    repository: Repository
    origin: Origin
    cluster: SandboxCluster
    instance: dg.DagsterInstance
    folder: Path
    values: dict[str, str]
    tokens: dict[str, str]
    lines: list[str] = field(default_factory=list)

    # -- what people do ------------------------------------------------------------------------------------------------

    def store(self, changes: Mapping[str, str] | None = None) -> None:
        """Put the values into the secret store, some of them changed."""
        values = self.values | dict(changes or {})
        data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web"}, "data": data}
        (self.folder / "secrets" / "web.yaml").write_text(yaml.safe_dump(secret))
        (self.folder / "secrets" / "values.yaml").write_text(yaml.safe_dump({"canary": values}, allow_unicode=True))

    def commit(self, *, step: str, image: str = "web:1", mode: str = "") -> None:
        """Ann commits a state of everything on ``main``."""
        container = {"name": "app", "image": image, "envFrom": [{"secretRef": {"name": "web"}}]}
        labels = {"app": "web"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        objects = [
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"step": step}},
        ]
        files = {
            "deploy.yaml": "include: [channels/**, apps/**, deploy.yaml]\n",
            "channels/test.yaml": yaml.safe_dump(_CHANNEL),
            "apps/web/kustomization.yaml": yaml.safe_dump({"namespace": NAMESPACE, "resources": ["objects.yaml"]}),
            "apps/web/objects.yaml": yaml.safe_dump_all(objects),
            "apps/chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
            "apps/chart/templates/all.yaml": _CHART,
            "apps/values.yaml": yaml.safe_dump({"step": step, "mode": mode}),
        }
        self.origin.commit("main", files)

    def pull(self) -> Pull:
        """The open pull request."""
        (pull,) = (pull for pull in self.repository.pulls.values() if pull.state == "open")
        return pull

    def merge(self) -> None:
        """Bob approves and merges the open pull request."""
        from deploy_pipeline.forge.github.connection import Connection
        from deploy_pipeline.forge.github.credentials import TokenCredentials

        pull, bob = self.pull(), TokenCredentials(self.tokens["bob"])
        connection = Connection(self.server.api_url, HOME, bob, pause=0)
        connection.write("POST", f"pulls/{pull.number}/reviews", {"event": "APPROVE", "body": "read"})
        connection.write("PUT", f"pulls/{pull.number}/merge", {"sha": pull.head})

    def kubectl(self, *arguments: str) -> str:
        """The real kubectl on the cluster."""
        command = [tool_path("kubectl"), "--kubeconfig", str(self.folder / "kubeconfig"), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def patch(self, kind: str, name: str, change: Mapping[str, Any]) -> None:
        """Change an object behind the deployer's back, with nothing of that among the arguments."""
        file = self.folder / "secrets" / ".patch"
        file.write_text(json.dumps(change))
        self.kubectl("patch", kind, name, "--namespace", NAMESPACE, "--patch-file", str(file))

    # -- what the deployer does ----------------------------------------------------------------------------------------

    def run(self, job: str, channel: str | None = None, **config: Any) -> LaunchResult:
        """Run a job to its end."""
        return run_job(job, partition=channel, config=config, instance=self.instance, progress=self.lines.append)

    def done(self, job: str, channel: str | None = None, **config: Any) -> Any:
        """Run a job that has to succeed; gives its value."""
        result = self.run(job, channel, **config)
        assert result.success, result.error
        return result.value

    def fails(self, job: str, channel: str, **config: Any) -> str:
        """Run a job that has to fail; gives what is said of it."""
        result = self.run(job, channel, **config)
        assert result.error is not None, f"{job} did not fail"
        return str(result.error)

    @contextmanager
    def talkative_server(self, words: str) -> Iterator[list[str]]:
        """Every write is answered by an error that quotes these words; gives the paths of those requests."""
        api, asked = self.cluster._api, []
        handle = api.handle

        def refuse(request: Any) -> Any:
            if request.method != "PATCH":
                return handle(request)
            asked.append(request.path)
            return Answer(503, {"kind": "Status", "apiVersion": "v1", "reason": "Unavailable", "message": words})

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(api, "handle", refuse)
            yield asked

    # -- where things could be left ------------------------------------------------------------------------------------

    def places(self) -> Iterator[places.Place]:
        """All of it, but for where secrets belong: their store, and the cluster's objects outside our namespace."""
        yield from places.files(*(self.folder / name for name in ("dagster", "state", "tmp")))
        yield from places.files(*Path("/dev/shm").glob("deploy-pipeline-*"))
        yield from places.git_objects(self.folder)
        yield from places.forge(self.repository)
        yield from places.records(json.loads(self.kubectl("get", "configmaps,leases", "-n", SYSTEM, "-o", "json")))
        yield "progress", "\n".join(self.lines).encode()
        events = (self.instance.all_logs(run.run_id) for run in self.instance.get_runs())
        yield "events as Dagster reads them", "\n".join(str(entry) for log in events for entry in log).encode()


@contextmanager
def scene(folder: Path, values: Mapping[str, str], patch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Everything, with nothing rendered yet. Temporary files lie in its folder, retries of a step come at once."""
    for name in ("dagster", "secrets", "tmp"):
        (folder / name).mkdir()
    patch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    patch.setattr(failures, "_FIRST_WAIT", 0.001)
    with GitHubServer(folder / "github") as server, SandboxCluster(folder / "cluster", rollout_seconds=0.05) as cluster:
        cluster.write_kubeconfig(folder / "kubeconfig")
        repository = server.state.repository(HOME)
        tokens = {login: server.state.user(login) for login in ("robot", "ann", "bob")}
        repository.roles |= dict.fromkeys(tokens, "write")
        server.state.accounts["ann"].email = "test@example.invalid"  # what Origin commits with
        origin = Origin(repository.bare.path, f"{server.url}/{HOME}.git")
        for name, value in {
            "DEPLOY_REPOSITORY": origin.url,
            "DEPLOY_STATE_DIR": folder / "state",
            "DEPLOY_KUBECONFIG": folder / "kubeconfig",
            "DEPLOY_SECRETS_DIR": folder / "secrets",
            "DEPLOY_GITHUB_REPOSITORY": HOME,
            "DEPLOY_GITHUB_URL": server.api_url,
            "DEPLOY_GITHUB_TOKEN": tokens["robot"],
            "DEPLOY_LOCK_SECONDS": 3,
            "DAGSTER_HOME": folder / "dagster",
            "TMPDIR": folder / "tmp",
        }.items():
            patch.setenv(name, str(value))
        with dg.DagsterInstance.from_config(os.fspath(folder / "dagster")) as instance:
            made = Scene(server, repository, origin, cluster, instance, folder, dict(values), tokens)
            made.store()
            made.commit(step="first")
            yield made
    assert server.violations == []
