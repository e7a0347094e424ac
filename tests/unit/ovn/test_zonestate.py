"""What a zone says of itself, in the tools' own words."""

from __future__ import annotations

import json

import pytest

from lab.ovn.zonestate import ARGV, MARK, Tunnel, read_zone

INTERFACES = [
    [
        "ovn-000000-0",
        "geneve",
        ["map", []],
        ["map", [["local_ip", "192.168.53.11"], ["remote_ip", "192.168.53.12"]]],
        3,
    ],
    ["veth1", "", ["map", [["iface-id", "demo_pod-a"], ["ovn-installed", "true"]]], ["map", []], 7],
    ["veth2", "", ["map", [["iface-id", "demo_pod-b"]]], ["map", []], 8],
    ["br-int", "internal", ["map", []], ["map", []], 65534],
]
BINDINGS = [
    ["demo_pod-a", ["uuid", "d1eba7d9"], ""],
    ["demo_pod-b", ["set", []], ""],
    ["tstor-worker-2", ["uuid", "aa02cb54"], "remote"],
]
COUNTERS = """OFPST_PORT reply (xid=0x2): 3 ports
  port LOCAL: rx pkts=0, bytes=0, drop=0, errs=0, frame=0, over=0, crc=0
           tx pkts=0, bytes=0, drop=0, errs=0, coll=0
  port  3: rx pkts=18, bytes=1764, drop=?, errs=?, frame=?, over=?, crc=?
           tx pkts=69, bytes=8774, drop=?, errs=?, coll=?
"""


def table(headings: str, rows: list[list[object]]) -> str:
    return json.dumps({"headings": headings.split(","), "data": rows})


def output(**parts: str) -> str:
    given = {
        "northd": "Status: active",
        "controller": "connected",
        "bindings": table("logical_port,chassis,type", BINDINGS),
        "interfaces": table("name,type,external_ids,options,ofport", INTERFACES),
        "nat": table("type,external_ip,logical_ip", [["snat", "192.168.53.201", "10.128.0.0/14"]]),
        "encap": '"192.168.53.11"',
        "counters": COUNTERS,
        **parts,
    }
    return "".join(f"{MARK}{name}\n{text}\n" for name, text in given.items())


def test_a_zone_that_works() -> None:
    zone = read_zone("worker-1", output())
    assert (zone.northd, zone.controller) == ("", "")
    assert zone.bound == {"demo_pod-a": True, "demo_pod-b": False, "tstor-worker-2": True}
    assert zone.plugged == {"demo_pod-a": "veth1", "demo_pod-b": "veth2"}
    assert zone.installed == {"demo_pod-a"}
    assert zone.snat == ("10.128.0.0/14",)
    assert zone.encaps == ("192.168.53.11",)
    assert zone.tunnels == (Tunnel("ovn-000000-0", "192.168.53.12", 18, 69),)
    other = read_zone("worker-2", output(encap='"192.168.53.12"'))
    assert zone.to(other) == zone.tunnels[0]
    assert zone.to(zone) is None


def test_counters_by_the_names_of_ports() -> None:
    named = COUNTERS.replace("port  3:", 'port  "ovn-000000-0":')
    assert read_zone("worker-1", output(counters=named)).tunnels[0].sent == 69


@pytest.mark.parametrize(
    ("northd", "wrong"),
    [
        ("Status: standby", ""),
        ("Status: paused", "it is paused"),
        (
            'ovn-appctl: cannot connect to "/run/ovn/ovn-northd.41.ctl" (Connection refused)',
            'ovn-appctl: cannot connect to "/run/ovn/ovn-northd.41.ctl" (Connection refused)',
        ),
        ("", "it says nothing"),
    ],
)
def test_a_daemon_that_does_not_work(northd: str, wrong: str) -> None:
    assert read_zone("worker-1", output(northd=northd)).northd == wrong
    assert read_zone("worker-1", output(controller="not connected")).controller == "not connected"


def test_an_answer_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"wanted a table, found 'ovn-sbctl: .*no such file"):
        read_zone("worker-1", output(bindings="ovn-sbctl: unix:/run/ovn/ovnsb_db.sock: no such file"))
    with pytest.raises(ValueError, match="nothing of northd, controller"):
        read_zone("worker-1", "sh: not found")


def test_one_exec_reads_it_all_and_writes_nothing() -> None:
    assert ARGV[:2] == ("sh", "-c")
    assert not [word for word in (" set ", " add ", " sync", "del-", "mod-") if word in ARGV[2]]
