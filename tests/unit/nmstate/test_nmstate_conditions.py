"""The tables of conditions, and how many nodes may change at once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lab.embedded.node.nmstate import conditions as cond

T0 = datetime(2026, 1, 1, 0, 0, 0, 999999, tzinfo=UTC)
T1 = datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC)


def table(conditions: cond.Conditions) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c.get("reason", "")) for c in conditions}


def test_transition_time_moves_with_the_status_only() -> None:
    first = cond.with_condition([], "Available", "Unknown", "", "", T0)
    assert first == [{"type": "Available", "status": "Unknown", "lastHeartbeatTime": "2026-01-01T00:00:00Z",
                      "lastTransitionTime": "2026-01-01T00:00:00Z"}]  # fmt: skip
    same = cond.with_condition(first, "Available", "Unknown", "ConfigurationProgressing", "", T1)
    assert (same[0]["lastHeartbeatTime"], same[0]["lastTransitionTime"]) == (
        "2026-01-01T00:00:07Z", "2026-01-01T00:00:00Z")  # fmt: skip
    moved = cond.with_condition(same, "Available", "True", "x", "", T1)
    assert moved[0]["lastTransitionTime"] == "2026-01-01T00:00:07Z"


@pytest.mark.parametrize(
    ("count", "expected", "message"),
    [
        (cond.Tally(0, 0), ("False", "False", "False", "True"), ("Ignored", "Policy does not match any node")),
        (cond.Tally(3, 3, available=1), ("Unknown", "Unknown", "True", "False"),
         ("Progressing", "Policy is progressing 1/3 nodes finished")),
        (cond.Tally(3, 2, available=1), ("Unknown", "Unknown", "True", "False"),
         ("Progressing", "Policy is progressing 1/2 nodes finished, 1 nodes ignored due to NotReady state")),
        (cond.Tally(3, 2, available=2, pending=1), ("Unknown", "Unknown", "True", "False"),
         ("Progressing", "Policy is progressing 2/2 nodes finished, 1 pending, 1 nodes ignored due to NotReady state")),
        (cond.Tally(3, 3, available=3), ("True", "False", "False", "False"),
         ("Available", "3/3 nodes successfully configured")),
        (cond.Tally(3, 3, available=1, failing=1), ("False", "True", "False", "False"),
         ("Degraded", "1/3 nodes failed to configure")),
        (cond.Tally(3, 3, failing=1, aborted=2), ("False", "True", "False", "False"),
         ("Degraded", "1/3 nodes failed to configure, 2 nodes aborted configuration")),
    ],
)  # fmt: skip
def test_policy_matrix(count: cond.Tally, expected: tuple[str, ...], message: tuple[str, str]) -> None:
    start = cond.unknown(cond.POLICY_TYPES, T0)
    result, success = cond.policy_conditions(start, count, T1)
    assert tuple(c["type"] for c in result) == cond.POLICY_TYPES
    assert tuple(c["status"] for c in result) == expected
    assert [(c["type"], c["message"]) for c in result if "message" in c] == [message]
    assert success is (expected[0] == "True")


def test_failed_policy_keeps_upstreams_odd_reason() -> None:
    result, _ = cond.policy_conditions([], cond.Tally(1, 1, failing=1), T0)
    assert table(result)["Progressing"] == ("False", "ConfigurationProgressing")


def test_enactments_of_another_generation_do_not_count() -> None:
    old = {"status": {"policyGeneration": 1, "conditions": cond.enactment_success([], T0)}}
    new = {"status": {"policyGeneration": 2, "conditions": cond.enactment_failed([], "no", T0)}}
    assert cond.tally(2, 2, [old, new], 2) == cond.Tally(2, 2, failing=1)
    assert cond.finally_failed(new, 2)
    assert not cond.finally_failed(new, 1)
    again = {"status": {"policyGeneration": 2, "conditions": cond.enactment_retrying([], "again", T0)}}
    assert not cond.finally_failed(again, 2)
    assert cond.retrying(again["status"]["conditions"])


@pytest.mark.parametrize(
    ("total", "wanted", "limit"),
    [(3, None, 2), (1, None, 1), (0, None, 1), (3, "34%", 2), (4, "25%", 1), (3, 2, 2), (3, 0, 1), (3, "2", 2),
     (5, "many", 3), (3, "100%", 3)],
)  # fmt: skip
def test_max_unavailable(total: int, wanted: int | str | None, limit: int) -> None:
    assert cond.max_unavailable(total, wanted) == limit
