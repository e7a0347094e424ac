"""What traffic must show to pass, what turns each sentence red, and what the record keeps of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lab.core.errors import Inconclusive, ProductFailure, WaitHopeless
from lab.diagnosis import traffic as judge
from lab.evidence.measured import answers, document
from lab.evidence.record import RunRecord, ScenarioRecord
from lab.guest.busy import Written
from lab.kubevirt.interfaces import GuestInterface, VmiState
from lab.kubevirt.jobinfo import JobInfo
from lab.kubevirt.migration import Migration
from lab.kubevirt.timeline import Timeline
from lab.probes.clocks import Stretch
from lab.probes.series import Frame, Series, series
from lab.target.inventory import Segment
from lab.topology.disruption import Together
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
    with pytest.raises(ProductFailure, match="broke before it was asked for, at"):
        judge.survived(seen(pings(range(0), kind="tcp", broke="the other side closed it", broke_at=1.0)), "TCP")


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


def test_another_vm_under_the_same_name_neither_stayed_nor_left() -> None:
    old = replace(GUEST, uid="0")
    for judged in (judge.stayed, judge.left):
        judged(replace(GUEST, uid="1"), vmi())
        with pytest.raises(ProductFailure, match="another one is Running on worker-2 in its place"):
            judged(old, vmi())


def test_percentiles_are_apart_for_each_disturbance() -> None:
    found = seen(pings(range(280, 310)), pings(range(280, 300)), pings(range(280, 285)))
    found.latest = [
        replace(m, what=what) for m, what in zip(found.latest, ("moves", "moves", "is drained"), strict=True)
    ]
    title = "ping gateway-2024 -> vm-a"
    summary = [(r["disturbance"], r["longest_gap_ms"][title]) for r in document(found)["repeats"]]
    assert [(what, one["count"], one["p50"], one["p100"]) for what, one in summary] == [
        ("moves", 2, 200.0, 300.0),
        ("is drained", 1, 50.0, 50.0),
    ]


def test_each_disturbance_that_is_repeated_counts_for_the_flake_rate(tmp_path: Path) -> None:
    found = seen(pings(range(280, 310)), pings(range(280, 285)), pings(range(0)))
    with pytest.raises(ProductFailure):
        judge.longest_gap(found, 250)
    assert [one["verdict"] for one in document(found)["measurements"]] == ["failed", "passed", "passed"]
    scenario = ScenarioRecord("Moves", "f", "id", details={"traffic": document(found)})
    record = RunRecord("r1", tmp_path, scenarios=[scenario])
    assert record.repeats() == [
        {"feature": "f", "name": "Moves, ", "verdicts": {"failed": 1, "passed": 2}, "flake_rate": 0.3333}
    ]
    once = document(seen(pings(range(0))))
    assert RunRecord("r1", tmp_path, scenarios=[replace(scenario, details={"traffic": once})]).repeats() == []


def moved(seconds: float = 4.2, at: float = 100.0, **state: object) -> Migration:
    """A migration that was over after so many seconds."""
    line = Timeline(
        (("pending", at), ("pre-copy", at + 0.2), ("switch-over", at + seconds - 0.1), ("done", at + seconds))
    )
    account = {"migrationPolicyName": "demo", "mode": "PreCopy", "migrationConfiguration": {"allowAutoConverge": True}}
    return Migration("vm-a-x", "worker-1", "worker-2", seconds, line, {**account, **state})


def test_a_bandwidth_is_kept_by_qemus_figures_by_the_clock_and_by_a_policy() -> None:
    judge.sent_within(moved(), JobInfo(3900, 96, 2, 0), 24, "demo")
    with pytest.raises(ProductFailure, match=r"at no more than 24 MiB/s[\s\S]*QEMU sent 96 MiB in 1\.1 s"):
        judge.sent_within(moved(), JobInfo(1100, 96, 2, 0), 24, "demo")
    with pytest.raises(ProductFailure, match=r"over 1\.5 s after it was asked for, and 96 MiB were sent"):
        judge.sent_within(moved(1.5), JobInfo(3900, 96, 2, 0), 24, "demo")
    with pytest.raises(ProductFailure, match="no policy was used"):
        judge.sent_within(moved(migrationPolicyName=None), JobInfo(3900, 96, 2, 0), 24, "demo")


def test_how_a_migration_was_made_is_the_instances_word() -> None:
    judge.made_by(moved(), "PreCopy", {"allowAutoConverge": True}, "demo")
    with pytest.raises(ProductFailure, match="allowAutoConverge is False, not True"):
        judge.made_by(
            moved(migrationConfiguration={"allowAutoConverge": False}), "PreCopy", {"allowAutoConverge": True}, "demo"
        )
    with pytest.raises(ProductFailure, match="its mode is 'PreCopy'"):
        judge.made_by(moved(), "PostCopy", {}, "demo")


def test_a_policy_of_somebody_else_is_named_before_what_came_of_it() -> None:
    said = "found: the MigrationPolicy theirs was used, and not demo, which was made for this VM; "
    with pytest.raises(ProductFailure, match=f"{said}QEMU sent 96 MiB"):
        judge.sent_within(moved(migrationPolicyName="theirs"), JobInfo(1100, 96, 2, 0), 24, "demo")
    judge.sent_within(moved(migrationPolicyName="theirs"), JobInfo(3900, 96, 2, 0), 24, "demo")
    with pytest.raises(ProductFailure, match=f"{said}its mode is 'PreCopy'"):
        judge.made_by(moved(migrationPolicyName="theirs"), "PostCopy", {}, "demo")


def test_migrations_at_the_same_time_overlap() -> None:
    together = Together((moved(3.0, 100.0), replace(moved(3.0, 102.0), name="vm-b-x")))
    judge.at_the_same_time(together)
    assert (together.name, together.seconds) == ("vm-a-x and vm-b-x", 3.0)
    assert together.timeline.during(102.8, 102.95) == "at the switch-over"
    assert together.timeline.during(104.7, 104.95) == "at the switch-over"
    with pytest.raises(ProductFailure, match=r"at the same time[\s\S]*vm-b-x 1970-01-01T00:01:43\.2"):
        judge.at_the_same_time(Together((moved(3.0, 100.0), replace(moved(3.0, 103.0), name="vm-b-x"))))
    unseen = replace(moved(), timeline=Timeline((("pending", 100.0), ("done", 104.0))))
    with pytest.raises(Inconclusive, match="no pre-copy was seen"):
        judge.at_the_same_time(Together((moved(), unseen)))


def test_a_busy_guest_reads_what_it_wrote_and_goes_on() -> None:
    judge.kept_memory("vm-a", Written(7, 9, ""))
    with pytest.raises(ProductFailure, match=r"in round 8: a written differ: byte 4097"):
        judge.kept_memory("vm-a", Written(7, 7, "a written differ: byte 4097, line 13"))
    with pytest.raises(ProductFailure, match="stands still in round 8"):
        judge.kept_memory("vm-a", Written(7, 7, ""))
    with pytest.raises(Inconclusive, match="No space left"):
        judge.kept_memory("vm-a", Written(7, 7, "cp: write error: No space left on device"))


def test_workers_that_cannot_do_post_copy_are_told_from_a_migration_that_failed() -> None:
    def ended(reason: str) -> WaitHopeless:
        return WaitHopeless("vm-a-x", "it to be over", reason=reason, last="phase Failed", elapsed=1.0)

    command = "unable to execute QEMU command 'migrate-set-capabilities'"
    refused = ended(f"Live migration failed: {command}: Postcopy is not supported: Userfaultfd not available")
    assert judge.no_post_copy(refused) == "post-copy: Postcopy is not supported: Userfaultfd not available"
    assert judge.no_post_copy(ended("Live migration stuck for 150 seconds")) == ""


def test_the_record_keeps_every_number_and_every_answer() -> None:
    body = document(seen(pings(range(280, 310)), pings(range(280, 300))))
    assert json.loads(json.dumps(body)) == body
    assert body["longest_gap_ms"] == {
        "ping gateway-2024 -> vm-a": {"count": 2, "p50": 200.0, "p90": 300.0, "p99": 300.0, "p100": 300.0}
    }
    assert [one["disturbance"] for one in body["measurements"]] == ["", ""]
    assert body["repeats"] == [{"disturbance": "", "longest_gap_ms": body["longest_gap_ms"]}]
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
