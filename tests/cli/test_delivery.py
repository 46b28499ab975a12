"""From a source branch to a running app by the command line alone: real git, kubectl and helm, a sandbox cluster."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from deploy_pipeline.isolation import network_of_isolated_tools
from deploy_pipeline.sandbox import SandboxCluster
from deploy_pipeline.settings import tool_path
from tests.cli.conftest import CommandLine, Ended, read_terminal
from tests.cli.delivery import BROKEN, CALMER, FILES, SECRET, SECRET_VALUE
from tests.support.origin import Origin


@dataclass(frozen=True)
class World:
    """A repository, a cluster, and the command line that is configured for both."""

    command: CommandLine
    origin: Origin
    kubeconfig: Path

    def __call__(self, *arguments: str) -> Ended:
        """Run a command without Dagster."""
        return self.command(*arguments, "--local")

    def json(self, *arguments: str) -> Any:
        """The result of a command as JSON."""
        return json.loads(self(*arguments, "--json").stdout)

    def released(self) -> None:
        """Bring the candidate of main to the channel and the cluster."""
        for arguments in (("promote", "--channel", "test", "--yes"), ("release", "--channel", "test")):
            assert self(*arguments).returncode == 0

    def kubectl(self, *arguments: str) -> str:
        """The real kubectl on the cluster."""
        command = [tool_path("kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose main has its candidate already, to be copied: rendering is the slow part."""
    folder = tmp_path_factory.mktemp("rendered")
    origin = Origin.create(folder / "origin.git", FILES)
    command = CommandLine(folder, {"DEPLOY_REPOSITORY": origin.url, "DEPLOY_STATE_DIR": str(folder / "state")})
    result = command("render", "main", "--local")
    assert result.returncode == 0, result.stderr
    return origin.path


@pytest.fixture
def world(rendered: Path, unconfigured: CommandLine, sandbox_cluster: SandboxCluster, tmp_path: Path) -> World:
    """A repository with a candidate of main, and an empty cluster."""
    path = Path(shutil.copytree(rendered, tmp_path / "origin.git"))
    kubeconfig, secrets = tmp_path / "kubeconfig", tmp_path / "secrets"
    sandbox_cluster.write_kubeconfig(kubeconfig)
    secrets.mkdir()
    (secrets / "notes_token.yaml").write_text(SECRET)
    command = unconfigured.having(
        DEPLOY_REPOSITORY=path.as_uri(),
        DEPLOY_STATE_DIR=str(tmp_path / "state"),
        DEPLOY_KUBECONFIG=str(kubeconfig),
        DEPLOY_SECRETS_DIR=str(secrets),
    )
    return World(command, Origin(path, path.as_uri()), kubeconfig)


def test_whole_way_without_dagster(world: World) -> None:
    """Diff, promote, release and drift end with the statuses that a script can rely on, and show no secret."""
    said = [proposed := world("diff", "--channel", "test", "--json")]
    assert proposed.returncode == 1
    digest = json.loads(proposed.stdout)["digest"]

    said.append(promoted := world("promote", "--channel", "test", "--expect", digest, "--approved-by", "ann"))
    assert promoted.returncode == 0
    assert "releases/test has a new commit" in promoted.stdout
    assert digest in promoted.stdout

    said.append(released := world("release", "--channel", "test"))
    assert released.returncode == 0
    rows = [line.split()[:4] for line in released.stdout.splitlines()]
    assert ["notes", "kustomize", "released", "+4"] in rows
    assert "green" in world.kubectl("get", "configmap", "board", "--namespace", "board", "--output", "yaml")

    said.append(again := world("diff", "--channel", "test"))
    assert again.returncode == 0
    said.append(calm := world("drift", "--channel", "test"))
    assert calm.returncode == 0

    world.kubectl("patch", "configmap", "pages", "--namespace", "notes", "--patch", '{"data": {"title": "Changed"}}')
    said.append(drifted := world("drift", "--channel", "test"))
    assert drifted.returncode == 1
    assert '-   data.title: "Changed"' in drifted.stdout
    assert '+   data.title: "Notes"' in drifted.stdout
    assert "changed (by kubectl-patch at " in drifted.stdout
    said.append(healed := world("drift", "--channel", "test", "--heal"))
    assert healed.returncode == 0
    assert "notes (kustomize): 1 changed, 0 missing, 0 extra, 3 as released; healed" in healed.stdout
    said.append(quiet := world("drift", "--channel", "test", "--json"))
    assert [app["objects"] for app in json.loads(quiet.stdout)["apps"]] == [[], []]

    said.append(history := world.command("history", "--channel", "test", "--json"))
    healing, record = json.loads(history.stdout)
    assert (record["state"], record["approved_by"], record["trigger"]) == ("released", "ann", "cli")
    assert (healing["state"], healing["approved_by"], healing["trigger"]) == ("released", "ann", "heal")
    assert healing["reason"] == "put back ConfigMap notes/pages (data.title)"
    assert not any(SECRET_VALUE in ended.stdout + ended.stderr for ended in said)


