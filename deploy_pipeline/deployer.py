"""What every action is given: the repository, the secret store, the clusters and the forge that the settings name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from deploy_pipeline.channels import Channel, PromotionPolicy, load_channel
from deploy_pipeline.errors import DeployError, RetryableError, SettingsError
from deploy_pipeline.forge import Forge, NoForge, forge_from
from deploy_pipeline.private_files import sweep
from deploy_pipeline.repository import Mirror
from deploy_pipeline.secret_stores import SecretStore, secret_store_from
from deploy_pipeline.settings import Settings

if TYPE_CHECKING:
    from deploy_pipeline.cluster.cluster import Cluster

Progress = Callable[[str], None]


def silent(_: str) -> None:
    """A Progress that says nothing."""


_UNKNOWN = PromotionPolicy(reviews=99, code_owners=True, signed_commits=True)


@dataclass(frozen=True)
class Deployer:
    """Settings made into the parts that actions work with. Opens nothing until a part is used."""

    settings: Settings
    mirror: Mirror
    secret_store: SecretStore
    _forge: Callable[[], Forge] = field(default=NoForge, repr=False, compare=False)
    _clusters: dict[tuple[Path | None, str | None], Cluster] = field(default_factory=dict, repr=False, compare=False)
    _released: dict[tuple[str, str], Channel] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_settings(cls, settings: Settings, *, patience: float = 60) -> Deployer:
        """``patience`` is the forge's, in seconds. Raises SettingsError when no repository is named."""
        if not settings.repository:
            raise SettingsError(
                "no repository is configured", hint="set DEPLOY_REPOSITORY to the git URL or path of what is deployed"
            )
        sweep()  # what a killed run left is gone as soon as another one begins
        name = hashlib.sha256(settings.repository.encode()).hexdigest()[:16]
        forge = cache(lambda: forge_from(settings, patience=patience))
        path = settings.state_dir / "mirrors" / f"{name}.git"
        mirror = Mirror(settings.repository, path, access=lambda: forge().git_config())
        return cls(settings, mirror, secret_store_from(settings), forge)

    @property
    def forge(self) -> Forge:
        """Where people review. Made when it is asked for first; raises SettingsError for settings that cannot be."""
        return self._forge()

    def forge_for(self, channel: str) -> Forge:
        """The forge, whose secrets no message about the channel will show. Raises ForgeUnreachable, ForgeRefused."""
        forge = self.forge
        if secrets := forge.secrets():
            self.cluster(channel).redactor.learn(secrets)
        return forge

    def cluster(self, channel: str) -> Cluster:
        """The cluster of a channel; one connection per kubeconfig and context."""
        from deploy_pipeline.cluster.cluster import Cluster  # half a second of imports, not needed to render

        settings = self.settings
        access = settings.kubeconfig, settings.contexts.get(channel)
        if access not in self._clusters:
            self._clusters[access] = Cluster(*access, settings.system_namespace, settings.lock_seconds)
        return self._clusters[access]

    def observing(self) -> Deployer:
        """The same deployer with the account of ``DEPLOY_DIFF_KUBECONFIG``; itself where there is no such account.

        It plans, for diffs, reviews and checks: what a branch says is tried with it before anybody has approved that.
        Of the deployer's records it writes those of reviews alone, since whoever computes a diff says what was shown.
        """
        kubeconfig = self.settings.diff_kubeconfig or self.settings.kubeconfig
        return replace(self, settings=self.settings.model_copy(update={"kubeconfig": kubeconfig}))

    def released_channel(self, name: str) -> Channel:
        """The channel as it was released last: its policy holds for what comes next, which cannot loosen it for itself.

        Ordinary policy if nothing was released yet. If that file cannot be read any more, one that only a launch meets:
        a branch that was pushed over must not loosen what nobody can look up.
        """
        last = self.cluster(name).records(name).last_released()
        if last is None:
            return Channel(name)
        if (last.commit, name) not in self._released:
            try:
                self._released[last.commit, name] = self.channel_at(last.commit, name)
            except RetryableError:
                raise
            except DeployError:
                return Channel(name, promotion=_UNKNOWN)
        return self._released[last.commit, name]

    def channel_at(self, rev: str, name: str) -> Channel:
        """A channel as the file at this revision says. Raises ChannelFaults, UnknownRevision."""
        return load_channel(self.mirror.tree(rev), name)
