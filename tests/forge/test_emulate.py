"""The client against a GitHub that others wrote: `emulate`, an emulator from npm, for what that covers.

It knows neither commit statuses nor deployments, ETags and git; those are tried against the stand-in of this project.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from deploy_pipeline.forge import ReviewPolicy, Shown, SourceRange, reasons_against
from deploy_pipeline.forge.github import GitHubForge
from deploy_pipeline.forge.github.connection import Connection
from deploy_pipeline.forge.github.credentials import AppCredentials, Credentials, TokenCredentials

PACKAGE = "emulate@0.11.2"
REPOSITORY = "acme/shop"
PATIENCE = 60.0  # seconds for npx to fetch the package and to start

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not shutil.which("npx"), reason="npx is missing, which starts the emulator"),
]


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The private key of the App."""
    path = tmp_path_factory.mktemp("key") / "app.pem"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kinds = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, *kinds))
    return path


@pytest.fixture(scope="module")
def api_url(tmp_path_factory: pytest.TempPathFactory, key_file: Path) -> Iterator[str]:
    """The address of a running emulator with an organisation, a repository, three people and an App."""
    directory = tmp_path_factory.mktemp("emulate")
    people = ("ann", "bob", "cat")
    app = {"app_id": 1234, "slug": "delivery", "name": "delivery", "private_key": key_file.read_text()}
    app |= {"permissions": {"contents": "write", "pull_requests": "write", "issues": "write"}}
    app |= {"installations": [{"installation_id": 100, "account": "acme", "repository_selection": "all"}]}
    seed = {
        "tokens": {f"ghp_{login}": {"login": login, "scopes": ["repo", "user"]} for login in people},
        "github": {
            "users": [{"login": login, "name": login, "email": f"{login}@example.invalid"} for login in people],
            "orgs": [{"login": "acme", "members": [{"login": login, "role": "admin"} for login in people]}],
            "repos": [{"owner": "acme", "name": "shop", "auto_init": True}],
            "apps": [app],
        },
    }
    (directory / "seed.json").write_text(json.dumps(seed))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = ["npx", "--yes", PACKAGE, "start", "--service", "github", "--seed", "seed.json"]
    command += ["--port", str(port), "--base-url", url]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log, start_new_session=True)
    try:
        if not _listens(port, process):
            pytest.skip(f"{PACKAGE} does not start: {(directory / 'log').read_text()[-500:]}")
        yield url
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.2)
    return False


class Emulated:
    """The repository on the emulator, seen by each of its people."""

    def __init__(self, api_url: str) -> None:
        self._api_url = api_url

    def connection(self, credentials: Credentials | None = None, who: str = "ann") -> Connection:
        """A connection without pauses."""
        return Connection(self._api_url, REPOSITORY, credentials or TokenCredentials(f"ghp_{who}"), pause=0)

    def send(self, who: str, method: str, path: str, body: dict[str, Any]) -> Any:
        """A request by one of the people."""
        return self.connection(who=who).write(method, path, body)

    def commit(self, branch: str, files: dict[str, str], start: str) -> str:
        """Commit files on a branch through the API; gives the commit."""
        connection = self.connection()
        reference = connection.find(f"git/ref/heads/{branch}")
        parent = (reference or connection.get(f"git/ref/heads/{start}"))["object"]["sha"]
        tree = [{"path": path, "mode": "100644", "type": "blob", "content": text} for path, text in files.items()]
        base = connection.get(f"git/commits/{parent}")["tree"]["sha"]
        made = self.send("ann", "POST", "git/trees", {"tree": tree, "base_tree": base})["sha"]
        body = {"message": f"Change {branch}", "tree": made, "parents": [parent]}
        body |= {"author": {"name": "ann", "email": "ann@example.invalid"}}
        sha: str = self.send("ann", "POST", "git/commits", body)["sha"]
        if reference:
            self.send("ann", "PATCH", f"git/refs/heads/{branch}", {"sha": sha})
        else:
            self.send("ann", "POST", "git/refs", {"ref": f"refs/heads/{branch}", "sha": sha})
        return sha


@pytest.fixture
def emulated(api_url: str) -> Emulated:
    """The repository with a release branch."""
    found = Emulated(api_url)
    if found.connection().find("git/ref/heads/releases/prod") is None:
        found.commit("releases/prod", {"app.yaml": "old"}, start="main")
    return found


