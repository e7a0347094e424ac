"""The offline audit: the customer's case, the bug replayed, clean clusters, and rows of every kind."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.ovn.audit import Result, run
from lab.ovn.routes import FLAGS, Route, parse_row, print_routes
from tests.unit.ovn.nbworld import nbctl_json, ovsdb_file, tables
from tests.unit.ovn.routes_world import World

SEED = Path(__file__).parent / "golden" / "seed.txt"
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def audited(folder: Path, text: str, name: str = "dump.txt") -> Result:
    path = folder / name
    path.write_text(text)
    return run([str(path)])


def facts(result: Result) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(f.kind, f.subject, tuple(f.zones)) for f in result.faults]


def test_the_customers_case_gives_the_answer_key() -> None:
    result = run([str(SEED)])
    b1, inf = ("ucs-blade-server-1",), ("inf8",)
    assert facts(result) == [
        ("ECMP_LOCAL_REMOTE", "10.129.8.107", b1),
        ("ECMP_LOCAL_REMOTE", "10.131.9.28", b1),
        ("ECMP_REMOTE", "10.129.8.107", inf),
        ("ECMP_REMOTE", "10.131.9.28", inf),
    ]
    stale = {(line.zone, line.text) for f in result.faults for line in f.lines if line.role == "stale"}
    assert stale == {(z, f"{ip} 100.88.0.8 dst-ip ecmp") for z in (*b1, *inf) for ip in ("10.129.8.107", "10.131.9.28")}
    for finding in result.faults:
        assert finding.broken == {"inf8": 50, "ucs-blade-server-1": 50, "ucs-blade-server-3": 50}
        assert (finding.runner, finding.verified) == ("ucs-blade-server-1", finding.subject == "10.131.9.28")
        assert finding.owner == ("inf8" if finding.subject == "10.131.9.28" else "")
    remarks = {f.kind: f for f in result.findings if f.severity == "INFO"}
    assert set(remarks) == {"ORPHAN_SUBNET", "ZONE_NOT_CAPTURED", "RUNNER_UNVERIFIED"}
    assert remarks["ORPHAN_SUBNET"].subject == "10.129.8.107"
    assert remarks["RUNNER_UNVERIFIED"].subjects == ["10.129.8.107", "10.130.10.29", "10.131.8.41", "10.131.9.44"]
    missing = {f.subject for f in result.findings if f.kind == "ZONE_NOT_CAPTURED"}
    assert missing == {f"100.88.0.{n}" for n in (2, 3, 4, 6, 10)}
    assert result.exit_code == 1
    nodes = {n.name: (n.subnets, n.transit[4], n.join[4]) for n in result.topology.by_zone.values()}
    assert nodes["inf8"] == (["10.131.8.0/21"], "100.88.0.9", "100.64.0.9")


def test_lines_are_those_of_the_file() -> None:
    lines = SEED.read_text().splitlines()
    for finding in run([str(SEED)]).faults:
        for line in finding.lines:
            if line.role != "inventory":
                assert lines[line.number - 1].split() == line.text.split()


worlds = st.builds(World, st.integers(3, 6), st.booleans(), st.booleans())
any_worlds = st.builds(
    World,
    st.integers(3, 6),
    *(st.booleans(), st.booleans(), st.booleans()),
    *(st.integers(0, 2), st.booleans(), st.booleans()),
)
moves = st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 5), max_size=6)), max_size=4)


def play(world: World, histories: list[tuple[int, list[int]]]) -> dict[str, set[int]]:
    """Every VM through its migrations; address -> foreign nodes visited since it was last at home."""
    visited: dict[str, set[int]] = {}
    for index, (owner, path) in enumerate(histories):
        for address in world.start(owner % world.size, index):
            visited[address] = set()
            for target in path:
                target %= world.size
                world.migrate(address, target)
                home = target == owner % world.size
                visited[address] = set() if home else visited[address] | {target}
    return visited


FORMS = {
    "text": lambda world, zone: world.dump(zone).encode(),
    "json": lambda world, zone: nbctl_json(tables(world, zone, pods=False)).encode(),
    "file": lambda world, zone: ovsdb_file(tables(world, zone)),
    "clustered": lambda world, zone: gzip.compress(ovsdb_file(tables(world, zone), "CLUSTER")),
}


@QUICK
@given(
    any_worlds,
    moves,
    st.lists(st.sampled_from(sorted(FORMS)), min_size=6, max_size=6),
    st.sampled_from(["", "inventory", "subnets", "both"]),
    st.sets(st.integers(0, 5), max_size=4),
)
def test_a_clean_cluster_never_yields_a_finding(  # type: ignore[no-untyped-def]
    tmp_path, world, histories, forms, names, lost
) -> None:
    world.bug = False
    play(world, histories)
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    zones = [zone for zone in range(world.size) if zone not in lost] or [0]
    for zone in zones:
        (folder / f"ovnkube-node-{zone:05d}_nbdb").write_bytes(FORMS[forms[zone]](world, zone))
    if names in ("inventory", "both"):
        (folder / "pods.txt").write_text(world.inventory())
    if names in ("subnets", "both"):
        (folder / "nodes.txt").write_text(world.subnets())
    result = run([str(folder)])
    assert facts(result) == []
    assert len(result.topology.by_zone) == len(zones)
    assert not result.capture.notes


@QUICK
@given(any_worlds, moves)
def test_every_form_says_the_same_of_the_bug(tmp_path, world, histories) -> None:  # type: ignore[no-untyped-def]
    world.bug = True
    play(world, histories)
    seen = []
    for write in FORMS.values():
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        (folder / "pods.txt").write_text(world.inventory())
        for zone in range(world.size):
            (folder / f"ovnkube-node-{zone:05d}_nbdb").write_bytes(write(world, zone))
        result = run([str(folder)])
        seen.append([(f.kind, f.subject, f.zones, f.broken, f.runner, f.effects) for f in result.findings])
    assert all(one == seen[0] for one in seen)


@QUICK
@given(worlds, moves, st.booleans(), st.randoms(use_true_random=False))
def test_the_bug_yields_its_closed_form_and_nothing_else(tmp_path, world, histories, inventory, random) -> None:  # type: ignore[no-untyped-def]
    visited = play(world, histories)
    expected = set()
    for address, nodes in visited.items():
        current = world.vms[address][1]
        if len(nodes) > 1 and world.bug:
            expected.add(("ECMP_LOCAL_REMOTE", address, (world.name(current),)))
            several = tuple(world.name(z) for z in range(world.size) if z != current and len(nodes - {z}) > 1)
            if several:
                expected.add(("ECMP_REMOTE", address, several))
    parts = [world.dump(zone) for zone in range(world.size)]
    random.shuffle(parts)
    names = world.inventory() if inventory else world.subnets()
    result = audited(tmp_path, "\n".join([names, "", *parts]))
    assert set(facts(result)) == expected
    broken = {address: nodes for address, nodes in visited.items() if len(nodes) > 1 and world.bug}
    for finding in result.faults:
        nodes = broken[finding.subject]
        current = world.name(world.vms[finding.subject][1])
        assert finding.broken[current] == round(100 * (len(nodes) - 1) / len(nodes))
        assert finding.runner == current
    assert not result.topology.unknown
    assert not result.capture.notes


@QUICK
@given(worlds, moves, st.randoms(use_true_random=False))
def test_the_order_of_rows_zones_and_files_says_nothing(tmp_path, world, histories, random) -> None:  # type: ignore[no-untyped-def]
    play(world, histories)
    one = audited(tmp_path, "\n".join(world.dump(z) for z in range(world.size)))
    paths = []
    for zone in range(world.size):
        rows = world.routes(zone)
        random.shuffle(rows)
        path = tmp_path / f"ovnkube-node-{zone:05d}.txt"
        path.write_text(print_routes(rows))
        paths.append(str(path))
    random.shuffle(paths)
    other = run(paths)
    assert [(f.kind, f.subject, f.zones, f.effects, f.broken, f.runner) for f in one.findings] == [
        (f.kind, f.subject, f.zones, f.effects, f.broken, f.runner) for f in other.findings
    ]


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str).filter(lambda a: "%" not in a)
flags = st.sets(st.sampled_from(FLAGS)).map(lambda chosen: tuple(f for f in FLAGS if f in chosen))
ports = st.from_regex(r"\A(rtos|rtoe)-[a-z][a-z0-9-]{0,20}\Z")


@st.composite
def routes(draw: st.DrawFn) -> Route:
    address = draw(addresses)
    length = draw(st.one_of(st.just(""), st.integers(0, 31).map(lambda bits: f"/{bits}")))
    nexthop = draw(st.one_of(addresses, st.just("discard"), st.just("")))
    port = draw(ports) if not nexthop else draw(st.one_of(st.just(""), ports))
    table = draw(st.sampled_from(["<main>", "other"]))
    return Route(address + length, nexthop, draw(st.sampled_from(["dst-ip", "src-ip"])), port, draw(flags), table)


@settings(max_examples=200, deadline=None)
@given(st.lists(routes(), max_size=8))
def test_what_is_printed_is_read_again(given_routes: list[Route]) -> None:
    table, found = "", []
    for line in print_routes(given_routes).splitlines():
        if line.startswith("Route Table "):
            table = line.removeprefix("Route Table ").removesuffix(":")
        elif (route := parse_row(line, table)) is not None:
            found.append(route)
    assert sorted(map(repr, found)) == sorted(map(repr, given_routes))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("10.128.0.99 100.88.0.3 dst-ip", "SELF_TRANSIT"),
        ("10.128.0.99 100.88.0.77 dst-ip", "UNKNOWN_NEXTHOP"),
        ("10.128.0.99 172.16.0.1 dst-ip", "UNREACHABLE_NEXTHOP"),
        ("10.128.0.99 10.128.0.99 dst-ip rtos-other", "FOREIGN_PORT"),
        ("10.128.0.99 100.88.0.4 dst-ip rtos-worker-1", "FOREIGN_PORT"),
        ("10.128.0.99 100.88.0.2 dst-ip", "REDUNDANT_HOST_ROUTE"),
        ("10.128.0.99 100.88.0.4 dst-ip\n10.128.0.99 100.88.0.4 dst-ip ecmp", "EXACT_DUP"),
        ("10.128.16.0/21 100.88.0.2 dst-ip ecmp", "ECMP_SUBNET"),
        ("10.128.0.99 discard dst-ip", "UNEXPECTED_ROUTE"),
        ("10.128.0.99 100.88.0.4 dst-ip bfd", "UNEXPECTED_ROUTE"),
        ("8.8.8.8 100.88.0.2 dst-ip", "UNEXPECTED_ROUTE"),
    ],
)
def test_a_wrong_row_has_its_class(tmp_path: Path, row: str, kind: str) -> None:
    world = World(4)
    dumps = [world.dump(zone) for zone in range(4)]
    dumps[1] += row + "\n"
    found = {f.kind: f for f in audited(tmp_path, world.subnets() + "\n" + "\n".join(dumps)).faults}
    assert kind in found
    assert found[kind].zones == ["worker-1"] or found[kind].zones == ["ovnkube-node-00001"]


@pytest.mark.parametrize(
    ("prefix", "kind"),
    [("10.128.16.0/21", "SUBNET_ROUTE_MISSING"), ("100.64.0.22", "JOIN_ROUTE_MISSING")],
)
def test_a_row_that_is_not_there_is_missed(tmp_path: Path, prefix: str, kind: str) -> None:
    world = World(4)
    less = [r for r in world.routes(1) if r.prefix != prefix]
    dumps = [world.dump(zone, less if zone == 1 else None) for zone in range(4)]
    assert facts(audited(tmp_path, "\n".join(dumps))) == [(kind, prefix, ("ovnkube-node-00001",))]


def moved(inventory: bool = True) -> tuple[World, str]:
    world = World(4)
    address = world.start(0, 0)[0]
    world.migrate(address, 1)
    return world, address


def without(world: World, zone: int, address: str) -> str:
    return world.dump(zone, [r for r in world.routes(zone) if r.prefix != address])


@pytest.mark.parametrize(("zone", "severity"), [(0, "CRITICAL"), (1, "CRITICAL"), (2, "MAJOR")])
def test_a_missing_host_route_is_as_bad_as_what_it_loses(tmp_path: Path, zone: int, severity: str) -> None:
    world, address = moved()
    dumps = [without(world, z, address) if z == zone else world.dump(z) for z in range(4)]
    result = audited(tmp_path, world.inventory() + "\n" + "\n".join(dumps))
    assert [(f.kind, f.severity, f.zones) for f in result.faults] == [
        ("HOST_ROUTE_MISSING", severity, [f"worker-{zone}"])
    ]


@pytest.mark.parametrize(
    ("node", "kind"),
    [(0, "STALE_AFTER_RETURN"), (3, "WRONG_RUNNER"), (None, "ORPHAN_ROUTE")],
)
def test_the_inventory_has_the_last_word(tmp_path: Path, node: int | None, kind: str) -> None:
    world, address = moved()
    dumps = "\n".join(world.dump(z) for z in range(4))
    world.vms[address] = (0, node or 0)
    inventory = world.inventory()
    if node is None:
        inventory = inventory.replace("1/1  Running", "0/1  Completed")
    assert kind in {f.kind for f in audited(tmp_path, inventory + "\n" + dumps).faults}


def test_no_way_out_without_a_source_route(tmp_path: Path) -> None:
    world, _ = moved()
    world.foreign.clear()
    result = audited(tmp_path, world.inventory() + "\n" + "\n".join(world.dump(z) for z in range(4)))
    assert [(f.kind, f.zones) for f in result.faults] == [("EGRESS_DEFAULT_MISSING", ["worker-1"])]
