"""Faults of OVN on zones that are played by small fakes with the tools' own words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.embedded.errors import FaultError, LabError
from lab.embedded.faults.site import Site
from lab.embedded.host.command import CommandFailed, Completed
from tests.unit.faults.fakelab import Faults

NODES = ("worker-1", "worker-2", "worker-3")
PORT = "demo_virt-launcher-vm-a-abcde"


def table(rows: Sequence[dict[str, Any]]) -> str:
    headings = list(rows[0]) if rows else ["_uuid"]
    return json.dumps({"headings": headings, "data": [[row[key] for key in headings] for row in rows]})


class Zone:
    """The tools of worker-1; ``deaf`` answers and changes nothing."""

    def __init__(self) -> None:
        self.routes = {"u1": ["10.128.2.0/23", "100.88.0.3"], "u2": ["10.128.4.0/23", "100.88.0.4"]}
        self.snat = {"10.128.0.0/14": "192.168.53.201", "100.64.0.2": "192.168.53.201"}
        self.running = {"ovn-northd": "41", "ovn-controller": "42"}
        self.started: list[Sequence[str]] = []
        self.paused = "false"
        self.port = PORT
        self.deaf = False

    async def __call__(self, argv: Sequence[str]) -> str:
        match list(argv):
            case ["ovn-nbctl", "--format=json", _, "list", "Logical_Router_Static_Route"]:
                ids = ["map", [["ic-node", "x"]]]
                return table([
                    {"_uuid": ["uuid", uuid], "ip_prefix": prefix, "nexthop": hop, "policy": ["set", []],
                     "output_port": ["set", []], "external_ids": ids}
                    for uuid, (prefix, hop) in self.routes.items()
                ])  # fmt: skip
            case ["ovn-nbctl", "--format=json", _, "list", "NAT"]:
                rows = [{"type": "snat", "external_ip": e, "logical_ip": i} for i, e in self.snat.items()]
                return table(rows)
            case ["ovs-vsctl", "--format=json", "--columns=name,external_ids", "list", "Interface"]:
                ids = [["iface-id", self.port]] if self.port else []
                other = {"name": "veth9", "external_ids": ["map", [["iface-id", "default.net_" + PORT]]]}
                return table([other, {"name": "veth1", "external_ids": ["map", ids]}])
            case ["ovn-sbctl", "--bare", "--columns=chassis", "find", "Port_Binding", where]:
                return "a-chassis\n" if self.port and where == f"logical_port={PORT}" else "\n"
            case ["ovs-vsctl", "--bare", "--columns=name", "find", "Interface", "name=veth1"]:
                return "veth1\n"
            case ["ovn-nbctl", "get", "Logical_Router_Static_Route", uuid, "nexthop"]:
                return f'"{self.routes[uuid][1]}"\n'
            case ["ovn-appctl", "-t", "ovn-northd", "is-paused"]:
                return self.paused + "\n"
            case ["cat", path] if path.endswith(".pid"):
                name = path.rpartition("/")[2].removesuffix(".pid")
                return (self.running.get(name) or self._fails(argv)) + "\n"
            case ["cat", path] if path.endswith("/comm"):
                return next(name for name, pid in self.running.items() if pid == path.split("/")[2]) + "\n"
            case ["cat", path] if path.endswith("/cmdline"):
                return "ovn-northd\0--detach\0" if "/41/" in path else "ovn-controller\0--detach\0"
        return "" if self.deaf else self._change(argv)

    def _change(self, argv: Sequence[str]) -> str:
        # A change is waited for until the node's flows have it.
        assert argv[0] != "ovn-nbctl" or argv[1:3] == ["--wait=hv", "--timeout=30"], argv
        match [word for word in argv if word not in ("--wait=hv", "--timeout=30")]:
            case ["ovn-nbctl", "--ecmp", "--policy=dst-ip", "lr-route-add", "ovn_cluster_router", prefix, hop]:
                self.routes[f"new-{hop}"] = [prefix, hop]
            case ["ovn-nbctl", "--if-exists", "--policy=dst-ip", "lr-route-del", "ovn_cluster_router", *leg]:
                self.routes = {uuid: row for uuid, row in self.routes.items() if row != leg}
            case ["ovn-nbctl", "remove", "Logical_Router", "ovn_cluster_router", "static_routes", uuid]:
                del self.routes[uuid]
            case ["ovn-nbctl", "--id=@back", "create", "Logical_Router_Static_Route", prefix, hop, ids, *rest]:
                assert ids == 'external_ids:"ic-node"="x"'
                assert rest == ["--", "add", "Logical_Router", "ovn_cluster_router", "static_routes", "@back"]
                self.routes["back"] = [word.partition("=")[2].strip('"') for word in (prefix, hop)]
            case ["ovn-nbctl", "set", "Logical_Router_Static_Route", uuid, word]:
                self.routes[uuid][1] = word.removeprefix("nexthop=").strip('"')
            case ["ovn-nbctl", "lr-nat-del", "GR_worker-1", "snat", inside]:
                del self.snat[inside]
            case ["ovn-nbctl", "--may-exist", "lr-nat-add", "GR_worker-1", "snat", outside, inside]:
                self.snat[inside] = outside
            case ["ovn-appctl", "-t", "ovn-northd", word]:
                self.paused = {"pause": "true", "resume": "false"}[word]
            case ["kill", "-KILL", pid]:
                self.running = {name: one for name, one in self.running.items() if one != pid}
            case ["sh", "-c", _, "sh", "/run/ovn", *words]:
                self.started.append(words)
                self.running[words[0]] = "77"
            case ["ovs-vsctl", "remove", "Interface", "veth1", "external_ids", "iface-id"]:
                self.port = ""
            case ["ovs-vsctl", "set", "Interface", "veth1", word]:
                self.port = word.removeprefix("external_ids:iface-id=")
            case _:
                raise AssertionError(argv)
        return ""

    def _fails(self, argv: Sequence[str]) -> str:
        raise CommandFailed(Completed(tuple(argv), 1, "", "no such file", 0.0))


class Switch:
    def __init__(self) -> None:
        self.flows: list[str] = []

    async def __call__(self, argv: Sequence[str]) -> str:
        match list(argv):
            case ["ip", "-j", "link", "show", "type", "veth"]:
                return json.dumps([{"ifname": "w1.enp1s0"}])
            case ["ovs-ofctl", "add-flow", "tor", flow]:
                self.flows.append(flow)
            case ["ovs-ofctl", "del-flows", "tor", _]:
                self.flows.clear()
            case ["ovs-ofctl", "dump-flows", "tor", _]:
                return "\n".join(["NXST_FLOW reply:", *self.flows])
            case _:
                raise AssertionError(argv)
        return ""


class Lab(Faults):
    def __init__(self, folder: Path) -> None:
        self.zone, self.switch = Zone(), Switch()
        super().__init__(folder, Site(self.switch, lambda name: self.zone, lambda name: self.zone, NODES, ()))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr("lab.embedded.faults.ovnzone._PAUSE_S", 0.0)
    monkeypatch.setattr("lab.embedded.faults.port_unbound.PAUSE_S", 0.0)
    return Lab(tmp_path)


def looks(zone: Zone) -> Any:
    return (
        sorted(map(tuple, zone.routes.values())),
        dict(zone.snat),
        sorted(zone.running),
        zone.paused,
        zone.port,
    )


FAULTS = {
    "stale-ecmp-route": "node=worker-1 to=worker-2 via=worker-3",
    "missing-route": "node=worker-1 to=worker-2",
    "wrong-next-hop": "node=worker-1 to=worker-2 via=worker-1",
    "port-unbound": "node=worker-1 vm=demo/vm-a",
    "northd-dead": "node=worker-1",
    "controller-dead": "node=worker-1",
    "sb-stale": "node=worker-1",
    "snat-missing": "node=worker-1",
}


@pytest.mark.parametrize("name", FAULTS)
def test_set_and_healed(lab: Lab, name: str) -> None:
    before = looks(lab.zone)
    lab.set(name, *FAULTS[name].split())
    assert looks(lab.zone) != before
    lab.heal(name)
    assert looks(lab.zone) == before
    assert lab.active.entries() == []


@pytest.mark.parametrize("name", FAULTS)
def test_what_does_not_take_is_said(lab: Lab, name: str) -> None:
    lab.zone.deaf = True
    with pytest.raises(FaultError):
        lab.set(name, *FAULTS[name].split())
    assert lab.active.entries() == []


def test_what_each_of_them_leaves(lab: Lab) -> None:
    lab.set("stale-ecmp-route", "node=worker-1", "to=10.128.2.9", "via=worker-3")
    assert lab.zone.routes["new-100.88.0.4"] == ["10.128.2.9", "100.88.0.4"]
    lab.set("wrong-next-hop", "node=worker-1", "to=worker-3", "via=worker-1")
    assert lab.zone.routes["u2"] == ["10.128.4.0/23", "100.88.0.2"]
    lab.set("northd-dead", "node=worker-1")
    assert list(lab.zone.running) == ["ovn-controller"]
    lab.heal("northd-dead")
    assert lab.zone.started == [["ovn-northd", "--detach"]]
    lab.set("snat-missing", "node=worker-1")
    assert list(lab.zone.snat) == ["100.64.0.2"], "only pods' addresses"


def test_geneve_is_dropped_at_the_nodes_port(lab: Lab) -> None:
    lab.set("geneve-blocked", "node=worker-1")
    (flow,) = lab.switch.flows
    assert "in_port=w1.enp1s0,udp,tp_dst=6081,actions=drop" in flow
    lab.heal("geneve-blocked")
    assert lab.switch.flows == []


def test_a_route_that_the_controller_changed_meanwhile_is_left_as_it_is(lab: Lab) -> None:
    lab.set("wrong-next-hop", "node=worker-1", "to=worker-2", "via=worker-3")
    lab.zone.routes["u1"][1] = "100.88.0.9"
    lab.heal("wrong-next-hop")
    assert lab.zone.routes["u1"][1] == "100.88.0.9"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            "missing-route node=worker-1 to=worker-1",
            ["wanted a route to 10.128.0.0/23 in the zone of worker-1", "needs"],
        ),
        ("missing-route node=worker-1 to=x", ["wanted an IPv4 address, or a worker of this lab: 'x'", "worker-1, wor"]),
        ("wrong-next-hop node=worker-1 to=10.9.9.9 via=worker-2", ["wanted a route to 10.9.9.9", "there is none"]),
        ("wrong-next-hop node=worker-1 to=worker-2 via=worker-2", ["another next hop than 100.88.0.3", "it is it"]),
        ("stale-ecmp-route node=worker-1 to=worker-2 via=worker-2", ["no next hop 100.88.0.3 yet", "it has it"]),
        ("port-unbound node=worker-1 vm=demo/vm-z", ["the interface of demo/vm-z on the pod network of worker-1"]),
        ("port-unbound node=worker-1 vm=x", ["wanted a VM, as namespace/name: 'x'"]),
        ("northd-dead node=worker-9", ["wanted a worker of this lab: 'worker-9'"]),
    ],
)
def test_what_cannot_be_set_is_said(lab: Lab, words: str, parts: list[str]) -> None:
    before = looks(lab.zone)
    with pytest.raises(LabError) as raised:
        lab.set(*words.split())
    assert not [part for part in parts if part not in str(raised.value)], str(raised.value)
    assert looks(lab.zone) == before


def test_a_daemon_that_is_dead_already(lab: Lab) -> None:
    lab.zone.running.clear()
    with pytest.raises(FaultError, match="wanted ovn-northd of worker-1, to end it: it does not run"):
        lab.set("northd-dead", "node=worker-1")
