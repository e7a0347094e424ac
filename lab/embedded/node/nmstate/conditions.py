"""Conditions of policies and enactments, as kubernetes-nmstate computes them.

Pure: lists in, lists out (pkg/policyconditions/conditions.go, pkg/enactmentstatus/conditions/conditions.go).
Times are RFC 3339 in whole seconds, as metav1.Time prints them. It must not talk to the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Condition = dict[str, Any]
Conditions = list[Condition]

POLICY_TYPES = ("Available", "Degraded", "Progressing", "Ignored")
ENACTMENT_TYPES = ("Available", "Failing", "Progressing", "Pending", "Aborted")
TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"


def stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def find(conditions: Iterable[Mapping[str, Any]] | None, kind: str) -> Mapping[str, Any] | None:
    return next((item for item in conditions or () if item.get("type") == kind), None)


def status_of(conditions: Iterable[Mapping[str, Any]] | None, kind: str) -> str:
    found = find(conditions, kind)
    return str(found["status"]) if found is not None else ""


def with_condition(
    conditions: Conditions, kind: str, status: str, reason: str, message: str, now: datetime
) -> Conditions:
    """``ConditionList.Set``: the transition time moves with the status only, the heartbeat always."""
    time = stamp(now)
    old = find(conditions, kind)
    moved = time if old is None or old["status"] != status else old["lastTransitionTime"]
    fresh: Condition = {"type": kind, "status": status}
    if reason:
        fresh["reason"] = reason
    if message:
        fresh["message"] = message
    fresh |= {"lastHeartbeatTime": time, "lastTransitionTime": moved}
    if old is None:
        return [*conditions, fresh]
    return [fresh if item["type"] == kind else item for item in conditions]


def _apply(conditions: Conditions, rows: Iterable[tuple[str, str, str, str]], now: datetime) -> Conditions:
    for kind, status, reason, message in rows:
        conditions = with_condition(conditions, kind, status, reason, message, now)
    return conditions


def unknown(types: Iterable[str], now: datetime) -> Conditions:
    """All types Unknown, without reason: a policy after Reset, an enactment just made."""
    return _apply([], [(kind, UNKNOWN, "", "") for kind in types], now)


def enactment_progressing(conditions: Conditions, now: datetime) -> Conditions:
    reason = "ConfigurationProgressing"
    rows = [
        ("Progressing", TRUE, reason, "Applying desired state"),
        ("Failing", UNKNOWN, reason, ""),
        ("Available", UNKNOWN, reason, ""),
        ("Pending", FALSE, reason, ""),
        ("Aborted", FALSE, reason, ""),
    ]
    return _apply(conditions, rows, now)


def enactment_success(conditions: Conditions, now: datetime) -> Conditions:
    reason = "SuccessfullyConfigured"
    rows = [("Available", TRUE, reason, "successfully reconciled")]
    rows += [(kind, FALSE, reason, "") for kind in ("Failing", "Progressing", "Pending", "Aborted")]
    return _apply(conditions, rows, now)


def enactment_failed(conditions: Conditions, message: str, now: datetime) -> Conditions:
    reason = "FailedToConfigure"
    rows = [("Failing", TRUE, reason, message)]
    rows += [(kind, FALSE, reason, "") for kind in ("Available", "Progressing", "Pending")]
    return _apply(conditions, [*rows, ("Aborted", FALSE, "SuccessfullyConfigured", "")], now)


def enactment_retrying(conditions: Conditions, message: str, now: datetime) -> Conditions:
    reason = "Retrying"
    rows = [
        ("Failing", TRUE, reason, message),
        ("Progressing", TRUE, reason, message),
        ("Available", FALSE, reason, ""),
        ("Pending", FALSE, reason, ""),
        ("Aborted", FALSE, "SuccessfullyConfigured", ""),
    ]
    return _apply(conditions, rows, now)


def enactment_pending(conditions: Conditions, now: datetime) -> Conditions:
    reason, message = "MaxUnavailableLimitReached", "Waiting for progressing nodes to finish"
    rows = [
        ("Pending", TRUE, reason, message),
        ("Aborted", FALSE, reason, ""),
        ("Progressing", FALSE, reason, message),
        ("Failing", FALSE, reason, ""),
        ("Available", FALSE, reason, ""),
    ]
    return _apply(conditions, rows, now)


def enactment_aborted(conditions: Conditions, message: str, now: datetime) -> Conditions:
    reason = "ConfigurationAborted"
    rows = [(kind, FALSE, reason, "") for kind in ("Failing", "Available", "Progressing", "Pending")]
    return _apply(conditions, [*rows, ("Aborted", TRUE, reason, message)], now)


def retrying(conditions: Iterable[Mapping[str, Any]] | None) -> bool:
    """Between two attempts: Failing and Progressing both True."""
    kept = list(conditions or ())
    return status_of(kept, "Failing") == TRUE and status_of(kept, "Progressing") == TRUE


def failing(enactment: Mapping[str, Any], generation: int) -> bool:
    status = enactment.get("status", {})
    return status.get("policyGeneration") == generation and status_of(status.get("conditions"), "Failing") == TRUE


def finally_failed(enactment: Mapping[str, Any], generation: int) -> bool:
    progressing = status_of(enactment.get("status", {}).get("conditions"), "Progressing")
    return failing(enactment, generation) and progressing == FALSE


@dataclass(frozen=True)
class Tally:
    """How far a policy is: matching nodes that run a handler, those Ready, enactments of its generation by state."""

    matching: int
    ready: int
    available: int = 0
    failing: int = 0
    pending: int = 0
    aborted: int = 0

    @property
    def finished(self) -> int:
        return self.available + self.failing + self.aborted


def tally(matching: int, ready: int, enactments: Iterable[Mapping[str, Any]], generation: int) -> Tally:
    """Count the enactments that speak of ``generation``; the others count for nothing."""
    counts = dict.fromkeys(ENACTMENT_TYPES, 0)
    for enactment in enactments:
        status = enactment.get("status", {})
        if status.get("policyGeneration") != generation:
            continue
        for kind in ENACTMENT_TYPES:
            counts[kind] += status_of(status.get("conditions"), kind) == TRUE
    return Tally(matching, ready, counts["Available"], counts["Failing"], counts["Pending"], counts["Aborted"])


def policy_conditions(conditions: Conditions, count: Tally, now: datetime) -> tuple[Conditions, bool]:
    """The policy's conditions for a tally, and whether it is the success that also clears unavailableNodeCountMap."""
    if count.matching == 0:
        reason = "NoMatchingNode"
        rows = [(kind, FALSE, reason, "") for kind in ("Degraded", "Available", "Progressing")]
        return _apply(conditions, [*rows, ("Ignored", TRUE, reason, "Policy does not match any node")], now), False
    if count.failing or count.aborted:
        message = f"{count.failing}/{count.matching} nodes failed to configure"
        message += f", {count.aborted} nodes aborted configuration" if count.aborted else ""
        return _apply(conditions, _failed_rows(message), now), False
    if count.finished < count.ready or count.pending:
        message = f"Policy is progressing {count.finished}/{count.ready} nodes finished"
        if count.finished >= count.ready:
            message += f", {count.pending} pending"
        return _apply(conditions, _progressing_rows(message + _not_ready(count)), now), False
    message = f"{count.available}/{count.matching} nodes successfully configured{_not_ready(count)}"
    reason = "SuccessfullyConfigured"
    rows = [("Degraded", FALSE, reason, ""), ("Available", TRUE, reason, message)]
    rows += [(kind, FALSE, reason, "") for kind in ("Progressing", "Ignored")]
    return _apply(conditions, rows, now), True


