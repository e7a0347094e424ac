"""What docs/audit.md and the README promise is what the commands print."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from lab.cli import main
from lab.ovn.audit import run
from lab.ovn.findings import CLASSES
from lab.ovn.report import document
from lab.topology.placement import ClusterNode, HostedNode, Launcher, Placement

ROOT = Path(__file__).parents[3]
SEED = Path(__file__).parent / "golden" / "seed.txt"
DOC = (ROOT / "docs" / "audit.md").read_text()


def keys(after: str) -> set[str]:
    """The names in the first column of the first table behind a text."""
    table = DOC[DOC.index(after) :].split("| --- | --- |\n", 1)[1].split("\n\n", 1)[0]
    return {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_the_documented_keys_are_the_documents() -> None:
    written = document(run([str(SEED)]))
    assert keys("`--json` for programs:") == set(written)
    assert keys("Of a zone:") == set(written["zones"][0])
    assert keys("Of a finding:") == set(written["findings"][0])
    for line in written["findings"][0]["lines"]:
        assert set(line) == {"source", "line", "zone", "role", "text"}
    assert None not in [value for finding in written["findings"] for value in finding.values()]


def test_the_documented_placement_is_the_commands() -> None:
    section = DOC[DOC.index("## Placement") :]
    assert keys("## Placement") == set(Placement([], [], []).document())
    for kind, name in ((HostedNode, "vms"), (Launcher, "launchers"), (ClusterNode, "nodes")):
        row = next(line for line in section.splitlines() if line.startswith(f"| `{name}`"))
        assert {field.name for field in fields(kind)} <= set(re.findall(r"`(\w+)`", row))


def test_the_documented_classes_are_all() -> None:
    table = DOC[DOC.index("## Classes") :].split("\n\n")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in table.splitlines()[2:]]
    found = {
        name: (rule, severity)
        for rules, names, severity in rows
        for rule, name in zip(rules.split(", "), names.split(", "), strict=True)
    }
    assert set(found) == set(CLASSES)
    for name, (rule, severity) in found.items():
        assert rule == CLASSES[name][0]
        assert severity.startswith(CLASSES[name][1])


def test_the_customers_case_is_printed_as_documented(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(SEED.parent)
    assert main(["audit", "routes", "seed.txt"]) == 1
    out = capsys.readouterr().out
    assert DOC.split("$ virtlab audit routes seed.txt\n")[1] == out + "```\n"
    shown = (ROOT / "README.md").read_text().split("audit routes case.md\n")[1].split("```")[0]
    number = re.compile(r"(case\.md|seed\.txt):\d+")
    real = [number.sub("", line) for line in out.splitlines()]
    assert [line for line in shown.splitlines() if line != "..." and number.sub("", line) not in real] == []
