"""Judging bonds: what was negotiated, which NICs carried packets, who was silent and for how long.

A bond is judged by flows that arrived whole and by the counters of its NICs, never by its own word alone; its word is
asked for what only it can tell: whether LACP agreed, and which NIC it gave up.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from lab.access.kinds import NNS
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, LabError, ProbeNotStarted, ProductFailure
from lab.core.wait import Seen, Signal, wait_until
from lab.diagnosis.gather import explain
from lab.nmstate import manifest
from lab.nmstate.state import Interface, read_state
from lab.ovn.bonds import Bond
from lab.probes.observation import retry_inconclusive
from lab.probes.ping import PingObservation, ping
from lab.topology.bondpath import BondPath, Exchange, WorkersBond
from lab.topology.pods import PodShell, Resident

MANY, FEW = 16, 6
"""Flows of one pair of workers: to be spread by a hash, and to see whether any is lost."""
SPREAD_S = 20.0
"""Open vSwitch moves flows to a NIC that came back by and by, and only under load."""
USED, UNUSED = 0.02, 0.05
"""Shares of a bond's packets: at least so much is carried, at most so much is noise (LACPDUs, neighbour discovery)."""
CHECK_S, REPORT_S = 30.0, 15.0


def reported(path: WorkersBond, mode: str) -> None:
    """Wait until every NodeNetworkState has the bond as the policy does: nmstate reads a node after it is configured.

    Raises WaitTimeout with what the workers report.
    """
    wanted = {
        tuple(sorted(i["link-aggregation"]["port"]))
        for policy in path.site.policies.applied
        for i in manifest.interfaces(policy)
        if i.get("name") == path.bond and i.get("type") == "bond"
    }
    signal = Signal()
    with path.site.client.watch(NNS, signal=signal) as watch:

        def observe() -> Seen[None]:
            while watch.take(0):
                pass
            states = [state for state in map(read_state, watch.items.values()) if state.node in path.site.workers]
            found = {state.node: state.interfaces.get((path.bond, "bond")) for state in states}
            return Seen(
                "; ".join(f"{node}: {_shown(entry)}" for node, entry in sorted(found.items())),
                all(_as_wanted(found.get(node), mode, wanted) for node in path.site.workers),
            )

        wait_until(
            f"{path.bond} in NodeNetworkState",
            f"up, mode {mode}, over {' or '.join(', '.join(nics) for nics in sorted(wanted))} on every worker",
            observe,
            deadline=Deadline.after(REPORT_S),
            changes=signal,
        )


def _shown(entry: Interface | None) -> str:
    return f"{entry.state}, mode {entry.mode}, over {', '.join(entry.ports)}" if entry else "no such bond"


def _as_wanted(entry: Interface | None, mode: str, ports: Collection[tuple[str, ...]]) -> bool:
    return bool(entry and entry.state == "up" and entry.mode == mode and tuple(sorted(entry.ports)) in ports)


def negotiated(path: WorkersBond) -> None:
    """Wait until LACP has a partner on all NICs. Raises as wait_working, and ProductFailure for two partners."""
    path.site.settle()
    path.wait_working()
    found = path.bonds()
    wrong = [
        f"{bond}: {_lacp(bond)}" for bond in found.values() if not bond.lacp or len(bond.partners) != 1 or bond.troubles
    ]
    if wrong:
        raise ProductFailure(f"LACP of {path.bond} negotiated with one partner on every worker", "; ".join(wrong))
    path.site.say(f"{bond}: {_lacp(bond)}" for bond in found.values())


def _lacp(bond: Bond) -> str:
    if not bond.lacp:
        return "it does not speak LACP"
    seen = ", ".join(f"{m.name} with {m.partner or 'nobody'}" for m in bond.members)
    return f"LACP agreed over {seen or 'no NIC at all'}"


def whole(path: BondPath, seen: Exchange) -> None:
    """Raises ProductFailure naming the workers of the first flows that did not arrive whole, and the cause."""
    for source, target, flows in seen.flows:
        if not flows.passed:
            raise ProductFailure(
                f"every flow from {source.node} to {target.node} over {path.bond} on {path.segment} to arrive whole",
                f"{flows}; {_cause(path, source.node, target.node)}",
                str(flows.evidence),
            )


def _cause(path: BondPath, *nodes: str) -> str:
    try:
        return explain(path.site, path.segment, nodes)
    except LabError as error:
        return f"the cause could not be looked for ({error.headline})"


def spread(path: BondPath) -> None:
    """Exchange flows until every NIC has a part in them on every worker.

    Raises ProductFailure when a flow is lost, or naming the NIC that carries next to nothing after 20 s.
    """
    deadline = Deadline.after(SPREAD_S)
    while True:
        seen = path.exchange(MANY)
        whole(path, seen)
        idle = _below(seen, USED)
        if not idle:
            _say(path, seen)
            return
        if deadline.expired:
            raise ProductFailure(
                f"flows over all NICs of {path.bond} on every worker", f"{'; '.join(idle)}; {counts(seen)}"
            )
        trace.note(path.bond, f"not yet over all NICs: {'; '.join(idle)}")


