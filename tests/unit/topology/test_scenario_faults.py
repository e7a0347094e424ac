"""Faults of a scenario, through a command that keeps a list in a file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lab.core.errors import CommandFailed, UsageError
from lab.core.undo import UndoStack
from lab.topology.faults import ScenarioFaults

COMMAND = """
import pathlib, sys
folder, verb, words = pathlib.Path(sys.argv[1]), sys.argv[2], " ".join(sys.argv[3:])
if verb == "list":
    print(*(f"set: {file.name}" for file in folder.iterdir()), sep="\\n")
for fault in words.split(" + ") if verb != "list" else ():
    if "nic=bad" in fault:
        sys.exit("no such NIC")
    (folder / fault).write_text("") if verb == "set" else (folder / fault).unlink()
"""


class World:
    def __init__(self, folder: Path) -> None:
        script = folder / "command.py"
        script.write_text(COMMAND)
        self.folder = folder / "set"
        self.folder.mkdir()
        self.undo = UndoStack()
        self.faults = ScenarioFaults((sys.executable, str(script), str(self.folder)), self.undo)

    @property
    def now(self) -> list[str]:
        return sorted(file.name for file in self.folder.iterdir())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_faults_are_made_at_once_and_healed_one_by_one_or_all(world: World) -> None:
    world.faults.set("cut node=w1 nic=a", "cut node=w2 nic=a", "cut node=w3 nic=a")
    assert world.now == ["cut node=w1 nic=a", "cut node=w2 nic=a", "cut node=w3 nic=a"]
    world.faults.heal("cut node=w2 nic=a")
    assert world.now == ["cut node=w1 nic=a", "cut node=w3 nic=a"]
    world.faults.heal()
    assert world.now == []
    world.faults.heal()


def test_what_a_scenario_leaves_is_healed_when_the_feature_ends(world: World) -> None:
    world.faults.set("cut node=w1 nic=a")
    assert world.undo.pending == ("faults of a scenario",)
    assert world.undo.unwind(10) == []
    assert world.now == []


def test_a_fault_that_cannot_be_made_is_told_and_the_others_can_be_healed(world: World) -> None:
    with pytest.raises(CommandFailed, match="no such NIC"):
        world.faults.set("cut node=w1 nic=a", "cut node=w1 nic=bad")
    assert world.now == ["cut node=w1 nic=a"]
    world.faults.heal()
    assert world.now == []


def test_an_armed_fault_is_made_once_about_the_vm_that_runs_and_its_healing_is_told(world: World) -> None:
    healed: list[str] = []
    world.faults.strike({"node": "w1"})
    assert world.now == []
    world.faults.arm("port-down node={node} nic=a + no-address vm={vm}", lambda: healed.append("yes"))
    for node in ("w2", "w3"):
        world.faults.strike({"node": node, "vm": "demo_vm-a", "mac": ""})
    assert world.now == ["no-address vm=demo_vm-a", "port-down node=w2 nic=a"]
    world.faults.heal("no-address vm=demo_vm-a")
    assert healed == []
    world.faults.heal()
    assert (world.now, healed) == ([], ["yes"])


def test_an_armed_fault_that_names_what_is_not_known_is_wrong_use(world: World) -> None:
    world.faults.arm("stale-mac-table mac={mac}", lambda: None)
    with pytest.raises(UsageError) as wrong:
        world.faults.strike({"node": "w1", "mac": ""})
    assert wrong.value.wanted == "a fault that names {node} at most"
    assert wrong.value.found == "'mac' in 'stale-mac-table mac={mac}'"
