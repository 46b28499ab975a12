"""What goes wrong on the way: asked for by a test, once or several times, for requests that match."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from enum import Enum

from tests.support.github.errors import ApiError, primary_rate_limit, secondary_rate_limit


class Kind(Enum):
    """How a request goes wrong."""

    SERVER_ERROR = "502 before anything is carried out"
    SERVER_ERROR_AFTER = "502 after it was carried out"
    RESET = "the connection is reset before anything is carried out"
    RESET_AFTER = "the connection is reset after it was carried out"
    PRIMARY_LIMIT = "the hour's requests are used up"
    SECONDARY_LIMIT = "too many requests at once"
    ELSEWHERE = "a redirect to another host"
    GARBAGE = "a page of something on the way, with status 200"
    TWICE = "something on the way delivers it twice"
    SLOW = "the answer takes its time, after it was carried out"


class GarbageError(Exception):
    """Instead of the answer comes something else."""


@dataclass
class Fault:
    """One fault for the next ``times`` requests of this method whose path matches.

    ``seconds`` is how long to wait: the answer for SLOW, the caller for the limits (None: GitHub does not say).
    """

    kind: Kind
    method: str = "*"
    path: str = ".*"
    times: int = 1
    seconds: float | None = None
    status: int = 403


@dataclass
class Faults:
    """The faults a test asked for, taken in order."""

    waiting: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> None:
        """Ask for one."""
        self.waiting.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for a request, which is then used up."""
        with self._lock:
            for fault in self.waiting:
                if fault.times and fault.method in ("*", method) and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None


def before(fault: Fault | None) -> None:
    """What happens instead of carrying the request out."""
    if fault is None:
        return
    if fault.kind is Kind.SERVER_ERROR:
        raise ApiError(502, "Server Error")
    if fault.kind is Kind.RESET:
        raise ConnectionResetError
    if fault.kind is Kind.ELSEWHERE:
        raise ApiError(301, "Moved Permanently", headers={"Location": "http://elsewhere.invalid/api/v3"})
    if fault.kind is Kind.PRIMARY_LIMIT:
        raise primary_rate_limit(5000, int(time.time() + (fault.seconds or 0)), fault.status)
    if fault.kind is Kind.SECONDARY_LIMIT:
        raise secondary_rate_limit(None if fault.seconds is None else int(fault.seconds), fault.status)


def after(fault: Fault | None) -> None:
    """What happens to the answer."""
    if fault is None:
        return
    if fault.kind is Kind.SERVER_ERROR_AFTER:
        raise ApiError(502, "Server Error")
    if fault.kind is Kind.RESET_AFTER:
        raise ConnectionResetError
    if fault.kind is Kind.GARBAGE:
        raise GarbageError
    if fault.kind is Kind.SLOW:
        time.sleep(fault.seconds or 0)
