"""An object that proves to be as it is wanted is not tried by the deployer. Here it is, to hold it to that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deploy_pipeline.cluster.applied import is_applied
from deploy_pipeline.cluster.apply import Objects
from deploy_pipeline.cluster.objects import ObjectRef, resource_version
from deploy_pipeline.errors import RaceLost

Json = dict[str, Any]


def tried(objects: Callable[[], Objects], proven: list[ObjectRef]) -> Callable[[Json, Json, str], bool]:
    """``is_applied``, and an AssertionError where the server would change anything of what it says stays as it is.

    What was proven is added to the list.
    """

    def is_applied_and_tried(manifest: Json, live: Json, manager: str) -> bool:
        proof = is_applied(manifest, live, manager)
        if proof:
            try:
                result = objects().dry_run(manifest, manager, seen=resource_version(live))
            except RaceLost:  # a controller wrote its status: there is nothing to compare with
                return proof
            assert result == live, f"{ObjectRef.of(manifest)} would not stay as it is"
            proven.append(ObjectRef.of(manifest))
        return proof

    return is_applied_and_tried
