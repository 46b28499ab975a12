"""The last gate: one redactor over everything this process says, which knows each secret value and token it ever read.

The redactors of clusters and plans decide what people are shown. Their masks are the same for every deployer and go
into digests, so what they know must not depend on what else the process has seen. This one stands behind them and
knows it all: what gets past them, in a log record of some library or an error that nobody foresaw, is masked here.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from deploy_pipeline.redaction import Redactor


class _Gate(Redactor):
    """Says that something is masked and not what: a fingerprint would be another one in each process."""

    def _mask(self, value: bytes) -> str:
        return "<masked>"


_everything = _Gate(os.urandom(32))
_make_record = logging.getLogRecordFactory()
_installing = threading.Lock()
_installed = False


def learn(values: Iterable[str]) -> None:
    """From now on, and until the process ends, none of these values is said; safe to repeat."""
    _everything.learn(values)
    _install()


def redact(text: str) -> str:
    """The text without any secret of this process. Not for what digests are made of: see the module."""
    return _everything.redact(text)


def _install() -> None:
    """Guard what goes out without passing code of ours: log records of all loggers, and errors nobody catches.

    A filter would see the records of one logger or handler only; every record comes out of the factory. A hook for
    errors that somebody else has set stays, since it was set to hear of them.
    """
    global _installed  # noqa: PLW0603 (a process has one logging system)
    with _installing:
        if _installed:
            return
        _installed = True
        logging.setLogRecordFactory(_masked_record)
        if sys.excepthook is sys.__excepthook__:
            sys.excepthook = _say_uncaught
        if threading.excepthook is threading.__excepthook__:
            threading.excepthook = _say_uncaught_in_thread


def _masked_record(*arguments: Any, **more: Any) -> logging.LogRecord:
    """A log record whose message and traceback are masked; one without secrets is as its logger made it."""
    record = _make_record(*arguments, **more)
    said = _message(record)
    if (masked := redact(said)) != said:
        record.msg, record.args = masked, None
    if record.exc_info and record.exc_info[0]:
        way = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if (masked := redact(way)) != way:
            record.exc_info, record.exc_text = None, masked  # formatters add the text as it is
    return record


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 (arguments that do not fit: logging would print them as they are)
        return f"{record.msg!r} {record.args!r}"


def _say_uncaught(kind: type[BaseException], error: BaseException, way: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, way))))


def _say_uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value and not isinstance(failed.exc_value, SystemExit):
        _say_uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)
