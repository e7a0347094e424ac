"""`virtlab target init`: a target file from what a look at the cluster tells.

What a look tells stands there; what only a person knows (VLANs and their gateways, free addresses, what the switch
bonds, what may be disturbed) is a comment that begins with FILL IN, with a proposal where there is one. The file is
valid as it is: what is not filled in makes scenarios be skipped with that reason.
"""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lab.access.kinds import Obj
from lab.survey.links import UPLINK, NodeLinks, Subnet, mappings, pairs, sort, subnets
from lab.survey.reading import Survey
from lab.target.inventory import POD_IMAGE, Component

IMAGE = "quay.io/containerdisks/fedora:latest"
BONDS = {
    "bond1": "two NICs in one LACP group of the switch",
    "bond2": "two NICs in one LACP group of the switch, a trunk that carries the VLANs",
    "bond3": "two NICs that the switch does not bond (active-backup), a trunk",
}
"""What scenarios want of the bonds that their policies name."""


@dataclass(frozen=True)
class Where:
    """How the person reached the cluster: what the file will say of it."""

    kubeconfig: str
    context: str
    name: str


@dataclass(frozen=True)
class Known:
    """What whoever made the cluster knows and no look tells; what is empty is left to a person.

    `bonds` by name, `vlans` as the file has them, `outside` name -> (exec, connect)."""

    primary: str = ""
    protected: tuple[str, ...] = ()
    bonds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    vlans: tuple[Mapping[str, object], ...] = ()
    outside: Mapping[str, tuple[Sequence[str], Sequence[str]]] = field(default_factory=dict)
    boot_s: int = 300


NOTHING = Known()


def draft(found: Survey, where: Where, day: str, known: Known = NOTHING) -> str:
    """The text of a target file; *day* is told in its first line."""
    nodes = {name: sort(name, found.states.get(name, {}), _address(node)) for name, node in _named(found)}
    parts = [
        _head(found, where, day),
        _platform(found),
        _nodes(found),
        _nics(nodes, known),
        _vlans(found, known),
        _networks(found, nodes),
    ]
    parts += [_images(found, known), _outside(known), _limits()]
    return "\n".join(line for part in parts for line in part) + "\n"


def _named(found: Survey) -> list[tuple[str, Obj]]:
    return list(zip(found.names, found.workers, strict=True))


def _address(node: Obj) -> str:
    listed = (node.get("status") or {}).get("addresses") or []
    return next((str(a["address"]) for a in listed if a.get("type") == "InternalIP"), "")


def _q(text: str) -> str:
    """As YAML reads it back: plain where that is safe, else quoted."""
    plain = re.fullmatch(r"[A-Za-z_./][\w./@:=-]*", text) and not text.endswith(":")
    return (
        text if plain and text.lower() not in ("true", "false", "yes", "no", "on", "off", "null") else json.dumps(text)
    )


def _list(names: tuple[str, ...] | list[str]) -> str:
    return f"[{', '.join(_q(name) for name in names)}]"


def _head(found: Survey, where: Where, day: str) -> Iterator[str]:
    yield f"# Written by `virtlab target init` on {day} from {found.server}, Kubernetes {found.version}."
    yield "# What begins with FILL IN is yours: no look at the cluster tells it. All keys: virtlab target schema."
    yield "# Then: virtlab target check FILE, virtlab doctor --target FILE, virtlab run --target FILE"
    for text in found.unread:
        yield f"# not readable with these credentials: {' '.join(text.split())}"
    yield f"name: {_q(where.name)}"
    yield "cluster:"
    yield f"  kubeconfig: {_q(where.kubeconfig)}"
    yield f"  context: {_q(where.context)}"
    yield "  # proxy: http://proxy.example:3128"


def _platform(found: Survey) -> Iterator[str]:
    platform = found.platform
    yield "platform:"
    yield f"  type: {platform.type or 'kubernetes'}"
    parts = {"ovn": platform.ovn, "nmstate": platform.nmstate, "kubevirt": platform.kubevirt}
    for name, component in parts.items():
        yield from _component(name, component)


