"""A must-gather as ``oc adm must-gather`` makes it: databases two archives deep, objects as YAML, gigabytes of logs."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import yaml

from lab.ovn.audit import run
from tests.unit.ovn.nbworld import nbctl_json, ovsdb_file, record, tables
from tests.unit.ovn.routes_world import World

TOP = "must-gather.local.123/quay-io-openshift-sha256-abc"


def bugged() -> World:
    """One VM moved twice by a faulty version, one at home, one moved once."""
    world = World(4, dual=True, bug=True)
    for owner, path in ((0, (1, 2)), (1, ()), (2, (3,))):
        for address in world.start(owner, owner):
            for target in path:
                world.migrate(address, target)
    return world


def ovnkube_pod(world: World, zone: int) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"ovnkube-node-{zone:05d}", "namespace": "openshift-ovn-kubernetes"},
        "spec": {"hostNetwork": True, "nodeName": world.name(zone)},
        "status": {"phase": "Running"},
    }


def launcher(world: World, index: int, address: str) -> dict[str, object]:
    node = world.name(world.vms[address][1])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"virt-launcher-vm{index}-abcde",
            "namespace": "vms",
            "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/nodeName": node},
            "annotations": {
                "kubevirt.io/domain": f"vm{index}",
                "k8s.ovn.org/pod-networks": f'{{"default":{{"ip_addresses":["{address}/21"]}}}}',
            },
        },
        "spec": {"nodeName": node, "hostNetwork": False},
        "status": {"phase": "Running", "podIP": address},
    }


def node(world: World, zone: int) -> dict[str, object]:
    subnets = ", ".join(f'"{world.subnet(zone, family)}"' for family in world.families())
    notes = {
        "k8s.ovn.org/node-subnets": f'{{"default":[{subnets}]}}',
        "k8s.ovn.org/node-transit-switch-port-ifaddr": f'{{"ipv4":"{world.transit(zone, 4)}/16"}}',
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": world.name(zone), "annotations": notes}}


def listed(items: list[dict[str, object]]) -> bytes:
    """As ``oc adm inspect`` writes a list."""
    text = "---\n" + yaml.safe_dump({"apiVersion": "v1", "items": items, "kind": "PodList"}, sort_keys=True)
    return text.encode()


def packed(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def gathered(world: World, databases: bool = True) -> dict[str, bytes]:
    store = {}
    for zone in range(world.size):
        name = f"ovnk_database_store/ovnkube-node-{zone:05d}"
        store[f"{name}_nbdb"] = ovsdb_file(tables(world, zone, pods=False))
        store[f"{name}_sbdb"] = record({"name": "OVN_Southbound", "tables": {}})
    pods = [ovnkube_pod(world, zone) for zone in range(world.size)]
    launchers = [launcher(world, i, a) for i, a in enumerate(a for a in world.vms if ":" not in a)]
    core = f"{TOP}/namespaces/openshift-ovn-kubernetes"
    files = {
        f"{core}/core/pods.yaml": listed(pods),
        f"{core}/core/configmaps.yaml": listed([{"kind": "ConfigMap", "metadata": {"name": "x"}}]),
        f"{core}/pods/ovnkube-node-00001/ovnkube-node-00001.yaml": yaml.safe_dump(pods[1]).encode(),
        f"{core}/pods/ovnkube-node-00001/nbdb/nbdb/logs/current.log": b"10.128.0.99 1.2.3.4 dst-ip\n" * 9,
        f"{TOP}/namespaces/vms/core/pods.yaml": listed(launchers),
        f"{TOP}/version": b"4.14.7\n",
    }
    for zone in range(world.size):
        files[f"{TOP}/cluster-scoped-resources/core/nodes/{world.name(zone)}.yaml"] = yaml.safe_dump(
            node(world, zone)
        ).encode()
    if databases:
        files[f"{TOP}/network_logs/ovnk_database_store.tar.gz"] = packed(store)
    return files


@pytest.mark.parametrize("form", ["folder", "tar.gz", "tar in tar"])
def test_a_must_gather_names_vms_nodes_and_stale_routes(tmp_path: Path, form: str) -> None:
    world = bugged()
    path = tmp_path / "gathered"
    files = gathered(world)
    if form == "folder":
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    else:
        data = packed(files)
        path.write_bytes(packed({"case/mg.tar.gz": data}, "w") if form == "tar in tar" else data)
    result = run([str(path)])
    assert {(f.kind, f.subject, tuple(f.zones)) for f in result.faults} == {
        ("ECMP_LOCAL_REMOTE", "10.128.0.10", ("worker-2",)),
        ("ECMP_REMOTE", "10.128.0.10", ("worker-0", "worker-3")),
        ("ECMP_LOCAL_REMOTE", "fd01:0:0:1::a", ("worker-2",)),
        ("ECMP_REMOTE", "fd01:0:0:1::a", ("worker-0", "worker-3")),
    }
    four = next(f for f in result.faults if f.subject == "10.128.0.10")
    assert (four.vm, four.runner, four.verified, four.owner) == ("vms/vm0", "worker-2", True, "worker-0")
    assert "ovnkube-node-00002" in four.remedies[0]
    assert all("_nbdb" in line.source for line in four.lines if line.role != "inventory")
    assert any(line.source.endswith("vms/core/pods.yaml") for line in four.lines if line.role == "inventory")
    assert [why for _, why in result.capture.notes if "log" in why] == ["1 log file of pods and hosts: not read"]
    assert len(result.capture.notes) == 1
    assert result.capture.elsewhere == world.size


def test_ports_in_a_database_say_where_a_vm_runs(tmp_path: Path) -> None:
    world = bugged()
    for zone in range(world.size):
        (tmp_path / f"{zone}_nbdb").write_bytes(ovsdb_file(tables(world, zone)))
    found = {f.subject: f for f in run([str(tmp_path)]).faults if f.kind == "ECMP_LOCAL_REMOTE"}
    assert {(f.vm, f.runner, f.verified) for f in found.values()} == {
        ("ns/vm0", "worker-2", True),
        ("ns/vm1", "worker-2", True),
    }


@pytest.mark.parametrize("form", ["json", "file", "clustered"])
def test_every_form_of_a_database_gives_the_same_findings(tmp_path: Path, form: str) -> None:
    world = bugged()
    write = {
        "json": lambda t: nbctl_json(t).encode(),
        "file": ovsdb_file,
        "clustered": lambda t: ovsdb_file(t, "CLUSTER"),
    }[form]
    (tmp_path / "text").write_text("\n".join(world.dump(z) for z in range(world.size)))
    (tmp_path / "db").mkdir()
    for zone in range(world.size):
        (tmp_path / "db" / str(zone)).write_bytes(write(tables(world, zone, pods=False)))
    text, other = run([str(tmp_path / "text")]), run([str(tmp_path / "db")])
    shapes = [[(f.kind, f.subject, sorted(f.broken.values())) for f in r.faults] for r in (text, other)]
    assert len(shapes[0]) == 4
    assert shapes[0] == shapes[1]
    assert {n.name for n in other.topology.by_zone.values()} == {world.name(z) for z in range(world.size)}


def test_a_must_gather_without_databases_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "mg").write_bytes(packed(gathered(bugged(), databases=False)))
    with pytest.raises(Exception, match=r"an inventory of 1[0-9] entries and no route"):
        run([str(tmp_path / "mg")])
