"""Checking a document against a model, with every fault in words that the author of the file understands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails

from deploy_pipeline.channels.document import Document, NotText
from deploy_pipeline.channels.faults import Fault, Location, shown, suggestion
from deploy_pipeline.channels.tree import Tree
from deploy_pipeline.errors import UnsafeTree


class Section(BaseModel):
    """A mapping in a configuration file: unknown keys are faults, a key with nothing after it is an absent key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        known = cls.keys()
        return {key: value for key, value in content.items() if value is not None or key not in known}

    @classmethod
    def keys(cls) -> set[str]:
        """The keys as they stand in a file."""
        return {field.alias or name for name, field in cls.model_fields.items()}


@dataclass(frozen=True)
class Files:
    """The files that a document may name: those of its tree, and those that external sources bring in later."""

    tree: Tree
    sources: tuple[str, ...] = ()

    def lacks(self, *candidates: str) -> bool:
        """Whether none of the paths is a file; ValueError if one leads out of the tree."""
        return not any(self._has(path) for path in candidates)

    def _has(self, path: str) -> bool:
        if any(is_within(path, source) for source in self.sources):
            return True
        try:
            return self.tree.has(path)
        except UnsafeTree as error:
            raise ValueError(error.message) from None


def files_lack(info: ValidationInfo, *candidates: str) -> bool:
    """Whether the files given to the validation lack all of these paths; without files, nothing can be said to lack."""
    return isinstance(info.context, Files) and info.context.lacks(*candidates)


def is_within(path: str, folder: str) -> bool:
    """Whether the path is the folder or lies in it; both from the top of the tree."""
    return folder in (".", path) or path.startswith(f"{folder}/")


_EXPECTED = {"string_type": "text", "tuple_type": "a list", "model_type": "a mapping of keys to values"}

SectionT = TypeVar("SectionT", bound=Section)


def check(
    model: type[SectionT],
    document: Document,
    files: Files | None = None,
    *,
    nested: Mapping[str, type[Section]],
) -> tuple[SectionT | None, list[Fault]]:
    """The model's value, or None; and all faults. ``nested``: models of what is below other keys (``a``, ``a.b``)."""
    if document.value is None and document.faults:
        return None, list(document.faults)
    try:
        value = model.model_validate(document.value, context=files)
    except ValidationError as error:
        faults = _explain(error, document, {"": model, **nested})
        return None, [*document.faults, *faults]
    return value, list(document.faults)


def _explain(error: ValidationError, document: Document, models: Mapping[str, type[Section]]) -> Iterator[Fault]:
    for detail in error.errors(include_url=False):
        where: Location = detail["loc"]
        holder = ".".join(part for part in where[:-1] if isinstance(part, str))
        yield document.fault(where, _reason(detail, models[holder].keys() if holder in models else set()))


def _reason(detail: ErrorDetails, known: set[str]) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return f"is no known key; {suggestion(str(detail['loc'][-1]), known)}"
    expected = _EXPECTED.get(kind) or context.get("expected")
    if not expected:
        return detail["msg"]
    unquoted = kind == "string_type" and isinstance(value, NotText)
    return f"must be {expected}, not {shown(value)}" + (": put it in quotes" if unquoted else "")
