"""What a run can be told: the fields of Dagster's launchpad, and of the command line's runs."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

_APPS = "Names of apps; empty for all apps of the channel."


class RenderConfig(dg.Config):
    """What to render."""

    branch: str = Field(description="Source branch, for example `main`. One that is gone takes its candidate along.")


class DiffConfig(dg.Config):
    """What to compare with the live cluster."""

    candidate: str = Field(description="Candidate (`feature-x` or `candidates/feature-x`), or a full commit id.")
    apps: list[str] = Field(default=[], description=_APPS)


class ReviewConfig(dg.Config):
    """Which pull request to show the change set of."""

    pull_request: int = Field(description="Number of an open pull request into the release branch of the channel.")
    head: str = Field(default="", description="Only if its head is this commit, as full id; empty: whatever it is.")


class PromoteConfig(dg.Config):
    """What to approve, by whom, and for what it was reviewed."""

    candidate: str = Field(description="Candidate (`feature-x` or `candidates/feature-x`) that the channel shall run.")
    approved_by: str = Field(description="Who approves: a name or an e-mail address, for the channel's history.")
    expected_digest: str = Field(
        default="",
        description="Digest (`sha256:…`) of the change set you reviewed. If the cluster or the candidate moved since, "
        "nothing is promoted. Empty: whatever the change set is now.",
    )


class ReleaseConfig(dg.Config):
    """What to release."""

    commit: str = Field(default="", description="Commit of the release branch, as full id; empty for its head.")
    apps: list[str] = Field(default=[], description=_APPS)
    drivers: list[str] = Field(default=[], description="`kustomize`, `helm`; empty for both.")
    accept_change_set: str = Field(
        default="",
        description="Digest (`sha256:…`) of what this release would do, to let it through although it was refused. "
        "Only where the channel, as it was released last, says `accept_change_set: true`.",
    )
    approved_by: str = Field(default="", description="Who accepts that: a name or an e-mail address.")


class SecretsConfig(dg.Config):
    """Which secrets to write."""

    apps: list[str] = Field(default=[], description=_APPS)
    secret: str = Field(default="", description="Name of one secret in the store; empty for all secrets of these apps.")


class DriftConfig(dg.Config):
    """Where to look for drift, and whether to put it back."""

    apps: list[str] = Field(default=[], description=_APPS)
    heal: bool | None = Field(
        default=None,
        description="Put the last approved release back where the cluster drifted from it. Unset: as the channel file "
        "of the release says (`drift: heal`).",
    )
