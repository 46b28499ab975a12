"""``list``: what there is, and how it is narrowed down."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import CommandLine
from tests.support.origin import Origin


def test_list_shows_jobs_channels_and_apps(reading: CommandLine) -> None:
    """Without an argument all three are listed, each with its head."""
    result = reading("list")

    assert (result.returncode, result.stderr) == (0, "")
    sections = result.stdout.split("\n\n")
    assert [section.split()[0] for section in sections] == ["JOB", "CHANNEL", "CHANNEL"]
    assert "release_channel" in sections[0]
    assert ["test", "channels/test.yaml", "3", "required"] in [line.split() for line in sections[1].splitlines()]
    assert "metabase_database-backup, metabase_sensitive-values" in sections[2]


def test_list_jobs_needs_no_repository(unconfigured: CommandLine) -> None:
    """Every action of the flow has a job, which can be listed before anything is configured."""
    result = unconfigured("list", "jobs", "--json")

    assert result.returncode == 0
    names = [job["job"] for job in json.loads(result.stdout)["jobs"]]
    assert names == [
        "render_candidate",
        "diff_promotion",
        "review_promotion",
        "promote",
        "release_channel",
        "deploy_secrets",
        "check_drift",
    ]


def test_list_channels_shows_what_each_shall_run(reading: CommandLine, origin: Origin) -> None:
    """A channel with a release branch shows its head, another one nothing."""
    head = origin.commit("releases/test", {}, "Promote")
    channels = json.loads(reading("list", "channels", "--json").stdout)["channels"]

    assert {channel["channel"]: channel["release"] for channel in channels} == {"prod": "", "test": head}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--channel", "prod", "--driver", "helm"), [("prod", "metabase")]),
        (("-f", "channels/test.yaml", "--app", "web"), [("test", "web")]),
        (("--app", "web", "--app", "archiver", "--channel", "prod"), [("prod", "archiver"), ("prod", "web")]),
        (("--app", "web", "--driver", "helm"), []),
    ],
)
def test_list_apps_is_narrowed_down(
    reading: CommandLine, options: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    """Channel, channel file, app and driver each leave only what they name."""
    apps = json.loads(reading("list", "apps", *options, "--json").stdout)["apps"]
    assert [(app["channel"], app["app"]) for app in apps] == expected


def test_list_reads_the_revision_that_is_named(reading: CommandLine, origin: Origin) -> None:
    """A branch with another channel shows it; the default branch does not."""
    origin.commit("feature-x", {"channels/stage.yaml": "channel: stage\nreleases: []\n"})

    assert "stage" in reading("list", "channels", "--rev", "feature-x").stdout
    assert "stage" not in reading("list", "channels").stdout


def test_list_of_an_unknown_channel_names_the_known_ones(reading: CommandLine) -> None:
    """A misspelt channel is an error and not an empty list."""
    result = reading("list", "apps", "--channel", "pord")

    assert (result.returncode, result.stdout) == (2, "")
    assert "main has no channel pord" in result.stderr
    assert "prod (channels/prod.yaml)" in result.stderr


def test_list_needs_a_branch_where_no_default_is_known(reading: CommandLine, origin: Origin) -> None:
    """A repository with neither `main` nor `master` asks for ``--rev``."""
    origin.git("branch", "--move", "main", "trunk")

    assert "--rev" in reading("list", "channels").stderr
    assert reading("list", "channels", "--rev", "trunk").returncode == 0
