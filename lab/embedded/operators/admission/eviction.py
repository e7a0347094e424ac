"""Eviction of launcher pods: the VMI is told to leave, and the eviction is refused until it has. Pure.

Rules: upstream pkg/virt-api/webhooks/validating-webhook/admitters/pod-eviction-admitter.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.embedded.operators.admission.causes import Denied
from lab.embedded.operators.objects import Obj, dig, has_condition, name_of, namespace_of, phase_of


@dataclass(frozen=True)
class Verdict:
    """`allowed`, or the refusal to give; `mark` says that the VMI must be told to leave its node."""

    allowed: bool
    mark: bool = False
    refusal: Denied | None = None


def judge(vmi: Obj, pod: Obj, cluster_strategy: str) -> Verdict:
    """What an eviction of `pod`, a launcher of `vmi`, leads to."""
    if phase_of(vmi) in ("Succeeded", "Failed") or phase_of(pod) in ("Succeeded", "Failed"):
        return Verdict(allowed=True)
    strategy = dig(vmi, "spec", "evictionStrategy") or cluster_strategy or "None"
    movable = has_condition(vmi, "LiveMigratable")
    mark = False
    if strategy == "LiveMigrate":
        if not movable:
            name = name_of(vmi)
            text = f"VMI {name} is configured with an eviction strategy but is not live-migratable"
            return Verdict(False, refusal=Denied(text, code=429, reason="TooManyRequests"))
        mark = True
    elif strategy == "LiveMigrateIfPossible":
        mark = movable
    elif strategy == "External":
        mark = True
    if not mark:
        return Verdict(allowed=True)
    node = dig(vmi, "status", "nodeName")
    here = dig(pod, "spec", "nodeName") == node
    text = f'Eviction triggered evacuation of VMI "{namespace_of(vmi)}/{name_of(vmi)}"'
    pending = dig(vmi, "status", "evacuationNodeName") == node
    return Verdict(False, mark=here and not pending, refusal=Denied(text, code=429, reason="TooManyRequests"))
