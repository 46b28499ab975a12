"""The options that commands share, each described once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

from typer import Option


class DriverName(str, Enum):
    """The drivers, as the value of an option."""

    KUSTOMIZE = "kustomize"
    HELM = "helm"


ChannelName = Annotated[str, Option("--channel", metavar="NAME", help="The channel.")]
ChannelFile = Annotated[
    str,
    Option(
        "-f",
        "--channel-file",
        metavar="PATH",
        help="The channel that this file of the repository describes, such as channels/prod.yaml.",
    ),
]
AppNames = Annotated[
    list[str] | None, Option("--app", metavar="NAME", help="Only this app; may be given several times.")
]
Driver = Annotated[DriverName | None, Option("--driver", help="Only apps with this driver.")]
CandidateRev = Annotated[
    str,
    Option(
        "--rev",
        metavar="REV",
        help="Candidate (`feature-x` or `candidates/feature-x`) or commit. "
        "Default: the candidate of `main`, or else of `master`.",
    ),
]
FilesRev = Annotated[
    str,
    Option("--rev", metavar="REV", help="Branch or commit that is read. Default: `main`, or else `master`."),
]
AsJson = Annotated[bool, Option("--json", help="Write the result as JSON; nothing else goes to standard output.")]
Outfile = Annotated[
    Path | None,
    Option("--outfile", metavar="PATH", help="Write the result to this file, which is replaced as a whole."),
]
Local = Annotated[
    bool, Option("--local", help="Run without Dagster; the default is a run in the history that DAGSTER_HOME names.")
]
