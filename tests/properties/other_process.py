"""A deployer in a process of its own that answers each line, channel and candidate, with the change set."""

from __future__ import annotations

import json
import sys

from deploy_pipeline.deployer import Deployer, silent
from deploy_pipeline.errors import DeployError
from deploy_pipeline.promotion import diff_promotion
from deploy_pipeline.settings import Settings


def main() -> None:
    """Answer until the input ends. A deployer is made for each line, so that it remembers nothing."""
    settings = Settings(**json.loads(sys.argv[1]))
    for line in sys.stdin:
        channel, candidate = json.loads(line)
        try:
            answer = diff_promotion(Deployer.from_settings(settings), channel, candidate, progress=silent).to_json()
        except DeployError as error:
            answer = {"refused": str(error)}
        print(json.dumps(answer), flush=True)  # noqa: T201 (that is its interface)


if __name__ == "__main__":
    main()
