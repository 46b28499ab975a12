"""Work on many objects at once, by as many threads as do any good.

Whoever has the work does it, and others help as long as few are at work: with many apps each thread goes through the
objects of its own app, with one app all threads go through that one's. How many are few depends on what they wait for.
If it is a server far away, more threads ask it for more at once; if it is the interpreter, they only hand it to each
other after every packet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

_FEW, _MANY = 8, 32  # threads
_BUSY = 0.6  # seconds of CPU a second, above which this process waits for itself
_WINDOW = 0.05, 1.0  # seconds over which that is measured: not less, and not more
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class SideBySide:
    """The threads that help, of all that work on one cluster."""

    def __init__(self) -> None:
        self._helpers = ThreadPoolExecutor(max_workers=_MANY, thread_name_prefix="objects")  # begun when needed
        self._lock = threading.Lock()
        self._at_work = 0
        self._places = _FEW
        self._looked, self._used = time.monotonic(), time.process_time()

    def each(self, work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
        """The work for each item; the results, or the first error, in order. After an error no more is begun."""
        task = _Task(work, items)
        futures: list[Future[None]] = []
        with self._lock:
            self._at_work += 1
        try:
            while task.left:
                futures += [self._helpers.submit(self._help, task) for _ in range(self._come(task.left - 1))]
                task.step()
        finally:
            self._go()
            task.end()
            wait(futures)
        return task.results()

    def _come(self, wanted: int) -> int:
        """Count those who help now; their number."""
        with self._lock:
            self._look()
            helpers = max(0, min(wanted, self._places - self._at_work))
            self._at_work += helpers
            return helpers

    def _go(self) -> None:
        with self._lock:
            self._at_work -= 1

    def _help(self, task: _Task[_Item, _Result]) -> None:
        try:
            while not self._is_crowded() and task.step():
                pass
        finally:
            self._go()

    def _is_crowded(self) -> bool:
        with self._lock:
            self._look()
            return self._at_work > self._places

    def _look(self) -> None:
        """Settle how many threads do any good, by how busy this process was lately."""
        now, used = time.monotonic(), time.process_time()
        passed = now - self._looked
        if passed < _WINDOW[0]:
            return
        waits = passed < _WINDOW[1] and (used - self._used) / passed < _BUSY
        self._places = _MANY if waits else _FEW
        self._looked, self._used = now, used


class _Task(Generic[_Item, _Result]):
    """Items that threads take one by one; ``left`` is how many nobody has taken."""

    def __init__(self, work: Callable[[_Item], _Result], items: Sequence[_Item]) -> None:
        self._work = work
        self._items = items
        self.left = len(items)
        self._lock = threading.Lock()
        self._results: dict[int, _Result] = {}
        self._errors: dict[int, Exception] = {}

    def step(self) -> bool:
        """Do the next item; False if there is none."""
        with self._lock:
            if not self.left:
                return False
            index = len(self._items) - self.left
            self.left -= 1
        try:
            self._results[index] = self._work(self._items[index])
        except Exception as error:  # noqa: BLE001 - whoever has the work raises it
            self._errors[index] = error
            self.end()
        return True

    def end(self) -> None:
        """Begin no more."""
        with self._lock:
            self.left = 0

    def results(self) -> list[_Result]:
        """What became of the items."""
        if self._errors:
            raise self._errors[min(self._errors)]
        return [self._results[index] for index in range(len(self._items))]
