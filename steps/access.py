"""Sentences on the ways into a guest."""

from __future__ import annotations

from pytest_bdd import then

from lab.diagnosis import expect
from lab.topology.scene import Scene
from steps.types import sentence


@then(sentence("{name:VM} answers these commands alike over SSH and over the serial console"))
def answers_alike(scene: Scene, name: str, datatable: list[list[str]]) -> None:
    """One line of shell per row, under a heading."""
    expect.alike(scene, name, [row[0] for row in datatable[1:]])
