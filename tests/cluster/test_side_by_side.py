"""Work on many objects at once: who does it, and what an error or an interrupt leaves."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy_pipeline.cluster import side_by_side
from deploy_pipeline.cluster.side_by_side import SideBySide

MANY = side_by_side._FEW


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> SideBySide:
    """Threads of a process that is busy, however little these tests do."""
    monkeypatch.setattr(side_by_side, "_BUSY", 0.0)
    return SideBySide()


def assert_left(crew: SideBySide) -> None:
    """Everybody goes, a moment after the last item."""
    end = time.monotonic() + 5
    while crew._at_work:
        assert time.monotonic() < end, "somebody keeps a place"


def test_results_are_in_the_order_of_the_items(crew: SideBySide) -> None:
    """Whoever was faster."""
    assert crew.each(lambda item: item * 2, range(100)) == [item * 2 for item in range(100)]
    assert crew.each(lambda item: item, []) == []


def test_all_threads_work_for_one_that_is_alone(crew: SideBySide) -> None:
    """The objects of a single app are tried as many at once as there are threads."""
    together = threading.Barrier(MANY, timeout=10)
    for _ in range(3):
        assert crew.each(lambda _: together.wait() >= 0, range(MANY)) == [True] * MANY


def test_more_help_with_a_server_that_is_far_away() -> None:
    """A process that waits has threads to spare, also for work that has begun."""
    crew, at_once, most = SideBySide(), [0], [0]
    lock = threading.Lock()

    def wait(_: int) -> None:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        threading.Event().wait(0.02)
        with lock:
            at_once[0] -= 1

    threading.Event().wait(0.1)  # what was before says nothing
    crew.each(wait, range(300))
    assert MANY < most[0] <= side_by_side._MANY


def test_nobody_helps_while_all_are_busy(crew: SideBySide) -> None:
    """With many apps each thread goes through its own objects: more threads would only wait for each other."""
    arrived, free = threading.Barrier(MANY + 1, timeout=10), threading.Event()

    def occupy(_: int) -> bool:
        arrived.wait()
        return free.wait(10)

    with ThreadPoolExecutor(MANY) as callers:
        busy = [callers.submit(crew.each, occupy, [0]) for _ in range(MANY)]
        arrived.wait()
        seen = crew.each(lambda _: threading.current_thread(), range(20))
        free.set()
        assert all(future.result() == [True] for future in busy)
    assert set(seen) == {threading.current_thread()}


def test_helpers_leave_when_others_come(crew: SideBySide) -> None:
    """Their place is taken by the threads of other apps; what they had begun is done."""
    begun, go_on = threading.Barrier(MANY + 1, timeout=10), threading.Event()
    come, leave = threading.Barrier(MANY + 1, timeout=10), threading.Event()
    done: dict[int, threading.Thread] = {}

    def work(item: int) -> None:
        if item < MANY:
            begun.wait()
            go_on.wait(10)
        done[item] = threading.current_thread()

    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(MANY) as others:
        big = first.submit(crew.each, work, range(MANY * 10))
        begun.wait()
        small = [others.submit(crew.each, lambda _: come.wait() >= 0 and leave.wait(10), [0]) for _ in range(MANY)]
        come.wait()
        go_on.set()
        big.result(10)
        leave.set()
        assert all(future.result() == [True] for future in small)
    assert len({done[item] for item in range(MANY)}) == MANY
    assert len({done[item] for item in range(MANY, MANY * 10)}) == 1, "only the thread whose work it is goes on"


def test_the_first_error_is_raised_and_no_more_is_begun(crew: SideBySide) -> None:
    """The first in the order of the items, so that the same fault is told the same each time."""
    begun: list[int] = []
    both = threading.Barrier(2, timeout=10)

    def fail(item: int) -> None:
        begun.append(item)
        if item < 2:
            both.wait()
            raise ValueError(str(item))
        threading.Event().wait(0.01)

    with pytest.raises(ValueError, match="0"):
        crew.each(fail, range(1000))
    assert len(begun) < 1000


def test_an_interrupt_begins_no_more_and_goes_on_up(crew: SideBySide) -> None:
    """Ctrl-C reaches the thread that has the work; what others have begun ends first."""
    begun: list[int] = []
    caller = threading.current_thread()

    def work(item: int) -> None:
        begun.append(item)
        if threading.current_thread() is caller:
            raise KeyboardInterrupt
        threading.Event().wait(0.01)

    with pytest.raises(KeyboardInterrupt):
        crew.each(work, range(1000))
    ended = len(begun)
    threading.Event().wait(0.05)
    assert len(begun) == ended < 1000


def test_an_interrupt_while_others_end_lets_them_end(crew: SideBySide) -> None:
    """A write that was begun may not go on behind the back of who gives the lock up."""
    caller, begun, ended = threading.current_thread(), threading.Event(), threading.Event()

    def work(_: int) -> None:
        if threading.current_thread() is caller:
            begun.wait(10)
            return
        begun.set()
        threading.Event().wait(0.1)  # until the caller waits
        signal.pthread_kill(caller.ident or 0, signal.SIGINT)
        threading.Event().wait(0.2)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        crew.each(work, range(2))
    assert ended.is_set()
    assert_left(crew)


def test_what_ends_a_helper_is_raised(crew: SideBySide) -> None:
    """Whatever it is."""
    caller, helped = threading.current_thread(), threading.Event()

    def work(_: int) -> None:
        if threading.current_thread() is caller:
            helped.wait(10)
        else:
            helped.set()
            raise SystemExit("stop")

    with pytest.raises(SystemExit, match="stop"):
        crew.each(work, range(20))
    assert_left(crew)


def test_a_thread_that_cannot_be_had_takes_no_place(crew: SideBySide, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of the process, or of memory."""

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(crew._helpers, "submit", fail)
    with pytest.raises(RuntimeError, match="thread"):
        crew.each(lambda _: None, range(20))
    assert_left(crew)


def test_work_may_have_work_of_its_own(crew: SideBySide) -> None:
    """Nobody waits for threads that wait for it."""
    assert crew.each(lambda item: sum(crew.each(lambda inner: inner, range(item))), range(50)) == [
        sum(range(item)) for item in range(50)
    ]
