"""Audits of the pod network's routes as tables: a row per VM, a column per zone, a word in each cell.

From the audit's own document (docs/audit.md); a cell says what its findings say, and "ok" only of VMs that were
looked at in a zone that was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.evidence.record import RunRecord, ScenarioRecord
from reports.words import counted

CLASSES = {"CRITICAL": "failed", "MAJOR": "failed", "MINOR": "inconclusive", "INFO": "skipped"}
SEVERITIES = tuple(CLASSES)


@dataclass(frozen=True)
class Cell:
    """One VM in one zone."""

    word: str
    note: str = ""
    class_: str = "passed"


@dataclass(frozen=True)
class Row:
    """One VM, or an address that is no known VM's."""

    name: str
    note: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Audit:
    """One audit."""

    scenario: ScenarioRecord
    sentence: str
    zones: Sequence[str]
    rows: Sequence[Row]
    findings: Sequence[Mapping[str, Any]]


def audits(record: RunRecord) -> list[Audit]:
    """Those of a run, in order."""
    return [_audit(s, f) for s in record.scenarios for f in s.facts if f.get("sort") == "routes"]


def _audit(scenario: ScenarioRecord, fact: Mapping[str, Any]) -> Audit:
    document = fact["document"]
    findings = [_whole(f) for f in document.get("findings") or () if f.get("severity") != "INFO"]
    zones = [str(z.get("node", "?")) for z in document.get("zones") or ()]
    subjects: dict[str, tuple[str, str]] = {}
    for vm in fact.get("vms") or ():
        subjects[str(vm.get("address"))] = (str(vm.get("vm")), f"{vm.get('address')} on {vm.get('node', '?')}")
    for finding in findings:
        name = str(finding["vm"] or finding["subject"])
        where = f" on {finding['runner']}" if finding["runner"] else ""
        subjects.setdefault(str(finding["subject"]), (name, f"{finding['subject']}{where}"))
    rows = [
        Row(name, note, [_cell(zone, [f for f in findings if str(f["subject"]) == subject]) for zone in zones])
        for subject, (name, note) in subjects.items()
    ]
    worst = sorted({str(f["severity"]) for f in findings}, key=_rank)
    said = f"{counted(len(findings), 'finding')}, the worst {worst[0]}." if findings else "No fault found."
    return Audit(scenario, said, zones, rows, findings)


def _whole(finding: Mapping[str, Any]) -> dict[str, Any]:
    empty = {
        "vm": "",
        "runner": "",
        "subject": "",
        "summary": "",
        "effects": (),
        "remedies": (),
        "zones": (),
        "class": "",
    }
    return {**empty, "severity": "INFO", "broken_percent": {}, **finding}


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _cell(zone: str, findings: Sequence[Mapping[str, Any]]) -> Cell:
    mine = sorted((f for f in findings if zone in f["zones"]), key=lambda f: _rank(str(f["severity"])))
    if not mine:
        return Cell("ok")
    worst = mine[0]
    lost = (worst.get("broken_percent") or {}).get(zone)
    note = str(worst["class"]) + (f", {lost} % lost" if lost else "")
    return Cell(str(worst["severity"]), note, CLASSES.get(str(worst["severity"]), "failed"))
