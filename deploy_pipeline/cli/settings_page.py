"""The page ``docs/settings.md``: every setting of the deployer, made from the class that reads them."""

from __future__ import annotations

from typing import Any

from pydantic.fields import FieldInfo

from deploy_pipeline.settings import Settings

_INTRODUCTION = """# Settings

The deployer is configured by its environment and by nothing else: no branch can change these. This page is made by
`deploy-pipeline schema --settings --outfile docs/settings.md`.
"""

# Defaults that depend on the machine, in words.
_IN_WORDS = {"state_dir": "`deploy-pipeline` in `$XDG_CACHE_HOME` or `~/.cache`", "contexts": "none"}


def settings_page() -> str:
    """The page as Markdown, the same on every machine."""
    rows = [
        f"| `DEPLOY_{name.upper()}` | {_default(name, field)} | {_cell(field.description or '')} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join([_INTRODUCTION, "| variable | default | meaning |", "|---|---|---|", *rows])


def _default(name: str, field: FieldInfo) -> str:
    if field.default_factory:
        return _IN_WORDS[name]
    value: Any = field.default
    return "none" if value in (None, "") else f"`{_cell(f'{value:g}' if isinstance(value, float) else str(value))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
