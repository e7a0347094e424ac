"""Records for tests: of any size, with what real ones have, and with hostile text in every place a guest can reach."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from lab.core import facts
from lab.evidence.record import RunRecord, ScenarioRecord, StepRecord

HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=2">\x1b[31m\u202e\'"&'
SEGMENTS = [
    {"name": "VLAN 2024", "vlan": 2024, "gateway": "192.168.24.1", "subnet": "192.168.24.0/24", "outside": "gateway"},
    {"name": "VLAN 1993", "vlan": 1993, "gateway": "192.168.93.1", "subnet": "192.168.93.0/24", "outside": "gw-1993"},
]
START = 1790000000


def stamp(second: float) -> str:
    """A time of the tests' day."""
    return f"2026-09-21T{int(second) // 3600 % 24:02d}:{int(second) // 60 % 60:02d}:{second % 60:06.3f}Z"


def picture(node_without_mapping: str = "", vm: str = "vm-a") -> dict[str, Any]:
    """Three workers as the documented policy makes them; one of them may have lost its mapping."""
    return {
        "taken": stamp(60),
        "left_out": 0,
        "segments": SEGMENTS,
        "workers": [
            worker(f"worker-{n}", f"worker-{n}" != node_without_mapping, vm if n == 2 else "") for n in (1, 2, 3)
        ],
    }


def worker(name: str, mapped: bool, vm: str) -> dict[str, Any]:
    """One worker: two NICs in a bond in an OVS bridge, and the machine network's NIC."""
    up = {"state": "up", "ports": []}
    links = [
        {"name": "ens3", "type": "ethernet", "controller": "", **up},
        {"name": "enp7s0f0", "type": "ethernet", "controller": "bond2", **up},
        {"name": "enp7s0f1", "type": "ethernet", "controller": "bond2", **up},
        {"name": "bond2", "type": "bond", "controller": "ovs-br1", "state": "up", "ports": ["enp7s0f0", "enp7s0f1"]},
        {"name": "ovs-br1", "type": "ovs-bridge", "controller": "", "state": "up", "ports": ["bond2"]},
    ]
    patch = "patch-vlan-2024_ovn_localnet_port-to-br-int"
    return {
        "name": name,
        "links": links,
        "mappings": {"vlan-2024": "ovs-br1", "vlan-1993": "ovs-br1"} if mapped else {"vlan-1993": "ovs-br1"},
        "ports": [
            {
                "name": "bond2",
                "bridge": "ovs-br1",
                "stp": "forwarding",
                "tag": None,
                "trunks": [1993, 2024],
                "interfaces": ["enp7s0f0", "enp7s0f1"],
                "up": True,
            },
            {
                "name": patch,
                "bridge": "ovs-br1",
                "stp": "forwarding",
                "tag": None,
                "trunks": [],
                "interfaces": [patch],
                "up": True,
            },
        ],
        "vms": [{"name": vm, "segment": "VLAN 2024", "addresses": ["192.168.24.20"]}] if vm else [],
        "trouble": "",
    }


def check(held: bool = True, vm: str = "vm-a") -> dict[str, Any]:
    """A ping of the gateway, from worker-2."""
    output = f"PING 192.168.24.1: 56 data bytes\n5 packets transmitted, {5 if held else 0} packets received"
    return _fact(
        facts.Check(
            vm,
            "worker-2",
            "gateway 192.168.24.1",
            "192.168.24.1",
            "VLAN 2024",
            ("worker-2",),
            "answer",
            "reached" if held else "not reached",
            held,
            f"{5 if held else 0} of 5 came back",
            5,
            5 if held else 0,
            "ping -c 5 -W 1 192.168.24.1",
            output,
        )
    )


def cause(text: str = "", node: str = "worker-2", part: str = "mapping") -> dict[str, Any]:
    """A missing mapping, as diagnosis tells it."""
    witnesses = tuple(
        {
            "node": f"worker-{n}",
            "gateway": f"worker-{n}" != node,
            "peers": {},
            "bridge": "ovs-br1",
            "reported": "ovs-br1",
            "patch": True,
            "dark": [],
            "uplink": [],
            "trouble": "",
        }
        for n in (1, 2, 3)
    )
    said = text or f"{node} has no OVN bridge mapping for vlan-2024 (VLAN 2024) in its Open vSwitch"
    return _fact(facts.Cause(said, "VLAN 2024", "192.168.24.1", (node or "worker-2",), node, part, witnesses))


def migration(seed: int = 0, silence_ms: float = 180.0) -> dict[str, Any]:
    """A migration with a ping across it: 10 ms apart, silent at the switch-over."""
    rng = random.Random(seed)
    cut = 1.2 + rng.random() / 5
    samples = tuple(
        (
            round(at / 100 - 1, 2),
            -1.0 if cut <= at / 100 - 1 < cut + silence_ms / 1000 else round(0.3 + rng.random(), 2),
        )
        for at in range(0, 400, 4)
    )
    lost = int(silence_ms / 10)
    probe = facts.Probe(
        "ping gateway-2024 -> vm-a",
        "ping",
        10,
        -1.0,
        3.0,
        400,
        400 - lost,
        (facts.Silence(round(cut, 3), silence_ms, lost),) if silence_ms else (),
        samples,
        (),
        1000,
    )
    names = ("Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded")
    phases = tuple(
        facts.Phase(name, round(at, 2)) for name, at in zip(names, (0, 0.1, 0.6, 0.7, 0.9, 1.0, 1.9), strict=True)
    )
    return _fact(facts.Migration("vm-a", "vm-a-x1", "worker-1", "worker-2", 1.9, phases, (probe,)), 3)


