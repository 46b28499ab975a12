"""Tags of runs: what the run list is filtered by, and what the queue limits.

Every run about a channel carries ``deploy/channel``, and ``dagster.yaml`` lets one of them run at a time. That goes for
the runs that only read, too: a diff or a drift check in the middle of a release would show a state that is gone a
moment later, and a digest that nothing can be approved by. What writes goes first (``dagster/priority``), so that a
release never waits for more than the one run that is under way.
"""

from __future__ import annotations

from enum import Enum

CHANNEL = "deploy/channel"
BRANCH = "deploy/branch"
COMMIT = "deploy/commit"
PULL_REQUEST = "deploy/pull_request"
TRIGGER = "deploy/trigger"

# A worker that died leaves a step of which nobody knows how far it came; each can be done again from its beginning.
EVERY_RUN = {"dagster/retry_strategy": "ALL_STEPS"}
WRITES_FIRST = {"dagster/priority": "10"}
# Nobody waits for the change set of every open branch as somebody does who launched a run by hand.
IN_BACKGROUND = {"dagster/priority": "-10"}

# What Dagster itself calls these.
PARTITION = "dagster/partition"
REPOSITORY = ".dagster/repository"


class Trigger(str, Enum):
    """Who or what started a run."""

    UI = "ui"
    SENSOR = "sensor"
    SCHEDULE = "schedule"
    CLI = "cli"
