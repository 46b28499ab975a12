"""`python -m deploy_pipeline.sandbox`: a simulated cluster in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy_pipeline.sandbox import SandboxError, serve


def main() -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="deploy_pipeline.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--kubeconfig", type=Path, help="write a kubeconfig here")
    parser.add_argument("--state", type=Path, required=True, help="directory that keeps the state")
    parser.add_argument("--rollout-seconds", type=float, default=0.5, help="how long a pod takes to get ready")
    args = parser.parse_args()
    try:
        serve(args.state, port=args.port, kubeconfig=args.kubeconfig, rollout_seconds=args.rollout_seconds)
    except (SandboxError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
