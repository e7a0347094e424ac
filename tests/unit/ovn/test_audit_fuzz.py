"""Inputs spoilt at random: an answer or an error of ours, never anything else, and nothing written."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import UsageError
from lab.ovn.audit import Result, run
from lab.ovn.report import render
from tests.hostile import few
from tests.unit.ovn.nbworld import nbctl_json, ovsdb_file, tables
from tests.unit.ovn.routes_world import World
from tests.unit.ovn.test_must_gather import bugged, launcher, node, ovnkube_pod


def bases() -> dict[str, bytes]:
    world = bugged()
    objects = [launcher(world, n, a) for n, a in enumerate(a for a in world.vms if ":" not in a)]
    objects += [node(world, zone) for zone in range(world.size)] + [ovnkube_pod(world, 0)]
    text = world.inventory() + world.subnets() + "\n" + "\n".join(world.dump(z) for z in range(world.size))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for zone in range(world.size):
            data = ovsdb_file(tables(world, zone))
            member = tarfile.TarInfo(f"ovnkube-node-{zone:05d}_nbdb")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return {
        "text": text.encode(),
        "tables": nbctl_json(tables(world, 1)).encode(),
        "file": ovsdb_file(tables(world, 1)),
        "clustered": ovsdb_file(tables(world, 1), "CLUSTER"),
        "yaml": yaml.safe_dump({"apiVersion": "v1", "items": objects, "kind": "List"}).encode(),
        "json": json.dumps({"apiVersion": "v1", "items": objects, "kind": "List"}, indent=4).encode(),
        "gz": gzip.compress(text.encode()),
        "tar": packed.getvalue(),
    }


BASES = bases()
GOOD = "\n".join(World(3).dump(z) for z in range(3))
edits = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["cut", "put", "swap", "double", "end"]), st.binary(max_size=40)),
    max_size=6,
)


def spoilt(data: bytes, changes: list[tuple[float, str, bytes]]) -> bytes:
    for where, what, more in changes:
        at = int(where * len(data))
        span = 1 + len(more) * 7
        if what == "cut":
            data = data[:at] + data[at + span :]
        elif what == "put":
            data = data[:at] + more + data[at:]
        elif what == "swap":
            data = data[:at] + more + data[at + len(more) :]
        elif what == "double":
            data = data[: at + span * 9] + data[at:]
        else:
            data = data[:at]
    return data


def answer(paths: list[Path]) -> Result | str:
    """The result, or the error of ours that says what is wrong."""
    try:
        return run([str(path) for path in paths])
    except UsageError as error:
        return str(error)


@few(150)
@given(st.sampled_from(sorted(BASES)), edits)
def test_nothing_spoilt_ends_in_anything_but_an_answer(
    tmp_path: Path, base: str, changes: list[tuple[float, str, bytes]]
) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    (folder / "good").write_text(GOOD)
    (folder / "spoilt").write_bytes(spoilt(BASES[base], changes))
    for paths in ([folder / "spoilt"], [folder / "good", folder / "spoilt"]):
        result = answer(paths)
        assert len(paths) == 1 or not isinstance(result, str)
        for form in ("table", "json", "markdown") if not isinstance(result, str) else ():
            assert "\x1b" not in "".join(render(result, form))
    assert sorted(p.name for p in folder.iterdir()) == ["good", "spoilt"]