@pytest.mark.long
def test_release_that_was_refused_can_be_accepted_by_its_digest(world: World) -> None:
    """Where what was released says so; whoever accepts gives a name, and it stands in the history."""
    path = "channels/try-out.yaml"
    world.origin.commit("main", {path: world.origin.show("main", path) + "accept_change_set: true\n"})
    assert world("render", "main").returncode == 0
    world.released()
    world.origin.commit("main", CALMER)
    assert world("render", "main").returncode == 0
    assert world("promote", "--channel", "test", "--yes").returncode == 0
    world.kubectl("patch", "configmap", "pages", "--namespace", "notes", "--patch", '{"data": {"title": "Changed"}}')

    refused = world("release", "--channel", "test")
    assert refused.returncode == 2
    assert "data.title" in refused.stderr
    again = world("diff", "--channel", "test", "--json")
    assert again.returncode == 1, again.stderr
    digest = json.loads(again.stdout)["digest"]
    nameless = world("release", "--channel", "test", "--accept-change-set", digest)
    assert nameless.returncode == 2
    assert world(
        "release", "--channel", "test", "--accept-change-set", "sha256:other", "--approved-by", "ann"
    ).returncode

    accepted = world("release", "--channel", "test", "--accept-change-set", digest, "--approved-by", "ann")
    assert accepted.returncode == 0, accepted.stderr
    history = world.command("history", "--channel", "test", "--json")
    assert json.loads(history.stdout)[0]["approved_by"] == "ann"
    assert "Notes" in world.kubectl("get", "configmap", "pages", "--namespace", "notes", "--output", "yaml")


def test_actions_stand_in_the_run_history(world: World, tmp_path: Path) -> None:
    """Without ``--local`` each action is a run of its job, tagged with channel and trigger, and says its id."""
    home = tmp_path / "dagster_home"
    home.mkdir()
    command = world.command.having(DAGSTER_HOME=str(home))
    world.origin.commit("main", CALMER)
    channel = ("--channel", "test")

    ended = [command("render", "main"), command("diff", *channel), command("promote", *channel, "--yes")]
    ended += [command("release", *channel), command("secrets", *channel), command("drift", *channel)]

    assert [one.returncode for one in ended] == [0, 1, 0, 0, 0, 0]
    with dg.DagsterInstance.from_config(str(home)) as instance:
        runs = list(reversed(instance.get_runs()))
    jobs = ("render_candidate", "diff_promotion", "promote", "release_channel", "deploy_secrets", "check_drift")
    assert tuple(run.job_name for run in runs) == jobs
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert {run.tags["deploy/trigger"] for run in runs} == {"cli"}
    assert {run.tags.get("deploy/channel") for run in runs[1:]} == {"test"}
    assert all(run.run_id in one.stderr for run, one in zip(runs, ended, strict=True))
    assert "blue" in world.kubectl("get", "configmap", "board", "--namespace", "board", "--output", "yaml")


