"""Waiting, deadlines, errors and the trace: what a person reads when something does not come true."""

from __future__ import annotations

import threading
import time

import pytest

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import (
    CommandFailed,
    EnvironmentBroken,
    EnvironmentTimeout,
    Inconclusive,
    ProductFailure,
    UsageError,
    WaitHopeless,
    WaitTimeout,
    verdict_of,
)
from lab.core.result import CommandResult
from lab.core.wait import Periodic, Seen, Signal, wait_until


def test_a_change_reaches_the_waiter_at_once() -> None:
    signal, state, changed_at = Signal(), ["Scheduling"], [0.0]

    def change() -> None:
        state[0] = "Running"
        changed_at[0] = time.monotonic()
        signal.notify()

    threading.Timer(0.2, change).start()
    value = wait_until(
        "VM demo/a",
        "phase Running",
        lambda: Seen(f"phase {state[0]}", met=state[0] == "Running", value=state[0]),
        deadline=Deadline.after(10),
        changes=signal,
    )
    assert value == "Running"
    assert time.monotonic() - changed_at[0] < 0.1


def test_a_timeout_says_what_was_wanted_last_seen_and_before() -> None:
    states = iter(["Pending", "Scheduling", "Scheduling", "Scheduling"])
    with pytest.raises(WaitTimeout) as caught:
        wait_until(
            "VM demo/a",
            "phase Running",
            lambda: Seen(f"phase {next(states, 'Scheduling')}"),
            deadline=Deadline.after(0.3),
            changes=Periodic(0.05, "a test"),
            advice="look at the pod's events",
        )
    text = str(caught.value)
    for part in (
        "VM demo/a",
        "wanted: phase Running",
        "last seen: phase Scheduling",
        "phase Pending (0.0 s)",
        "events",
    ):
        assert part in text
    assert [seen for _, seen in caught.value.history] == ["phase Pending", "phase Scheduling"]
    assert verdict_of(caught.value) == "failed"


def test_a_wait_ends_early_when_hopeless() -> None:
    start = time.monotonic()
    with pytest.raises(WaitHopeless, match="image cannot be pulled"):
        wait_until(
            "VM demo/a",
            "phase Running",
            lambda: Seen("phase Pending"),
            hopeless=lambda: "image cannot be pulled",
            deadline=Deadline.after(60),
            changes=Signal(),
        )
    assert time.monotonic() - start < 1


def test_preparation_that_times_out_is_no_verdict_on_the_product() -> None:
    with pytest.raises(EnvironmentTimeout) as caught:
        wait_until(
            "node w",
            "Ready",
            lambda: Seen("NotReady"),
            deadline=Deadline.after(0),
            changes=Signal(),
            blame="environment",
        )
    assert isinstance(caught.value, EnvironmentBroken)
    assert verdict_of(caught.value) == "broken"


def test_an_expired_deadline_still_looks_once() -> None:
    assert (
        wait_until("x", "y", lambda: Seen("there", met=True, value=1), deadline=Deadline.after(0), changes=Signal())
        == 1
    )


def test_what_observe_raises_goes_through() -> None:
    def look() -> Seen[None]:
        raise EnvironmentBroken("an API", "none")

    with pytest.raises(EnvironmentBroken, match="an API"):
        wait_until("x", "y", look, deadline=Deadline.after(5), changes=Signal())


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ProductFailure("ping", "silence"), "failed"),
        (AssertionError("1 != 2"), "failed"),
        (Inconclusive("an exit status", "none"), "inconclusive"),
        (UsageError("a target"), "broken"),
        (KeyError("bug"), "broken"),
        (CommandFailed(CommandResult(("false",), "here", 1, "", "", 0.1)), "broken"),
    ],
)
def test_the_verdict_follows_from_the_type(error: BaseException, verdict: str) -> None:
    assert verdict_of(error) == verdict


def test_a_sub_deadline_never_outlives_its_parent() -> None:
    parent = Deadline.after(1)
    assert parent.sub(5).ends == parent.ends
    assert parent.sub(0.1).ends < parent.ends
    assert Deadline.after(-1).remaining() == 0


def test_periodic_waits_its_time_and_no_longer() -> None:
    periodic = Periodic(0.2, "a test")
    start = time.monotonic()
    assert not periodic.wait(0.05)
    assert periodic.wait(1)
    assert 0.15 < time.monotonic() - start < 0.5


def test_the_trace_tells_spans_in_order_and_survives_a_bad_subscriber() -> None:
    events: list[trace.Event] = []
    stop = trace.subscribe(events.append)
    bad = trace.subscribe(lambda event: 1 / 0)
    try:
        with pytest.warns(UserWarning, match="dropped"):
            _talk()
    finally:
        stop()
        bad()
    assert [(e.kind, e.what, e.changed, e.outcome) for e in events] == [
        ("began", "wait", True, ""),
        ("observed", "wait", True, ""),
        ("observed", "wait", False, ""),
        ("began", "command", True, ""),
        ("finished", "command", True, "error"),
        ("finished", "wait", True, "ok"),
    ]
    assert events[3].parent == events[0].span


def _talk() -> None:
    with trace.span("wait", "VM a", "phase Running") as outer:
        outer.observed("Pending")
        outer.observed("Pending")
        with pytest.raises(ValueError, match="inside"), trace.span("command", "guest a"):
            raise ValueError("inside")


def test_a_result_reads_as_a_shell_session_and_shows_control_characters() -> None:
    text = str(CommandResult(("echo", "a b"), "guest a", 3, "\x1b[31mred\n", "", 0.1))
    assert "$ echo 'a b'" in text
    assert "exit status 3" in text
    assert "\x1b" not in text
