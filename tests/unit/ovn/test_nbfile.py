"""OVSDB's own files: read as OVN's own programs read them, and as far as they are whole."""

from __future__ import annotations

import io
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.ovn.audit import run
from lab.ovn.nbdata import read
from lab.ovn.nbfile import Damaged, NbFile, read_file
from tests.unit.ovn.nbworld import SCHEMA, a_map, ovsdb_file, record, tables
from tests.unit.ovn.routes_world import World


class Server:
    """A real database server on a private socket."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.file = folder / f"{kind}.db"
        self.socket = f"unix:{folder}/{kind}.sock"
        schema = Path(os.environ["OVN_PKGDATADIR"]) / "ovn-nb.ovsschema"
        where = [f"unix:{folder}/{kind}.raft"] if kind == "clustered" else []
        self.run("ovsdb-tool", "create-cluster" if where else "create", str(self.file), str(schema), *where)
        self.control = f"{folder}/{kind}.ctl"
        remote, control = f"--remote=p{self.socket}", f"--unixctl={self.control}"
        self.pid = folder / f"{kind}.pid"
        self.run("ovsdb-server", str(self.file), remote, control, f"--pidfile={self.pid}", "--detach", "--no-chdir")
        if where:
            self.run("ovsdb-client", "wait", self.socket, "OVN_Northbound", "connected")

    def run(self, *argv: str) -> str:
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout

    def nbctl(self, *words: str) -> str:
        return self.run("ovn-nbctl", f"--db={self.socket}", *words)

    def copies(self) -> Iterator[tuple[str, bytes]]:
        """Its file as it is, a backup, and the file after compaction."""
        yield "live", self.file.read_bytes()
        yield "backup", self.run("ovsdb-client", "backup", self.socket, "OVN_Northbound").encode()
        self.run("ovs-appctl", "-t", self.control, "ovsdb-server/compact")
        yield "compacted", self.file.read_bytes()

    def stop(self) -> None:
        os.kill(int(self.pid.read_text()), signal.SIGTERM)


def changed(server: Server) -> None:
    """A history with every kind of change: rows made, changed, emptied, deleted; sets and maps grown and shrunk."""
    router = "ovn_cluster_router"
    server.nbctl(
        *("set", "NB_Global", ".", "name=node1", "--", "lr-add", router, "--", "lr-add", "GR_node1"),
        *("--", "lrp-add", router, "rtos-node1", "0a:58:0a:80:00:01", "10.128.0.1/21", "fd01::1/64"),
        *("--", "lrp-add", router, "rtots-node1", "0a:58:64:58:00:02", "100.88.0.2/16"),
    )
    server.nbctl("lr-route-add", "GR_node1", "0.0.0.0/0", "10.0.0.1")
    server.nbctl("--policy=src-ip", "lr-route-add", router, "10.128.0.0/14", "100.64.0.2")
    for last in range(1, 6):
        server.nbctl("--policy=dst-ip", "lr-route-add", router, f"10.128.8.{last}", "100.88.0.3")
    server.nbctl("--policy=dst-ip", "lr-route-add", router, "10.128.8.9", "10.128.8.9", "rtos-node1")
    server.nbctl("lr-route-add", router, "fd01:0:0:2::/64", "fd97::3")
    server.nbctl("lr-route-del", router, "10.128.8.3")
    find = ("--bare", "--columns=_uuid", "find", "Logical_Router_Static_Route", "ip_prefix=10.128.8.2")
    uuid = server.nbctl(*find).strip()
    table = "Logical_Router_Static_Route"
    server.nbctl("set", table, uuid, "external_ids:ic-node=a", "external_ids:gone=b", "nexthop=100.88.0.4")
    server.nbctl("set", table, uuid, "external_ids:ic-node=c")
    server.nbctl("remove", table, uuid, "external_ids", "gone")
    server.nbctl("clear", table, uuid, "policy")
    server.nbctl("lrp-add", router, "rtots-gone", "0a:58:64:58:00:09", "100.88.0.9/16")
    server.nbctl("lrp-del", "rtots-gone")


@pytest.mark.parametrize("kind", ["standalone", "clustered"])
def test_real_files_say_what_ovn_nbctl_says(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    folder = tmp_path_factory.mktemp("db")  # short: a socket's path has 107 characters
    server = Server(folder, kind)
    try:
        changed(server)
        listed = server.nbctl("lr-route-list", "ovn_cluster_router").splitlines()
        copies = dict(server.copies())
    finally:
        server.stop()
    wanted = sorted(" ".join(line.split()) for line in listed if "-ip" in line)
    assert len(wanted) == 7
    for name, data in copies.items():
        found = read_file(io.BytesIO(data))
        assert not found.broken, name
        rows = read(found.rows())
        assert sorted(" ".join(str(row[0]).split()) for row in rows.rows) == wanted, name
        assert rows.marks.own == "node1"
        assert rows.marks.nodes == {"100.88.0.2": "node1", "100.88.0.4": "c"}
        assert rows.marks.subnets == {"10.128.0.0/21": "node1", "fd01::/64": "node1"}


def rows_of(found: NbFile) -> set[str]:
    return {str(row[0]) for row in read(found.rows()).rows}


def test_a_file_cut_or_changed_anywhere_counts_up_to_there() -> None:
    world = World(3)
    for vm in range(4):
        world.start(vm % 3, vm)
    whole = tables(world, 0)
    route = {"Logical_Router_Static_Route": {"new": {"ip_prefix": "10.128.8.10", "nexthop": "100.88.0.3"}}}
    use = {"Logical_Router": {"lr": {"static_routes": ["uuid", "new"]}}, "_is_diff": True}
    data = ovsdb_file(whole)
    longer = data + record({**route, **use})
    before, after = rows_of(read_file(io.BytesIO(data))), rows_of(read_file(io.BytesIO(longer)))
    assert len(after) == len(before) + 1
    for at in range(0, len(longer), 37):
        try:
            found = read_file(io.BytesIO(longer[:at]))
        except Damaged:
            assert at < len(record(SCHEMA))
            continue
        assert rows_of(found) in (set(), before)
        assert found.broken or at in (len(data), len(record(SCHEMA)))
        spoilt = bytearray(longer)
        spoilt[at] ^= 1
        try:
            found = read_file(io.BytesIO(bytes(spoilt)))
        except Damaged:
            continue
        assert found.broken
        assert rows_of(found) in (set(), before)


def test_an_entry_that_never_was_committed_gives_way_to_the_one_that_was() -> None:
    def entry(index: int, row: str, nexthop: str) -> bytes:
        routes = {row: {"ip_prefix": "10.1.0.0/24", "nexthop": nexthop}}
        router = {"lr": {"static_routes": ["uuid", row]}}
        txn = {"Logical_Router_Static_Route": routes, "Logical_Router": router, "_is_diff": True}
        return record({"term": index, "index": index, "eid": "e", "data": [None, txn]}, "CLUSTER")

    empty = {"Logical_Router": {"lr": {"name": "ovn_cluster_router"}}}
    data = ovsdb_file(empty, "CLUSTER") + entry(8, "a", "100.88.0.3") + record({"term": 2, "vote": "x"}, "CLUSTER")
    assert [row[0].nexthop for row in read(read_file(io.BytesIO(data)).rows()).rows] == ["100.88.0.3"]
    data += entry(8, "b", "100.88.0.4") + record({"commit_index": 8}, "CLUSTER")
    assert [row[0].nexthop for row in read(read_file(io.BytesIO(data)).rows()).rows] == ["100.88.0.4"]


def test_another_database_is_not_read_and_one_without_the_router_is_said(tmp_path: Path) -> None:
    world = World(3)
    for zone in range(3):
        (tmp_path / f"ovnkube-node-{zone:05d}_nbdb").write_bytes(ovsdb_file(tables(world, zone)))
        south = record({**SCHEMA, "name": "OVN_Southbound"}) + b"OVSDB JSON nonsense"
        (tmp_path / f"ovnkube-node-{zone:05d}_sbdb").write_bytes(south)
    other = tables(world, 1)
    other["Logical_Router"]["lr"]["name"] = "neutron-1"
    (tmp_path / "stack.db").write_bytes(ovsdb_file(other))
    result = run([str(tmp_path)])
    assert not result.findings
    assert len(result.topology.by_zone) == 3
    expected = "no route of ovn_cluster_router for stack: it counts as not captured"
    assert [why for _, why in result.capture.notes] == [expected]


def test_a_map_is_changed_key_by_key() -> None:
    first = {"Logical_Switch_Port": {"p": {"name": "ns_a", "external_ids": a_map({"pod": "true", "x": "1", "y": "2"})}}}
    then = {"Logical_Switch_Port": {"p": {"external_ids": a_map({"x": "1", "y": "3", "z": "4"})}}, "_is_diff": True}
    found = read_file(io.BytesIO(record(SCHEMA) + record(first) + record(then)))
    assert found.tables["Logical_Switch_Port"]["p"]["external_ids"] == {"pod": "true", "y": "3", "z": "4"}
