"""The channels that are known when the code location is loaded: what gets assets, checks and a drift schedule.

Loading must not wait for a network, and must not fail because somebody pushed a bad file. So this looks only at what
lies on disk: the mirror that runs and sensors keep, or else a checkout. Jobs do not depend on it: they serve every
channel.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from deploy_pipeline.channels import Channel, WorkingTree, load_channel, load_channels
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.errors import DeployError
from deploy_pipeline.repository import GitTree, Mirror, channel_of, is_source_branch
from deploy_pipeline.settings import Settings

_log = logging.getLogger(__name__)

# Where a channel that has no release branch yet is looked for: the branches that most repositories build on.
_TRUNKS = ("main", "master")


def known_channels(settings: Settings, checkout: Path) -> tuple[Channel, ...]:
    """The channels of the mirror, or of ``checkout`` as long as there is no mirror, in order of their names.

    A channel is what its release branch says; one without is what the trunk says. Never raises for what a repository
    holds: what cannot be read is logged and left out.
    """
    try:
        mirror = Deployer.from_settings(settings).mirror if settings.repository else None
        found = dict(_of_mirror(mirror)) if mirror and mirror.exists() else load_channels(WorkingTree(checkout))
    except DeployError as error:
        _log.warning("no channels are known: %s", error)
        return ()
    return tuple(found[name] for name in sorted(found))


def _of_mirror(mirror: Mirror) -> Iterator[tuple[str, Channel]]:
    """Pairs of name and channel; what a release branch says comes last, so that it outweighs the trunk."""
    heads = mirror.heads()
    for branch in (*_trunk(heads), *filter(channel_of, sorted(heads))):
        try:
            yield from _of_branch(mirror.tree(branch), channel_of(branch)).items()
        except DeployError as error:  # noqa: PERF203 - one branch that cannot be read must not hide the others
            _log.warning("the channels of branch %s are left out: %s", branch, error)


def _of_branch(tree: GitTree, channel: str | None) -> dict[str, Channel]:
    """What a branch has a say in: its own channel if it is a release branch, else every channel."""
    return {channel: load_channel(tree, channel)} if channel else load_channels(tree)


def _trunk(heads: dict[str, str]) -> list[str]:
    """The branch that people build on, as far as names tell; the first one in a repository without a usual name."""
    sources = [name for name in sorted(heads) if is_source_branch(name)]
    return ([name for name in _TRUNKS if name in heads] or sources)[:1]
