"""State outlives the process, also a killed one, and belongs to one process at a time."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.sandbox import SandboxCluster, SandboxError
from tests.sandbox.conftest import Client

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, value: str = "1") -> dict[str, object]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": value}}


def service(node_ports: tuple[int | None, ...]) -> dict[str, object]:
    """A Service with ports from 80 on, of which the server chooses those on the nodes that are None."""
    ports = [{"name": f"p{n}", "port": 80 + n, "nodePort": node} for n, node in enumerate(node_ports)]
    spec = {"type": "NodePort", "ports": [{k: v for k, v in port.items() if v} for port in ports]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


@contextmanager
def process(state: Path) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """`python -m deploy_pipeline.sandbox` on a directory."""
    command = [sys.executable, "-m", "deploy_pipeline.sandbox", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        line = running.stdout.readline()
        assert line.startswith("sandbox cluster ready at http://127.0.0.1:")
        client = Client(line.split()[-1])
        try:
            yield running, client
        finally:
            client.close()
            running.kill()


def test_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """What was answered before kill -9 is there afterwards, and resourceVersions go on."""
    with process(tmp_path) as (running, client):
        for number in range(50):
            assert client.apply(f"{MAPS}/m{number}", config_map(f"m{number}")).code == 201
        client.send("DELETE", f"{MAPS}/m0")
        before = client.get(MAPS)
        running.send_signal(signal.SIGKILL)
        running.wait()
    with process(tmp_path) as (_, client):
        after = client.get(MAPS)
        assert after["items"] == before["items"]
        assert len(after["items"]) == 50  # 49 of them and kube-root-ca.crt
        made = client.apply(f"{MAPS}/new", config_map("new")).body
        assert int(made["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])


@pytest.mark.parametrize("last", ["POST", "PUT", "DELETE"])
def test_numbers_go_on_whatever_was_written_last(last: str, tmp_path: Path) -> None:
    """A resourceVersion that came twice would hide a change from whoever compares them."""
    path = f"{MAPS}/m"
    with process(tmp_path) as (running, client):
        if last != "POST":
            client.apply(path, config_map("m"))
        body = {"POST": config_map("m"), "PUT": config_map("m", "2"), "DELETE": None}[last]
        assert client.send(last, MAPS if last == "POST" else path, body).code < 300
        before = int(client.get(MAPS)["metadata"]["resourceVersion"])
        running.send_signal(signal.SIGKILL)
        running.wait()
    with process(tmp_path) as (_, client):
        assert int(client.get(MAPS)["metadata"]["resourceVersion"]) >= before
        assert int(client.apply(f"{MAPS}/new", config_map("new")).body["metadata"]["resourceVersion"]) > before


def test_terminate_ends_it(tmp_path: Path) -> None:
    """SIGTERM ends the process with exit code 0."""
    with process(tmp_path) as (running, _):
        running.terminate()
        assert running.wait(10) == 0


def test_restart_keeps_namespaces_ownership_and_custom_kinds(tmp_path: Path) -> None:
    """A second cluster on the directory serves the same objects under the same uids."""
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lamps.test.example"},
        "spec": {
            "group": "test.example",
            "scope": "Namespaced",
            "names": {"plural": "lamps", "kind": "Lamp"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"watts": {"type": "integer"}}}},
                }
            ],
        },
    }
    lamps = "/apis/test.example/v1/namespaces/default/lamps"
    lamp = {"apiVersion": "test.example/v1", "kind": "Lamp", "metadata": {"name": "a"}, "watts": 5}
    with SandboxCluster(tmp_path) as first:
        client = Client(first.url)
        uid = client.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        assert client.send("POST", definitions, crd).code == 201
        assert client.apply(f"{lamps}/a", lamp).code == 201
        client.close()
    with SandboxCluster(tmp_path) as second:
        client = Client(second.url)
        assert client.get("/api/v1/namespaces/kube-system")["metadata"]["uid"] == uid
        again = client.apply(f"{lamps}/a", lamp)
        assert (again.code, again.body) == (200, client.get(f"{lamps}/a"))
        client.close()


def test_a_second_cluster_on_the_directory_is_refused(tmp_path: Path) -> None:
    """The error names the directory and says what to do."""
    with SandboxCluster(tmp_path), pytest.raises(SandboxError, match="in use by another sandbox"):
        SandboxCluster(tmp_path).start()


def test_a_second_process_on_the_directory_is_refused(tmp_path: Path) -> None:
    """The command line says so in one line and ends with 1."""
    command = [sys.executable, "-m", "deploy_pipeline.sandbox", "--state", str(tmp_path)]
    with SandboxCluster(tmp_path):
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "is in use by another sandbox cluster" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_kubeconfig_is_private_and_complete(tmp_path: Path) -> None:
    """The kubeconfig is for its owner only and no half-written file is left."""
    with SandboxCluster(tmp_path / "state") as cluster:
        path = tmp_path / "kube" / "config"
        cluster.write_kubeconfig(path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert cluster.url in path.read_text()
        assert list(path.parent.iterdir()) == [path]


def test_dry_runs_write_nothing(client: Client) -> None:
    """No kind of dry run moves the resourceVersion or leaves an object behind."""
    client.apply(f"{MAPS}/a", config_map("a"))
    before = client.get(MAPS)
    dry = "&dryRun=All"
    assert client.apply(f"{MAPS}/a", config_map("a", "2"), dry).body["data"] == {"x": "2"}
    assert client.apply(f"{MAPS}/b", config_map("b"), dry).code == 201
    assert client.send("POST", f"{MAPS}?dryRun=All", config_map("c")).code == 201
    assert client.send("PUT", f"{MAPS}/a?dryRun=All", config_map("a", "3")).code == 200
    assert client.send("DELETE", f"{MAPS}/a?dryRun=All").code == 200
    assert client.send("DELETE", f"{MAPS}?dryRun=All").code == 200
    assert client.get(MAPS) == before


def test_a_custom_kind_may_have_the_name_of_a_built_in_one(client: Client, shell: Any) -> None:
    """A custom Service has neither the columns nor the rules of a Service."""
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    names = {"plural": "services", "kind": "Service"}
    spec = {"group": "serving.example", "scope": "Namespaced", "names": names, "versions": [version]}
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}
    name = "services.serving.example"
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert client.apply(f"{definitions}/{name}", {**body, "metadata": {"name": name}}).code == 201
    made = {"apiVersion": "serving.example/v1", "kind": "Service", "metadata": {"name": "a"}}
    assert client.apply("/apis/serving.example/v1/namespaces/default/services/a", made).code == 201
    listed = shell("kubectl", "get", name)
    assert listed.stdout.split()[:3] == ["NAME", "AGE", "a"], listed.stderr


@pytest.mark.parametrize(
    ("live", "tried", "answered"),
    [
        ((), (None, None), [32769, 32770]),
        ((), (30500, None), [30500, 30501]),
        ((30500,), (30500, None), [30500, 32769]),
    ],
)
def test_a_dry_run_names_node_ports_that_no_apply_gives(
    live: tuple[int, ...], tried: tuple[int | None, ...], answered: list[int], client: Client
) -> None:
    """Those behind the highest that is new to the service, alike at each try (as kube-apiserver 1.20 answered)."""
    path = "/api/v1/namespaces/default/services/web"
    if live:
        assert client.apply(path, service(live)).code == 201
    for _ in range(2):
        shown = client.apply(path, service(tried), "&dryRun=All").body
        assert [port["nodePort"] for port in shown["spec"]["ports"]] == answered
    given = client.apply(path, service(tried)).body["spec"]["ports"]
    assert [port["nodePort"] for port in given if not 30000 <= port["nodePort"] < 32768] == []
