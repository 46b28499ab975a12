"""What the API server makes of a new object by itself: defaults, and values that it draws by chance.

Defaults are part of what is approved, chance is not: a dry run gives other addresses each time. Some of it is known
beforehand; the rest shows by trying twice. Objects of a kind are defaulted alike, so that not each of many has to be.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy_pipeline.changes.compare import without_server_fields

_Path = tuple[str, ...]
# Chosen by the server for a new object, and another one at each dry run.
_CHOSEN_AT_CREATION = {("", "Service"): ("clusterIP", "clusterIPs", "healthCheckNodePort")}
# Their paths. They can come in an update, too. The ports that a dry run names are no guess then, but the next after the
# highest one asked for (as a kube-apiserver 1.20 was seen to do): alike at each try, and not what an apply gives.
_CHOSEN_PATHS = {("", "Service"): re.compile(r"spec\.(clusterIPs?\b.*|healthCheckNodePort|ports\[.+\]\.nodePort)")}


def is_server_choice(manifest: Mapping[str, Any], path: str) -> bool:
    """Whether the server chooses this field of such an object, where the manifest does not."""
    pattern = _CHOSEN_PATHS.get(_kind(manifest))
    return pattern is not None and pattern.fullmatch(path) is not None


def without_server_choices(dry_run: Mapping[str, Any], desired: Mapping[str, Any]) -> dict[str, Any]:
    """The dry run of a creation without what the server is known to draw by chance: addresses, ports."""
    kind = _kind(desired)
    spec = dict(dry_run.get("spec") or {})
    asked = desired.get("spec") or {}
    for name in _CHOSEN_AT_CREATION.get(kind, ()):
        if name not in asked:
            spec.pop(name, None)
    if kind == ("", "Service"):
        spec["ports"] = _without_node_ports(spec.get("ports") or (), asked.get("ports") or ())
    return {**dry_run, "spec": spec} if "spec" in dry_run else dict(dry_run)


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


def _without_node_ports(ports: Sequence[Mapping[str, Any]], asked: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    fixed = {port.get("nodePort") for port in asked}
    return [{k: v for k, v in port.items() if k != "nodePort" or v in fixed} for port in ports]


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
