"""The reports drawn from a record: they agree with it, say what matters first, and what a guest printed stays text."""

from __future__ import annotations

import errno
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from lab.core.errors import UsageError
from lab.evidence import reading
from lab.evidence.record import RunRecord
from reports import allure, html, junit, markdown, matrix, pages, timeline, topology, traffic, words
from reports.cli import main
from tests.unit.evidence import records
from tests.unit.evidence.records import HOSTILE

ALL = ("passed", "failed", "broken", "inconclusive", "skipped", "")


def hostile(folder: Path) -> RunRecord:
    """A record with a guest's worst in every text of it."""
    made = records.record(folder, "failed", "skipped", "passed")
    bad = made.scenarios[0]
    bad.name = bad.reason = bad.advice = bad.steps[2].message = HOSTILE
    bad.steps[0].notes = [HOSTILE]
    bad.evidence, bad.evidence_files, bad.evidence_missing = f"evidence/{HOSTILE}", [HOSTILE], [HOSTILE]
    bad.facts = [records.check(False, HOSTILE), records.cause(HOSTILE), records.migration(), records.routes()]
    bad.facts[0]["output"] = bad.facts[2]["vm"] = bad.facts[3]["document"]["findings"][0]["summary"] = HOSTILE
    made.pictures["bad"]["workers"][1]["vms"][0]["name"] = HOSTILE
    made.pictures[HOSTILE] = records.picture(vm=HOSTILE)
    made.scenarios[1].reason = HOSTILE
    made.target["name"] = made.versions["OVN"] = made.broken = HOSTILE
    return made


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (("passed",), "Passed: the one scenario."),
        (("passed", "passed"), "Passed: all 2 scenarios."),
        (("passed", "skipped"), "Passed: 1 of 2 scenarios; 1 was skipped."),
        (("passed", "failed"), "Failed: 1 of 2 scenarios shows the product at fault."),
        (("failed", "failed", "broken"), "Failed: 2 of 3 scenarios show the product at fault."),
        (("passed", "broken"), "No verdict: the environment broke. 1 of 2 scenarios passed"),
        (("passed", "inconclusive"), "Inconclusive: 1 of 2 scenarios could not be observed."),
        (("skipped", "skipped"), "Nothing was checked: of 2 scenarios none ran."),
        ((), "Nothing was checked"),
        (("passed", ""), "Incomplete: 1 of 2 scenarios passed, 1 did not run."),
    ],
)
def test_the_verdict_is_said_in_words(tmp_path: Path, verdicts: tuple[str, ...], said: str) -> None:
    assert words.headline(records.record(tmp_path, *verdicts))[1].startswith(said)


def test_the_story_of_a_failure_is_cause_wanted_seen_and_lead() -> None:
    scenario = records.scenario(1, "failed")
    cause = scenario.facts[1]["text"]
    scenario.reason = (
        f"wanted: VM a to reach b\nfound: no answer (5 sent, 0 received); {cause}\nwhere: VLAN 2024\ntry: x"
    )
    found = words.story(scenario)
    assert (found.cause, found.wanted, found.seen) == (cause, "VM a to reach b", "no answer (5 sent, 0 received)")
    assert (found.where, found.step) == ("VLAN 2024", "Then vm-a reaches its gateway")


def test_a_platforms_long_message_comes_down_to_its_end() -> None:
    scenario = records.scenario(1, "failed", facts=[])
    scenario.reason = (
        "VM x: gave up after 34.3 s, it cannot get there any more: on worker-2: FailedCreatePodSandBox: Failed to "
        'create pod sandbox: rpc error: (x): error adding container to network "n": failed bridge mapping validation'
    )
    said = 'VM x: on worker-2: error adding container to network "n": failed bridge mapping validation'
    assert words.story(scenario).cause == said


def test_a_move_that_failed_is_told_with_the_vm_that_was_to_move() -> None:
    scenario = records.scenario(1, "failed", facts=[])
    scenario.reason = (
        "VirtualMachineInstanceMigration virtlab-long/vm-a-x7f2q: gave up after 2.1 s, it cannot get there any more: "
        "Live migration failed: connection refused\nwanted: the migration of vm-a to be over"
    )
    said = "VirtualMachineInstanceMigration vm-a-x7f2q: Live migration failed: connection refused"
    assert words.story(scenario).cause == said


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("wanted: silence from b\nfound: 5 of 5 answered", "wanted silence from b; found 5 of 5 answered"),
        (
            "wanted: the command to succeed\nfound:\n$ virtlab fault set x\n# on this machine: exit status 2\n"
            "# stderr: virtlab: wanted the arguments of x\n# stderr:   try: y",
            "wanted the command to succeed; found virtlab: wanted the arguments of x",
        ),
        ("KeyError: 'oops'", "KeyError: 'oops'"),
        ("wanted: an answer", "an answer"),
    ],
)
def test_without_a_cause_the_sentence_says_what_was_wanted_too(reason: str, said: str) -> None:
    assert words.story(records.scenario(1, "failed", facts=[], reason=reason)).cause == said