@pytest.fixture
def app(api_url: str, key_file: Path) -> AppCredentials:
    """The App that the pipeline is."""
    return AppCredentials(api_url, "1234", key_file, repository=REPOSITORY, installation=100, timeout=15)


def test_a_promotion_from_pull_request_to_approved_merge(emulated: Emulated) -> None:
    """The pipeline opens it and comments; bob approves and merges; the facts say so."""
    forge = GitHubForge(emulated.connection(who="cat"))
    before = emulated.connection().get("git/ref/heads/releases/prod")["object"]["sha"]
    head = emulated.commit("candidates/main", {"app.yaml": "new"}, start="releases/prod")
    opened = forge.open_promotion("candidates/main", "releases/prod", "Promote main", "old body")
    assert opened is not None
    assert forge.open_promotion("candidates/main", "releases/prod", "Promote main", "body") == opened
    assert [(p.number, p.head) for p in forge.open_promotions().pull_requests] == [(opened.number, head)]
    forge.publish_comment(opened.number, "diff", "one")
    forge.publish_comment(opened.number, "diff", "two")
    comments = emulated.connection().get(f"issues/{opened.number}/comments")
    assert [comment["body"] for comment in comments] == ["<!-- deploy-pipeline:diff -->\ntwo"]
    emulated.send("bob", "POST", f"pulls/{opened.number}/reviews", {"event": "APPROVE", "body": "fine"})
    merged = emulated.send("bob", "PUT", f"pulls/{opened.number}/merge", {"sha": head})
    source = SourceRange(emulated.commit("main", {"source.yaml": "new"}, start="main"))
    facts = forge.merged_pull_request(merged["sha"], branch="releases/prod", before=before, source=source)
    assert facts is not None
    assert (facts.number, facts.head, facts.merged_by) == (opened.number, head, "bob")
    assert [(review.user, review.commit) for review in facts.reviews] == [("bob", head)]
    published = datetime(2020, 1, 1, tzinfo=timezone.utc)
    assert reasons_against(facts, ReviewPolicy(), Shown(published, frozenset()), changed_paths=["app.yaml"]) == ()


def test_a_dismissed_review_is_no_approval(emulated: Emulated) -> None:
    """The emulator turns the review's state, as GitHub does."""
    forge = GitHubForge(emulated.connection())
    emulated.commit("candidates/second", {"second.yaml": "new"}, start="releases/prod")
    opened = forge.open_promotion("candidates/second", "releases/prod", "Promote second", "body")
    assert opened is not None
    review = emulated.send("bob", "POST", f"pulls/{opened.number}/reviews", {"event": "APPROVE"})["id"]
    path = f"pulls/{opened.number}/reviews/{review}/dismissals"
    emulated.send("cat", "PUT", path, {"message": "too quick"})
    before = emulated.connection().get("git/ref/heads/releases/prod")["object"]["sha"]
    merged = emulated.send("bob", "PUT", f"pulls/{opened.number}/merge", {})
    facts = forge.merged_pull_request(merged["sha"], branch="releases/prod", before=before, source=SourceRange(before))
    assert facts is not None
    published = datetime(2020, 1, 1, tzinfo=timezone.utc)
    assert "0 of 1 approvals" in reasons_against(facts, ReviewPolicy(), Shown(published, frozenset()), changed_paths=[])


def test_a_list_of_many_pages_is_read_whole(emulated: Emulated) -> None:
    """Its Link headers are its own."""
    emulated.commit("candidates/talk", {"talk.yaml": "new"}, start="releases/prod")
    opened = GitHubForge(emulated.connection()).open_promotion("candidates/talk", "releases/prod", "talk", "")
    assert opened is not None
    path = f"issues/{opened.number}/comments"
    for number in range(120):
        emulated.send("bob", "POST", path, {"body": str(number)})
    assert [comment["body"] for comment in emulated.connection().items(path)] == [str(n) for n in range(120)]


def test_an_app_gets_its_token_and_its_name(emulated: Emulated, app: AppCredentials) -> None:
    """By the exchange of a signed statement, and reads with it; the emulator lets no App write."""
    connection = emulated.connection(app)
    assert connection.login() == "delivery[bot]"
    assert connection.get(f"/repos/{REPOSITORY}")["full_name"] == REPOSITORY
    assert app.token() == app.token()
