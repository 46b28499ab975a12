"""``python -m benchmarks``: measure, and print one table. Takes some minutes; ``--quick`` about one."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from benchmarks import many_apps, polling, through_dagster
from benchmarks.clusters import Clusters
from benchmarks.figures import Figure, table
from deploy_pipeline.demo.home import fresh_home
from deploy_pipeline.demo.waiting import Stopped, stop_signals
from deploy_pipeline.errors import DeployError


def main() -> int:
    """0 if everything was measured."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer pushes, fewer apps, no hour of polling")
    parser.add_argument("--cluster", type=Path, metavar="KUBECONFIG", help="many apps on a real cluster, nothing else")
    args = parser.parse_args()
    stop = stop_signals()
    figures: list[Figure] = []
    try:
        for figure in _measure(stop, quick=args.quick, cluster=args.cluster):
            print(f"{figure.name}: {figure.value:.2f} {figure.unit}", file=sys.stderr, flush=True)
            figures.append(figure)
    except Stopped:
        return 1
    except DeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(figures))
    return 0


def _measure(stop: threading.Event, *, quick: bool, cluster: Path | None) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        if cluster is None:
            with fresh_home(folder / "flow") as home:
                yield from through_dagster.measure(home, stop, pushes=2 if quick else 8)
            if not quick:
                yield from polling.measure(folder / "polling", stop)
        for count in (15,) if quick else (15, 60, 250):
            here = folder / str(count)
            clusters = Clusters(here, stop, cluster)
            yield from many_apps.measure(here, clusters, count=count, loops=1 if count > 60 else 2)


if __name__ == "__main__":
    sys.exit(main())
