"""``validate`` and ``schema``."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.cli.conftest import CommandLine
from tests.support.origin import PROJECT, Origin

BAD_CHANNEL = """\
channel: test
releases:
  - name: web
    driver: kustomise
    kustomize_dir: kubernetes/nowhere
  - name: web
    driver: helm
"""


@pytest.fixture
def checkout(unconfigured: CommandLine) -> Path:
    """A checkout with a good channel and one with several faults, besides a bad deploy.yaml."""
    (unconfigured.folder / "channels").mkdir()
    (unconfigured.folder / "channels" / "good.yaml").write_text("channel: prod\nreleases: []\n")
    (unconfigured.folder / "channels" / "bad.yaml").write_text(BAD_CHANNEL)
    (unconfigured.folder / "deploy.yaml").write_text("channel: channels\n")
    return unconfigured.folder


def test_validate_tells_that_the_example_is_right(unconfigured: CommandLine) -> None:
    """The example in this repository has two channels and no fault; no repository needs to be configured."""
    result = unconfigured("validate", str(PROJECT))

    assert (result.returncode, result.stderr) == (0, "")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["prod", "channels/prod.yaml", "3"] in rows
    assert ["test", "channels/test.yaml", "3"] in rows


def test_validate_tells_every_fault_of_every_file(unconfigured: CommandLine, checkout: Path) -> None:
    """Faults of the channel file and of deploy.yaml come together, and end it with 2."""
    result = unconfigured("validate")

    assert (result.returncode, result.stdout) == (2, "")
    for fault in (
        "channels/bad.yaml: releases[0].driver: ",
        "channels/bad.yaml: releases[1].name: ",
        "channels/bad.yaml: releases[1].helm_chart: ",
        "deploy.yaml: channel: ",
    ):
        assert f"  - {fault}" in result.stderr
    assert "good.yaml" not in result.stderr


def test_validate_gives_faults_as_json(unconfigured: CommandLine, checkout: Path) -> None:
    """Faults are the result of a validation, so ``--json`` has them on standard output, and the status stays 2."""
    result = unconfigured("validate", "--json")

    assert (result.returncode, result.stderr) == (2, "")
    answer = json.loads(result.stdout)
    assert answer["valid"] is False
    assert any(fault.startswith("channels/bad.yaml: releases[0].driver: ") for fault in answer["faults"])


def test_validate_of_one_file_leaves_the_others_alone(unconfigured: CommandLine, checkout: Path) -> None:
    """The faults of another channel do not concern who asks for one."""
    (checkout / "deploy.yaml").unlink()

    assert unconfigured("validate", "-f", "./channels/good.yaml").returncode == 0
    result = unconfigured("validate", "-f", "channels/bad.yaml")
    assert result.returncode == 2
    assert "channels/bad.yaml: releases[0].driver: " in result.stderr
    missing = unconfigured("validate", "-f", "channels/none.yaml")
    assert missing.returncode == 2
    assert "there is no file channels/none.yaml" in missing.stderr


def test_validate_of_a_revision_reads_what_was_pushed(reading: CommandLine, origin: Origin) -> None:
    """With ``--rev`` the branch counts, wherever the command is run."""
    origin.commit("feature-x", {"channels/test.yaml": BAD_CHANNEL})

    assert reading("validate", "--rev", "main").returncode == 0
    result = reading("validate", "--rev", "feature-x")
    assert result.returncode == 2
    assert "channels/test.yaml: releases[0].driver: " in result.stderr
    unknown = reading("validate", "--rev", "feature-y")
    assert unknown.returncode == 2
    assert "did you mean `feature-x`?" in unknown.stderr


def test_validate_of_a_folder_and_a_revision_is_refused(reading: CommandLine) -> None:
    """Two things to check would leave it open which one was."""
    result = reading("validate", ".", "--rev", "main")
    assert result.returncode == 0  # the folder here is what is meant without one
    result = reading("validate", str(PROJECT), "--rev", "main")
    assert result.returncode == 2
    assert "both a folder and a revision are named" in result.stderr


def test_schema_accepts_the_example_and_refuses_an_unknown_key(unconfigured: CommandLine) -> None:
    """What is printed is a JSON schema that knows channel files."""
    result = unconfigured("schema")

    assert (result.returncode, result.stderr) == (0, "")
    validator = jsonschema.Draft202012Validator(json.loads(result.stdout))
    example = yaml.safe_load((PROJECT / "channels" / "prod.yaml").read_text())
    assert list(validator.iter_errors(example)) == []
    example["calitp"]["relases"] = []
    assert [error.validator for error in validator.iter_errors(example)] == ["additionalProperties"]


def test_settings_page_is_current(unconfigured: CommandLine) -> None:
    """``docs/settings.md`` is what the settings say today, on every machine."""
    elsewhere = unconfigured.having(XDG_CACHE_HOME="/elsewhere", DEPLOY_POLL_SECONDS="99")

    for command in (unconfigured, elsewhere):
        result = command("schema", "--settings")
        assert result.returncode == 0
        assert result.stdout == (PROJECT / "docs" / "settings.md").read_text()