def test_run_that_fails_tells_the_error_of_its_action(world: World, tmp_path: Path) -> None:
    """The error of a run is told like any other, and ends the command with 2; its run is named."""
    home = tmp_path / "dagster_home"
    home.mkdir()
    result = world.command.having(DAGSTER_HOME=str(home))("release", "--channel", "test")

    assert (result.returncode, result.stdout) == (2, "")
    assert "error: there is no branch releases/test" in result.stderr
    assert "Next step: promote a candidate to test first" in result.stderr
    assert "Traceback" not in result.stderr
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert run.run_id in result.stderr


def test_release_that_fails_says_which_app_and_why(world: World) -> None:
    """An app that does not become ready ends the release with 2 and stands in the history with its reason."""
    world.origin.commit("feature-x", BROKEN)
    assert world("render", "feature-x").returncode == 0
    assert world("promote", "--channel", "test", "--rev", "feature-x", "--yes").returncode == 0

    result = world("release", "--channel", "test")

    assert result.returncode == 2
    assert "failed: notes" in result.stderr
    assert "Deployment notes/notes" in result.stderr
    history = world.command("history", "--channel", "test")
    assert history.returncode == 0
    assert history.stdout.splitlines()[1].split()[1] == "failed"
    assert "Deployment notes/notes" in history.stdout


def test_render_shows_the_candidate_and_removes_it_with_its_branch(world: World) -> None:
    """A branch that is gone takes its candidate along, and that is no error."""
    world.origin.commit("feature-x", CALMER)
    made = world.json("render", "feature-x")
    assert made["commit"] == world.origin.heads()["candidates/feature-x"]
    assert made["isolation"] == network_of_isolated_tools().value

    world.origin.delete("feature-x")
    gone = world("render", "feature-x")
    assert gone.returncode == 0
    assert gone.stdout == "candidates/feature-x is removed: there is no branch feature-x\n"
    assert "candidates/feature-x" not in world.origin.heads()


def test_channel_can_be_named_by_its_file(world: World) -> None:
    """``-f`` selects the channel which that file describes; a file that is not there is named with those that are."""
    found = world.json("diff", "-f", "./channels/try-out.yaml")
    assert found["channel"] == "test"

    missing = world("diff", "-f", "channels/test.yaml")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "main has no file channels/test.yaml" in missing.stderr
    assert "channels/try-out.yaml" in missing.stderr


@pytest.mark.parametrize(
    ("options", "error"),
    [((), "no channel is named"), (("--channel", "test", "-f", "channels/try-out.yaml"), "two channels are named")],
)
def test_one_channel_has_to_be_named(world: World, options: tuple[str, ...], error: str) -> None:
    """No action guesses which channel it is about."""
    for name in ("diff", "release", "secrets", "drift", "history"):
        result = world.command(name, *options)
        assert result.returncode == 2
        assert error in result.stderr


def test_driver_narrows_an_action_down_and_never_widens_it(world: World) -> None:
    """With ``--driver`` only its apps are looked at; where none is left, nothing is done at all."""
    found = world.json("diff", "--channel", "test", "--driver", "helm")
    assert [app["app"] for app in found["apps"]] == ["board"]

    result = world("diff", "--channel", "test", "--driver", "helm", "--app", "notes")
    assert (result.returncode, result.stdout) == (2, "")
    assert "channel test has no such app with the driver helm" in result.stderr


def test_release_of_some_apps_leaves_the_others(world: World) -> None:
    """``--app`` and ``--driver`` choose what is released."""
    assert world("promote", "--channel", "test", "--yes").returncode == 0

    released = world.json("release", "--channel", "test", "--driver", "helm")

    assert [(app["app"], app["state"]) for app in released["apps"]] == [("board", "released")]
    assert "notes" not in world.kubectl("get", "namespaces", "--output", "name")


def test_release_of_a_commit_that_is_not_the_head_is_refused(world: World) -> None:
    """``--rev`` pins what is released; the head that moved since is not released in its place."""
    world.released()
    result = world("release", "--channel", "test", "--rev", "main")

    assert result.returncode == 2
    assert "is not the head of releases/test" in result.stderr
    assert world("release", "--channel", "test", "--rev", "releases/test").returncode == 0


