"""The event bus: what is going on, told once; terminal, run record and log are subscribers.

Whoever does something says `with span("wait", subject, wanted) as s: s.observed(...)`. Nothing here prints, and a
subscriber that fails is dropped with a warning: telling must never break doing.
"""

from __future__ import annotations

import itertools
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

EventKind = Literal["began", "observed", "finished", "noted"]


@dataclass(frozen=True)
class Event:
    """`span` numbers the activity and `parent` the one around it (0: none); `what` is its sort ("wait", "command",
    "probe", "step", ...), `subject` what it is about, `text` what is said now. `elapsed` and `limit` in seconds
    (`limit` 0: none). `changed` is False for a heartbeat that repeats the last observation. `outcome` is "" until
    finished, then "ok" or "error"."""

    kind: EventKind
    what: str
    subject: str
    text: str
    span: int
    parent: int
    at: float
    elapsed: float = 0.0
    limit: float = 0.0
    changed: bool = True
    outcome: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


Subscriber = Callable[[Event], None]

_subscribers: list[Subscriber] = []
_lock = threading.Lock()
_numbers = itertools.count(1)
_current: ContextVar[int] = ContextVar("virtlab_span", default=0)


def subscribe(subscriber: Subscriber) -> Callable[[], None]:
    """Adds a subscriber (called in the thread that speaks); the answer, called, removes it."""
    with _lock:
        _subscribers.append(subscriber)
    return lambda: _unsubscribe(subscriber)


def _unsubscribe(subscriber: Subscriber) -> None:
    with _lock:
        if subscriber in _subscribers:
            _subscribers.remove(subscriber)


def _publish(event: Event) -> None:
    with _lock:
        listeners = list(_subscribers)
    for listener in listeners:
        try:
            listener(event)
        except Exception as error:
            _unsubscribe(listener)
            warnings.warn(f"trace subscriber {listener!r} failed and was dropped: {error!r}", stacklevel=2)


class Span:
    """A running activity; made by `span()`."""

    def __init__(self, what: str, subject: str, limit: float) -> None:
        self.what = what
        self.subject = subject
        self.limit = limit
        self.number = next(_numbers)
        self.parent = _current.get()
        self._start = time.monotonic()
        self._last = ""

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def observed(self, text: str, **data: Any) -> None:
        """Says what is seen now; the same text again counts as a heartbeat."""
        changed, self._last = text != self._last, text
        self._say("observed", text, changed=changed, data=data)

    def _say(self, kind: EventKind, text: str, *, changed: bool = True, outcome: str = "", data: Any = None) -> None:
        _publish(
            Event(
                kind,
                self.what,
                self.subject,
                text,
                self.number,
                self.parent,
                time.time(),
                self.elapsed,
                self.limit,
                changed,
                outcome,
                data or {},
            )
        )


@contextmanager
def span(what: str, subject: str, text: str = "", *, limit: float = 0.0, **data: Any) -> Iterator[Span]:
    """An activity from began to finished; an exception inside makes it finish as "error" and goes on up."""
    current = Span(what, subject, limit)
    token = _current.set(current.number)
    current._say("began", text, data=data)
    try:
        yield current
    except BaseException as error:
        current._say("finished", str(error) or type(error).__name__, outcome="error", data={"error": error})
        raise
    else:
        current._say("finished", current._last, outcome="ok")
    finally:
        _current.reset(token)


def note(subject: str, text: str, *, what: str = "note", **data: Any) -> None:
    """A single remark without duration."""
    _publish(Event("noted", what, subject, text, next(_numbers), _current.get(), time.time(), data=data))
