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
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

_FEW, _MANY = 8, 32  # threads
_BUSY = 0.6  # seconds of CPU a second, above which this process waits for itself
_WINDOW = 0.05  # seconds over which that is measured, at least
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class SideBySide:
    """The threads that help, of all that work on one cluster."""

    def __init__(self) -> None:
        self._helpers = ThreadPoolExecutor(max_workers=_MANY, thread_name_prefix="objects")  # begun when needed
        self._lock = threading.Lock()
        self._at_work: set[object] = set()
        self._places = _FEW
        self._looked, self._used = time.monotonic(), time.process_time()

    def each(self, work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
        """The work for each item; the results, or the first error, in order.

        After an error or an interrupt no more is begun; what was begun has ended when this does.
        """
        task = _Task(work, items)
        place = self._come()
        try:
            while task.left:
                self._call_helpers(task)
                task.step()
            task.wait()
        finally:
            self._go(place)
            task.end()
            task.wait()  # once more: what interrupted may have been the wait
        return task.results()

    def _call_helpers(self, task: _Task[_Item, _Result]) -> None:
        for _ in range(min(task.left - 1, self._free())):
            place = self._come()
            try:
                self._helpers.submit(self._help, task, place)
            except BaseException:  # a helper may have come all the same
                self._go(place)
                raise

    def _help(self, task: _Task[_Item, _Result], place: object) -> None:
        try:
            while self._free() >= 0 and task.step():
                pass
        finally:
            self._go(place)

    def _come(self) -> object:
        place = object()
        with self._lock:
            if not self._at_work:  # nothing is to be learned of the time before
                self._looked, self._used = time.monotonic(), time.process_time()
            self._at_work.add(place)
        return place

    def _go(self, place: object) -> None:
        with self._lock:
            self._at_work.discard(place)

    def _free(self) -> int:
        """How many more threads would do any good, by how busy this process was lately; below zero: fewer would."""
        with self._lock:
            now, used = time.monotonic(), time.process_time()
            passed = now - self._looked
            if passed >= _WINDOW:
                self._places = _FEW if (used - self._used) / passed > _BUSY else _MANY
                self._looked, self._used = now, used
            return self._places - len(self._at_work)


class _Task(Generic[_Item, _Result]):
    """Items that threads take one by one; ``left`` is how many nobody has taken."""

    def __init__(self, work: Callable[[_Item], _Result], items: Sequence[_Item]) -> None:
        self.left = len(items)
        self._work = work
        self._items = items
        self._under_way = 0
        self._changed = threading.Condition()
        self._results: dict[int, _Result] = {}
        self._errors: dict[int, BaseException] = {}

    def step(self) -> bool:
        """Do the next item; False if there is none. An error is kept for `results`, an interrupt raised as well."""
        with self._changed:
            if not self.left:
                return False
            index = len(self._items) - self.left
            self.left -= 1
            self._under_way += 1
        try:
            self._results[index] = self._work(self._items[index])
        except BaseException as error:
            self._errors[index] = error
            self.end()
            if not isinstance(error, Exception):
                raise
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()
        return True

    def end(self) -> None:
        """Begin no more."""
        with self._changed:
            self.left = 0

    def wait(self) -> None:
        """Until what was begun has ended."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way)

    def results(self) -> list[_Result]:
        """What became of the items."""
        if self._errors:
            raise self._errors[min(self._errors)]
        return [self._results[index] for index in range(len(self._items))]
