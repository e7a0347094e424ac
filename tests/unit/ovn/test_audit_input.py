"""What people hand in: pastes, pieces, other encodings, archives of any kind, and things that are no routes."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from lab.cli import main
from lab.core.errors import UsageError
from lab.ovn import lines as lines_module
from lab.ovn import sources as sources_module
from lab.ovn.audit import run
from lab.ovn.routes import Route, print_routes
from tests.unit.ovn.routes_world import World

SEED = Path(__file__).parent / "golden" / "seed.txt"


def key(paths: list[str]) -> list[tuple[str, str, list[str]]]:
    return [(f.kind, f.subject, f.zones) for f in run(paths).findings]


EXPECTED = key([str(SEED)])


@pytest.mark.parametrize(
    "data",
    [
        SEED.read_bytes().replace(b"\n", b"\r\n"),
        b"\xff\xfe" + SEED.read_text().encode("utf-16-le"),
        b"\xef\xbb\xbf" + SEED.read_bytes(),
        SEED.read_bytes()
        .replace(b"IPv4 Routes", b"\x1b[1;32mIPv4 Routes\x1b[0m")
        .replace(b" ecmp", b" \x1b[31mecmp\x1b[0m"),
        b"\xff\xc3 caf\xe9\n" + SEED.read_bytes(),
        SEED.read_bytes().rstrip(),
        SEED.read_bytes().replace(b"Route Table <main>:\n", b""),
        SEED.read_bytes().replace(b"IPv4 Routes", b'Defaulted container "nbdb" out of: nbdb, sbdb\nIPv4 Routes'),
    ],
    ids=["crlf", "utf-16", "bom", "colours", "latin-1", "no-end", "old-ovn", "defaulted"],
)
def test_the_same_text_in_other_clothes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "paste.txt"
    path.write_bytes(data)
    assert key([str(path)]) == EXPECTED


def archive(kind: str, path: Path, files: dict[str, bytes]) -> None:
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for name, data in files.items():
                out.writestr(name, data)
        return
    with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w:xz" if kind == "tar.xz" else "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
def test_archives_are_read_and_what_leads_out_is_not(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"gathered.{kind}"
    archive(kind, path, {"mg/seed.txt": SEED.read_bytes(), "../../evil": b"x", "/abs": b"x", "mg/log": b"nothing"})
    before = sorted(tmp_path.parent.rglob("*"))
    result = run([str(path)])
    assert [(f.kind, f.subject, f.zones) for f in result.findings] == EXPECTED
    assert sum("leads out" in why for _, why in result.capture.notes) == 2
    assert sorted(tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "gz"])
def test_a_bomb_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "FREE", 1 << 20)
    path = tmp_path / f"bomb.{kind}"
    zeros = b"0" * (16 << 20)
    if kind == "gz":
        path.write_bytes(gzip.compress(zeros))
    else:
        archive(kind, path, {"zeros": zeros})
    result = run([str(SEED), str(path)])
    assert any("unpacks to more than" in why for _, why in result.capture.notes)


def test_links_of_an_archive_and_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "out.txt").symlink_to(SEED)
    with tarfile.open(folder / "l.tar", "w") as tar:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(UsageError) as error:
        run([str(folder)])
    assert "not followed" in str(error.value)


def test_a_folder_with_a_file_for_each_zone_and_much_else(tmp_path: Path) -> None:
    world = World(3, dual=True, bug=True)
    address = world.start(0, 0)[0]
    world.migrate(address, 1)
    world.migrate(address, 2)
    for zone in range(3):
        (tmp_path / f"{world.name(zone)}.txt").write_text(world.dump(zone).split("\n", 1)[1])
    (tmp_path / "pods.txt").write_text(world.inventory())
    (tmp_path / "other.json").write_text('{"kind": "ConfigMap"}')
    (tmp_path / "ovnnb_db.db").write_bytes(b"OVSDB JSON 12 abcd\n{}")
    result = run([str(tmp_path)])
    assert [f.kind for f in result.faults] == ["ECMP_LOCAL_REMOTE", "ECMP_REMOTE"]
    assert [(Path(where).name, why) for where, why in result.capture.notes] == [
        ("ovnnb_db.db", "a damaged database: record 1 has no header of OVSDB: read up to there")
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"default via 10.0.0.1 dev eth0\n",
        b"\x7fELF\x00\x00",
        b'{"kind": "ConfigMap"}',
        b"OVSDB JSON 1 2\n",
        b"IPv4 Routes\n",
    ],
)
def test_what_is_no_route_list_is_an_error_that_says_so(
    tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    assert main(["audit", "routes", str(path)]) == 2
    assert "wanted: output of: ovn-nbctl lr-route-list ovn_cluster_router" in capsys.readouterr().err


def test_a_path_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "routes", "/nowhere/at/all"]) == 2
    assert "/nowhere/at/all" in capsys.readouterr().err


def test_an_input_of_no_use_beside_a_clean_one_is_no_clean_verdict(tmp_path: Path) -> None:
    world = World(3)
    (tmp_path / "a").write_text("\n".join(world.dump(z) for z in range(3)))
    (tmp_path / "b").write_text("nothing of use\n")
    assert run([str(tmp_path / "a")]).exit_code == 0
    assert run([str(tmp_path / "a"), str(tmp_path / "b")]).exit_code == 2


@pytest.mark.parametrize("keep", range(60, 100, 3))
def test_a_dump_cut_anywhere_makes_no_fault_up(tmp_path: Path, keep: int) -> None:
    world = World(4)
    for vm, owner in enumerate((0, 1, 2, 3)):
        world.migrate(world.start(owner, vm)[0], (owner + 1) % 4)
    last = world.dump(3)
    cut = last[: len(last) * keep // 100]
    path = tmp_path / "cut"
    path.write_text("\n".join([world.inventory(), *(world.dump(z) for z in range(3)), cut]))
    result = run([str(path)])
    assert not result.faults
    assert "ZONE_CUT" in {f.kind for f in result.findings} or keep > 95


def test_a_long_line_is_dropped_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "LINE_LIMIT", 1 << 20)
    path = tmp_path / "long"
    path.write_bytes(b"x" * (5 << 20) + b"\n" + SEED.read_bytes())
    result = run([str(path)])
    assert [(f.kind, f.subject, f.zones) for f in result.findings] == EXPECTED
    assert [why for _, why in result.capture.notes] == ["too long a line"]
    assert all(line.number > 1 for f in result.faults for line in f.lines)


def test_other_routers_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x"
    other = "$ ovn-nbctl lr-route-list GR_inf8\nIPv4 Routes\nRoute Table <main>:\n  10.131.9.28 100.64.0.1 dst-ip\n"
    path.write_text(other + "\n" + SEED.read_text())
    result = run([str(path)])
    assert [(f.kind, f.subject, f.zones) for f in result.findings] == EXPECTED
    assert "GR_inf8" in result.capture.notes[0][1]


def test_a_gateway_routers_routes_are_known_by_their_port(tmp_path: Path) -> None:
    (tmp_path / "seed.txt").write_bytes(SEED.read_bytes())
    rows = [Route("10.128.0.0/14", "100.64.0.1"), Route("0.0.0.0/0", "10.32.96.1", "dst-ip", "rtoe-GR_inf8")]
    (tmp_path / "GR_inf8.txt").write_text(print_routes(rows))
    result = run([str(tmp_path)])
    assert [(f.kind, f.subject, f.zones) for f in result.findings] == EXPECTED
    assert "a gateway router (port rtoe-GR_inf8)" in result.capture.notes[0][1]


def test_a_lone_brace_does_not_swallow_what_follows(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("nodes() {\n{\n" + SEED.read_text())
    result = run([str(tmp_path / "x")])
    assert [(f.kind, f.subject) for f in result.faults] == [(kind, subject) for kind, subject, _ in EXPECTED[:4]]


def test_the_same_pod_twice_the_later_counts(tmp_path: Path) -> None:
    world = World(3)
    address = world.start(0, 0)[0]
    world.migrate(address, 1)
    before = world.dump(2, [*world.routes(2)][:3])
    path = tmp_path / "x"
    path.write_text("\n".join([before, *(world.dump(z) for z in range(3)), world.inventory()]))
    result = run([str(path)])
    assert not result.findings
    assert "twice" in result.capture.notes[0][1]


def as_json(world: World, zone: int) -> str:
    """``ovn-nbctl --format=json list Logical_Router_Static_Route``, the gateway router's routes among them."""
    headings = ["_uuid", "bfd", "external_ids", "ip_prefix", "nexthop", "output_port", "policy", "route_table"]
    data = []
    for index, route in enumerate(world.routes(zone)):
        node = next((n for n in range(world.size) if world.transit(n, route.family) == route.nexthop), None)
        infra = "/" in route.prefix or route.prefix.startswith(("100.64.", "fd98:"))
        owners = [["ic-node", world.name(node)]] if infra and node is not None else []
        owners += [] if infra else [["k8s.ovn.org/vm", "vm"]]
        policy = ["set", []] if infra and route.policy == "dst-ip" else route.policy
        port = route.port or ["set", []]
        data.append(
            [["uuid", f"u{index}"], ["set", []], ["map", owners], route.prefix, route.nexthop, port, policy, ""]
        )
    own = [["uuid", "g"], ["set", []], ["map", []]]
    data.append([*own, "10.128.0.0/14", "100.64.0.1", ["set", []], ["set", []], ""])
    data.append([*own, "0.0.0.0/0", "10.0.0.1", f"rtoe-GR_{world.name(zone)}", ["set", []], ""])
    return json.dumps({"data": data, "headings": headings})