def test_html_is_one_file_that_loads_nothing_and_says_all(tmp_path: Path) -> None:
    made = records.record(tmp_path, *ALL)
    made.scenarios[0].facts = [records.routes()]
    records.measured(made.scenarios[0])
    page = html.render(made)
    assert not re.search(r'(?:src|href)="(?:https?:)?//|@import|url\(', page)
    for scenario in made.scenarios:
        assert scenario.name in page
    for said in (
        "Failed: 1 of 6",
        "worker-2 has no OVN bridge mapping",
        "ovs-br1",
        "ECMP_LOCAL_REMOTE",
        "180 ms",
        "24.03.2",
    ):
        assert said in page, said
    assert page.index('id="failed"') < page.index('id="scenarios"')


def test_a_walk_along_the_path_is_shown_station_by_station(tmp_path: Path) -> None:
    made = records.record(tmp_path, *ALL)
    failed = next(s for s in made.scenarios if s.verdict == "failed")
    failed.facts = [*failed.facts, records.path()]
    page = html.render(made)
    assert "The path, station by station: vm-a → 192.168.24.1" in page
    assert "LOST worker-2: OVN" in page


def test_what_a_guest_printed_never_becomes_markup(tmp_path: Path) -> None:
    made = hostile(tmp_path)
    for page in (html.render(made), junit.render(made), markdown.render(made)):
        assert "\x1b" not in page
        assert "\u202e" not in page
        # In code of Markdown, or behind a backslash, it is text.
        assert "<img" not in re.sub(r"```text\n.*?\n```|`[^`\n]*`|\\<", "", page, flags=re.S)
    assert html.render(made).count("<script>") == 1
    Xml.fromstring(junit.render(made))


def test_links_of_a_report_elsewhere_lead_back_to_the_run(tmp_path: Path) -> None:
    made = records.record(tmp_path / "out" / "r", "passed", "failed")
    made.scenarios[1].evidence_files = ["objects/pod.yaml", "a b.txt"]
    assert 'href="evidence/02/a%20b.txt"' in html.render(made)
    assert 'href="../out/r/evidence/02/objects/pod.yaml"' in html.render(made, tmp_path / "site" / "r.html")


def test_junit_counts_reasons_properties_and_verdicts(tmp_path: Path) -> None:
    root = Xml.fromstring(junit.render(records.record(tmp_path, *ALL)))
    assert {k: root.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6", "failures": "1", "errors": "2", "skipped": "2",
    }  # fmt: skip
    assert [e.get("type") for e in root.iter("error")] == ["broken", "inconclusive"]
    assert "found 3: worker-1" in str(next(root.iter("skipped")).get("message"))
    assert {p.get("name"): p.get("value") for p in root.iter("property")}["OVN"] == "24.03.2"


def test_junit_has_an_environment_that_broke_before_anything_ran(tmp_path: Path) -> None:
    made = records.record(tmp_path, "skipped", "skipped")
    made.broken = "wanted: an answer of the API server\nfound: connection refused"
    root = Xml.fromstring(junit.render(made))
    (error,) = root.iter("error")
    assert root.get("errors") == "1"
    assert "connection refused" in str(error.text)


def test_the_break_is_drawn_where_diagnosis_named_it() -> None:
    path = topology.Path(("worker-2",), "VLAN 2024", False, "worker-2", "mapping")
    drawn = topology.draw(records.picture("worker-2"), path)
    assert "vlan-2024: no mapping" in drawn
    assert 'class="break"' in drawn
    assert "broken at the mapping of worker-2" in drawn
    held = topology.draw(records.picture(), topology.Path(("worker-2",), "VLAN 2024", True))
    assert 'class="break"' not in held
    assert 'class="path good"' in held


