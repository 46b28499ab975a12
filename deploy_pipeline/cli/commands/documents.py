"""``validate`` and ``schema``: what channel files may say, and whether those at hand do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from posixpath import normpath
from typing import TYPE_CHECKING, Annotated

import typer

from deploy_pipeline.cli import options
from deploy_pipeline.cli.command import FAILED
from deploy_pipeline.cli.output import Output, table
from deploy_pipeline.cli.selection import open_deployer
from deploy_pipeline.errors import ChannelFaults, RefusedError

if TYPE_CHECKING:
    from deploy_pipeline.channels import Channel, Tree


def validate(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIRECTORY]", help="A checkout of the repository.", show_default=False)
    ] = Path(),
    *,
    rev: Annotated[
        str, typer.Option(metavar="REV", help="Check this branch or commit of DEPLOY_REPOSITORY instead of a checkout.")
    ] = "",
    channel_file: Annotated[
        str, typer.Option("-f", "--channel-file", metavar="PATH", help="Check only this channel file.")
    ] = "",
    as_json: options.AsJson = False,
    outfile: options.Outfile = None,
) -> None:
    """Check channel files and deploy.yaml of a checkout.

    Every fault of every file is told at once.

    deploy-pipeline validate                    the checkout here
    deploy-pipeline validate --rev feature-x    what was pushed
    """
    output = Output(as_json, outfile)
    tree = _tree(directory, rev)
    try:
        channels = _channels(tree, channel_file)
    except ChannelFaults as faults:
        if not as_json:
            raise
        output.show({"valid": False, "faults": faults.details}, "")
        raise typer.Exit(FAILED) from None
    rows = [(channel.name, channel.path, str(len(channel.apps))) for channel in channels]
    found = [{"channel": channel.name, "file": channel.path, "apps": len(channel.apps)} for channel in channels]
    text = table(("channel", "file", "apps"), rows, empty="there are no channel files")
    output.show({"valid": True, "faults": [], "channels": found}, f"{text}\n\nno faults")


def schema(
    *,
    settings: Annotated[bool, typer.Option("--settings", help="The deployer's settings instead, as Markdown.")] = False,
    outfile: options.Outfile = None,
) -> None:
    """Print the JSON schema of channel files, for editors.

    deploy-pipeline schema --outfile channel.schema.json
    """
    output = Output(outfile=outfile)
    if settings:
        from deploy_pipeline.cli.settings_page import settings_page

        output.show(None, settings_page())
    else:
        from deploy_pipeline.channels import json_schema

        output.show(None, json.dumps(json_schema(), indent=2))


def _tree(directory: Path, rev: str) -> Tree:
    from deploy_pipeline.channels import WorkingTree

    if not rev:
        return WorkingTree(directory)
    if directory != Path():
        raise RefusedError("both a folder and a revision are named", hint="leave one of them out")
    mirror = open_deployer().mirror
    mirror.fetch()
    return mirror.tree(rev)


def _channels(tree: Tree, file: str) -> Sequence[Channel]:
    from deploy_pipeline.channels import load_channels, load_deploy_file, parse_channel

    if not file:
        return list(load_channels(tree).values())
    try:
        content = tree.read(normpath(file))
    except KeyError:
        raise RefusedError(f"there is no file {file}", hint="name it as it is named in the repository") from None
    return [parse_channel(content, normpath(file), tree, load_deploy_file(tree))]