def test_json_of_the_database_names_the_nodes_itself(tmp_path: Path) -> None:
    world = World(4, dual=True, bug=True)
    address = world.start(0, 0)[0]
    world.migrate(address, 1)
    world.migrate(address, 2)
    for zone in range(4):
        (tmp_path / f"{zone}.json").write_text(as_json(world, zone))
    result = run([str(tmp_path)])
    assert [(f.kind, f.subject, f.zones) for f in result.faults] == [
        ("ECMP_LOCAL_REMOTE", address, ["worker-2"]),
        ("ECMP_REMOTE", address, ["worker-0", "worker-3"]),
    ]
    assert {n.name for n in result.topology.nodes} == {world.name(n) for n in range(4)}


@pytest.mark.parametrize("named", [True, False])
def test_json_inventory_names_vm_and_runner_and_half_a_family_is_seen(tmp_path: Path, named: bool) -> None:
    world = World(3, dual=True)
    four, six = world.start(0, 0)
    world.migrate(four, 1)
    vmi = {
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"networks": [{"name": "default", "pod": {}}]},
        "status": {
            "phase": "Running",
            "nodeName": "worker-1",
            "interfaces": [{"name": "default", "ipAddresses": [four, six]}],
        },
    }
    (tmp_path / "vmi.json").write_text(json.dumps({"kind": "List", "items": [vmi]}, indent=4))
    names = world.subnets() if named else ""
    (tmp_path / "dumps").write_text(names + "\n" + "\n".join(world.dump(z) for z in range(3)))
    result = run([str(tmp_path)])
    expected = ("HOST_ROUTE_MISSING", "shop/db", six) if named else ("HALF_FAMILY", "shop/db", four)
    assert [(f.kind, f.vm, f.subject) for f in result.faults] == [expected]


