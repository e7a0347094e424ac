"""What traffic must show to pass, what turns each sentence red, and what the record keeps of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lab.core.errors import Inconclusive, ProductFailure
from lab.diagnosis import traffic as judge
from lab.evidence.measured import answers, document
from lab.kubevirt.interfaces import GuestInterface, VmiState
from lab.kubevirt.migration import Migration
from lab.kubevirt.timeline import Timeline
from lab.probes.clocks import Stretch
from lab.probes.series import Frame, Series, series
from lab.target.inventory import Segment
from lab.topology.scene import GuestVm
from lab.topology.traffic import Addresses, Measurement

LINE = Timeline(
    (("pending", 100.0), ("scheduling", 100.1), ("pre-copy", 100.5), ("switch-over", 102.0), ("done", 102.2))
)
MOVED = Migration("vm-a-x", "worker-1", "worker-2", 2.2, LINE)
SEGMENT = Segment("VLAN 2024", "192.168.24.1", "192.168.24.0/24", ("192.168.24.20", "192.168.24.99"))
MAC = "02:00:00:20:24:10"
GUEST = GuestVm("vm-a", "demo", SEGMENT, MAC, ("192.168.24.20",), ["worker-1", "worker-2"])
OWN = {"eth0": (MAC, ("192.168.24.20/24",))}


def pings(missing: range, *, kind: str = "ping", **more: Any) -> Series:
    frame = Frame(kind, "gateway-2024", "vm-a", 10, 99.0, 104.0, sent=500)
    seqs = [n for n in range(500) if n not in missing]
    return replace(series(frame, seqs, [99 + n / 100 for n in seqs], [1.5] * len(seqs)), **more)


@dataclass
class Seen:
    """As much of Traffic as a judgement looks at."""

    latest: list[Any] = field(default_factory=list)
    addresses: dict[str, Addresses] = field(default_factory=dict)

    @property
    def measurements(self) -> list[Any]:
        return self.latest


def seen(*found: Series) -> Any:
    stretch = Stretch(99.0, 104.0, -0.1, 0.004)
    return Seen([Measurement(n + 1, MOVED, (one,), {"vm-a": (stretch,)}, {}) for n, one in enumerate(found)])


def test_a_gap_under_the_limit_passes_and_one_over_it_names_probe_phase_and_numbers() -> None:
    judge.longest_gap(seen(pings(range(280, 310))), 301)
    with pytest.raises(ProductFailure) as failed:
        judge.longest_gap(seen(pings(range(0)), pings(range(280, 310))), 299)
    said = str(failed.value)
    assert "no gap over 299 ms" in said
    assert "repeat 2: ping gateway-2024 -> vm-a" in said
    assert "500 sent, 30 lost, longest gap 300 ms" in said
    assert "at the switch-over" in said
    assert "repeat 1" not in said


def test_what_lies_within_a_clock_s_error_is_inconclusive() -> None:
    unsure = pings(range(280, 310), gap_error_ms=20.0, remarks=("vm-a: clock stood still for 180 ms (± 20)",))
    with pytest.raises(Inconclusive, match="stood still"):
        judge.longest_gap(seen(unsure), 290)
    with pytest.raises(ProductFailure):
        judge.longest_gap(seen(unsure), 270)


def test_silence_that_never_ends_is_a_gap() -> None:
    with pytest.raises(ProductFailure, match="up to the end"):
        judge.longest_gap(seen(pings(range(200, 500))), 1000)


def test_without_such_a_flow_there_is_no_verdict() -> None:
    with pytest.raises(Inconclusive, match="declare such a flow"):
        judge.longest_gap(seen(pings(range(0), kind="tcp")), 1000)
    with pytest.raises(Inconclusive, match="by ssh"):
        judge.survived(seen(pings(range(0))), "SSH")


def test_a_session_that_broke_says_in_which_phase() -> None:
    judge.survived(seen(pings(range(280, 420), kind="tcp")), "TCP")
    with pytest.raises(ProductFailure, match=r"broke in phase switch-over, at 1970-01-01T00:01:42\.1"):
        judge.survived(seen(pings(range(0), kind="tcp", broke="the other side closed it", broke_at=102.1)), "TCP")
    with pytest.raises(ProductFailure, match="silent from phase pre-copy to the end, for 3000 ms"):
        judge.survived(seen(pings(range(200, 500), kind="ssh")), "SSH")


def vmi(mac: str = MAC, node: str = "worker-2", phase: str = "Running") -> VmiState:
    return VmiState("vm-a", "demo", "1", phase, node, (GuestInterface("default", mac),))


def test_a_guest_that_kept_its_addresses_says_so_itself() -> None:
    traffic = seen()
    with pytest.raises(Inconclusive, match="nothing was read"):
        judge.kept_address(traffic, GUEST, vmi())
    traffic.addresses["vm-a"] = Addresses(dict(OWN), dict(OWN))
    judge.kept_address(traffic, GUEST, vmi())
    with pytest.raises(ProductFailure, match="reported with the MAC address '02:de"):
        judge.kept_address(traffic, GUEST, vmi("02:de:ad:00:00:01"))
    traffic.addresses["vm-a"].after = {"eth0": (MAC, ("192.168.24.77/24",))}
    with pytest.raises(ProductFailure, match=r"no longer has 192\.168\.24\.20"):
        judge.kept_address(traffic, GUEST, vmi())


def test_where_a_vm_is_after_a_cancelled_migration_and_after_a_drain() -> None:
    judge.stayed(GUEST, vmi())
    with pytest.raises(ProductFailure, match="Running on worker-2"):
        judge.stayed(GUEST, vmi(node="worker-3"))
    judge.left(GUEST, vmi())
    with pytest.raises(ProductFailure, match="elsewhere than on worker-1"):
        judge.left(GUEST, vmi(node="worker-1"))
    with pytest.raises(ProductFailure, match="Failed"):
        judge.left(GUEST, vmi(phase="Failed"))


def test_the_record_keeps_every_number_and_every_answer() -> None:
    body = document(seen(pings(range(280, 310)), pings(range(280, 300))))
    assert json.loads(json.dumps(body)) == body
    assert body["longest_gap_ms"] == {
        "ping gateway-2024 -> vm-a": {"count": 2, "p50": 200.0, "p90": 300.0, "p99": 300.0, "p100": 300.0}
    }
    first = body["measurements"][0]
    assert [p["phase"] for p in first["phases"]] == ["pending", "scheduling", "pre-copy", "switch-over", "done"]
    assert first["clocks"]["vm-a"][0] | {"from": "", "to": ""} == {
        "from": "",
        "to": "",
        "ahead_ms": -100.0,
        "error_ms": 4.0,
    }
    (found,) = first["series"]
    assert found["gaps"] == [{"at_ms": 2800.0, "ms": 300.0, "lost": 30, "open": False, "phase": "at the switch-over"}]
    assert found["lost"] == 30
    text = found["answers"].split()
    assert (len(text), text[0], text[-1]) == (470, "0@0.00+1.50", "499@4990.00+1.50")
    assert answers(pings(range(500))) == ""
