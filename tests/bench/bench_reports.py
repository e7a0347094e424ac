"""Figures of record, reports and evidence: what they cost a run, how large and quick a large report is, how long
evidence takes of a lab and of a cluster of a hundred slow workers."""

from __future__ import annotations

import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from lab.evidence.collect import collect
from lab.evidence.reading import load
from reports import html, junit
from reports.store import Store
from tests import programs
from tests.bench.figures import report, spread
from tests.conftest import RunningLab
from tests.unit.evidence import largecluster, records

COST, MEGABYTES, SECONDS, LAB_S, BUDGET_S = 0.03, 5.0, 1.0, 10.0, 10.0
SEARCH = """() => { const loaded = performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd;
    const began = performance.now(); const search = document.getElementById("search");
    search.value = "scenario 499"; search.dispatchEvent(new Event("input"));
    document.body.offsetHeight; return (loaded + performance.now() - began) / 1000; }"""


def test_record_and_reports_cost_little_of_a_run(lab: RunningLab, tmp_path: Path) -> None:
    """Of the shortest scenario there is on VLANs: the share of a longer run is smaller."""
    began = time.monotonic()
    _, document, _ = lab.run("features/localnet/test_localnet.py::test_vm_on_vlan_2024_reaches_the_gateway")
    wall = time.monotonic() - began
    record = load(lab.folder / "out" / document["run_id"] / "run.json")
    began = time.monotonic()
    html.render(record)
    junit.render(record)
    store = Store(f"sqlite:///{tmp_path / 'history.db'}")
    store.add(record)
    store.close()
    drawn = time.monotonic() - began
    cost = (record.phases["record"] + drawn) / wall
    how = f"record {record.phases['record']:.2f} s, html, junit and store {drawn:.2f} s, of a run of {wall:.0f} s"
    report("record and reports, share of a run", 100 * cost, 100 * COST, "%", how)


def test_a_large_report_is_small_and_quick(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(html.render(records.large(tmp_path, busy=True)))
    report(
        "report, 500 scenarios, 100 migrations", path.stat().st_size / 1e6, MEGABYTES, "MB", "silences as on a busy lab"
    )
    found, seconds = programs.chromium(), []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(found.path), args=["--no-sandbox"], env=dict(found.env)
        )
        for _ in range(5):
            page = browser.new_page()
            page.goto(path.as_uri())
            page.wait_for_load_state("load")
            seconds.append(float(page.evaluate(SEARCH)))
            page.close()
        browser.close()
    report("report, loaded and searched in Chromium", min(seconds), SECONDS, "s", f"best {spread(seconds)}")


def test_evidence_of_a_lab(lab: RunningLab) -> None:
    seconds = []
    for number in range(3):
        began = time.monotonic()
        done = lab.virtlab("evidence", "--target", "targets/embedded.yaml", "--folder", str(lab.folder / f"e{number}"))
        assert done.returncode == 0, done.stderr
        seconds.append(time.monotonic() - began)
    report("evidence, 3 workers", min(seconds), LAB_S, "s", f"`virtlab evidence`, {spread(seconds)}")


def test_evidence_of_a_hundred_slow_workers_ends_with_its_budget(tmp_path: Path) -> None:
    with largecluster.sources(tmp_path, 100, 2.0) as sources:
        began = time.monotonic()
        files, missing = collect(sources, tmp_path / "e", BUDGET_S)
        took = time.monotonic() - began
    how = f"2 s an answer, --evidence-budget {BUDGET_S:g}: {len(files)} files, {len(missing)} listed as not done"
    report("evidence, 100 slow workers", took, BUDGET_S + 1, "s", how)
