"""The commands there are, in the order of ``--help``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from deploy_pipeline import __version__
from deploy_pipeline.cli.command import Command, help_text
from deploy_pipeline.cli.commands.candidates import diff, promote, render
from deploy_pipeline.cli.commands.documents import schema, validate
from deploy_pipeline.cli.commands.listing import list_what_there_is
from deploy_pipeline.cli.commands.releases import drift, history, release, secrets
from deploy_pipeline.cli.commands.sandbox import sandbox

COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_what_there_is,
    "validate": validate,
    "render": render,
    "diff": diff,
    "promote": promote,
    "release": release,
    "secrets": secrets,
    "drift": drift,
    "history": history,
    "schema": schema,
    "sandbox": sandbox,
}


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def deploy_pipeline(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the program an error arose.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """GitOps delivery for Kubernetes: what was approved is what is applied.

    deploy-pipeline render feature-x                         make its candidate
    deploy-pipeline diff --channel test --rev feature-x      what would change
    deploy-pipeline promote --channel test --rev feature-x   approve that
    deploy-pipeline release --channel test                   make it so
    deploy-pipeline drift --channel test                     is it still so?

    The deployer is configured by DEPLOY_… variables, which `deploy-pipeline schema --settings` lists. Actions are runs
    in the Dagster instance that DAGSTER_HOME names, or with --local in none.

    Exit status: 0 done; 1 there are changes (diff, drift); 2 refused or failed.
    """


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback(help=help_text(deploy_pipeline))(deploy_pipeline)
for name, function in COMMANDS.items():
    app.command(name, cls=Command, help=help_text(function))(function)
