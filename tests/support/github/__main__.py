"""The stand-in as a process of its own: ``python -m tests.support.github``, with one repository and its people.

It says in a file where it listens and which tokens people have, and prints what was said against GitHub's description.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from tests.support.github.server import GitHubServer
from tests.support.github.state import Protection

_CONTEXT = "deploy-pipeline/"


def main() -> None:
    """Serve until somebody asks to stop."""
    parser = argparse.ArgumentParser(prog="tests.support.github", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="where the bare repository lies")
    parser.add_argument("--repository", required=True, help="owner/name")
    parser.add_argument("--person", action="append", default=[], metavar="LOGIN=ROLE", help="somebody with a token")
    parser.add_argument(
        "--protect", action="append", default=[], metavar="CHANNEL", help="ask for a review, and a diff"
    )
    parser.add_argument("--ready", type=Path, required=True, help="file to write the address and the tokens to")
    args = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with GitHubServer(args.root) as server:
        repository = server.state.repository(args.repository)
        tokens = {}
        for login, _, role in (person.partition("=") for person in args.person):
            tokens[login] = server.state.user(login)
            repository.roles[login] = role
        for channel in args.protect:
            repository.protections[f"releases/{channel}"] = Protection((_CONTEXT + channel,), approvals=1)
        _write(args.ready, {"url": server.url, "api_url": server.api_url, "tokens": tokens})
        said = 0
        while not stop.wait(0.2):
            for violation in server.violations[said:]:
                sys.stdout.write(f"{violation}\n")
                sys.stdout.flush()
                said += 1


def _write(path: Path, content: object) -> None:
    """Whoever sees the file sees all of it."""
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text(json.dumps(content))
    part.rename(path)


if __name__ == "__main__":
    main()
