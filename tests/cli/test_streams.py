"""What comes out where: results, progress and errors, and with which status a command ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy_pipeline.cli.app import COMMANDS
from tests.cli.conftest import CommandLine, read_terminal
from tests.support.origin import PROJECT

HEAVY = ("dagster", "kubernetes", "pydantic", "git", "yaml", "rich.console")


def test_help_lists_every_command_and_the_exit_statuses(unconfigured: CommandLine) -> None:
    """Whoever reads ``--help`` learns what there is and how it ends, without having configured anything."""
    result = unconfigured.process("--help")

    assert result.returncode == 0
    listed = result.stdout.partition("Commands:")[2]
    assert [line.split()[0] for line in listed.splitlines() if line.strip()] == list(COMMANDS)
    assert "Exit status: 0 done; 1 there are changes" in result.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_each_command_has_an_example_on_a_line_of_its_own(unconfigured: CommandLine, name: str) -> None:
    """Examples can be copied: they are not wrapped into the text around them."""
    result = unconfigured(name, "--help")

    assert result.returncode == 0
    assert any(line.startswith(f"  deploy-pipeline {name}") for line in result.stdout.splitlines())


def test_help_imports_nothing_heavy() -> None:
    """``--help`` answers at once, since Dagster, the Kubernetes client and pydantic stay out of it."""
    program = f"import sys, deploy_pipeline.cli.app; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_wrong_usage_ends_with_2(unconfigured: CommandLine) -> None:
    """An option that does not exist is an error, which must not be taken for `there are changes`."""
    result = unconfigured.process("diff", "--chanel", "test")

    assert (result.returncode, result.stdout) == (2, "")
    assert "--chanel" in result.stderr


def test_error_is_told_with_next_step_and_without_traceback(unconfigured: CommandLine) -> None:
    """Whoever forgot the configuration reads what to set."""
    result = unconfigured.process("diff", "--channel", "test", "--local")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: no repository is configured\n"
        "Next step: set DEPLOY_REPOSITORY to the git URL or path of what is deployed\n"
    )


def test_debug_shows_where_an_error_arose(unconfigured: CommandLine) -> None:
    """With ``--debug`` the way through the program stands above the error."""
    result = unconfigured("--debug", "diff", "--channel", "test", "--local")

    assert result.returncode == 2
    assert 'deploy_pipeline/deployer.py", line' in result.stderr
    assert result.stderr.index("deployer.py") < result.stderr.index("error: no repository is configured")


def test_unforeseen_error_does_not_quote_its_text(unconfigured: CommandLine) -> None:
    """Nobody knows what a foreign error quotes, so its kind is named and its text is not."""
    secret = "hunter2-in-an-exception"
    (unconfigured.folder / "sitecustomize.py").write_text(
        "import os, deploy_pipeline.channels as channels\n"
        "def broken(): raise LookupError(os.environ['QUOTED'])\n"
        "channels.json_schema = broken\n"
    )
    faulty = unconfigured.having(PYTHONPATH=f"{unconfigured.folder}:{PROJECT}", QUOTED=secret)

    for options in ((), ("--debug",)):
        result = faulty.process(*options, "schema")
        assert result.returncode == 2
        assert "error: unexpected LookupError" in result.stderr
        assert secret not in result.stderr
    assert "commands/documents.py" in result.stderr


def test_system_error_names_the_file(reading: CommandLine) -> None:
    """A folder that cannot be made is named; the program is not blamed for it."""
    result = reading.having(DEPLOY_STATE_DIR="/proc/nowhere")("list", "channels")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: /proc/nowhere: No such file or directory\n"


@pytest.mark.parametrize("home", ["relative/home", "/nowhere/at/all"])
def test_instance_that_cannot_be_opened_is_named(reading: CommandLine, home: str) -> None:
    """A DAGSTER_HOME that is none is an error with a next step, and not a traceback of Dagster's."""
    result = reading.having(DAGSTER_HOME=home)("render", "main")

    assert (result.returncode, result.stdout) == (2, "")
    assert f"the Dagster instance in {home} cannot be opened" in result.stderr
    assert "Next step: " in result.stderr


def test_action_without_instance_names_both_ways_on(reading: CommandLine) -> None:
    """Without DAGSTER_HOME nothing runs in a history that is gone afterwards."""
    result = reading("render", "main")

    assert (result.returncode, result.stdout) == (2, "")
    assert "DAGSTER_HOME is not set" in result.stderr
    assert "--local" in result.stderr


