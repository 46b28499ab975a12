"""Image references as container runtimes read them: ``nginx`` is ``docker.io/library/nginx:latest``.

The grammar is that of the distribution project (``reference/regexp.go``). What it does not cover is no reference: a
name that two programs read in two ways could pass a rule and be pulled from elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST}|\[[a-fA-F0-9:]+\](?::[0-9]{{1,5}})?)/)?(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
_LONGEST = 255


@dataclass(frozen=True)
class ImageReference:
    """One image: ``registry`` is host and port, ``tag`` empty only if a ``digest`` says which image it is."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Read a reference as it stands in a manifest; ValueError if it is none."""
        first, slash, _ = text.partition("/")
        # The first part names a registry only if it looks like one; else all of it is a repository of Docker Hub.
        is_host = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
        match = _REFERENCE.fullmatch(text if is_host else f"docker.io/{text}")
        if not match or len(match["path"]) > _LONGEST or not match["host"]:
            raise ValueError(f"{text!r} is no image reference")
        host, path = match["host"].lower(), match["path"]
        host = "docker.io" if host == "index.docker.io" else host
        if host == "docker.io" and "/" not in path:
            path = f"library/{path}"
        digest = match["digest"] or ""
        return cls(host, path, match["tag"] or ("" if digest else "latest"), digest)

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    def is_within(self, prefix: str) -> bool:
        """Whether the image lies at or below a prefix such as ``ghcr.io`` or ``ghcr.io/team``, by whole parts."""
        return self.name == prefix or self.name.startswith(f"{prefix.rstrip('/')}/")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{f'@{self.digest}' if self.digest else ''}"
