"""Many clients at once: no write gets lost, no watcher misses one."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from deploy_pipeline.sandbox import SandboxCluster
from tests.sandbox.conftest import APPLY, Client

MAP = "/api/v1/namespaces/default/configmaps/shared"


def contribute(url: str, number: int) -> int:
    """Apply one key under a manager of its own."""
    client = Client(url)
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "shared"},
        "data": {f"k{number}": str(number)},
    }
    code = client.send("PATCH", f"{MAP}?fieldManager=m{number}", body, APPLY).code
    client.close()
    return code


def test_parallel_applies_to_one_object_all_count(cluster: SandboxCluster, client: Client) -> None:
    """Sixty managers apply at once: one creates, and every key and owner is there in the end."""
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda number: contribute(cluster.url, number), range(60)))
    assert sorted(codes) == [200] * 59 + [201]
    found = client.get(MAP)
    assert found["data"] == {f"k{n}": str(n) for n in range(60)}
    assert len(found["metadata"]["managedFields"]) == 60


def test_one_of_two_conditional_writers_loses(client: Client) -> None:
    """A PUT with a resourceVersion that is not the present one is refused."""
    made = client.apply(MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}}).body
    changed = {**made, "data": {"a": "1"}}
    assert client.send("PUT", MAP, changed).code == 200
    assert client.send("PUT", MAP, changed).code == 409


def watched(url: str, version: str, wanted: int) -> list[str]:
    """Resource versions of the events a watcher gets."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    path = "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=20"
    connection.request("GET", f"{path}&resourceVersion={version}")
    reply = connection.getresponse()
    found = [json.loads(reply.readline())["object"]["metadata"]["resourceVersion"] for _ in range(wanted)]
    connection.close()
    return found


def test_every_watcher_sees_every_write_in_order(cluster: SandboxCluster, client: Client) -> None:
    """Eight watchers from the same point get the same events while sixteen threads write."""
    client.apply(MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}})
    start = client.get(MAP)["metadata"]["resourceVersion"]
    with ThreadPoolExecutor(24) as pool:
        watchers = [pool.submit(watched, cluster.url, start, 40) for _ in range(8)]
        list(pool.map(lambda number: contribute(cluster.url, number), range(40)))
        seen = [watcher.result() for watcher in watchers]
    assert all(found == seen[0] for found in seen)
    assert seen[0] == sorted(seen[0], key=int)


def test_a_body_in_chunks_is_read(cluster: SandboxCluster) -> None:
    """A client that does not know the length of what it sends, and then goes on with the same connection."""
    connection = http.client.HTTPConnection(urlsplit(cluster.url).netloc, timeout=30)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chunks"}, "data": {"a": "b" * 70000}}
    text = json.dumps(body).encode()
    pieces = (text[at : at + 1000] for at in range(0, len(text), 1000))
    headers = {"Content-Type": "application/json"}
    connection.request("POST", MAP.rpartition("/")[0], pieces, headers, encode_chunked=True)
    assert connection.getresponse().read().startswith(b'{"')
    connection.request("GET", MAP.replace("shared", "chunks"))
    assert json.loads(connection.getresponse().read())["data"] == body["data"]
    connection.close()