def test_reader_that_went_away_ends_it_quietly(unconfigured: CommandLine) -> None:
    """A closed pipe is no error to talk about, and its status is not that of `there are changes`."""
    nobody, stdout = os.pipe()
    os.close(nobody)
    process = unconfigured.start("schema", stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE)
    os.close(stdout)

    assert process.communicate()[1] == b""
    assert process.returncode == 141


@pytest.mark.parametrize(
    "arguments", [("list", "channels"), ("render", "main", "--local"), ("render", "main")], ids=["read", "local", "run"]
)
def test_interrupt_ends_it_quietly_with_130(unconfigured: CommandLine, arguments: tuple[str, ...]) -> None:
    """Ctrl-C while git waits for a server that says nothing ends command, run and git, without a traceback."""
    (unconfigured.folder / "dagster.yaml").touch()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/example.git"
        folder = str(unconfigured.folder)
        command = unconfigured.having(DEPLOY_REPOSITORY=url, DEPLOY_STATE_DIR=folder, DAGSTER_HOME=folder)
        process = command.start(*arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        silent.settimeout(90)
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
        connection.close()

    assert (process.returncode, stdout) == (130, b"")
    assert not any(word in stderr.decode() for word in ("Traceback", "error", "Interrupt"))


def test_json_stands_alone_on_standard_output(reading: CommandLine) -> None:
    """What comes after ``--json`` can be piped into a program."""
    result = reading("list", "channels", "--json")

    assert result.returncode == 0
    channels = json.loads(result.stdout)["channels"]
    assert [(channel["channel"], channel["file"]) for channel in channels] == [
        ("prod", "channels/prod.yaml"),
        ("test", "channels/test.yaml"),
    ]


def test_outfile_takes_the_result_and_replaces_the_file(unconfigured: CommandLine) -> None:
    """The result goes to the file as a whole; a reader of the old file still sees the old one."""
    outfile = unconfigured.folder / "schema.json"
    outfile.write_text("old")
    with outfile.open() as before:
        result = unconfigured("schema", "--outfile", "schema.json")
        assert before.read() == "old"

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert json.loads(outfile.read_text())["title"] == "Channel file of deploy_pipeline"
    assert list(unconfigured.folder.iterdir()) == [outfile]


def test_outfile_may_be_a_device(unconfigured: CommandLine) -> None:
    """What is no file is written to, and not replaced by one."""
    pipe = unconfigured.folder / "pipe"
    os.mkfifo(pipe)
    process = unconfigured.start(
        "schema", "--outfile", "pipe", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )

    assert json.loads(pipe.read_text())["title"] == "Channel file of deploy_pipeline"
    assert process.communicate() == (b"", b"")
    assert pipe.is_fifo()


def test_outfile_that_cannot_be_written_is_refused_first(unconfigured: CommandLine) -> None:
    """It is said before anything is done, as nobody could read what was done."""
    result = unconfigured("render", "main", "--local", "--outfile", "missing/result.txt")

    assert result.returncode == 2
    assert result.stderr.startswith("error: missing/result.txt cannot be written")


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals_of_people_who_want_it(
    unconfigured: CommandLine, variables: dict[str, str], coloured: bool
) -> None:
    """An error on a terminal is coloured, unless NO_COLOR is set or the terminal knows no colours."""
    terminal, inner = pty.openpty()
    command = unconfigured.having(**{"TERM": "xterm", **variables})
    process = command.start("list", "channels", stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)

    assert ("\x1b[31merror:\x1b[0m" in read_terminal(terminal)) is coloured
    process.wait(timeout=30)


def test_locale_without_arrows_ends_nothing(unconfigured: CommandLine, tmp_path: Path) -> None:
    """A character that the terminal cannot show is written in ASCII."""
    checkout = tmp_path / "checkout"
    (checkout / "channels").mkdir(parents=True)
    (checkout / "channels" / "größe.yaml").write_text("channel: test\nreleases: []\n")

    result = unconfigured.having(PYTHONIOENCODING="ascii").process("validate", str(checkout))

    assert result.returncode == 0
    assert "channels/gr\\xf6\\xdfe.yaml" in result.stdout
