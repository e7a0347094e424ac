"""The table of NICs: what a person needs in order to write a target file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lab.nmstate.nics import Nic
from lab.target.inventory import load
from lab.target.nics import Nics, Roles
from lab.topology.nics import role, table

TARGET = load(Path(__file__).parents[3] / "targets" / "embedded.yaml")


def test_each_nic_is_shown_with_what_the_target_says_of_it() -> None:
    nics = Nics(
        primary="ens3",
        protected=("enp1s0",),
        allowed=("enp6s0f*",),
        denied=("enp8s0",),
        roles=Roles(bonds={"bond1": ("enp6s0f0",)}, bridges={"br1": ("ens3",)}),
        nodes={"w2": Roles(bonds={"bond1": ("enp6s0f1",)})},
    )
    target = replace(TARGET, nics=nics)
    said = {(n, x): role(Nic(n, x, "", True), target) for n in ("w1", "w2") for x in ("ens3", "enp6s0f1", "enp8s0")}
    assert said[("w1", "ens3")] == "primary, port of br1"
    assert said[("w1", "enp6s0f1")] == "-"
    assert said[("w2", "enp6s0f1")] == "port of bond1"
    assert said[("w1", "enp8s0")] == "denied"
    assert role(Nic("w1", "enp1s0", "", True), target) == "protected"
    assert role(Nic("w1", "enp9s0", "", True), target) == "not allowed"


def test_the_table_tells_a_free_nic_from_one_without_a_cable() -> None:
    lines = table([Nic("w1", "enp6s0f0", "", True), Nic("w1", "enp6s0f1", "", False, ("port of bond b",))], TARGET)
    assert lines[0].split() == ["NODE", "NIC", "STATE", "USED", "BY", "IN", "THE", "TARGET"]
    assert lines[1].split() == ["w1", "enp6s0f0", "up", "nothing", "port", "of", "bond1"]
    assert "down or no carrier  port of bond b" in lines[2]
