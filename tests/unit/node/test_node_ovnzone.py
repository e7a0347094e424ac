"""A zone and its neighbours, against databases that are played: what is asked for, and in which order."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from lab.embedded.model.kinds import NODE
from lab.embedded.model.spec import NodeSpec
from lab.embedded.node import podnetwork as net
from lab.embedded.node.ovnzone import ZoneBuilder

ONE, TWO = NodeSpec("worker-1", 1), NodeSpec("worker-2", 2)


class PlayedDatabase:
    """Answers tables from rows given to it and keeps the transactions."""

    def __init__(self, **tables: list[dict[str, Any]]) -> None:
        self.tables = tables
        self.done: list[tuple[str, ...]] = []

    async def ctl(self, *words: str) -> str:
        self.done.append(words)
        return ""

    async def table(self, name: str, columns: Any = (), *, where: str = "") -> list[dict[str, Any]]:
        return self.tables.get(name, [])


class PlayedInformer:
    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.items = {node["metadata"]["name"]: node for node in nodes}


def node(spec: NodeSpec) -> dict[str, Any]:
    return {"metadata": {"name": spec.name, "annotations": net.node_annotations(net.member(spec))}}


def zone(northbound: PlayedDatabase, *nodes: dict[str, Any]) -> tuple[ZoneBuilder, PlayedDatabase, list[Any]]:
    southbound, patches = PlayedDatabase(Chassis=[{"name": net.member(TWO).chassis}]), []

    async def patch(*words: Any) -> None:
        patches.append(words)

    ctx: Any = SimpleNamespace(
        node=ONE,
        informers=SimpleNamespace(get=lambda _kind: PlayedInformer(*nodes)),
        northbound=northbound,
        southbound=southbound,
        kube=SimpleNamespace(patch=patch),
    )
    return ZoneBuilder(ctx, lambda _name: None), southbound, patches


def rows(*routes: net.Route) -> dict[str, list[dict[str, Any]]]:
    found: list[dict[str, Any]] = [
        {
            "_uuid": f"uuid-{number}",
            "ip_prefix": route.prefix,
            "nexthop": route.nexthop,
            "policy": route.policy or [],
            "output_port": route.port or [],
            "external_ids": dict(route.ids),
        }
        for number, route in enumerate(routes)
    ]
    uuids = [row["_uuid"] for row in found]
    static = uuids[0] if len(uuids) == 1 else uuids
    return {"Logical_Router": [{"static_routes": static}], "Logical_Router_Static_Route": found}


@pytest.fixture(autouse=True)
def no_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ZoneBuilder, "_greet", lambda _self, _other: None)


def test_a_neighbour_is_brought_in_once() -> None:
    northbound = PlayedDatabase()
    built, southbound, _ = zone(northbound, node(ONE), node(TWO))

    async def twice() -> None:
        await built.neighbour("worker-2")
        await built.neighbour("worker-2")

    asyncio.run(twice())
    (written,), (bound,) = northbound.done, southbound.done
    assert written[0] == "--wait=sb"
    assert written.count("create") == 2
    assert "lsp-bind" in bound
    assert bound[bound.index("lsp-bind") + 1 :] == ("tstor-worker-2", net.member(TWO).chassis)


def test_routes_of_an_earlier_agent_are_not_written_again() -> None:
    northbound = PlayedDatabase(**rows(*net.routes_to(net.member(TWO))))
    built, _, _ = zone(northbound, node(TWO))
    asyncio.run(built.neighbour("worker-2"))
    assert "create" not in northbound.done[0]
    assert "remove" not in northbound.done[0]


def test_only_a_neighbours_own_stale_routes_go() -> None:
    ids = (("ic-node", "worker-2"),)
    stale = net.Route(net.ROUTER, "10.128.2.0/23", "100.88.0.99", "", "", ids)
    foreign = net.Route(net.ROUTER, "10.128.2.9", "100.88.0.3", "dst-ip")
    northbound = PlayedDatabase(**rows(stale, foreign))
    built, _, _ = zone(northbound, node(TWO))
    asyncio.run(built.neighbour("worker-2"))
    words = northbound.done[0]
    assert words[-5:] == ("remove", "Logical_Router", net.ROUTER, "static_routes", "uuid-0")
    assert "uuid-1" not in words


def test_a_node_that_is_gone_takes_its_port_routes_and_chassis() -> None:
    northbound = PlayedDatabase(**rows(net.routes_to(net.member(TWO))[0]))
    built, southbound, _ = zone(northbound, node(ONE))
    asyncio.run(built.neighbour("worker-2"))
    assert northbound.done == [
        ("--if-exists", "lsp-del", "tstor-worker-2", "--", "remove", "Logical_Router", net.ROUTER, "static_routes",
         "uuid-0"),
    ]  # fmt: skip
    assert southbound.done == [("--if-exists", "chassis-del", net.member(TWO).chassis)]


def test_a_node_not_described_yet_is_left_for_later() -> None:
    northbound = PlayedDatabase()
    built, southbound, _ = zone(northbound, {"metadata": {"name": "worker-2"}})
    asyncio.run(built.neighbour("worker-2"))
    assert (northbound.done, southbound.done) == ([], [])


def test_the_own_node_is_described_again() -> None:
    built, _, patches = zone(PlayedDatabase(), {"metadata": {"name": "worker-1"}})
    asyncio.run(built.neighbour("worker-1"))
    notes = {"metadata": {"annotations": net.node_annotations(net.member(ONE))}}
    assert patches == [(NODE, "worker-1", None, notes)]
