"""VMs that take their address along: what every zone has in its database at each moment, healthy and with the bug."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbworld import Northbound, World

from lab.embedded.errors import LabError
from lab.embedded.node import podnetwork as net
from lab.embedded.node import vmroutes as rules
from lab.embedded.node.vmroutes import ALLOW_BRIDGE, DOMAIN, NODE_NAME, TARGET_READY, Vm
from lab.embedded.node.vmzone import owner_of

VM = Vm("default", "vm")
HOME, A, B, C = (f"worker-{n}" for n in (1, 2, 3, 4))


# -- who and where


def pod(name: str, second: int, node: str = A, **more: Any) -> dict[str, Any]:
    labels = {"kubevirt.io": "virt-launcher", **({NODE_NAME: more["label"]} if "label" in more else {})}
    marks = {ALLOW_BRIDGE: "", DOMAIN: "vm", **({TARGET_READY: "now"} if more.get("ready") else {})}
    stamp = f"2026-08-22T10:00:{second:02d}Z"
    meta = {"name": name, "namespace": "default", "creationTimestamp": stamp, "labels": labels, "annotations": marks}
    return {"metadata": meta, "spec": {"nodeName": node}, "status": {"phase": more.get("phase", "Running")}}


@pytest.mark.parametrize(
    ("pods", "wanted"),
    [
        pytest.param([pod("a", 1, label=A)], "a", id="the node label says it is there"),
        pytest.param([pod("a", 1)], None, id="starting"),
        pytest.param([pod("a", 1, label=A), pod("b", 9, B)], None, id="a newer target makes the source stale"),
        pytest.param([pod("a", 1, label=A), pod("b", 9, B, ready=True)], "b", id="the target is ready"),
        pytest.param([pod("a", 1, label=A), pod("b", 9, B, phase="Failed")], None, id="so does one that has failed"),
        pytest.param([pod("a", 1, phase="Succeeded"), pod("b", 9, B, label=B)], "b", id="moved"),
        pytest.param([pod("a", 1, label=A), pod("b", 1, B, ready=True)], "b", id="both within one second"),
        pytest.param([pod("a", 1, label=A), pod("b", 1, B)], "a", id="both within one second, not ready"),
        pytest.param([pod("a", 1, label=A, phase="Succeeded")], None, id="ended"),
    ],
)
def test_where_a_vm_takes_its_traffic(pods: list[dict[str, Any]], wanted: str | None) -> None:
    found = rules.runner(pods)
    assert (found and found["metadata"]["name"]) == wanted


def test_only_launchers_with_the_annotation_take_their_address_along() -> None:
    assert rules.vm_of(pod("a", 1)) == VM
    for change in ({"annotations": {DOMAIN: "vm"}}, {"annotations": {ALLOW_BRIDGE: ""}}, {"labels": {}}):
        other = pod("a", 1)
        other["metadata"].update(change)
        assert rules.vm_of(other) is None
    shared = pod("a", 1)
    shared["spec"]["hostNetwork"] = True
    assert rules.vm_of(shared) is None


# -- routes, moment by moment


def test_every_zone_at_each_moment_of_a_migration() -> None:
    world = World(4)
    address = world.boot(HOME)
    home, target = world.members[HOME], world.members[B]
    assert world.legs(address) == {HOME: set(), A: set(), B: set(), C: set()}
    world.migrate(A)
    before = {name: database.routes() for name, database in world.northbound.items()}
    fresh = world.pod("launcher-next", B, f"{address}/23", vm="vm")
    world.look()
    assert {name: database.routes() for name, database in world.northbound.items()} == before
    fresh["metadata"]["annotations"][TARGET_READY] = "now"
    world.look()
    assert world.legs(address) == {HOME: {B}, A: {B}, B: {"local"}, C: {B}}
    local = (address, address, "dst-ip", f"rtos-{B}")
    assert local in world.northbound[B].routes()
    assert ("10.128.0.0/14", str(target.join), "src-ip", "") in world.northbound[B].routes()
    assert (address, str(target.transit), "dst-ip", "") in world.northbound[HOME].routes()
    world.pods["default/launcher-1"]["status"]["phase"] = "Succeeded"
    world.look()
    assert world.legs(address) == {HOME: {B}, A: {B}, B: {"local"}, C: {B}}
    world.migrate(HOME)
    assert world.legs(address) == {HOME: set(), A: set(), B: set(), C: set()}
    # The way out for addresses from elsewhere stays where one was, beside the one for the own subnet.
    outs = [row for row in world.northbound[B].routes() if row[2] == "src-ip"]
    assert [row[0] for row in outs] == ["10.128.0.0/14", str(target.subnet)]
    assert [row[0] for row in world.northbound[HOME].routes()] == [str(home.subnet)]


def test_routes_are_signed_as_upstream_signs_them() -> None:
    world = World(2)
    address = world.boot(HOME)
    world.migrate(A)
    rows = {
        name: [r for r in db.tables["Logical_Router_Static_Route"].values() if r["ip_prefix"] == address]
        for name, db in world.northbound.items()
    }
    ids = {"k8s.ovn.org/vm": "vm", "k8s.ovn.org/namespace": "default"}
    assert [row["external_ids"] for row in rows[A]] == [{**ids, "k8s.ovn.org/zone": "local"}]
    assert [row["external_ids"] for row in rows[HOME]] == [{**ids, "k8s.ovn.org/zone": "remote"}]


def test_a_vm_that_goes_leaves_nothing_and_its_address_is_free_again() -> None:
    world = World(3)
    address = world.boot(HOME)
    world.pools[HOME].hold(owner_of(VM), IPv4Address(address))
    world.migrate(A)
    assert not world.pools[HOME].hold("default/other", IPv4Address(address))
    for one in world.pods.values():
        one["status"]["phase"] = "Succeeded"
    world.look()
    assert world.legs(address) == {HOME: set(), A: set(), B: set()}
    assert world.pools[HOME].hold("default/other", IPv4Address(address))


def test_rows_that_nobody_signed_are_left_alone() -> None:
    world = World(3)
    address = world.boot(HOME)
    hand_made = net.Route(net.ROUTER, address, str(world.members[B].transit))
    asyncio.run(world.northbound[B].ctl(*hand_made.words("x")[1:]))
    world.migrate(A)
    # It has no policy, so that even a sound controller does not see that it is the same: two routes for one address.
    zone = [row[1:3] for row in world.northbound[B].routes() if row[0] == address]
    assert zone == [(str(world.members[A].transit), "dst-ip"), (str(world.members[B].transit), "")]
    world.migrate(HOME)
    assert [row[1] for row in world.northbound[B].routes() if row[0] == address] == [str(world.members[B].transit)]


# -- the bug


def test_with_the_bug_the_second_move_among_foreign_nodes_leaves_two_routes() -> None:
    world = World(4, bug=True)
    address = world.boot(HOME)
    world.migrate(A)
    assert world.legs(address) == {HOME: {A}, A: {"local"}, B: {A}, C: {A}}
    world.migrate(B)
    assert world.legs(address) == {HOME: {A, B}, A: {B}, B: {"local", A}, C: {A, B}}
    # Controllers of that time made the way out of the one for the own subnet.
    assert [row[0] for row in world.northbound[B].routes() if row[2] == "src-ip"] == ["10.128.0.0/14"]
    world.migrate(HOME)
    assert set(map(frozenset, world.legs(address).values())) == {frozenset()}


MOVES = st.lists(st.integers(1, 5), min_size=1, max_size=9)


@settings(deadline=None, max_examples=60)
@given(MOVES, st.booleans())
def test_what_any_course_of_migrations_leaves(moves: list[int], bug: bool) -> None:
    """With the bug: ``{transit(v) for v visited since it was last at home, v != Z} + {local where it is}``."""
    world = World(5, bug=bug)
    address = world.boot(HOME)
    now, visited = HOME, set[str]()
    for number in moves:
        target = f"worker-{number}"
        if target == now:
            continue
        world.migrate(target)
        now, visited = target, set() if target == HOME else visited | {target}
    reachable = visited if bug else ({now} - {HOME})
    wanted = {zone: (reachable - {zone}) | ({"local"} if zone == now != HOME else set()) for zone in world.members}
    if not bug and now != HOME:
        wanted = {zone: {"local"} if zone == now else {now} for zone in world.members}
    assert world.legs(address) == wanted


def test_a_newer_controller_puts_right_what_an_older_one_left() -> None:
    world = World(4, bug=True)
    address = world.boot(HOME)
    for node in (A, B, A):
        world.migrate(node)
    assert world.legs(address)[A] == {"local", B}
    world.bugs = ""
    world.start()
    assert world.legs(address) == {HOME: {A}, A: {"local"}, B: {A}, C: {A}}
    outs = [row[0] for row in world.northbound[A].routes() if row[2] == "src-ip"]
    assert outs == ["10.128.0.0/14", str(world.members[A].subnet)]
    said = world.northbound[A].tables["NB_Global"]["."]["external_ids"]
    assert said == {"ovnkube-bugs": ""}


def test_an_older_controller_that_starts_anew_writes_all_routes_again() -> None:
    world = World(4, bug=True)
    address = world.boot(HOME)
    for node in (A, B):
        world.migrate(node)
    world.start(B)
    assert world.legs(address) == {HOME: {A, B}, A: {B}, B: {"local"}, C: {A, B}}


def test_a_start_drops_the_routes_of_vms_that_are_gone() -> None:
    world = World(3)
    address = world.boot(HOME)
    world.migrate(A)
    world.pods.clear()
    world.start()
    assert set(map(frozenset, world.legs(address).values())) == {frozenset()}


# -- DHCP


def leased(database: Northbound, address: str = "10.128.0.4/23") -> dict[str, Any]:
    rows = asyncio.run(database.table("DHCP_Options"))
    asyncio.run(database.ctl(*rules.dhcp_words(rows, VM, IPv4Interface(address), "default_launcher-0")[1:]))
    (row,) = database.tables["DHCP_Options"].values()
    return row


def test_ovn_leases_the_address_with_a_gateway_that_is_everywhere() -> None:
    database = Northbound()
    row = leased(database)
    assert row["cidr"] == "10.128.0.0/23"
    assert row["options"] == {
        "lease_time": "3500",
        "router": "169.254.1.1",
        "server_id": "169.254.1.1",
        "server_mac": "0a:58:a9:fe:01:01",
        "hostname": '"vm"',
        "mtu": "1400",
    }
    ids = row["external_ids"]
    assert (ids["k8s.ovn.org/name"], ids["k8s.ovn.org/cidr"]) == ("default/vm", "10.128.0.0/23")
    assert (ids["k8s.ovn.org/owner-type"], ids["k8s.ovn.org/zone"]) == ("VirtualMachine", "local")
    (uuid,) = database.tables["DHCP_Options"]
    assert database.tables["Logical_Switch_Port"]["default_launcher-0"]["dhcpv4_options"] == uuid
    leased(database)
    assert list(database.tables["DHCP_Options"]) == [uuid]


def test_only_the_zone_that_runs_the_vm_keeps_the_lease() -> None:
    world = World(3)
    world.boot(HOME)
    leased(world.northbound[HOME])
    fresh = world.pod("launcher-next", A, "10.128.0.4/23", vm="vm")
    leased(world.northbound[A])
    world.look()
    assert [world.northbound[n].leases() for n in (HOME, A)] == [["default/vm"], ["default/vm"]]
    fresh["metadata"]["annotations"][TARGET_READY] = "now"
    world.look()
    assert [world.northbound[n].leases() for n in (HOME, A)] == [[], ["default/vm"]]
    for one in world.pods.values():
        one["status"]["phase"] = "Failed"
    world.look()
    assert world.northbound[A].leases() == []


# -- addresses and ARP


def test_a_new_pod_takes_over_the_address_of_a_living_one() -> None:
    world = World(2)
    world.boot(HOME)
    fresh = world.pod("launcher-next", A, vm="vm")
    entry = world.zones[A].inherited(fresh, VM)
    assert entry == {"ip_addresses": ["10.128.0.4/23"], "mac_address": "0a:58:0a:80:00:04"}
    world.pods["default/launcher-0"]["status"]["phase"] = "Succeeded"
    assert world.zones[A].inherited(fresh, VM) is None


def test_a_pod_whose_sibling_has_no_address_yet_waits() -> None:
    world = World(2)
    world.pod("launcher-0", HOME, vm="vm")
    fresh = world.pod("launcher-next", A, vm="vm")
    with pytest.raises(LabError, match="wanted the address of VM default/vm from its pod: that pod has none yet"):
        world.zones[A].inherited(fresh, VM)


def test_a_switch_answers_for_what_is_believed_to_be_on_it() -> None:
    world = World(3)
    address = world.boot(HOME)
    world.pod("near-home", HOME, "10.128.0.9/23")
    world.pod("here", A, "10.128.2.9/23")
    world.migrate(A)
    proxies = {
        name: database.tables["Logical_Switch_Port"][f"stor-{name}"]["options"]["arp_proxy"]
        for name, database in world.northbound.items()
    }
    assert proxies == {
        HOME: f"169.254.1.1 {address}",
        A: "169.254.1.1 10.128.0.1 10.128.0.2 10.128.0.9",
        B: "169.254.1.1",
    }
    world.migrate(HOME)
    stor = [db.tables["Logical_Switch_Port"][f"stor-{name}"] for name, db in world.northbound.items()]
    assert {port["options"]["arp_proxy"] for port in stor} == {"169.254.1.1"}
