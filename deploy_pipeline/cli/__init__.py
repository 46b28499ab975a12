"""The command line: the actions of the core from a shell, as runs of Dagster or without it.

It decides nothing about deploying. A command finds out what is meant, calls one action and shows what came of it::

    app         the commands there are, and how errors end them
    options     the options that commands share
    selection   which channel, apps and revision these options mean
    actions     the core's actions: here in this process, or as a run that stands in Dagster's history
    output      what goes to standard output, what to standard error, in which form
    commands/   one module for each group of commands

Modules that take long to import (Dagster, the Kubernetes client, pydantic) are imported where they are used, so that
``--help`` answers at once.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper


def main() -> None:
    """Run the command that the process was started with; never returns."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an arrow must not end a release where the locale has none
    try:
        from deploy_pipeline.cli.app import app

        app(prog_name="deploy-pipeline")
    except KeyboardInterrupt:
        sys.exit(130)
