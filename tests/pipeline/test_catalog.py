"""Which channels are known when the code location is loaded: from disk, and never at the price of not loading."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy_pipeline.deployer import Deployer
from deploy_pipeline.pipeline.catalog import known_channels
from deploy_pipeline.settings import Settings
from tests.support.origin import PROJECT, Origin

CHANNEL = "channel: {name}\ndrift_schedule: '{cron}'\nreleases: []\n"


@pytest.fixture
def settings(repository: Origin) -> Settings:
    """Settings whose mirror holds the repository as it is now."""
    found = Settings.from_environment()
    Deployer.from_settings(found).mirror.fetch()
    return found


def names(settings: Settings, checkout: Path) -> list[str]:
    """The known channels' names."""
    return [channel.name for channel in known_channels(settings, checkout)]


def test_channels_of_the_trunk_are_known_before_anything_is_released(settings: Settings, tmp_path: Path) -> None:
    """With the apps that their files name."""
    channels = known_channels(settings, tmp_path)
    assert [(c.name, [app.name for app in c.apps]) for c in channels] == [
        ("prod", ["archiver", "web", "metabase"]),
        ("test", ["archiver", "web", "metabase"]),
    ]


def test_a_release_branch_outweighs_the_trunk(repository: Origin, settings: Settings, tmp_path: Path) -> None:
    """What runs in a channel is what its release branch says, not what somebody works on."""
    repository.commit("releases/test", {"channels/test.yaml": CHANNEL.format(name="test", cron="1 2 * * *")})
    Deployer.from_settings(settings).mirror.fetch()
    assert [c.drift_schedule for c in known_channels(settings, tmp_path)] == [None, "1 2 * * *"]


def test_a_release_branch_speaks_for_its_own_channel_only(
    repository: Origin, settings: Settings, tmp_path: Path
) -> None:
    """The copy of another channel's file on it may be old."""
    repository.commit("releases/test", {"channels/prod.yaml": CHANNEL.format(name="prod", cron="1 2 * * *")})
    Deployer.from_settings(settings).mirror.fetch()
    assert [c.drift_schedule for c in known_channels(settings, tmp_path)] == [None, None]


def test_one_broken_branch_does_not_hide_the_others(
    repository: Origin, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault is logged, and everything else is offered."""
    repository.commit("releases/prod", {"README": "as it should be"})
    repository.commit("releases/test", {"channels/test.yaml": "releases: {"})
    repository.commit("main", {"channels/test.yaml": "- no channel"})
    Deployer.from_settings(settings).mirror.fetch()
    assert names(settings, tmp_path) == ["prod"]
    assert "releases/test" in caplog.text
    assert "branch main" in caplog.text


def test_a_checkout_speaks_as_long_as_there_is_no_mirror(repository: Origin, tmp_path: Path) -> None:
    """A first start in a checkout shows its apps at once."""
    shutil.copytree(PROJECT / "channels", tmp_path / "channels")
    shutil.copytree(PROJECT / "kubernetes", tmp_path / "kubernetes")
    assert names(Settings.from_environment(), tmp_path) == ["prod", "test"]


def test_without_mirror_and_checkout_no_channel_is_known(repository: Origin, tmp_path: Path) -> None:
    """The code location loads all the same: its jobs serve every channel."""
    assert names(Settings.from_environment(), tmp_path) == []


def test_a_broken_checkout_is_logged(repository: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It does not stop the code location."""
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels" / "prod.yaml").write_text("releases: {")
    assert names(Settings.from_environment(), tmp_path) == []
    assert "channels/prod.yaml" in caplog.text


def test_a_damaged_mirror_is_logged(settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk or a crash costs the list of channels until the next fetch rebuilds the mirror, and nothing else."""
    (mirror,) = (tmp_path / "state" / "mirrors").glob("*.git")
    shutil.rmtree(mirror / "objects")
    assert names(settings, tmp_path) == []
    assert caplog.records


def test_an_unusual_trunk_is_found(repository: Origin, settings: Settings, tmp_path: Path) -> None:
    """A repository without main or master."""
    subprocess.run(["git", "-C", str(repository.path), "branch", "-m", "main", "trunk"], check=True)
    Deployer.from_settings(settings).mirror.fetch()
    assert names(settings, tmp_path) == ["prod", "test"]
