"""Whether the images that a release would newly run exist: what their registries say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from deploy_pipeline.admission.finding import Finding, Severity, field_name
from deploy_pipeline.admission.subject import Subject
from deploy_pipeline.cluster.objects import Manifest, ObjectRef
from deploy_pipeline.images import Existence, NamedImage, Registries, existence, images_in

Live = Callable[[Manifest], Manifest | None]
_New = tuple[Subject, Manifest, NamedImage]


def image_findings(subjects: Sequence[Subject], live: Live, registries: Registries | None) -> tuple[Finding, ...]:
    """A finding for each new image that is missing (a refusal) or that nobody can tell of (a warning).

    Without registries nobody is asked.
    """
    if registries is None:
        return ()
    new = [item for subject in subjects for manifest in subject.written for item in _new(subject, manifest, live)]
    answers = existence((named.image for _, _, named in new), registries)
    return tuple(finding for item in new if (finding := _finding(*item, answers)))


def _new(subject: Subject, manifest: Manifest, live: Live) -> Iterator[_New]:
    """The images of an object that the live one does not run."""
    named = images_in(manifest)
    there = live(manifest) if named else None
    running = {one.image for one in images_in(there)} if there else set()
    yield from ((subject, manifest, one) for one in named if one.image not in running)


def _finding(
    subject: Subject, manifest: Manifest, named: NamedImage, answers: Mapping[str, Existence]
) -> Finding | None:
    answer = answers[named.image]
    if answer.missing:
        severity, words = Severity.REFUSAL, f"the image {named.image} is not in its registry"
    elif answer.unknown:
        severity, words = Severity.WARNING, f"the image {named.image} was not checked: {answer.unknown}"
    else:
        return None
    place = field_name(manifest, named.path)
    return Finding(severity, subject.app, str(ObjectRef.of(manifest)), subject.file, place, words)