@pytest.mark.parametrize("form", ["--json", "--markdown", None])
def test_forms_of_output(form: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "routes", os.fspath(SEED), *([form] if form else [])]) == 1
    out = capsys.readouterr().out
    assert "--if-exists --policy=dst-ip lr-route-del ovn_cluster_router 10.131.9.28 100.88.0.8" in out
    if form == "--json":
        document = json.loads(out)
        assert document["schema"] == 1
        assert document["counts"]["CRITICAL"] == 2


def test_hostile_names_reach_neither_terminal_nor_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(3, bug=True)
    address = world.start(0, 0)[0]
    world.migrate(address, 1)
    world.migrate(address, 2)
    text = "\n".join(world.dump(z) for z in range(3)).replace("rtos-worker-2", "rtos-$(reboot)`id`\x1b]0;x\x07|")
    (tmp_path / "x").write_text(text)
    for form in ("--json", "--markdown"):
        main(["audit", "routes", str(tmp_path / "x"), form])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out


@pytest.mark.parametrize("packed", [False, True])
def test_what_comes_through_a_pipe_is_read_twice_all_the_same(
    tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = gzip.compress(SEED.read_bytes()) if packed else SEED.read_bytes()
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    threading.Thread(target=fifo.write_bytes, args=(data,), daemon=True).start()
    typed = io.TextIOWrapper(io.BytesIO(data))
    monkeypatch.setattr("sys.stdin", typed)
    monkeypatch.setattr(sources_module, "_TYPED", {})
    for path in (str(fifo), "-"):
        result = run([path])
        assert [(f.kind, f.subject, f.zones) for f in result.findings] == EXPECTED
        assert all(f.lines for f in result.faults)


def test_archives_within_archives_have_one_budget_and_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "FREE", 1 << 20)
    data = gzip.compress(b"0" * (64 << 20))
    for _ in range(3):
        data = gzip.compress(data)
    (tmp_path / "bomb").write_bytes(data)
    deep = SEED.read_bytes()
    for _ in range(sources_module.DEPTH + 1):
        deep = gzip.compress(deep)
    (tmp_path / "deep").write_bytes(deep)
    result = run([str(SEED), str(tmp_path)])
    notes = {Path(where).name: why for where, why in result.capture.notes}
    assert "unpacks to more than 1 MiB" in notes["bomb"]
    assert "packed more than 8 times" in notes["deep"]


def test_a_sparse_member_may_claim_any_size_and_is_not_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo("sparse")
    member.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"77777777777\0"
    header[148:156] = b"        "
    header[148:156] = f"{sum(header[:512]):06o}".encode() + b"\0 "
    (tmp_path / "s.tar").write_bytes(bytes(header) + bytes(1024))
    result = run([str(SEED), str(tmp_path / "s.tar")])
    assert any("sparse" in why for _, why in result.capture.notes)


def test_an_interrupt_and_a_reader_that_has_enough_are_no_tracebacks(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lab.ovn.audit.run", interrupted)
    assert main(["audit", "routes", str(SEED)]) == 130
    assert "virtlab: interrupted" in capfd.readouterr().err
    script = "from lab.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    command = f"{sys.executable} -c '{script}' audit routes {SEED} | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert not done.stderr
