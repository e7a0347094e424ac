"""The command line of a guest, word by word, and what a VMI turns into."""

from pathlib import Path
from typing import Any

import pytest

from lab.embedded.errors import LabError
from lab.embedded.node.domain import (
    APPEND,
    Domain,
    Host,
    Nic,
    Sockets,
    disks_of,
    domain_of,
    memory_of,
    qemu_argv,
    targets,
)

MAC = "02:00:00:20:24:11"


def vmi(**domain: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "vm", "namespace": "demo", "uid": "11111111-1111-4111-8111-111111111111"},
        "spec": {
            "domain": {
                "memory": {"guest": "128Mi"},
                "devices": {
                    "disks": [{"name": "root", "disk": {"bus": "virtio"}}],
                    "interfaces": [{"name": "vlan2024", "bridge": {}, "macAddress": MAC.upper()}],
                },
                **domain,
            },
            "networks": [{"name": "vlan2024", "multus": {"networkName": "default/vlan-2024"}}],
            "volumes": [
                {"name": "seed", "cloudInitNoCloud": {"userData": "#"}},
                {"name": "root", "containerDisk": {"image": "quay.io/x/fedora"}},
            ],
        },
    }


def test_the_whole_command_line() -> None:
    domain = domain_of(vmi(), {})
    host = Host(Path("/k"), Path("/i"), data_dirs=("/share",))
    argv = qemu_argv(domain, host, Sockets(3, 4, 5), {"seed": Path("/s,1.img")}, incoming=True)
    assert argv == [
        "qemu-system-x86_64", "-name", "guest=demo_vm,debug-threads=off",
        "-uuid", "11111111-1111-4111-8111-111111111111", "-L", "/share",
        "-accel", "tcg,tb-size=64", "-cpu", "max", "-machine", "pc", "-nodefaults", "-no-user-config",
        "-display", "none", "-m", "size=128M", "-smp", "1,maxcpus=2",
        "-kernel", "/k", "-initrd", "/i", "-append", APPEND,
        "-chardev", "socket,id=monitor,fd=3,server=on,wait=off", "-mon", "chardev=monitor,mode=control",
        "-chardev", "socket,id=serial0,fd=4,server=on,wait=off", "-serial", "chardev:serial0",
        "-device", "virtio-serial-pci,id=virtio-serial0",
        "-chardev", "socket,id=channel0,fd=5,server=on,wait=off",
        "-device", "virtserialport,bus=virtio-serial0.0,nr=1,chardev=channel0,id=agent,name=org.qemu.guest_agent.0",
        "-blockdev", "driver=null-co,node-name=disk0,size=67108864,read-zeroes=on,read-only=on",
        "-device", "virtio-blk-pci,drive=disk0,id=ua-disk0,serial=root",
        "-blockdev", "driver=raw,node-name=disk1,read-only=on,file.driver=file,file.filename=/s,,1.img",
        "-device", "virtio-blk-pci,drive=disk1,id=ua-disk1,serial=seed",
        "-netdev", "tap,id=net0,ifname=tapcc4dd54e40a,script=no,downscript=no",
        "-device", "virtio-net-pci,netdev=net0,id=nic0,mac=02:00:00:20:24:11,csum=off,gso=off,guest_csum=off,"
        "guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,guest_announce=off,romfile=",
        "-incoming", "defer",
    ]  # fmt: skip


def test_both_ends_differ_in_incoming_only() -> None:
    domain, host = domain_of(vmi(), {}), Host(Path("/k"), Path("/i"))
    files = {"seed": Path("/s")}
    there = qemu_argv(domain, host, Sockets(3, 4, 5), files, incoming=True)
    assert there[:-2] == qemu_argv(domain, host, Sockets(3, 4, 5), files, incoming=False)


@pytest.mark.parametrize(
    ("spec_mac", "status_mac", "pod_mac", "wanted"),
    [
        ("02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03", "02:00:00:00:00:01"),
        (None, "02:00:00:00:00:02", "02:00:00:00:00:03", "02:00:00:00:00:02"),
        (None, None, "02:00:00:00:00:03", "02:00:00:00:00:03"),
    ],
)
def test_whose_mac(spec_mac: str | None, status_mac: str | None, pod_mac: str, wanted: str) -> None:
    given = vmi()
    interface = given["spec"]["domain"]["devices"]["interfaces"][0]
    interface.pop("macAddress")
    if spec_mac:
        interface["macAddress"] = spec_mac
    if status_mac:
        given["status"] = {"interfaces": [{"name": "vlan2024", "mac": status_mac}]}
    assert domain_of(given, {"podcc4dd54e40a": pod_mac}).nics == (Nic("vlan2024", "podcc4dd54e40a", wanted, "bridge"),)


def test_pod_network_is_eth0() -> None:
    given = vmi()
    given["spec"]["domain"]["devices"]["interfaces"].append({"name": "default", "masquerade": {}})
    given["spec"]["networks"].append({"name": "default", "pod": {}})
    nic = domain_of(given, {"eth0": "0a:58:0a:80:02:0e"}).nics[1]
    assert (nic.pod_if, nic.tap, nic.bridge, nic.pod_network) == ("eth0", "tap0", "k6t-eth0", True)


def test_interface_without_network_says_what_there_is() -> None:
    given = vmi()
    given["spec"]["networks"] = []
    with pytest.raises(LabError, match=r"wanted a network for interface 'vlan2024': networks \[\]"):
        domain_of(given, {})


def test_sriov_is_refused_by_name() -> None:
    given = vmi()
    given["spec"]["domain"]["devices"]["interfaces"][0] = {"name": "vlan2024", "sriov": {}, "macAddress": MAC}
    with pytest.raises(LabError, match="sriov"):
        domain_of(given, {})


def test_absent_interface_is_left_out_and_down_is_down() -> None:
    given = vmi()
    given["spec"]["domain"]["devices"]["interfaces"][0]["state"] = "absent"
    assert domain_of(given, {}).nics == ()
    given["spec"]["domain"]["devices"]["interfaces"][0]["state"] = "down"
    assert not domain_of(given, {}).nics[0].up


def test_disks_named_first_then_the_rest() -> None:
    assert [(disk.name, disk.kind) for disk in disks_of(vmi())] == [("root", "image"), ("seed", "cloudinit")]
    assert targets(disks_of(vmi())) == [{"name": "root", "target": "vda"}, {"name": "seed", "target": "vdb"}]


def test_memory() -> None:
    assert memory_of(vmi()) == 128 * 2**20
    assert memory_of(vmi(memory={}, resources={"requests": {"memory": "1Gi"}})) == 2**30
    assert domain_of(vmi(memory={"guest": "16Mi"}), {}).memory_mib == 64


def test_one_processor_under_kvm_needs_no_second() -> None:
    host = Host(Path("/k"), Path("/i"), accel="kvm")
    argv = qemu_argv(domain_of(vmi(), {}), host, Sockets(3, 4, 5), {"seed": Path("/s")}, incoming=False)
    assert argv[argv.index("-smp") + 1] == "1,sockets=1,cores=1,threads=1"
    assert argv[argv.index("-cpu") + 1] == "host"


def test_topology() -> None:
    domain: Domain = domain_of(vmi(cpu={"cores": 2, "sockets": 2}), {})
    argv = qemu_argv(domain, Host(Path("/k"), Path("/i")), Sockets(3, 4, 5), {"seed": Path("/s")}, incoming=False)
    assert argv[argv.index("-smp") + 1] == "4,sockets=2,cores=2,threads=1"
