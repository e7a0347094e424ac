"""How far a VM gets when it need not get far: it runs, or it waits, and the platform says for what.

Two things keep a VM waiting for ever without any mistake in it: no worker offers what its network asks for, which the
scheduler says, and a worker that cannot give it the network, which only the events of its pod say. Neither ends by
itself, so that waiting is believed once it has lasted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.access.client import Client
from lab.access.kinds import EVENT, VMI, Obj, condition
from lab.core.deadline import Deadline
from lab.core.errors import WaitTimeout
from lab.core.wait import Seen, Signal, wait_until
from lab.kubevirt.interfaces import read_vmi
from lab.kubevirt.vm import FINAL, last_warning, latest

LASTS_S = 2.0
SANDBOX = "FailedCreatePodSandBox"
PLUGIN_SAID = "failed (add): "
"""Before it stand the IDs of the sandbox, behind it what the network's plugin said."""


@dataclass(frozen=True)
class Fate:
    """``node`` when it runs there; else ``why`` it does not, in the platform's words."""

    node: str = ""
    why: str = ""


def fate(client: Client, namespace: str, name: str, *, deadline: Deadline, lasts_s: float = LASTS_S) -> Fate:
    """Wait until a VM runs, or has waited for the same thing for *lasts_s* seconds.

    Raises WaitHopeless (its instance ended) and WaitTimeout (neither).
    """
    first = _watch(client, namespace, name, "to run, or to say what it waits for", deadline, any_=True)
    if first.node:
        return first
    try:
        return _watch(client, namespace, name, "to run all the same", Deadline.after(lasts_s), any_=False)
    except WaitTimeout:
        return first


def _watch(client: Client, namespace: str, name: str, wanted: str, deadline: Deadline, *, any_: bool) -> Fate:
    signal = Signal()
    with (
        client.watch(VMI, name, namespace, signal=signal) as vmis,
        client.watch(EVENT, "", namespace, signal=signal) as events,
    ):

        def observe() -> Seen[Fate]:
            vmi = latest(vmis)
            while events.take(0):
                pass
            seen = judge(vmi, events.items.values(), name)
            ends = seen.value is not None and (any_ or bool(seen.value.node))
            return Seen(seen.text, ends, seen.value, seen.hopeless)

        found = wait_until(f"VM {namespace}/{name}", wanted, observe, deadline=deadline, changes=signal)
    assert found is not None
    return found


def judge(vmi: Obj | None, events: Iterable[Obj], name: str) -> Seen[Fate]:
    """What an instance and the events around it say; pure."""
    if vmi is None:
        return Seen("no instance yet")
    state = read_vmi(vmi)
    if state.phase == "Running":
        return Seen(f"Running on {state.node}", True, Fate(node=state.node))
    if state.phase in FINAL:
        return Seen(f"phase {state.phase}", hopeless=f"the instance is {state.phase}")
    scheduled = condition(vmi, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        text = str(scheduled.get("message", ""))
        return Seen(f"phase {state.phase}, Unschedulable: {text}", True, Fate(why=text))
    refusals = [event for event in events if event.get("reason") == SANDBOX]
    if warning := last_warning(refusals, name):
        said = f"{SANDBOX}: {warning.rpartition(PLUGIN_SAID)[2]}"
        return Seen(f"phase {state.phase}, {said}", True, Fate(why=said))
    return Seen(f"phase {state.phase}")
