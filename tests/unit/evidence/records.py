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


def path() -> dict[str, Any]:
    """A walk that ends in OVN."""
    lines = (
        "VM vm-a on VLAN 2024 -> gateway 192.168.24.1",
        "     worker-2: tap tap0: 3 out, 0 back",
        "LOST worker-2: OVN",
    )
    return _fact(facts.Path("vm-a", "192.168.24.1", "VLAN 2024", lines, "worker-2", "ovn"))


def migration(number: int = 0) -> dict[str, Any]:
    """A migration with its phases."""
    names, moments = ("pending", "scheduling", "pre-copy", "switch-over", "done"), (0, 0.1, 0.7, 1.3, 1.9)
    phases = tuple(facts.Phase(name, at) for name, at in zip(names, moments, strict=True))
    return _fact(facts.Migration("vm-a", f"vm-a-x{number}", "worker-1", "worker-2", 1.9, phases), 3)


def measured(made: ScenarioRecord, number: int = 0, silence_ms: float = 180.0) -> None:
    """Add a migration with a ping across it, 10 ms apart, that is silent at the switch-over."""
    rng = random.Random(number)
    cut = 2.2 + rng.random() / 5
    moments = [n / 100 for n in range(400)]
    answers = [(n, at) for n, at in enumerate(moments) if not cut <= at < cut + silence_ms / 1000]
    series = {
        "kind": "ping",
        "place": "gateway-2024",
        "target": "vm-a",
        "interval_ms": 10,
        "began": stamp(59),
        "seconds": 4.0,
        "sent": 400,
        "received": len(answers),
        "lost": 400 - len(answers),
        "longest_gap_ms": silence_ms,
        "gaps": [
            {
                "at_ms": round(cut * 1000, 2),
                "ms": silence_ms,
                "lost": 400 - len(answers),
                "open": False,
                "phase": "done",
            }
        ],
        "remarks": [],
        "broke": "",
        "answers": " ".join(f"{n}@{at * 1000:.2f}+{0.3 + rng.random():.2f}" for n, at in answers),
    }
    phases = [{"phase": p["name"], "began": stamp(60 + p["at_s"])} for p in migration()["phases"]]
    document = {"number": number + 1, "name": f"vm-a-x{number}", "seconds": 1.9, "phases": phases, "series": [series]}
    made.facts.append(migration(number))
    made.details.setdefault("traffic", {"measurements": []})["measurements"].append(document)


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


def large(folder: Path, scenarios: int = 500, migrations: int = 100, *, busy: bool = False) -> RunRecord:
    """A run of the size that reports are made for."""
    cycle = ["passed"] * 9 + ["failed"]
    made = record(folder, *(cycle[n % 10] for n in range(scenarios)))
    for number in range(migrations):
        measured(made.scenarios[number], number, 150 + number)
        if busy:
            _as_busy(made.scenarios[number].details["traffic"]["measurements"][0])
    return made


def _as_busy(measurement: dict[str, Any]) -> None:
    """Five probes, each with the late answers of a busy machine: what a real migration under traffic records there."""
    first = measurement["series"][0]
    late = [
        {"at_ms": float(n * 12), "ms": 11.0 + n % 17, "lost": 0, "open": False, "phase": "pre-copy"} for n in range(320)
    ]
    measurement["series"] = [{**first, "target": f"vm-{letter}", "gaps": [*late, *first["gaps"]]} for letter in "abcde"]
