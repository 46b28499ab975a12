"""What a chart gives: its objects and hooks, from either form in which Helm prints them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from deploy_pipeline.errors import RenderFailed
from deploy_pipeline.rendering.reading import TextLoader, read_documents


@dataclass(frozen=True)
class Hook:
    """One hook of a chart: what people see of it, and its text, which may hold secret values."""

    label: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class Rendering:
    """What a chart gives. ``manifest`` is text, and may hold secret values."""

    manifest: str = field(repr=False)
    hooks: tuple[Hook, ...]

    @property
    def documents(self) -> Counter[str]:
        """Every document with where it comes from, counted: equal if two renderings are."""
        return Counter([*_documents(self.manifest), *(hook.text for hook in self.hooks)])


def from_answer(answer: Mapping[str, Any]) -> Rendering:
    """What Helm answers to a dry run, as JSON."""
    hooks = map(hook_of, answer.get("hooks") or ())
    return Rendering(str(answer.get("manifest") or ""), tuple(hooks))


def hook_of(hook: Mapping[str, Any]) -> Hook:
    """A hook as Helm answers and stores it."""
    return Hook(_label(hook), f"# Source: {hook.get('path')}\n{str(hook.get('manifest') or '').strip()}")


def from_template(text: str) -> Rendering:
    """What ``helm template`` prints, which has the hooks among the objects. Raises RenderFailed."""
    objects, hooks = [], []
    for document in _documents(text):
        content = _content(document)
        metadata = _map(content.get("metadata"))
        events = _map(metadata.get("annotations")).get("helm.sh/hook")
        if events:
            names = [event.strip() for event in str(events).split(",")]
            named = {"kind": content.get("kind"), "name": metadata.get("name"), "events": names}
            hooks.append(Hook(_label(named), document))
        else:
            objects.append(document)
    return Rendering("\n---\n".join(objects), tuple(hooks))


def _content(document: str) -> Mapping[str, Any]:
    """A document whose scalars are texts; empty if it is no object."""
    try:
        return _map(next(iter(read_documents(document.encode(), TextLoader)), None))
    except yaml.YAMLError as error:
        raise RenderFailed(f"the chart gives what cannot be read: {' '.join(str(error).split())}") from None


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _documents(text: str) -> list[str]:
    """The documents of a manifest, each with Helm's comment that says which template it comes from."""
    return [part.strip() for part in re.split(r"^---[^\S\n]*$", text, flags=re.MULTILINE) if part.strip()]


def _label(hook: Mapping[str, Any]) -> str:
    return f"{hook.get('kind')} {hook.get('name')} ({', '.join(hook.get('events') or ())})"
