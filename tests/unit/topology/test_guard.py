"""What a policy may touch: primary and protected links for disruptive scenarios alone, denied ones for nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.core.errors import UsageError
from lab.target.inventory import Target, load
from lab.target.nics import Nics, Roles
from lab.topology.guard import leave_alone, main_interface

TARGET = load(Path(__file__).parents[3] / "targets" / "embedded.yaml")


def policy(*ports: str, routes: list[dict[str, str]] | None = None) -> dict[str, Any]:
    bridge = {"name": "br1", "type": "linux-bridge", "state": "up", "bridge": {"port": [{"name": p} for p in ports]}}
    state: dict[str, Any] = {"interfaces": [bridge], "routes": {"config": routes or []}}
    return {"metadata": {"name": "p"}, "spec": {"desiredState": state}}


def target(allow: bool = True, **nics: Any) -> Target:
    return replace(TARGET, nics=Nics(primary="ens3", **nics), allow_disruptive=allow)


def test_the_main_interface_is_for_disruptive_scenarios_where_the_target_allows_them() -> None:
    leave_alone(policy("ens3"), target(), disruptive=True)
    with pytest.raises(UsageError, match="it names ens3, which the target protects"):
        leave_alone(policy("ens3"), target())
    with pytest.raises(UsageError, match="it names ens3, which the target protects"):
        leave_alone(policy("ens3"), target(allow=False), disruptive=True)


def test_what_is_denied_is_denied_to_everybody() -> None:
    with pytest.raises(UsageError, match=r"it names enp9s0f1, which nics.denied keeps from everybody"):
        leave_alone(policy("enp9s0f1"), target(denied=("enp9s0*",)), disruptive=True)


def test_with_an_allow_list_nothing_outside_of_it_is_touched() -> None:
    leave_alone(policy("enp6s0f0"), target(allowed=("enp6s0f*",)))
    with pytest.raises(UsageError, match=r"it names enp7s0f0, which is not in nics.allowed"):
        leave_alone(policy("enp6s0f0", "enp7s0f0"), target(allowed=("enp6s0f*",)))


def test_a_default_route_is_as_vital_as_the_main_interface() -> None:
    routes = [{"destination": "0.0.0.0/0", "next-hop-interface": "br1", "next-hop-address": "192.0.2.1"}]
    leave_alone(policy(routes=routes), target(), disruptive=True)
    with pytest.raises(UsageError, match=r"default routes alone(.|\n)*0\.0\.0\.0/0(.|\n)*@disruptive"):
        leave_alone(policy(routes=routes), target())


def mapping(localnet: str, bridge: str, state: str = "present") -> dict[str, Any]:
    wanted = {"ovn": {"bridge-mappings": [{"localnet": localnet, "bridge": bridge, "state": state}]}}
    return {"metadata": {"name": "p"}, "spec": {"desiredState": wanted}}


def test_a_localnet_on_the_external_bridge_touches_nothing_of_it() -> None:
    leave_alone(mapping("localnet-coe", "br-ex"), TARGET)


def test_the_ports_of_the_external_bridge_stay_protected() -> None:
    wanted = mapping("localnet-coe", "br-ex")
    bridge = {"name": "br-ex", "type": "ovs-bridge", "bridge": {"port": [{"name": "enp6s0f0"}]}}
    wanted["spec"]["desiredState"]["interfaces"] = [bridge]
    with pytest.raises(UsageError, match="it names br-ex, which the target protects"):
        leave_alone(wanted, TARGET)


@pytest.mark.parametrize("state", ["present", "absent"])
def test_the_mapping_of_the_clusters_own_network_is_nobodys(state: str) -> None:
    with pytest.raises(UsageError, match="it sets physnet, by which every node reaches the outside"):
        leave_alone(mapping("physnet", "ovs-br1", state), TARGET, disruptive=True)


def test_the_nic_for_a_bridge_by_hand_is_the_one_that_the_target_names() -> None:
    found = target(roles=Roles(bridges={"br1": ("ens3",)}), nodes={"w2": Roles(bridges={"br1": ("eno1",)})})
    assert main_interface(found, "br1", "w1", disruptive=True) == "ens3"
    assert main_interface(found, "br1", "w2", disruptive=True) == "eno1"


@pytest.mark.parametrize(("ports", "said"), [((), "none"), (("ens3", "ens4"), "ens3, ens4")])
def test_a_bridge_by_hand_has_one_nic(ports: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=rf"one NIC under br1 on w1(.|\n)*names {said}(.|\n)*nics\.bridges\.br1"):
        main_interface(target(roles=Roles(bridges={"br1": ports})), "br1", "w1", disruptive=True)


@pytest.mark.parametrize(("allow", "disruptive"), [(True, False), (False, True)])
def test_the_main_interface_by_hand_is_for_disruptive_scenarios_alone(allow: bool, disruptive: bool) -> None:
    found = target(allow, roles=Roles(bridges={"br1": ("ens3",)}))
    with pytest.raises(UsageError, match=r"ens3 of w1 for br1(.|\n)*which the target protects(.|\n)*@disruptive"):
        main_interface(found, "br1", "w1", disruptive=disruptive)
