"""Taking the readings that explain a silent check: residents' pings, each worker's switch, nmstate's report.

Everything is read at once and within one budget; what cannot be read is said in the view of that worker and keeps
nobody else from being looked at. It changes nothing and raises nothing of what it meets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

from lab.core import facts
from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.diagnosis.cause import Scope, WorkerView, cause
from lab.multus.attachment import Attachment
from lab.nmstate.state import NodeState, uplink_findings
from lab.ovn.bonds import Links
from lab.ovn.switch import NodeSwitch, dark, localnet_port
from lab.probes.observation import Outcome
from lab.probes.ping import ping
from lab.target.inventory import Segment
from lab.topology.pods import PodShell, Resident
from lab.topology.site import Site

BUDGET_S = 20.0
COUNT = 3


def explain(site: Site, segment: Segment, nodes: tuple[str, ...], own: str = Scope.own) -> str:
    """The cause of a silence on *segment* for a VM on ``nodes[0]`` (and a peer on ``nodes[1]``), by fresh readings.

    *own* is what is left to blame when the network passes the VM's worker.
    """
    network = site.residents.networks.get(segment.name)
    if network is None:
        return f"there is no resident on {segment}, so that the cause was not looked for"
    scope = scope_of(site, segment, nodes, own)
    views = look(site, segment, network)
    found = cause(scope, views)
    tell_cause(scope, found, views)
    return found


def scope_of(site: Site, segment: Segment, nodes: tuple[str, ...], own: str = Scope.own) -> Scope:
    """What a look is about; the network's name is known where the segment has residents."""
    network = site.residents.networks.get(segment.name)
    localnet = network.localnet if network and not network.bridge else ""
    return Scope(segment.name, localnet, segment.gateway, nodes, own)


def tell_cause(scope: Scope, found: str, views: Sequence[WorkerView] = ()) -> None:
    """Hand a cause to the record, with the place that it blames and what each worker's readings said."""
    facts.tell(
        scope.segment,
        facts.Cause(
            found,
            scope.segment,
            scope.gateway,
            scope.nodes,
            getattr(found, "node", ""),
            getattr(found, "part", ""),
            tuple(asdict(view) for view in views),
        ),
    )


def look(site: Site, segment: Segment, network: Attachment) -> list[WorkerView]:
    """A view of every worker that has a resident in *segment*."""
    deadline, gateway = Deadline.after(BUDGET_S), segment.gateway
    residents = site.residents.of.get(segment.name, [])
    with ThreadPoolExecutor(2 + 2 * len(residents)) as pool:
        # A Linux bridge's segment passes no Open vSwitch.
        switched = [] if network.bridge else [r.node for r in residents]
        switches = pool.submit(site.reader.read_all, switched, deadline=deadline)
        states = pool.submit(_states, site)
        links = {node: pool.submit(_links, site, node, deadline) for node in switched}
        seen = pool.map(lambda r: _packets(site, r, residents, gateway, deadline), residents)
        packets = dict(zip((r.node for r in residents), seen, strict=True))
        again = {n: pool.submit(_links, site, n, deadline) for n in switched if packets[n][0] is False}
        if network.bridge:
            return [bridged(network.bridge, r.node, packets[r.node], states.result().get(r.node)) for r in residents]
        return [
            with_counts(
                with_bonds(
                    view(
                        site, network, r.node, packets[r.node], switches.result()[r.node], states.result().get(r.node)
                    ),
                    states.result().get(r.node),
                    links[r.node].result(),
                ),
                states.result().get(r.node),
                links[r.node].result(),
                again[r.node].result() if r.node in again else None,
            )
            for r in residents
        ]


def _links(site: Site, node: str, deadline: Deadline) -> Links | None:
    try:
        return site.reader.links(node, deadline=deadline)
    except LabError:
        return None


def _states(site: Site) -> dict[str, NodeState]:
    try:
        return {state.node: state for state in site.policies.node_states()}
    except LabError:
        return {}


Packets = tuple[bool | None, dict[str, bool], str]


