"""Faults of a node's own parts, with a node whose files are played by a small fake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.embedded.errors import FaultError
from lab.embedded.faults import operator_dead
from lab.embedded.node.bridgeplugin import OLD
from lab.embedded.node.leftout import PID, TAKEN, WANTED
from tests.unit.faults.fakelab import OnePlace


class Place:
    """A node's files; ``deaf`` lets no file come or go, and the agent hears no signal."""

    def __init__(self) -> None:
        self.files = {str(PID): "42\n", str(TAKEN): "", str(WANTED): ""}
        self.deaf = False

    async def __call__(self, argv: Sequence[str]) -> str:
        match list(argv):
            case ["touch", path]:
                self.files |= {} if self.deaf else {path: ""}
            case ["rm", "-f", path]:
                self.files = {name: text for name, text in self.files.items() if name != path or self.deaf}
            case ["find", folder, "-maxdepth", "1", "-name", name]:
                return f"{folder}/{name}\n" if f"{folder}/{name}" in self.files else ""
            case ["sh", "-c", 'printf %s "$1" > "$2"', "sh", text, path]:
                self.files[path] = text
            case ["cat", path]:
                return self.files[path]
            case ["kill", "-USR1", "42"]:
                self.files |= {} if self.deaf else {str(TAKEN): self.files[str(WANTED)]}
            case _:
                raise AssertionError(argv)
        return ""


Lab = OnePlace[Place]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(operator_dead, "SECONDS", 0.0)
    return OnePlace(tmp_path, Place())


def test_an_old_bridge_plugin_comes_and_goes(lab: Lab) -> None:
    lab.set("bridge-plugin-old", "node=worker-1")
    assert str(OLD) in lab.place.files
    lab.heal()
    assert str(OLD) not in lab.place.files


def test_a_bridge_plugin_that_stays_as_it_is_is_said(lab: Lab) -> None:
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted an old bridge plugin on worker-1"):
        lab.set("bridge-plugin-old", "node=worker-1")
    lab.place.deaf = False
    lab.set("bridge-plugin-old", "node=worker-1")
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted its own bridge plugin on worker-1"):
        lab.heal()


def test_a_worker_without_handler_gets_it_back(lab: Lab) -> None:
    lab.set("operator-dead", "node=worker-1")
    assert lab.place.files[str(TAKEN)].split() == ["nmstate-handler"]
    lab.heal()
    assert lab.place.files[str(TAKEN)].split() == []


def test_a_handler_that_stays_or_does_not_come_back_is_said(lab: Lab) -> None:
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted nmstate-handler left out of worker-1: left out are: none"):
        lab.set("operator-dead", "node=worker-1")
    lab.place.deaf = False
    lab.set("operator-dead", "node=worker-1")
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted nmstate-handler back on worker-1: left out are: nmstate-handler"):
        lab.heal()
