"""The defaults that the API server gives new objects: part of what is approved, and alike for all objects of a kind.

Which values are defaults and which are drawn by chance shows by trying twice. What was seen of one object of a kind
holds for the others, so that not each of many has to be tried again.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from deploy_pipeline.changes.compare import without_server_fields

_Path = tuple[str, ...]


class ServerDefaults:
    """The fields that the server fills in, kind by kind, in the same way at each try, as far as was seen.

    A field that came out alike for one object and would not for another of its kind makes that one's change set another
    one each time: where approvals are required it is refused then, and nothing is done unseen.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alike: defaultdict[tuple[str, str], set[_Path]] = defaultdict(set)

    def explain(self, manifest: Mapping[str, Any], made: Mapping[str, Any]) -> bool:
        """Whether all that the server made of a manifest is known to come out alike."""
        with self._lock:
            return self._alike[_kind(manifest)].issuperset(_fields(manifest, made))

    def learn(self, manifest: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        """Two tries of this manifest gave this, both of them."""
        with self._lock:
            self._alike[_kind(manifest)].update(_fields(manifest, made))


def _kind(manifest: Mapping[str, Any]) -> tuple[str, str]:
    return str(manifest["apiVersion"]).rpartition("/")[0], str(manifest["kind"])


def _fields(manifest: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[_Path]:
    """The fields in which an object differs from its manifest; the elements of a list are all one."""
    return _differing(without_server_fields(manifest), without_server_fields(made), ())


def _differing(asked: Any, made: Any, path: _Path) -> Iterator[_Path]:
    if asked == made:
        return
    if isinstance(made, Mapping) and made and (asked is None or isinstance(asked, Mapping)):
        asked = asked or {}
        for key in made.keys() | asked.keys():
            yield from _differing(asked.get(key), made.get(key), (*path, key))
    elif isinstance(made, list) and made and (asked is None or isinstance(asked, list)):
        asked = asked or ()
        for position, item in enumerate(made):
            yield from _differing(asked[position] if position < len(asked) else None, item, (*path, "[]"))
        if len(asked) > len(made):
            yield path
    else:
        yield path