def _below(seen: Exchange, share: float) -> list[str]:
    return [
        f"{nic} on {node} carried {seen.share(node, nic):.0%}"
        for node, nics in seen.packets.items()
        for nic in nics
        if seen.share(node, nic) < share
    ]


def counts(seen: Exchange) -> str:
    """Packets by worker and NIC: ``w1: a 10 in, 12 out, b 9 in, 11 out``."""
    return "; ".join(
        f"{node}: {', '.join(f'{nic} {rx} in, {tx} out' for nic, (rx, tx) in nics.items())}"
        for node, nics in seen.packets.items()
    )


def _say(path: BondPath, seen: Exchange) -> None:
    total = sum(flows.tried for _, _, flows in seen.flows)
    path.site.say([f"{total} flows over {path.bond}, all whole; packets: {counts(seen)}"])


def alone(path: BondPath) -> None:
    """Flows arrive over one NIC alone: the one that is left, or on workers that lost none whichever the bond chose.

    Raises WaitTimeout when a bond does not give up what it lost, ProductFailure for lost flows or another NIC in use.
    """
    path.wait_working()
    seen = path.exchange(FEW)
    whole(path, seen)
    wrong = []
    for node, nics in seen.packets.items():
        busy = [nic for nic in nics if seen.share(node, nic) > UNUSED]
        if len(busy) != 1 or busy[0] not in path.left[node]:
            wrong.append(f"{node} used {', '.join(busy) or 'none'}")
    if wrong:
        left = "; ".join(f"{' or '.join(nics)} on {node}" for node, nics in path.left.items())
        raise ProductFailure(f"flows over one NIC of {path.bond} alone: {left}", f"{'; '.join(wrong)}; {counts(seen)}")
    _say(path, seen)


def keep_pinging(path: BondPath) -> None:
    """Start the pings. Raises ProductFailure naming worker and cause when one has no answer to begin with."""
    try:
        path.start_pings()
    except ProbeNotStarted:
        answered(path, *path.site.workers)
        raise


def calm(path: BondPath, limit_ms: float, what: str) -> None:
    """Stop the pings. Raises ProductFailure naming worker and time of each gap over *limit_ms*, Inconclusive."""
    seen = path.stop_pings()
    if not seen:
        raise Inconclusive("pings that went on", "none was running", str(path.segment))
    if late := [str(found) for found in seen if found.longest_gap_ms > limit_ms]:
        raise ProductFailure(f"no gap over {limit_ms:.0f} ms ({what}) on {path.segment}", "; ".join(late))
    sent, lost = sum(found.sent for found in seen), sum(found.lost for found in seen)
    longest = max(found.longest_gap_ms for found in seen)
    path.site.say([f"{len(seen)} pings on {path.segment}: {sent} sent, {lost} lost, longest gap {longest:.0f} ms"])


def answered(path: BondPath, *nodes: str) -> None:
    """Raises ProductFailure naming worker and cause when a worker's resident gets no answer from the gateway."""
    chosen = [next(r for r in path.everyone() if r.node == node) for node in nodes]
    with ThreadPoolExecutor(len(chosen)) as pool:
        for resident, seen in zip(chosen, pool.map(lambda r: _ask(path, r), chosen), strict=True):
            seen.conclusive()
            if not seen.reached:
                raise ProductFailure(
                    f"the resident pod on {resident.node} to reach gateway {path.segment.gateway} on {path.segment}",
                    f"{seen.detail}; {_cause(path, resident.node)}",
                    str(seen.evidence or ""),
                )


def _ask(path: BondPath, resident: Resident) -> PingObservation:
    shell, deadline = PodShell(path.site.client, resident), Deadline.after(CHECK_S)
    count, gateway = path.site.target.thresholds.ping_count, path.segment.gateway
    return retry_inconclusive(lambda: ping(shell, gateway, count=count, interval_s=0.2, deadline=deadline), deadline)


def unanswered(path: BondPath, node: str) -> None:
    """The same check must fail, and its finding name worker and bond. Raises ProductFailure when it does not."""
    path.wait_working()
    try:
        answered(path, node)
    except ProductFailure as failure:
        if f"{path.bond} on {node} is no uplink" not in failure.found:
            raise ProductFailure(
                f"the finding to name {path.bond} on {node}", failure.found, failure.where
            ) from failure
        path.site.say([failure.found])
        return
    raise ProductFailure(f"no answer on {path.segment} for {node}, whose {path.bond} has no link", "it has an answer")