def test_secrets_are_put_in_place_anew(world: World) -> None:
    """A secret that was changed in the store comes to the cluster without a release, and is listed without value."""
    world.released()
    store = Path(world.command.variables["DEPLOY_SECRETS_DIR"]) / "notes_token.yaml"
    store.write_text(SECRET.replace(SECRET_VALUE, "another-token"))

    result = world("secrets", "--channel", "test", "--secret", "notes_token")

    assert result.returncode == 0
    assert result.stdout.splitlines()[1].split() == ["notes", "notes_token", "Secret", "notes/token", "update"]
    assert "another-token" not in result.stdout + result.stderr


def test_drift_before_the_first_release_is_none(world: World) -> None:
    """Where nothing was released there is nothing to differ from, which is said and is no error."""
    result = world("drift", "--channel", "test")

    assert result.returncode == 0
    assert result.stdout == "nothing was released to test yet\n"


def test_promotion_without_terminal_needs_a_word(world: World) -> None:
    """A script has to say which change set it accepts; otherwise nothing is promoted."""
    result = world("promote", "--channel", "test")

    assert (result.returncode, result.stdout) == (2, "")
    assert "--expect DIGEST" in result.stderr
    assert "releases/test" not in world.origin.heads()


def test_promotion_of_another_change_set_is_refused(world: World) -> None:
    """A digest that is not today's promotes nothing."""
    result = world("promote", "--channel", "test", "--expect", "sha256:" + "0" * 64)

    assert result.returncode == 2
    assert "would now do sha256:" in result.stderr
    assert "releases/test" not in world.origin.heads()


@dataclass
class Question:
    """A promotion on a terminal, at the point where it asks."""

    process: subprocess.Popen[bytes]
    terminal: int
    shown: str

    @classmethod
    def of(cls, world: World) -> Question:
        """Start it, and read what it shows."""
        terminal, inner = pty.openpty()
        arguments = ("promote", "--channel", "test", "--local")
        process = world.command.start(*arguments, stdin=inner, stdout=subprocess.PIPE, stderr=inner)
        os.close(inner)
        shown = ""
        while "Promote main to test?" not in shown:
            shown += os.read(terminal, 65536).decode()
        return cls(process, terminal, shown)

    def answer(self, text: str) -> tuple[int, str, str]:
        """Type an answer; returns status, standard output and what the terminal showed after it."""
        os.write(self.terminal, text.encode())
        return self.end()

    def end(self) -> tuple[int, str, str]:
        """Wait for the end."""
        after = read_terminal(self.terminal)
        stdout = self.process.communicate(timeout=60)[0].decode()
        return self.process.returncode, stdout, after


@pytest.mark.parametrize(("answer", "status", "promoted"), [("n\n", 2, False), ("y\n", 0, True)])
def test_promotion_on_a_terminal_shows_the_change_set_and_asks(
    world: World, answer: str, status: int, promoted: bool
) -> None:
    """The change set is read before the question, and only yes promotes."""
    question = Question.of(world)
    assert question.shown.index('data.title: "Notes"') < question.shown.index("Promote main to test?")

    returncode, stdout, _ = question.answer(answer)

    assert returncode == status
    assert ("releases/test" in world.origin.heads()) is promoted
    assert ("releases/test has a new commit" in stdout) is promoted


def test_interrupt_instead_of_an_answer_promotes_nothing(world: World) -> None:
    """Ctrl-C at the question just ends."""
    question = Question.of(world)
    question.process.send_signal(signal.SIGINT)
    returncode, stdout, after = question.end()

    assert (returncode, stdout) == (130, "")
    assert "Traceback" not in after
    assert "releases/test" not in world.origin.heads()


def test_yes_is_for_the_change_set_that_was_shown(world: World) -> None:
    """A candidate that moves while somebody reads is not promoted by the answer to the older one."""
    question = Question.of(world)
    world.origin.commit("main", CALMER)
    assert world("render", "main").returncode == 0

    returncode, stdout, after = question.answer("y\n")

    assert (returncode, stdout) == (2, "")
    assert "would now do sha256:" in after
    assert "releases/test" not in world.origin.heads()
