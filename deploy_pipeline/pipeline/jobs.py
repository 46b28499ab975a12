"""The jobs: one for each action, each of one op, all with the same tags and the same form of configuration.

What acts on a channel is partitioned by channel. The partition brings the tag ``deploy/channel`` along, also when a run
is launched by hand, so that no way of launching goes around the queue's limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from deploy_pipeline.pipeline import ops, tags
from deploy_pipeline.pipeline.assets import CHANNELS

_RETRY_BY_HAND = (
    "\n\nA failed run is not started again by a sensor: once its reason is gone, use *Re-execute*. "
    "What may pass by itself (a cluster or a repository that does not answer) is tried again within the run."
)


@dataclass(frozen=True)
class _Action:
    """A job to be: its op, its description, and what the launchpad shows before anybody types."""

    name: str
    op: dg.OpDefinition
    description: str
    partitioned: bool = True
    writes: bool = False
    prefilled: Mapping[str, Any] | None = None

    def job(self) -> dg.JobDefinition:
        return dg.GraphDefinition(name=self.name, node_defs=[self.op]).to_job(
            description=self.description + _RETRY_BY_HAND,
            config=self._config_by_channel() if self.partitioned else None,
            tags={tags.TRIGGER: tags.Trigger.UI.value, **tags.EVERY_RUN, **(tags.WRITES_FIRST if self.writes else {})},
            executor_def=dg.in_process_executor,
        )

    def _config_by_channel(self) -> dg.PartitionedConfig[Any]:
        return dg.PartitionedConfig(
            partitions_def=CHANNELS,
            run_config_for_partition_key_fn=lambda _: op_config(self.op.name, self.prefilled or {}),
            tags_for_partition_key_fn=lambda channel: {tags.CHANNEL: channel},
        )


def op_config(op: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The run configuration of a job whose only op is ``op``."""
    return {"ops": {op: {"config": dict(config)}}}


_ACTIONS = (
    _Action(
        "render_candidate",
        ops.render,
        "Render a source branch to its candidate `candidates/<branch>`.\n\n"
        "Fill in `branch`. Runs by itself for each push.",
        partitioned=False,
    ),
    _Action(
        "diff_promotion",
        ops.diff,
        "Show what promoting a candidate would change in a channel's cluster. Writes nothing.\n\n"
        "Choose the channel as partition and fill in `candidate`. Runs by itself for each new candidate.",
        prefilled={"apps": []},
    ),
    _Action(
        "review_promotion",
        ops.review,
        "Show an open pull request what its merge would change in the channel's cluster: as a comment, and as the "
        "commit status `deploy-pipeline/<channel>` of its head.\n\n"
        "Choose the channel as partition and fill in `pull_request`. Runs by itself for each open pull request from "
        "`candidates/…` into `releases/<channel>`, and again whenever its diff is stale.",
        prefilled={"head": ""},
    ),
    _Action(
        "promote",
        ops.approve,
        "Approve a candidate's change set for a channel and move `releases/<channel>` to it. The release follows by "
        "itself.\n\nChoose the channel as partition, fill in `candidate` and `approved_by`, and copy the digest you "
        "reviewed from the asset `change_set` to `expected_digest`.",
        writes=True,
        prefilled={"expected_digest": ""},
    ),
    _Action(
        "release_channel",
        ops.release,
        "Make a channel's cluster match its release branch: secrets, apps, prune, wait until ready.\n\n"
        "Choose the channel as partition. Nothing needs to be filled in; `commit` and `apps` narrow it. "
        "Runs by itself when the release branch moves. Running it twice changes nothing the second time.",
        writes=True,
        prefilled={"commit": "", "apps": [], "drivers": [], "accept_change_set": "", "approved_by": ""},
    ),
    _Action(
        "deploy_secrets",
        ops.write_secrets,
        "Write the secrets of a channel's apps from the secret store to its cluster.\n\n"
        "Choose the channel as partition; `apps` and `secret` narrow it.",
        writes=True,
        prefilled={"apps": [], "secret": ""},
    ),
    _Action(
        "check_drift",
        ops.compare,
        "Compare a channel's cluster with what was last released, and evaluate the checks `drift` and `ready` of its "
        "apps. Where the channel says `drift: heal`, what was released is put back; else it writes nothing.\n\n"
        "Choose the channel as partition. Runs by itself on the channel's schedule.",
        prefilled={"apps": []},
    ),
)

JOBS: Mapping[str, dg.JobDefinition] = {action.name: action.job() for action in _ACTIONS}
OP_NAMES: Mapping[str, str] = {action.name: action.op.name for action in _ACTIONS}
