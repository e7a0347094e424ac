"""A migration's phases out of what watches show, and where in them a stretch of time lies."""

from __future__ import annotations

import pytest

from lab.kubevirt.timeline import Recorder, Timeline, phase

UID = "4d3"


def vmim(name: str = "", uid: str = UID) -> dict[str, object]:
    return {"metadata": {"uid": uid}, "status": {"phase": name}}


def vmi(**state: object) -> dict[str, object]:
    return {"status": {"migrationState": {"migrationUid": UID, **state}}}


@pytest.mark.parametrize(
    ("migration", "instance", "wanted"),
    [
        (vmim(), None, "pending"),
        (vmim("Pending"), {}, "pending"),
        (vmim("Scheduling"), None, "scheduling"),
        (vmim("PreparingTarget"), vmi(), "scheduling"),
        (vmim("TargetReady"), vmi(startTimestamp="x"), "pre-copy"),
        (vmim("Running"), vmi(startTimestamp="x"), "pre-copy"),
        (vmim("Running"), vmi(startTimestamp="x", targetNodeDomainReadyTimestamp="x"), "switch-over"),
        (vmim("Running", uid="other"), vmi(targetNodeDomainReadyTimestamp="x"), "pre-copy"),
        (vmim("Succeeded"), vmi(targetNodeDomainReadyTimestamp="x"), "done"),
        (vmim("Failed"), vmi(), "done"),
        (None, None, "done"),
    ],
)
def test_the_phase_follows_from_migration_and_instance(migration: object, instance: object, wanted: str) -> None:
    assert phase(migration, instance) == wanted  # type: ignore[arg-type]


def seen() -> Timeline:
    recorder = Recorder(100.0)
    for name, at in (
        ("scheduling", 101.0),
        ("pre-copy", 102.0),
        ("scheduling", 102.5),
        ("switch-over", 104.0),
        ("done", 105.0),
    ):
        recorder.saw(name, at)
    return recorder.timeline()


def test_phases_only_go_forward_and_some_may_be_passed_unseen() -> None:
    assert [name for name, _ in seen().moments] == ["pending", "scheduling", "pre-copy", "switch-over", "done"]
    assert seen().phases()[2] == ("pre-copy", 102.0, 104.0)
    short = Recorder(1.0)
    short.saw("done", 2.0)
    assert short.timeline().moments == (("pending", 1.0), ("done", 2.0))


@pytest.mark.parametrize(
    ("begin", "end", "wanted"),
    [
        (99.0, 99.5, "before it"),
        (101.2, 101.4, "scheduling"),
        (103.0, 103.2, "pre-copy"),
        (103.7, 103.9, "at the switch-over"),
        (103.9, 104.2, "at the switch-over"),
        (104.3, 104.5, "switch-over"),
        (104.5, 106.0, "from switch-over to done"),
        (101.5, 103.0, "from scheduling to pre-copy"),
    ],
)
def test_a_gap_is_laid_against_the_phases(begin: float, end: float, wanted: str) -> None:
    assert seen().during(begin, end) == wanted


def test_when_the_guest_still_ran_where_it_came_from() -> None:
    """A second before the switch-over was seen, but never before memory was sent."""
    assert Timeline((("pending", 1.0), ("pre-copy", 2.0), ("switch-over", 9.0), ("done", 9.5))).left() == 8.0
    assert Timeline((("pending", 1.0), ("pre-copy", 2.0), ("switch-over", 2.5), ("done", 9.5))).left() == 2.0
    assert Timeline((("pending", 1.0), ("done", 1.5))).left() == 1.0
