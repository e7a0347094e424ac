"""What stands out in a picture: the one worker that differs is named, three that are alike are not."""

from __future__ import annotations

from typing import Any

import pytest

from lab.evidence.oddities import of


def worker(name: str, **changes: Any) -> dict[str, Any]:
    links = [
        {"name": "br-ex", "type": "ovs-bridge", "state": "up", "controller": "", "ports": ["enp1s0"]},
        {"name": "bond1", "type": "bond", "state": "up", "controller": "", "ports": ["e0", "e1"]},
        {"name": "e0", "type": "ethernet", "state": "up", "controller": "bond1", "ports": []},
    ]
    made: dict[str, Any] = {
        "name": name, "links": links, "mappings": {"physnet": "br-ex", "vlan-2024": "ovs-br1"}, "lit": ["e0", "e1"],
        "dark": ["unused"], "bonds": [{"name": "bond1", "members": ["e0", "e1"], "troubles": []}], "bridges": {},
        "tables": ["table inet filter"],
    }  # fmt: skip
    return made | changes


ALONE = [
    (
        {"lit": ["e1"], "dark": ["e0"], "bonds": [{"name": "bond1", "members": [], "troubles": ["e0 has no link"]}]},
        ["w2: e0 of bond1 has no link; it has one on w1 and w3"],
    ),
    (
        {"bonds": [{"name": "bond1", "troubles": ["e0 has a link, and LACP has no partner on it"]}]},
        ["w2: bond1: e0 has a link, and LACP has no partner on it"],
    ),
    ({"mappings": {"physnet": "br-ex"}}, ["w2: lacks OVN mapping vlan-2024 → ovs-br1; w1 and w3 have it"]),
    (
        {"bridges": {"br1": []}},
        [
            "w2: has bridge br1; no other worker has it",
            "w2: Linux bridge br1 without any port, which nmstate does not report",
        ],
    ),
    (
        {"tables": ["table inet filter", "table bridge nat", ""]},
        ["w2: has packet filter table bridge nat; no other worker has it"],
    ),
    ({"tables": []}, ["w2: lacks packet filter table inet filter; w1 and w3 have it"]),
    ({"tables": None}, []),
    ({"links": [], "ports": [], "mappings": {}}, []),
]


@pytest.mark.parametrize(("changes", "said"), ALONE)
def test_the_one_that_differs_is_named(changes: dict[str, Any], said: list[str]) -> None:
    assert of([worker("w1"), worker("w2", **changes), worker("w3")]) == said


def test_workers_that_are_alike_say_nothing() -> None:
    assert of([worker("w1"), worker("w2"), worker("w3")]) == []
    assert of([worker("w1")]) == []
    assert of([{"name": "w1", "trouble": "not read"}]) == []


def test_what_half_of_them_lack_is_told_of_those() -> None:
    assert of([worker("w1", mappings={}), worker("w2")]) == [
        "w1: lacks OVN mapping physnet → br-ex; w2 has it",
        "w1: lacks OVN mapping vlan-2024 → ovs-br1; w2 has it",
    ]