def _component(name: str, component: Component) -> Iterator[str]:
    if not component.namespace or (name == "ovn" and len(component.containers) < 3):
        yield f"  # {name}: no pods {component.labels} were found; without it scenarios that need it are skipped"
        return
    yield f"  {name}:"
    yield f"    namespace: {_q(component.namespace)}"
    yield f"    labels: {_q(component.labels)}"
    if name == "ovn":
        roles = ", ".join(f"{role}: {_q(container)}" for role, container in component.containers.items())
        yield f"    containers: {{{roles}}}"


def _nodes(found: Survey) -> Iterator[str]:
    yield "nodes:"
    yield f"  selector: {_q(found.selector)} # {', '.join(found.names) or 'no node has it'}"


def _nics(nodes: dict[str, NodeLinks], known: Known) -> Iterator[str]:
    primaries = Counter(links.primary for links in nodes.values() if links.primary)
    yield "nics:"
    if known.primary or primaries:
        primary = known.primary or primaries.most_common(1)[0][0]
        yield f"  primary: {_q(primary)} # carries the node's own address"
    else:
        primary = ""
        yield "  primary: FILL-IN # FILL IN the NIC below the node's own address: NodeNetworkState does not tell"
    others = [name for name in primaries if name != primary]
    seen = (name for links in nodes.values() for name in links.vital)
    vital = list(dict.fromkeys([*others, *known.protected, *seen]))
    yield f"  protected: {_list([name for name in vital if name != primary])} # the nodes' own network hangs on these"
    for name in others:
        on = [node for node, links in nodes.items() if links.primary == name]
        yield f"  # {name} carries the address of {', '.join(on)}"
    if known.bonds:
        yield "  bonds:"
        yield from (f"    {bond}: {_list(list(ports))} # {BONDS[bond]}" for bond, ports in known.bonds.items())
    else:
        yield from _bonds(nodes)
    yield "  # FILL IN, only for scenarios tagged @disruptive: the Linux bridge that goes over the nodes' own NIC."
    yield "  # bridges:"
    yield f"  #   br1: [{primary or 'NIC'}]"


def _bonds(nodes: dict[str, NodeLinks]) -> Iterator[str]:
    """A proposal from the NICs that are free on every node."""
    sets = [set(links.free) for links in nodes.values()]
    common = [name for name in (next(iter(nodes.values())).free if nodes else ()) if all(name in have for have in sets)]
    partly = sorted(set().union(*sets) - set(common)) if sets else []
    yield f"  # Free on every worker: {', '.join(common) or 'none'}." + (
        f" Free on some only: {', '.join(partly)} (nics.nodes says what a node has otherwise)." if partly else ""
    )
    yield "  # FILL IN what the switch does with them, and take the # away; a run puts them under its own bonds."
    yield "  # bonds:"
    proposed = pairs(common)
    for number, (bond, what) in enumerate(BONDS.items()):
        ports = ", ".join(proposed[number]) if number < len(proposed) else "NIC, NIC"
        yield f"  #   {bond}: [{ports}] # {what}"


def _vlans(found: Survey, known: Known) -> Iterator[str]:
    if known.vlans:
        yield "vlans:"
        for vlan in known.vlans:
            for number, (key, value) in enumerate(vlan.items()):
                yield f"  {' ' if number else '-'} {key}: {_q(str(value)) if isinstance(value, str) else value}"
        return
    yield "# FILL IN the VLANs on the trunks of those NICs. Scenarios know 2024 and 1993; the pool holds addresses that"
    yield "# nobody else has and no DHCP server gives."
    for attachment in found.attachments:
        if hint := _vlan_of(attachment):
            yield f"# seen: {hint}"
    yield "# vlans:"
    for number, start in ((2024, "192.0.2"), (1993, "198.51.100")):
        yield f"#   - id: {number}"
        yield f"#     gateway: {start}.1 # answers pings from every worker's VLAN"
        yield f"#     subnet: {start}.0/24"
        yield f"#     pool: {start}.20-{start}.99"
        yield f"#     outside: gateway-{number} # a host in that VLAN, see below; may be left out"


