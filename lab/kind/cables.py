"""The switch beside the nodes and the cables to it: what a rack has and a kind cluster has not.

One container of the node image is switch and gateways: an Open vSwitch with an LACP group for each of a worker's first
two NIC pairs, plain trunks for its third, and a namespace for each VLAN that answers at the gateway's address. Cables
are veth pairs straight from the switch into the nodes: a bridge of the container engine would swallow LACP.
It knows containers, ports and VLANs, and no Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.kind.words import Answer, Command, engine_exec

LAGS = (("eth1", "eth2"), ("eth3", "eth4"))
PLAIN = ("eth5", "eth6")
NICS = tuple(nic for pair in (*LAGS, PLAIN) for nic in pair)
BONDS = {"bond1": LAGS[0], "bond2": LAGS[1], "bond3": PLAIN}
VLANS = {2024: "192.168.24", 1993: "192.168.93"}
"""VLAN -> the first three numbers of its /24; .1 is the gateway."""
BRIDGE = "trunks"
LABEL = "virtlab.dev/kind"


@dataclass(frozen=True)
class Rack:
    """`workers` are containers; `datapath` is Open vSwitch's: "system" is the kernel's, "netdev" needs no module."""

    engine: str
    switch: str
    image: str
    cluster: str
    workers: tuple[str, ...]
    datapath: str = "system"

    def inside(self, *argv: str) -> tuple[str, ...]:
        return engine_exec(self.engine, self.switch, *argv)


def switch(rack: Rack) -> list[Command]:
    """The container, Open vSwitch in it, the gateways."""
    lives = rack.inside("true")
    container = (
        rack.engine, "run", "--detach", "--name", rack.switch, "--hostname", rack.switch,
        "--label", f"{LABEL}={rack.cluster}", "--network", "none", "--pid", "host", "--privileged",
        "--tmpfs", "/run", "--entrypoint", "sleep", rack.image, "infinity",
    )  # fmt: skip
    ctl = "/usr/share/openvswitch/scripts/ovs-ctl"
    answers = rack.inside("ovs-appctl", "version")
    commands = [
        Command(container, unless=(rack.engine, "inspect", rack.switch)),
        # One that ended, as after a reboot, has lost its cables with its namespace: they are made anew below.
        Command((rack.engine, "start", rack.switch), unless=lives),
        Command(rack.inside(ctl, "start", "--no-ovs-vswitchd", "--system-id=random"), unless=answers),
        Command(rack.inside("ovs-vswitchd", "--detach", "--pidfile", "--log-file"), unless=answers),
        Command(rack.inside("ovs-vsctl", "--may-exist", "add-br", BRIDGE, "--", "set", "Bridge", BRIDGE,
                            f"datapath_type={rack.datapath}")),
    ]  # fmt: skip
    return commands + [command for vlan, net in VLANS.items() for command in _gateway(rack, vlan, f"{net}.1/24")]


def _gateway(rack: Rack, vlan: int, address: str) -> list[Command]:
    space, port = gateway(vlan), f"vlan{vlan}"
    inside = rack.inside("ip", "netns", "exec", space)
    there = (*inside, "ip", "link", "show", "dev", "eth0")
    return [
        Command(rack.inside("ip", "netns", "add", space), unless=(*inside, "true")),
        Command(rack.inside("ip", "link", "add", "dev", port, "type", "veth", "peer", "name", "eth0",
                            "netns", space), unless=there),
        Command(rack.inside("ip", "link", "set", "dev", port, "up")),
        Command(rack.inside("ip", "-n", space, "link", "set", "dev", "lo", "up")),
        Command(rack.inside("ip", "-n", space, "link", "set", "dev", "eth0", "up")),
        Command(rack.inside("ip", "-n", space, "address", "replace", address, "dev", "eth0")),
        Command(rack.inside("ovs-vsctl", "--may-exist", "add-port", BRIDGE, port, f"tag={vlan}")),
    ]  # fmt: skip


def cables(rack: Rack) -> list[Command]:
    """Each NIC of each worker, and the switch's side of it."""
    return [command for number, worker in enumerate(rack.workers, 1) for command in _node(rack, number, worker)]


def _node(rack: Rack, number: int, worker: str) -> list[Command]:
    process = Answer((rack.engine, "inspect", "--format", "{{.State.Pid}}", worker))
    commands = []
    for nic in NICS:
        there = engine_exec(rack.engine, worker, "ip", "link", "show", "dev", nic)
        add = rack.inside("ip", "link", "add", "dev", f"w{number}.{nic}", "type", "veth", "peer", "name", nic, "netns")
        commands += [
            Command((*add, process), unless=there),
            Command(rack.inside("ip", "link", "set", "dev", f"w{number}.{nic}", "up")),
            Command(engine_exec(rack.engine, worker, "ip", "link", "set", "dev", nic, "up")),
        ]
    return [*commands, Command(rack.inside("ovs-vsctl", *_ports(number)))]


def _ports(number: int) -> list[str]:
    words: list[str] = []
    for lag, pair in enumerate(LAGS):
        members = [f"w{number}.{nic}" for nic in pair]
        # Open vSwitch moves flows to a member that came back only at a rebalance; other switches do at once.
        words += ["--", "--may-exist", "add-bond", BRIDGE, f"w{number}.lag{lag}", *members, "lacp=active",
                  "bond_mode=balance-tcp", "other_config:lacp-time=fast",
                  "other_config:bond-rebalance-interval=1000"]  # fmt: skip
        for member in members:
            # By default the key is that of the first member, and changes with it; a channel-group keeps its own.
            words += ["--", "set", "Interface", member, f"other_config:lacp-aggregation-key={lag + 1}"]
    for nic in PLAIN:
        words += ["--", "--may-exist", "add-port", BRIDGE, f"w{number}.{nic}"]
    return words[1:]


def gateway(vlan: int) -> str:
    """Its namespace, and its name in a target file."""
    return f"gateway-{vlan}"


def outside(rack: Rack) -> Mapping[str, tuple[Sequence[str], Sequence[str]]]:
    """Outside hosts as a target file has them: name -> (exec, connect)."""
    hosts = {}
    for vlan in VLANS:
        run = (rack.engine, "exec", "--interactive", rack.switch, "ip", "netns", "exec", gateway(vlan))
        hosts[gateway(vlan)] = (run, (*run, "nc", "{host}", "{port}"))
    return hosts