def _packets(site: Site, mine: Resident, all_: list[Resident], gateway: str, deadline: Deadline) -> Packets:
    """(gateway answered, peers that answered, what went wrong) from one resident."""
    shell, others = PodShell(site.client, mine), [r for r in all_ if r is not mine]
    with ThreadPoolExecutor(1 + len(others)) as pool:
        asked = pool.submit(_asked, shell, gateway, deadline)
        peers = {r.node: pool.submit(_asked, shell, r.address, deadline) for r in others}
        try:
            answer = asked.result()
            return answer, {node: bool(one.result()) for node, one in peers.items()} if not answer else {}, ""
        except LabError as error:
            return None, {}, error.headline


def _asked(shell: PodShell, address: str, deadline: Deadline) -> bool | None:
    seen = ping(shell, address, count=COUNT, interval_s=0.3, deadline=deadline)
    return None if seen.outcome is Outcome.INCONCLUSIVE else seen.reached


def bridged(bridge: str, node: str, packets: Packets, state: NodeState | None) -> WorkerView:
    """One worker's readings about a Linux bridge: what nmstate says of its uplink, and packets."""
    gateway, peers, trouble = packets
    uplink = tuple(str(finding) for finding in uplink_findings(state, bridge)) if state else ()
    return WorkerView(node, gateway, peers, bridge=bridge, uplink=uplink, trouble=trouble)


def view(
    site: Site, network: Attachment, node: str, packets: Packets, switch: NodeSwitch | LabError, state: NodeState | None
) -> WorkerView:
    """One worker's readings put together."""
    gateway, peers, trouble = packets
    if isinstance(switch, LabError):
        trouble = "; ".join(t for t in (trouble, switch.headline) if t)
        return WorkerView(
            node, gateway, peers, trouble=trouble, uplink=_uplink(state, site.policies.mapped(), network.localnet)
        )
    bridge = switch.mappings.get(network.localnet, "")
    held = dark(switch, {network.localnet: network.network}) if bridge else []
    return WorkerView(
        node,
        gateway,
        peers,
        bridge=bridge,
        wanted=site.policies.mapped().get(network.localnet, ""),
        reported=state.mappings.get(network.localnet) if state else None,
        patch=switch.patch(localnet_port(network.network)) is not None,
        dark=tuple(held),
        uplink=_uplink(state, switch.mappings, network.localnet),
        trouble=trouble,
    )


def with_bonds(found: WorkerView, state: NodeState | None, links: Links | None) -> WorkerView:
    """The same with what the bonds below its bridge say; as it is when they could not be read."""
    bridge = state.interfaces.get((found.bridge or found.reported or "", "ovs-bridge")) if state else None
    if state is None or bridge is None or links is None:
        return found
    dead, weak = [], []
    for port in bridge.ports:
        entry = state.interfaces.get((port, "bond"))
        bond = links.bond(port, entry.ports) if entry else None
        if bond is None or not bond.troubles:
            continue
        what = "; ".join(bond.troubles)
        if bond.working:
            weak.append(f"{bond} works without a part of its NICs: {what}")
        else:
            dead.append(f"{bond} is no uplink: {what}")
    return replace(found, uplink=(*found.uplink, *dead), weak=tuple(weak))


def with_counts(found: WorkerView, state: NodeState | None, before: Links | None, after: Links | None) -> WorkerView:
    """The same with what the NICs below its bridge counted between two looks."""
    bridge = state.interfaces.get((found.bridge or found.reported or "", "ovs-bridge")) if state else None
    if state is None or bridge is None or before is None or after is None:
        return found
    nics: list[str] = []
    for port in bridge.ports:
        bond = state.interfaces.get((port, "bond"))
        nics += list(bond.ports) if bond else [port]
    counts = [
        f"{nic} sent {new.tx - old.tx} and received {new.rx - old.rx} packets"
        for nic in sorted(nics)
        if (old := before.links.get(nic)) and (new := after.links.get(nic))
    ]
    return replace(found, counted=", ".join(counts))


def _uplink(state: NodeState | None, mappings: Mapping[str, str], localnet: str) -> tuple[str, ...]:
    bridge = mappings.get(localnet)
    return tuple(str(f) for f in uplink_findings(state, bridge)) if state and bridge else ()
