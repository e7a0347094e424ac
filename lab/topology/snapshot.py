"""The nodes' network before a feature and after it: what was undone must really be as it was.

NodeNetworkState is compared as a whole, but for what changes by itself (times, counters, ages, lease times) and for the
cables of pods, which come and go with other people's work too. Reading only; undoing is for others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from lab.access.client import Client
from lab.access.kinds import NNS, Obj
from lab.core.deadline import Deadline
from lab.core.errors import WaitTimeout
from lab.core.wait import Periodic, Seen, Signal, wait_until

SETTLE_S = 20.0
QUIET_S, RESTLESS_S = 1.0, 8.0
REFRESH_LABEL = "nmstate.io/force-nns-refresh"
"""kubernetes-nmstate reads the node again when this label changes; by itself it does so once a minute."""
RESTLESS = frozenset({
    "valid-life-time", "preferred-life-time", "valid-left", "preferred-left", "lldp", "statistics", "ethtool",
    "gc-timer", "hello-timer", "tcn-timer", "topology-change", "topology-change-detected", "topology-change-timer",
})  # fmt: skip
PODS_BRIDGE = "br-int"

State = dict[str, str]
"""Node -> its network as canonical JSON: equal text means an equal network."""


def take(client: Client, nodes: Sequence[str]) -> State:
    """The present NodeNetworkState of the nodes; one without is left out."""
    return _states(client.list(NNS), nodes)


def _states(objects: Iterable[Obj], nodes: Sequence[str]) -> State:
    return {
        str(nns["metadata"]["name"]): canonical((nns.get("status") or {}).get("currentState") or {})
        for nns in objects
        if nns["metadata"]["name"] in nodes
    }


def canonical(current: Mapping[str, Any]) -> str:
    """``currentState`` as text: keys and lists in a fixed order, without what changes by itself."""
    interfaces = [i for i in current.get("interfaces") or [] if isinstance(i, dict) and not _of_pods(i)]
    kept = {**current, "interfaces": [_without_pods(i) for i in interfaces]}
    return json.dumps(_settled(kept), sort_keys=True, indent=1, ensure_ascii=False)


def _of_pods(interface: Mapping[str, Any]) -> bool:
    """Cables of pods, and OVN's patch ports, which follow the pods."""
    return (
        interface.get("type") == "veth" or bool(interface.get("patch")) or str(interface["name"]).startswith("patch-")
    )


def _without_pods(interface: Mapping[str, Any]) -> dict[str, Any]:
    bridge = interface.get("bridge")
    if not isinstance(bridge, Mapping):
        return dict(interface)
    ports = [p for p in bridge.get("port") or [] if isinstance(p, Mapping)]
    mine = [p for p in ports if not str(p.get("name")).startswith("patch-") and interface["name"] != PODS_BRIDGE]
    return {**interface, "bridge": {**bridge, "port": mine}}


def _settled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _settled(v) for k, v in value.items() if k not in RESTLESS}
    if isinstance(value, list):
        return sorted((_settled(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    return value


def differences(before: State, after: State) -> list[str]:
    """What is not as it was, one line for each node and path; empty when all is."""
    found = [f"{node}: its NodeNetworkState is gone" for node in sorted(before.keys() - after.keys())]
    for node in sorted(before.keys() & after.keys()):
        if before[node] != after[node]:
            found += [f"{node}: {line}" for line in _paths(json.loads(before[node]), json.loads(after[node]), "")]
    return found


def _paths(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            dot = "." if path and not key.startswith("[") else ""
            yield from _paths(old.get(key), new.get(key), f"{path}{dot}{key}")
    elif isinstance(old, list) and isinstance(new, list):
        yield from _paths(_keyed(old), _keyed(new), path)
    elif old != new:
        yield f"{path} was {_short(old)}, is {_short(new)}"


def _keyed(entries: list[Any]) -> dict[str, Any]:
    """A list as a mapping: links by name and type, the rest by what they are."""
    named = all(isinstance(e, dict) and "name" in e for e in entries)
    return {f"[{e['name']} {e.get('type', '')}]".replace(" ]", "]") if named else f"[{_short(e)}]": e for e in entries}


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 100 else f"{text[:97]}..."


def refresh(client: Client, nodes: Sequence[str]) -> None:
    """Have nmstate read the nodes again, and wait until it has nothing new to say for a second.

    A reading that changes nothing is not written (kubernetes-nmstate controllers/handler/node_controller.go), so there
    is nothing else to wait for.
    """
    stamp = str(time.time_ns())
    known = [str(nns["metadata"]["name"]) for nns in client.list(NNS)]
    signal = Signal()
    with client.watch(NNS, signal=signal) as watch:
        for node in set(known) & set(nodes):
            client.patch(NNS, node, None, {"metadata": {"labels": {REFRESH_LABEL: stamp}}})
        quiet, seen = Deadline.after(QUIET_S), ""

        def observe() -> Seen[None]:
            nonlocal quiet, seen
            while watch.take(0):
                pass
            told = json.dumps([nns.get("status") for nns in watch.items.values()], sort_keys=True)
            if told != seen:
                quiet, seen = Deadline.after(QUIET_S), told
            return Seen("reading", quiet.expired)

        with suppress(WaitTimeout):
            # A node whose network never rests is read as it is.
            wait_until(
                f"the network of {', '.join(sorted(nodes))}",
                "read again by nmstate",
                observe,
                deadline=Deadline.after(RESTLESS_S),
                changes=Periodic(QUIET_S / 4, "silence is no event"),
            )


def wait_as_before(client: Client, before: State, *, deadline: Deadline | None = None) -> None:
    """Wait until the nodes, read again, are as they were. Raises EnvironmentTimeout with each difference that stays."""
    deadline = deadline or Deadline.after(SETTLE_S)
    refresh(client, list(before))
    signal = Signal()
    with client.watch(NNS, signal=signal) as watch:

        def observe() -> Seen[None]:
            while watch.take(0):
                pass
            found = differences(before, _states(watch.items.values(), list(before)))
            return Seen("; ".join(found[:8]) or "as before", not found)

        wait_until(
            f"the network of {', '.join(sorted(before))}",
            "as it was before the feature",
            observe,
            deadline=deadline,
            changes=signal,
            blame="environment",
            advice="kubectl get nns -o yaml; what is left there was made by this feature or beside it",
        )
