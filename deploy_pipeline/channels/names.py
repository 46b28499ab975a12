"""Names and paths that a file of a branch may give, as types that pydantic checks.

They end up in branch names, labels, object names and on the command lines of kubectl and helm; each rule below keeps
one of these from meaning something else. The checks raise ValueError with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from posixpath import normpath
from typing import Annotated

from pydantic import AfterValidator, Field

from deploy_pipeline.channels.faults import shown

_DNS_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_STORE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")
# Helm takes one --values for several files at commas, reads it as CSV with quotes, and has a meaning for the others in
# --set: such a name could stand for a file outside the tree.
_SPLITTING = re.compile(r'[,"{}\\]')


def dns_label(longest: int) -> Callable[[str], str]:
    """A check for DNS labels (RFC 1123) of at most that many characters."""

    def check(name: str) -> str:
        if not re.fullmatch(_DNS_LABEL, name):
            raise ValueError(
                f"must consist of a-z, 0-9 and '-' and begin and end with a letter or digit, not {shown(name)}"
            )
        if len(name) > longest:
            raise ValueError(f"must have at most {longest} characters, not {len(name)}")
        return name

    return check


def secret_name(name: str) -> str:
    """Names in secret stores: they become file names and parts of addresses there."""
    if not re.fullmatch(_STORE_NAME, name):
        raise ValueError(
            f"must consist of letters, digits, '_', '.' and '-' and begin with none of the last two, not {shown(name)}"
        )
    return name


def inner_path(path: str) -> str:
    """A path inside the tree, without ``./`` and doubled or trailing slashes; ``.`` is the top of the tree."""
    if "://" in path:
        raise ValueError("is an address; files from elsewhere are brought in by `sources` in deploy.yaml")
    if not path or not path.isprintable():
        raise ValueError(f"must be a path, not {shown(path)}")
    if _ABSOLUTE.match(path):
        raise ValueError(f"must be a path from the top of the repository, not {shown(path)}")
    if ".." in re.split(r"[/\\]", path):
        raise ValueError(f"must not contain '..': {shown(path)}")
    if found := _SPLITTING.search(path):
        raise ValueError(f"must not contain '{found[0]}', which helm would read as more than a name: {shown(path)}")
    normal = normpath(path)
    if normal.startswith("-"):
        raise ValueError(f"must not begin with '-': {shown(path)}")
    return normal


def _schema(pattern: str, longest: int | None = None) -> object:
    return Field(json_schema_extra={"pattern": f"^{pattern}$", **({"maxLength": longest} if longest else {})})


# Object names and label values are made of the channel's name and more, so 63 characters would be too many.
ChannelName = Annotated[str, AfterValidator(dns_label(40)), _schema(_DNS_LABEL, 40)]
AppName = Annotated[str, AfterValidator(dns_label(63)), _schema(_DNS_LABEL, 63)]
NamespaceName = Annotated[str, AfterValidator(dns_label(63)), _schema(_DNS_LABEL, 63)]
# Helm's own limit, so that it can append to the name within a label.
HelmName = Annotated[str, AfterValidator(dns_label(53)), _schema(_DNS_LABEL, 53)]
SecretName = Annotated[str, AfterValidator(secret_name), _schema(_STORE_NAME)]
InnerPath = Annotated[str, AfterValidator(inner_path)]