@pytest.mark.parametrize("part", ["vm", "mapping", "patch", "bridge", "uplink", "cable", "network", "gateway", ""])
@pytest.mark.parametrize("gateway", [True, False])
def test_every_part_of_the_path_can_break(part: str, gateway: bool) -> None:
    path = topology.Path(("worker-1", "worker-2"), "VLAN 2024", False, "worker-2", part, to_gateway=gateway)
    drawn = topology.draw(records.picture(), path)
    assert ('class="break"' in drawn) == bool(part)
    assert 'class="path lost"' in drawn


def test_a_worker_of_which_nothing_is_known_is_drawn_as_that() -> None:
    picture = records.picture()
    picture["workers"][0] = {"name": "worker-1", "trouble": "exec refused"}
    assert "exec refused" in topology.draw(picture, None)


def test_a_link_whose_state_is_not_told_is_drawn_all_the_same() -> None:
    """The record's schema wants a name and a type alone."""
    picture = records.picture()
    for worker in picture["workers"]:
        for link in worker["links"]:
            link.pop("state")
    assert "bond2" in topology.draw(picture, topology.Path(("worker-2",), "VLAN 2024", True))


def test_a_timeline_has_phases_losses_and_the_longest_silence() -> None:
    scenario = records.scenario(1)
    records.measured(scenario, 3, 1400)
    (move,) = traffic.moves(scenario)
    assert (move.vm, move.way, move.longest_ms) == ("vm-a", "worker-1 → worker-2", 1400)
    drawn = timeline.draw(move, 1000)
    assert "switch-over" in drawn
    assert "1400 ms" in drawn
    assert 'class="silence bad"' in drawn
    assert "400 sent, 140 lost" in drawn
    assert drawn.count('class="trips"') == 2
    assert 'class="silence bad"' not in timeline.draw(move, 1500)


def test_a_migration_that_was_not_measured_and_a_measurement_without_one_are_drawn_too() -> None:
    scenario = records.scenario(1, facts=[records.migration(7)])
    records.measured(scenario, 1)
    scenario.facts.pop()
    told, seen = traffic.moves(scenario)
    assert (told.name, told.probes, seen.name, len(seen.probes)) == ("vm-a-x7", (), "vm-a-x1", 1)
    assert [name for name, _ in seen.phases] == [name for name, _ in told.phases]
    assert "worker-1" in timeline.draw(told)
    failed = traffic.moves(records.scenario(2, facts=[{**records.migration(), "phases": [], "failed": "no network"}]))
    assert 'class="end bad"' in timeline.draw(failed[0])


def test_thinning_keeps_the_slowest() -> None:
    samples = [(n / 100, 900.0 if n == 777 else 1.0) for n in range(6000)]
    kept = traffic.thinned(samples)
    assert len(kept) <= traffic.POINTS + 1
    assert (7.77, 900.0) in kept


def test_the_matrix_has_a_word_for_each_vm_in_each_zone(tmp_path: Path) -> None:
    made = records.record(tmp_path, "passed")
    made.scenarios[0].facts = [records.routes()]
    (audit,) = matrix.audits(made)
    assert audit.zones == ["worker-1", "worker-2", "worker-3"]
    assert [(row.name, [c.word for c in row.cells]) for row in audit.rows] == [
        ("vm-a", ["CRITICAL", "ok", "ok"]),
        ("vm-b", ["ok", "ok", "ok"]),
    ]


def test_allure_has_steps_labels_links_attachments_environment_and_categories(tmp_path: Path) -> None:
    made = records.record(tmp_path / "run", *ALL)
    made.scenarios[0].tags = ["severity:critical", "issue:https://bugs.example/1", "localnet"]
    (tmp_path / "run" / "evidence" / "02").mkdir(parents=True)
    (tmp_path / "run" / "evidence" / "02" / "pod.yaml").write_text("kind: Pod")
    made.scenarios[1].evidence_files = ["pod.yaml"]
    folder = tmp_path / "allure"
    assert allure.write(made, folder) == 6
    found = {r["name"]: r for r in (json.loads(p.read_text()) for p in folder.glob("*-result.json"))}
    assert [found[s.name]["status"] for s in made.scenarios] == [
        "passed", "failed", "broken", "broken", "skipped", "skipped",
    ]  # fmt: skip
    first, failed = found[made.scenarios[0].name], found[made.scenarios[1].name]
    assert {"name": "severity", "value": "critical"} in first["labels"]
    assert first["links"][0]["url"] == "https://bugs.example/1"
    assert [s["status"] for s in failed["steps"]] == ["passed", "passed", "failed"]
    assert {a["name"] for a in failed["attachments"]} == {"the network", "vm-a to gateway 192.168.24.1", "pod.yaml"}
    assert all((folder / a["source"]).is_file() for a in failed["attachments"])
    assert found[made.scenarios[3].name]["statusDetails"]["message"].startswith("inconclusive: ")
    assert "OVN=24.03.2" in (folder / "environment.properties").read_text()
    assert len(json.loads((folder / "categories.json").read_text())) == 5


