"""What exists, in one graph from the source branch to the running apps.

All of these live outside Dagster (in git and in clusters), so they are external assets: ops report what became of
them. Change sets, approvals and releases belong to a channel and are partitioned by it. Nothing is partitioned by
branch, since a run of a partition that is deleted meanwhile fails, and branches come and go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import dagster as dg

from deploy_pipeline.channels import App, Channel, format_duration

CHANNELS = dg.DynamicPartitionsDefinition(name="channel")

SOURCE_BRANCH = dg.AssetKey("source_branch")
CANDIDATE = dg.AssetKey("candidate")
CHANGE_SET = dg.AssetKey("change_set")
APPROVAL = dg.AssetKey("approval")
RELEASE = dg.AssetKey("release")

# Names of the checks of each app.
READY = "ready"
DRIFT = "drift"

_FLOW = "flow"
_STAGES = (
    dg.AssetSpec(
        SOURCE_BRANCH,
        group_name=_FLOW,
        kinds={"git"},
        description="A branch people commit to. A push to it is noticed by the sensor `source_branches`.",
    ),
    dg.AssetSpec(
        CANDIDATE,
        deps=[SOURCE_BRANCH],
        group_name=_FLOW,
        kinds={"git", "kustomize", "helm"},
        description="The commit that rendering a source branch gives, on `candidates/<source branch>`: the files that "
        "deployments need and the final manifests of every app under `rendered/`. Made by `render_candidate`.",
    ),
    dg.AssetSpec(
        CHANGE_SET,
        deps=[CANDIDATE],
        partitions_def=CHANNELS,
        group_name=_FLOW,
        kinds={"kubernetes"},
        description="The exact object changes between a candidate and the live cluster of a channel, computed by the "
        "API server's dry run, with a digest. What reviewers read. Made by `diff_promotion`.",
    ),
    dg.AssetSpec(
        APPROVAL,
        deps=[CHANGE_SET],
        partitions_def=CHANNELS,
        group_name=_FLOW,
        kinds={"git", "kubernetes"},
        description="The evidence that a change set was accepted for a channel: who, which tree, which digest. A "
        "release of anything else stops. Made by `promote`.",
    ),
    dg.AssetSpec(
        RELEASE,
        deps=[APPROVAL],
        partitions_def=CHANNELS,
        group_name=_FLOW,
        kinds={"git", "kubernetes"},
        description="The commit of `releases/<channel>` that the channel's cluster runs. Made by `release_channel`.",
    ),
)


def asset_specs(channels: Iterable[Channel]) -> tuple[dg.AssetSpec, ...]:
    """The stages of the flow, and every app of these channels."""
    apps = [_app_spec(channel, app) for channel in channels for app in channel.apps]
    return (*_STAGES, *apps)


def app_key(channel: str, app: str) -> dg.AssetKey:
    """The asset of one app of a channel."""
    return dg.AssetKey([channel, app])


def identifier(name: str) -> str:
    """A channel's name as Dagster's names of schedules, checks and groups allow it.

    No two channels share one: channel names hold no underscore.
    """
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _app_spec(channel: Channel, app: App) -> dg.AssetSpec:
    return dg.AssetSpec(
        app_key(channel.name, app.name),
        deps=[RELEASE],
        group_name=identifier(channel.name),
        kinds={"kubernetes", app.driver.value},
        tags={"channel": channel.name},
        description=f"App `{app.name}` as it runs in channel `{channel.name}`, deployed by {app.driver.value}.",
        metadata=dict(_facts(channel, app)),
    )


def _facts(channel: Channel, app: App) -> Iterator[tuple[str, str]]:
    """What the channel file says of the app, for the asset's page."""
    yield "channel file", channel.path
    yield "source", app.kustomize_dir or app.helm_chart or ""
    if app.namespace:
        yield "namespace", app.namespace
    if app.helm_name:
        yield "helm release", app.helm_name
    if secrets := (*app.secrets, *app.secret_helm_values):
        yield "secrets", ", ".join(secrets)
    yield "timeout", format_duration(app.timeout)