def _not_ready(count: Tally) -> str:
    missing = count.matching - count.ready
    return f", {missing} nodes ignored due to NotReady state" if missing > 0 else ""


def _failed_rows(message: str) -> list[tuple[str, str, str, str]]:
    reason = "FailedToConfigure"
    return [
        ("Degraded", TRUE, reason, message),
        ("Available", FALSE, reason, ""),
        ("Progressing", FALSE, "ConfigurationProgressing", ""),
        ("Ignored", FALSE, reason, ""),
    ]


def _progressing_rows(message: str) -> list[tuple[str, str, str, str]]:
    reason = "ConfigurationProgressing"
    return [
        ("Degraded", UNKNOWN, reason, ""),
        ("Available", UNKNOWN, reason, ""),
        ("Progressing", TRUE, reason, message),
        ("Ignored", FALSE, reason, ""),
    ]


def max_unavailable(total: int, wanted: int | str | None) -> int:
    """How many nodes may change at once: percent of all enactments rounded up, at least 1; nonsense means 50 %."""
    text = str("50%" if wanted is None else wanted)
    try:
        number = int(text[:-1]) if text.endswith("%") else int(text)
    except ValueError:
        text, number = "50%", 50
    if isinstance(wanted, str) and not text.endswith("%"):
        # A bare number given as a string is no IntOrString percentage: upstream falls back to its default.
        text, number = "50%", 50
    if text.endswith("%"):
        number = -(-total * number // 100)
    return max(number, 1)
