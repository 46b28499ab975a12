"""``deploy.yaml``: which files take part in deployments, and what is brought in from other repositories."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from deploy_pipeline.channels.document import Document, read_document
from deploy_pipeline.channels.faults import Fault
from deploy_pipeline.channels.names import InnerPath, inner_path
from deploy_pipeline.channels.section import Section, check, is_within
from deploy_pipeline.channels.tree import Tree

DEPLOY_FILE = "deploy.yaml"

_SCP_LIKE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^:].*")
_SCHEMES = ("https", "http", "ssh", "file")


def _url(url: str) -> str:
    """Plain addresses only: git runs a program for ``ext::…``, and reads options from what begins with ``-``."""
    # The address is left out of every reason, since it may hold a password.
    if not url.isprintable() or " " in url:
        raise ValueError("must be an address without blanks and control characters")
    if url.startswith("/") or _SCP_LIKE.fullmatch(url):
        return url
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not url.startswith(f"{parts.scheme}://"):
        raise ValueError(
            f"must be an address that begins with {', '.join(f'{name}://' for name in _SCHEMES)} or git@host:"
        )
    if parts.password or (parts.username and parts.scheme != "ssh"):
        raise ValueError("must not hold a user or password; the deployer has the credentials")
    return url


def _commit(ref: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", ref):
        raise ValueError("must be a full commit id of 40 hexadecimal digits: a branch or tag can move")
    return ref


class Source(Section):
    """Files of another repository, at one commit, and where they lie here."""

    url: Annotated[str, AfterValidator(_url)] = Field(
        description="Git address; the deployer's DEPLOY_ALLOWED_SOURCES must allow it."
    )
    ref: Annotated[str, AfterValidator(_commit)] = Field(
        description="Full commit id.", json_schema_extra={"pattern": "^[0-9a-f]{40}$"}
    )
    from_: InnerPath = Field(alias="from", description="Folder or file in that repository; `.` for all of it.")
    to: InnerPath = Field(description="Where it lies in this repository.")


class DeployFile(Section):
    """What ``deploy.yaml`` says; each key may be left out."""

    channels: InnerPath = Field("channels", description="Folder of the channel files.")
    include: tuple[InnerPath, ...] = Field(
        ("channels/**", "kubernetes/**", DEPLOY_FILE),
        description="Patterns of the paths that a candidate holds; `**` for any depth.",
    )
    sources: tuple[Source, ...] = Field((), description="Files brought in from other repositories.")


def read_deploy_file(tree: Tree) -> tuple[DeployFile | None, list[Fault]]:
    """What the tree's ``deploy.yaml`` says, or None; and all faults. The defaults if there is no such file."""
    try:
        content = tree.read(DEPLOY_FILE)
    except KeyError:
        return DeployFile(), []
    document = read_document(content, DEPLOY_FILE)
    if document.value is None and not document.faults:
        return DeployFile(), []
    file, faults = check(DeployFile, document, nested={"sources": Source})
    faults += _clashes(document)
    return (None if faults else file), faults


def _clashes(document: Document) -> Iterator[Fault]:
    """Sources that would lie over each other, or over the files that say what is deployed."""
    content = document.value if isinstance(document.value, dict) else {}
    sources = content.get("sources")
    targets = {
        index: target
        for index, source in enumerate(sources if isinstance(sources, list) else ())
        if isinstance(source, dict) and (target := _path(source.get("to")))
    }
    for own in (DEPLOY_FILE, _path(content.get("channels")) or DeployFile().channels):
        for index, target in targets.items():
            if _overlap(target, own):
                yield document.fault(("sources", index, "to"), f"would lie over this repository's own {own}")
    for (first, one), (second, other) in combinations(targets.items(), 2):
        if _overlap(one, other):
            yield document.fault(("sources", second, "to"), f"would lie over sources[{first}]")


def _path(value: object) -> str | None:
    try:
        return inner_path(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _overlap(one: str, other: str) -> bool:
    return is_within(one, other) or is_within(other, one)
