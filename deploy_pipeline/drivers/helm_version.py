"""Which Helm runs: Helm 4 applies on the server if told to; Helm 3 knows no such option and sends patches.

Nobody is asked as long as Helm knows the options of Helm 4: a start of it takes a tenth of a second.
"""

from __future__ import annotations

import re
from pathlib import Path

from deploy_pipeline.errors import SettingsError
from deploy_pipeline.tools import ToolResult, isolated_environment, run_tool

ON_SERVER = ("--server-side=true", "--force-conflicts")
_UNKNOWN = "unknown flag: --server-side"
_OLDEST = (3, 17)  # the first whose upgrade has --take-ownership
_TIMEOUT = 30.0

_patching: set[str] = set()


def is_helm_3(helm: str) -> bool:
    """Whether this Helm is known to be Helm 3: it was started with the options of Helm 4 before."""
    return helm in _patching


def learn_helm_3(helm: str, result: ToolResult, directory: Path) -> bool:
    """Whether the result says that this Helm is Helm 3, which is remembered. Raises SettingsError if it is too old."""
    if not result.returncode or _UNKNOWN not in result.stderr:
        return False
    version = _version(helm, directory)
    if version < _OLDEST:
        raise SettingsError(
            f"{helm} is Helm {version[0]}.{version[1]}: 3.17 is the oldest whose releases can be predicted",
            hint="run `make setup` for the one this project is tested with, or set HELM to a newer one",
        )
    if version[0] == 3:  # and not a chart that prints these words
        _patching.add(helm)
    return is_helm_3(helm)


def _version(helm: str, directory: Path) -> tuple[int, int]:
    command = [helm, "version", "--template", "{{.Version}}"]
    env = isolated_environment(directory)
    answer = run_tool(command, cwd=directory, env=env, timeout=_TIMEOUT, offline=True)
    found = re.match(rb"v(\d+)\.(\d+)", answer.stdout)
    if not found:
        raise SettingsError(f"{helm} does not say which version it is", hint="set HELM to the path of a Helm")
    return int(found[1]), int(found[2])