def routes() -> dict[str, Any]:
    """An audit with one VM whose traffic is shared with a stale route."""
    finding = {
        "rule": "R1",
        "class": "ECMP_LOCAL_REMOTE",
        "severity": "CRITICAL",
        "subject": "10.131.9.28",
        "subjects": [],
        "vm": "vm-a",
        "owner": "",
        "runner": "worker-1",
        "runner_verified": True,
        "zones": ["worker-1"],
        "summary": "a local route and a route to another zone share the traffic",
        "broken_percent": {"worker-1": 50},
        "effects": ["a client in worker-1: 50 % of its flows never arrive"],
        "lines": [],
        "remedies": ["ovn-nbctl ..."],
    }
    zones = [{"node": f"worker-{n}", "routes": 9, "subnets": [f"10.13{n}.0.0/16"]} for n in (1, 2, 3)]
    vms = tuple(
        {"vm": f"vm-{c}", "address": a, "node": "worker-1"} for c, a in (("a", "10.131.9.28"), ("b", "10.131.9.29"))
    )
    document = {"schema": 1, "verdict": "findings", "zones": zones, "findings": [finding], "counts": {"CRITICAL": 1}}
    return _fact(facts.Routes(document, vms), 2)


def _fact(fact: Any, step: int = 2) -> dict[str, Any]:
    return facts.document(fact) | {"step": step, "at": stamp(62)}


def scenario(number: int, verdict: str = "passed", **fields: Any) -> ScenarioRecord:
    """One scenario with three steps; the last one is the one that did not pass."""
    bad = verdict not in {"", "passed", "skipped"}
    reason = {
        "failed": "wanted: VM vm-a on worker-2 to reach gateway 192.168.24.1 on VLAN 2024\nfound: no answer",
        "broken": "wanted: an answer of the API server\nfound: connection refused\ntry: virtlab up",
        "inconclusive": "wanted: an answer\nfound: garbage",
        "skipped": "needs workers>=9, found 3: worker-1, worker-2, worker-3",
    }.get(verdict, "")
    steps = [
        StepRecord("Given", "the policy ovs-br1-vlan-trunk", "passed", stamp(number * 9), 0.5, notes=["policy: ok"]),
        StepRecord("And", "a VM vm-a on VLAN 2024", "passed", stamp(number * 9 + 1), 0.2),
        StepRecord(
            "Then",
            "vm-a reaches its gateway",
            verdict if bad else "passed",
            stamp(number * 9 + 2),
            3.1,
            message=reason if bad else "",
            notes=["VM demo/vm-a: Running on worker-2 (0.7 s)"],
        ),
    ]
    if verdict in {"", "skipped"}:
        steps = [StepRecord(s.keyword, s.name) for s in steps]
    made = ScenarioRecord(
        f"Scenario {number} of the tests",
        "localnet",
        f"features/localnet/test_localnet.py::test_{number}",
        ["localnet", "issue:12"],
        verdict,
        reason,
        started=stamp(number * 9),
        ended=stamp(number * 9 + 8) if verdict else "",
        seconds=4.2,
        steps=steps,
    )
    if verdict == "failed":
        made.facts = [check(False), cause()]
        made.advice = "virtlab fault list; ovs-vsctl get Open_vSwitch . external_ids on worker-2"
        made.picture, made.evidence = "bad", "evidence/02"
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def record(folder: Path, *verdicts: str, run_id: str = "20260921-101500-test") -> RunRecord:
    """A finished run of scenarios with these verdicts."""
    made = RunRecord(run_id, folder, started=stamp(0))
    made.target = {"name": "embedded", "file": "targets/embedded.yaml", "workers": "3 of 3 schedulable"}
    made.versions = {"virtlab": "0.1.0", "kubernetes": "v1.32.4", "OVN": "24.03.2", "Open vSwitch": "3.3.0"}
    made.pictures = {"localnet": picture(), "bad": picture("worker-2")}
    made.scenarios = [scenario(n, verdict) for n, verdict in enumerate(verdicts)]
    made.state, made.exit_code, made.ended = "finished", int("failed" in verdicts), stamp(600)
    return made


def large(folder: Path, scenarios: int = 500, migrations: int = 100) -> RunRecord:
    """A run of the size that reports are made for."""
    cycle = ["passed"] * 9 + ["failed"]
    made = record(folder, *(cycle[n % 10] for n in range(scenarios)))
    for number in range(migrations):
        made.scenarios[number].facts.append(migration(number, 150 + number))
    return made
