"""What a chart makes of secret values, found by rendering it with placeholders beside.

A redactor knows the forms that tools give a value; a template can give it any other (a letter at a time, in capitals),
and a branch that nobody approved yet may do so on purpose. So what differs between the two renderings is masked as a
whole, wherever it is shown. What cannot be masked, because it decides which objects there are or how they are called,
is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy_pipeline.cluster.objects import Manifest, ObjectRef
from deploy_pipeline.drivers.helm_rendering import Rendering
from deploy_pipeline.errors import ManifestRejected
from deploy_pipeline.redaction import Redactor

_HINT = "let the secret values fill fields only; what decides about names and kinds belongs into helm_values"

Place = tuple[str, ...]
_WHOLE: set[Place] = {(), ("metadata",)}  # a mask there would hide which object it is


Rendered = tuple[Rendering, Sequence[Manifest]]
"""What a chart gives, and its objects with their namespaces settled."""


def hide_secret_parts(real: Rendered, placeholders: Rendered, app: str, redactors: Sequence[Redactor]) -> None:
    """Let the redactors mask what differs in the objects when placeholders stand for the secret values.

    Each object by itself: another one of its name must be shown alike, whichever app is planned first.
    Raises ManifestRejected.
    """
    if [hook.label for hook in real[0].hooks] != [hook.label for hook in placeholders[0].hooks]:
        raise _refused(app, "its hooks")
    with_real, with_placeholders = ({ObjectRef.of(m): m for m in objects} for _, objects in (real, placeholders))
    if with_real.keys() != with_placeholders.keys():
        raise _refused(app, "which objects it has, or what they are called")
    for ref, manifest in with_real.items():
        places = set(differing(manifest, with_placeholders[ref]))
        if places & _WHOLE or _images(manifest) != _images(with_placeholders[ref]):
            raise _refused(app, f"what {ref} is, or which image it runs")
        for redactor in redactors:
            redactor.hide(ref.kind, ref.namespace, ref.name, places)


def differing(one: Any, other: Any, place: Place = ()) -> Iterator[Place]:
    """The places where two values differ, as keys from the top: of a list, or where keys differ, the whole of it."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        if one != other:
            yield place
    elif one.keys() != other.keys():
        yield place
    else:
        for key in one:
            yield from differing(one[key], other[key], (*place, key))


def _images(value: Any) -> list[Any]:
    """Everything that is called an image: its registry is asked for it."""
    if isinstance(value, Mapping):
        found = [value["image"]] if "image" in value else []
        return found + [image for inner in value.values() for image in _images(inner)]
    return [image for inner in value for image in _images(inner)] if isinstance(value, list) else []


def _refused(app: str, what: str) -> ManifestRejected:
    return ManifestRejected(
        f"app {app}: secret values decide {what}: that cannot be shown, and so not approved",
        hint=_HINT,
    )