def test_the_command_draws_all_from_the_record_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = records.record(tmp_path / "out" / "r1", "passed", "failed")
    made.write()
    at = ["--out", str(tmp_path / "out")]
    assert main(["r1", *at]) == 0
    assert {p.name for p in made.folder.iterdir()} == {"run.json", "report.html", "junit.xml", "report.md"}
    assert "2 scenarios: 1 passed, 1 failed" in capsys.readouterr().out
    assert main(["latest", "--json", *at]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "failed"
    assert main(["r1", "--markdown", "-", *at]) == 0
    assert capsys.readouterr().out.startswith("## Failed: 1 of 2")


def test_the_command_says_what_it_cannot_read_or_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nowhere", "--out", str(tmp_path)]) == 2
    assert "wanted: the record of a run at nowhere" in capsys.readouterr().err
    records.record(tmp_path / "r", "passed").write()
    (tmp_path / "file").write_text("")
    assert main(["r", "--out", str(tmp_path), "--html", str(tmp_path / "file" / "x.html")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records.record(tmp_path / "r1", "passed").write()

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("sys.stdout", Closed())
    with pytest.raises(BrokenPipeError):
        main(["r1", "--json", "--out", str(tmp_path)])


def test_a_record_of_somebody_else_leads_to_no_file_of_ones_own(tmp_path: Path) -> None:
    """Neither by the name of its run nor by what it calls its evidence."""
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    made = records.record(tmp_path / "run", "failed")
    made.scenarios[0].evidence = "evidence/01"
    made.scenarios[0].evidence_files = [str(secret), "../../../secret", "link"]
    evidence = tmp_path / "run/evidence/01"
    evidence.mkdir(parents=True)
    (evidence / "link").symlink_to(secret)
    made.write()
    allure.write(made, tmp_path / "allure")
    pages.site([made], tmp_path / "site")
    for folder in ("allure", "site"):
        assert not [p for p in (tmp_path / folder).rglob("*") if p.is_file() and "hunter2" in p.read_text()], folder
    body = json.loads(made.path.read_text())
    for run_id in ("../../out", "..", "", "a\nb"):
        made.path.write_text(json.dumps(body | {"run_id": run_id}))
        with pytest.raises(UsageError, match="run_id"):
            reading.load(made.path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"schema": 2, "seconds": ' + "9" * 5000 + "}", "a number of 5000 digits"),
        ('{"schema": 2, "seconds": 1e999}', "the number 1e999"),
        ('{"schema": 2, "seconds": NaN}', "the number NaN"),
    ],
)
def test_a_record_that_is_no_json_for_everybody(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        reading.load(tmp_path / "run.json")


def test_half_a_character_and_what_a_fact_leaves_out_are_drawn(tmp_path: Path) -> None:
    made = records.record(tmp_path, "failed")
    facts = made.scenarios[0].facts
    least = {
        "check": {"vm": "vm-a", "wanted": "answer", "outcome": "not reached", "held": False},
        "path": {"vm": "vm-a", "lines": []},
        "policy": {"name": "p", "states": {}},
    }
    facts[:] = [{"sort": sort, "step": 2, **fact} for sort, fact in least.items()]
    made.write()
    text = made.path.read_text().replace("a VM vm-a on VLAN 2024", "a VM \\ud800 on VLAN 2024")
    made.path.write_text(text)
    found = reading.load(made.path)
    assert "a VM ? on VLAN 2024" in html.render(found).encode().decode()


def test_a_large_report_is_small_enough(tmp_path: Path) -> None:
    page = html.render(records.large(tmp_path, busy=True))
    assert len(page.encode()) <= 5_000_000
    made = records.record(tmp_path, *["failed"] * 500)
    for number, scenario in enumerate(made.scenarios):
        scenario.picture = f"{number:03d}"
        made.pictures[scenario.picture] = records.picture("worker-2", vm=f"vm-{number}")
    assert len(html.render(made).encode()) <= 5_000_000
