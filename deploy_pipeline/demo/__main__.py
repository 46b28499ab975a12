"""``python -m deploy_pipeline.demo``: the flow for people to watch; with ``--check``, unattended and checked."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from deploy_pipeline.demo.check import check, story_of, tell
from deploy_pipeline.demo.guide import guide, write_environment
from deploy_pipeline.demo.home import fresh_home
from deploy_pipeline.demo.repository import CHECKOUT
from deploy_pipeline.demo.waiting import Stopped, stop_signals
from deploy_pipeline.demo.world import running_world
from deploy_pipeline.errors import DeployError

_FOLDER = CHECKOUT / ".demo"


def main() -> int:
    """0: shown until somebody stopped it, or checked and found right; else 1."""
    parser = argparse.ArgumentParser(prog="deploy_pipeline.demo", description=__doc__)
    parser.add_argument("--check", action="store_true", help="tell the story without a person, and check every step")
    parser.add_argument("--forge", choices=["github"], help="let people review on a stand-in for GitHub")
    parser.add_argument("--port", type=int, help="port of Dagster's UI; default: 3000, or a free one if that is taken")
    args = parser.parse_args()
    stop = stop_signals()
    try:
        if args.check:
            check(_FOLDER / "check", stop, port=args.port, reviewed=bool(args.forge))
        else:
            show(_FOLDER / "show", stop, port=args.port, reviewed=bool(args.forge))
    except Stopped:
        print("stopped", flush=True)
        return 1 if args.check else 0
    except DeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def show(path: Path, stop: threading.Event, *, port: int | None, reviewed: bool = False) -> None:
    """Begin the story, say how it can go on, and stay until somebody stops it."""
    print("starting two clusters, a repository and Dagster …", flush=True)
    with (
        fresh_home(path) as home,
        running_world(home, stop, port=port, drift_schedule="*/5 * * * *", reviewed=reviewed) as world,
    ):
        write_environment(home, world.settings)
        print(f"Dagster is at {world.dagster.url}; the first runs can be watched there", flush=True)
        tell(story_of(world).opening(), home)
        print(f"\n{guide(home, world.dagster.url, world.github)}\n", flush=True)
        world.waiting.forever()
        print("ending everything …", flush=True)


if __name__ == "__main__":
    sys.exit(main())
