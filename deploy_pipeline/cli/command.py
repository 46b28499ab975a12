"""How a command ends when it cannot do what it was asked: a status, and on standard error what to do about it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from inspect import cleandoc
from typing import Any

import typer
from typer.core import TyperCommand

from deploy_pipeline.cli.output import progress, report
from deploy_pipeline.errors import DeployError

CHANGES = 1
FAILED = 2
_BROKEN_PIPE = 141  # what a shell says of a program that SIGPIPE ended


class Command(TyperCommand):
    """A command whose errors are told as message, details and next step, without a traceback."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command; every error becomes an exit status."""
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except BrokenPipeError:
            # What is left in the buffer would be complained about when Python exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(_BROKEN_PIPE) from None
        except Exception as error:  # noqa: BLE001 - the end of the line
            _explain(error, debug=ctx.find_root().params["debug"])
            raise typer.Exit(FAILED) from None


def help_text(function: Callable[..., None]) -> str:
    r"""The docstring of a command as its help; examples keep their lines, which is what ``\b`` is for."""
    paragraphs = cleandoc(function.__doc__ or "").split("\n\n")
    return "\n\n".join(f"\b\n{text}" if text.startswith("deploy-pipeline ") else text for text in paragraphs)


def _explain(error: Exception, *, debug: bool) -> None:
    """Tell an error. The text of one that nobody foresaw is left out: it may quote what nobody shall see."""
    if debug:
        progress("".join(traceback.format_tb(error.__traceback__)).rstrip())
    if isinstance(error, DeployError):
        report(error)
        return
    if isinstance(error, OSError) and error.filename:
        report(DeployError(f"{error.filename}: {error.strerror}"))
        return
    hint = "" if debug else "run it again as `deploy-pipeline --debug …` to see where it happened, and report that"
    report(DeployError(f"unexpected {type(error).__name__}: a fault of deploy-pipeline itself", hint=hint))
