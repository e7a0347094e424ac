"""Each cause names its place as well: a report draws the break there, and a sentence alone cannot be drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.core import facts, trace
from lab.diagnosis.cause import Said, Scope, WorkerView, cause
from lab.diagnosis.gather import tell_cause
from lab.diagnosis.leads import lead

SCOPE = Scope("VLAN 2024", "vlan-2024", "192.168.24.1", ("w2",))
GOOD = WorkerView("w2", True, bridge="br1", patch=True)
OTHER = WorkerView("w1", True, bridge="br1", patch=True)


def apart(name: str, other: str, meet: bool) -> WorkerView:
    return WorkerView(name, False, {other: meet}, "br1", patch=True)


CASES = {
    "mapping": ([replace(GOOD, gateway=False, bridge=""), OTHER], "w2"),
    "uplink": ([replace(GOOD, gateway=False, uplink=("bond2 is no uplink",)), OTHER], "w2"),
    "patch": ([replace(GOOD, gateway=False, patch=False), OTHER], "w2"),
    "bridge": ([replace(GOOD, gateway=False, dark=("bond2: listening",)), OTHER], "w2"),
    "cable": ([replace(GOOD, gateway=False), OTHER], "w2"),
    "vm": ([GOOD, OTHER], "w2"),
    "gateway": ([apart("w1", "w2", True), apart("w2", "w1", True)], ""),
    "network": ([apart("w1", "w2", False), apart("w2", "w1", False)], ""),
}

WALKED = {"tap", "ovn"}
"""Inside a node, where no witness looks."""


@pytest.mark.parametrize("hints", [(), ("a bond of w2 has one link",)], ids=["plain", "with a hint"])
@pytest.mark.parametrize("part", CASES)
def test_the_place_reaches_the_record(part: str, hints: tuple[str, ...]) -> None:
    views, node = CASES[part]
    views = [replace(view, weak=hints) if view.node == "w2" else view for view in views]
    told: list[facts.Cause] = []
    end = trace.subscribe(lambda event: told.append(event.data["fact"]))
    try:
        tell_cause(SCOPE, cause(SCOPE, views), views)
    finally:
        end()
    document = facts.document(told[0])
    assert (document["part"], document["node"]) == (part, node)
    assert len(document["witnesses"]) == 2


def test_every_part_that_can_be_named_is_tested() -> None:
    assert set(CASES) | WALKED == set(facts.PARTS)


@pytest.mark.parametrize("part", CASES)
def test_each_place_has_a_first_lead_that_names_it(part: str) -> None:
    views, node = CASES[part]
    said = lead(cause(SCOPE, views), "VLAN 2024")
    assert said
    assert "{" not in said
    assert (node in said) if node else ("VLAN 2024" in said)


@pytest.mark.parametrize("part", sorted(WALKED))
def test_places_that_only_a_walk_names_have_a_lead_too(part: str) -> None:
    said = lead(Said("a loss", "w2", part), "VLAN 2024")
    assert "w2" in said
    assert "{" not in said


def test_a_cause_without_a_place_gives_no_lead() -> None:
    assert lead("the cause is unknown", "VLAN 2024") == ""