def _vlan_of(attachment: Obj) -> str:
    try:
        config = json.loads((attachment.get("spec") or {}).get("config") or "{}")
    except ValueError:
        return ""
    if not isinstance(config, dict):
        return ""
    vlan = config.get("vlanID") or config.get("vlan")
    meta = attachment["metadata"]
    name = f"{meta.get('namespace')}/{meta.get('name')}"
    return f"NetworkAttachmentDefinition {name}: {config.get('type')}, VLAN {vlan}" if vlan else ""


def _networks(found: Survey, nodes: dict[str, NodeLinks]) -> Iterator[str]:
    """The untagged networks that scenarios know, as far as a node's own addresses tell."""
    state = next((found.states[name] for name in found.names if name in found.states), {})
    have = subnets(state)
    primary = next((links.primary for links in nodes.values() if links.primary), "")
    behind = {localnet: bridge for localnet, bridge in mappings(state).items() if bridge == UPLINK}
    yield "# FILL IN where a run may put guests into the nodes' own networks: gateway if it says so, and a free pool."
    yield "# networks:"
    machine = have.get(primary) or (have.get(UPLINK) if primary else None)
    yield from _network("machine", f"untagged, behind {primary or 'the primary NIC'}: the nodes' own network", machine)
    seen = f" (localnet {', '.join(behind)})" if behind else ""
    yield from _network("external", f"untagged, behind {UPLINK}{seen}", have.get(UPLINK))


def _network(name: str, what: str, subnet: Subnet | None) -> Iterator[str]:
    network = ipaddress.ip_network(subnet.subnet if subnet else "192.0.2.0/24")
    text, gateway = str(network), subnet.gateway if subnet else ""
    base = int(network.network_address)
    guess = gateway or str(ipaddress.ip_address(base + 1))
    yield f"#   {name}: # {what}" + (", with DHCP" if subnet and subnet.dhcp else "")
    yield f"#     gateway: {guess}" + ("" if gateway else " # FILL IN: no default route names it")
    yield f"#     subnet: {text}" + ("" if subnet else " # FILL IN")
    last = min(base + 99, int(network.broadcast_address) - 1)
    yield f"#     pool: {ipaddress.ip_address(min(base + 20, last))}-{ipaddress.ip_address(last)} # FILL IN"
    yield f"#     outside: {name} # a host in that network, see below; may be left out"


def _images(found: Survey, known: Known) -> Iterator[str]:
    image = next((name for name in found.images), IMAGE)
    yield "images:"
    yield "  default: # a containerDisk with cloud-init; the run makes this login in its guests"
    yield f"    image: {_q(image)}"
    for other, count in list(found.images.items())[:8]:
        yield f"    # in use here: {other} ({count} VMs)"
    yield "    user: virtlab"
    yield f"    password: {secrets.token_hex(8)} # made for this file; goes into the guests of a run and nowhere else"
    yield "    memory-mib: 1024"
    yield f"    boot-s: {known.boot_s}"
    yield f"pod-image: {POD_IMAGE} # busybox: ping, arping"
    yield "# registry-mirrors: {quay.io: mirror.example:5000/quay} # FILL IN where nodes cannot reach the registries"


def _outside(known: Known) -> Iterator[str]:
    if known.outside:
        yield "outside:"
        for name, (run, connect) in known.outside.items():
            yield f"  {_q(name)}:"
            yield f"    exec: {_list(list(run))}"
            yield f"    connect: {_list(list(connect))}"
        return
    yield "# FILL IN hosts beside the cluster, by ssh or by a command; scenarios that need one are skipped without."
    yield "# outside:"
    yield "#   gateway-2024:"
    yield "#     ssh: {host: gateway.example, user: lab, key: ~/.ssh/id_ed25519}"
    yield "# faults: [lab-fault] # FILL IN a command that breaks and heals links and switches; see docs/real-cluster.md"


def _limits() -> Iterator[str]:
    yield "thresholds:"
    yield "  migration-gap-ms: 1000"
    yield "  ping-count: 5"
    yield "  ping-loss-percent: 0"
    yield "  failover-gap-ms: 1000"
    yield "allow-disruptive: false # FILL IN true where scenarios tagged @disruptive may touch the nodes' own network"
    yield "allow-drain: false # FILL IN true where a worker may be cordoned for the moment of an eviction"
