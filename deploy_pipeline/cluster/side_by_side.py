"""Work on many objects at once, by as many threads as do any good.

Whoever has the work does it, and others help as long as few are at work: with many apps each thread goes through the
objects of its own app, with one app all threads go through that one's. More threads would not make it faster: they
wait for the interpreter instead of the server, and hand it to each other after every packet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Generic, TypeVar

_THREADS = 8
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class SideBySide:
    """The threads that help, of all that work on one cluster."""

    def __init__(self) -> None:
        self._helpers = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="objects")  # begun when needed
        self._lock = threading.Lock()
        self._at_work = 0

    def each(self, work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
        """The work for each item; the results, or the first error, in order. After an error no more is begun."""
        task = _Task(work, items)
        futures = [self._helpers.submit(self._help, task) for _ in range(self._come(len(items)))]
        try:
            while task.step():
                pass
        finally:
            self._go()
            task.end()
            wait(futures)
        return task.results()

    def _come(self, items: int) -> int:
        """Count the caller and those who help; the number of the latter."""
        with self._lock:
            helpers = max(0, min(items, _THREADS - self._at_work) - 1)
            self._at_work += 1 + helpers
            return helpers

    def _go(self) -> None:
        with self._lock:
            self._at_work -= 1

    def _help(self, task: _Task[_Item, _Result]) -> None:
        try:
            while self._at_work <= _THREADS and task.step():
                pass
        finally:
            self._go()


class _Task(Generic[_Item, _Result]):
    """Items that threads take one by one."""

    def __init__(self, work: Callable[[_Item], _Result], items: Sequence[_Item]) -> None:
        self._work = work
        self._items = items
        self._left = iter(range(len(items)))
        self._lock = threading.Lock()
        self._results: dict[int, _Result] = {}
        self._errors: dict[int, Exception] = {}

    def step(self) -> bool:
        """Do the next item; False if there is none."""
        with self._lock:
            index = next(self._left, None)
        if index is None:
            return False
        try:
            self._results[index] = self._work(self._items[index])
        except Exception as error:  # noqa: BLE001 - whoever has the work raises it
            self._errors[index] = error
            self.end()
        return True

    def end(self) -> None:
        """Begin no more."""
        with self._lock:
            self._left = iter(())

    def results(self) -> list[_Result]:
        """What became of the items."""
        if self._errors:
            raise self._errors[min(self._errors)]
        return [self._results[index] for index in range(len(self._items))]
