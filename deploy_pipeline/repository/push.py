"""What the remote's answer to a push means for the caller: done, try again on fresh state, or a person has to act."""

from __future__ import annotations

import re

from deploy_pipeline.errors import RaceLost, RefusedError, RepositoryUnreachable
from deploy_pipeline.repository.git import GitResult

_REJECTED = re.compile(r"^!\t\S+\t\[(?P<how>[a-z ]+)\] *(?:\((?P<why>.*)\))?$", re.MULTILINE)
# Said by servers whose reference moved between their answer and the update, in different versions of git.
_MOVED = re.compile(
    r"stale info|fetch first|non-fast-forward|cannot lock ref|failed to update ref|incorrect old value|"
    r"already exists|remote ref does not exist|failed to lock"
)


def judge_push(result: GitResult, branch: str, url: str) -> None:
    """Read the output of ``git push --porcelain`` of one reference.

    Raises RaceLost, RefusedError or RepositoryUnreachable; returns if the remote took it.
    """
    if result.returncode == 0:
        return
    rejected = _REJECTED.search(result.text)
    if rejected is None:
        raise RepositoryUnreachable(
            f"cannot push `{branch}` to {url}",
            details=result.last_words,
            hint="check the network, and whether the deployer's credentials may push",
        )
    why = rejected["why"] or rejected["how"]
    if _MOVED.search(why):
        raise RaceLost(f"`{branch}` moved while we worked on it ({why})", hint="try again on its new state")
    raise RefusedError(
        f"{url} refuses the push of `{branch}`: {why}",
        details=result.last_words,
        hint="let the deployer's account push this branch (branch protection, hooks)",
    )
