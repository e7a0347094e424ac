"""The audit's result for people (table), for a ticket (Markdown) and for programs (JSON, described in docs/audit.md).

Everything from input goes through :func:`lab.ovn.lines.printable` on its way, and Markdown's own signs are defused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lab.ovn.audit import Result
from lab.ovn.findings import INFO, SEVERITIES, Finding, Line, counted
from lab.ovn.lines import printable
from lab.ovn.zone import Zone

SCHEMA = 1
SHOWN = 8
"""Members of a long list that are spelled out for people; JSON has all."""


def render(result: Result, form: str) -> Iterator[str]:
    """Lines of output; *form* is ``table``, ``markdown`` or ``json``."""
    if form == "json":
        yield json.dumps(document(result), indent=2)
    else:
        yield from _markdown(result) if form == "markdown" else _table(result)


def document(result: Result) -> dict[str, Any]:
    """The JSON document."""
    return {
        "schema": SCHEMA,
        "verdict": {0: "clean", 1: "findings", 2: "unusable input"}[result.exit_code],
        "counts": {s: sum(f.severity == s for f in result.findings) for s in SEVERITIES},
        "zones": list(_zones(result)),
        "findings": [_finding(finding) for finding in result.findings],
        "unknown": sorted(result.topology.unknown),
        "skipped": [{"where": where, "why": why} for where, why in result.capture.notes],
    }


def _zones(result: Result) -> Iterator[dict[str, Any]]:
    """Each database that was read, zones first."""
    topology = result.topology
    for index in sorted(topology.by_zone, key=topology.label):
        node = topology.by_zone[index]
        known = (sorted(node.subnets), sorted(node.transit.values()), sorted(node.join.values()))
        yield _zone(topology.zones[index], node.name, *known)
    for zone, _ in result.capture.central:
        yield _zone(zone, "", [], [], [])


def _zone(zone: Zone, node: str, subnets: list[str], transit: list[str], join: list[str]) -> dict[str, Any]:
    return {
        "node": node,
        "pod": zone.pod,
        "source": zone.source,
        "line": zone.line,
        "routes": zone.rows,
        "subnets": subnets,
        "transit": transit,
        "join": join,
        "cut": zone.cut,
        "central": zone.central,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "class": finding.kind,
        "severity": finding.severity,
        "subject": finding.subject,
        "subjects": finding.subjects,
        "count": finding.count,
        "vm": finding.vm,
        "owner": finding.owner,
        "runner": finding.runner,
        "runner_verified": finding.verified,
        "zones": finding.zones,
        "summary": finding.summary,
        "broken_percent": finding.broken,
        "effects": finding.effects,
        "lines": [
            {"source": n.source, "line": n.number, "zone": n.zone, "role": n.role, "text": n.text}
            for n in finding.lines
        ],
        "remedies": finding.remedies,
    }


def _verdict(result: Result) -> str:
    zones = list(_zones(result))
    read = f"{counted(len(zones), 'zone')}, {counted(sum(z['routes'] for z in zones), 'route')}"
    if any(zone["central"] for zone in zones):
        read = read.replace("zone", "database", 1)
    if not result.faults:
        return f"no fault found ({read})"
    counts = [(s, sum(f.severity == s for f in result.faults)) for s in SEVERITIES]
    return f"{counted(len(result.faults), 'finding')}: {', '.join(f'{n} {s}' for s, n in counts if n)} ({read})"


def _where(line: Line) -> str:
    return f"{line.source}:{line.number}" if line.number else line.source


def _table(result: Result) -> Iterator[str]:
    yield f"audit of pod-network routes: {_verdict(result)}"
    yield ""
    yield from _zone_table(result)
    widths = [max([len(f.severity) for f in result.faults] or [0]), max([len(f.kind) for f in result.faults] or [0])]
    for finding in result.faults:
        head = f"{finding.severity:<{widths[0]}}  {finding.kind:<{widths[1]}}  {finding.subject}"
        yield ""
        yield printable(f"{head}  in {_some(finding.zones)}" if finding.zones else head, 1000)
        yield from (f"    {line}" for line in details(finding))
    notes = [f for f in result.findings if f.severity == INFO]
    if notes:
        yield ""
        yield "what limits this audit:"
        yield from (f"    {text}" for text in _notes(notes, result))
    yield from _skipped(result)


def details(finding: Finding) -> Iterator[str]:
    """A finding for people, line by line: who, where, the lines it rests on, effects, remedies."""
    if finding.vm:
        yield printable(f"VM {finding.vm}")
    if finding.runner:
        yield printable(f"runs on {finding.runner} ({'by inventory' if finding.verified else 'inferred'})")
    if finding.owner:
        yield printable(f"subnet of {finding.owner}")
    yield finding.summary
    for line in finding.lines[: 3 * SHOWN]:
        yield printable(f"{line.role:<9} {_where(line)}  {line.text}", 400)
    if len(finding.lines) > 3 * SHOWN:
        yield f"          and {len(finding.lines) - 3 * SHOWN} more lines: --json has them"
    yield from (printable(f"effect    {text}", 2000) for text in finding.effects)
    yield from (printable(f"remedy    {text}", 2000) for text in finding.remedies[: 2 * SHOWN])
    if len(finding.remedies) > 2 * SHOWN:
        yield f"          and {len(finding.remedies) - 2 * SHOWN} more commands: --json has them"


def _zone_table(result: Result) -> Iterator[str]:
    rows = [("ZONE", "POD", "SUBNET", "TRANSIT", "JOIN", "ROUTES")]
    zones = list(_zones(result))
    for zone in zones[:100]:
        name = zone["node"] or ("all nodes" if zone["central"] else zone["pod"] or f"{zone['source']}:{zone['line']}")
        parts = [name, zone["pod"], *(",".join(zone[key]) for key in ("subnets", "transit", "join"))]
        cells = [printable(part) or ("-" if zone["central"] else "?") for part in parts]
        rows.append((cells[0], cells[1], cells[2], cells[3], cells[4], str(zone["routes"])))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
    if len(zones) > 100:
        yield f"and {len(zones) - 100} more"


def _notes(findings: list[Finding], result: Result) -> Iterator[str]:
    for finding in findings:
        subjects = f" ({_some(finding.subjects, finding.count)})" if finding.subjects else ""
        yield printable(f"{finding.kind}  {finding.subject}{subjects}: {finding.summary}", 2000)
    yield from (printable(text) for text in sorted(result.topology.unknown))


def _skipped(result: Result) -> Iterator[str]:
    notes = result.capture.notes
    if notes:
        yield ""
        yield "passed over:"
        yield from (printable(f"    {where}: {why}", 600) for where, why in notes[:50])
        if len(notes) > 50:
            yield f"    and {len(notes) - 50} more: --json has them"


def _some(names: list[str], count: int = 0) -> str:
    """The first few of so many (0: of as many as are given)."""
    count = count or len(names)
    more = f" and {count - SHOWN} more" if count > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _markdown(result: Result) -> Iterator[str]:
    yield "## Audit of pod-network routes"
    yield ""
    yield f"**{_verdict(result)}**"
    if result.faults:
        yield ""
        yield "| severity | class | address | VM | zones |"
        yield "| --- | --- | --- | --- | --- |"
        for f in result.faults:
            cells = (f.severity, f.kind, f.subject, f.vm, _some(f.zones))
            yield "| " + " | ".join(_cell(cell) for cell in cells) + " |"
    for finding in result.faults:
        yield ""
        yield f"### {finding.severity}: {finding.kind} {_cell(finding.subject)}"
        yield ""
        yield "```text"
        yield from (line.replace("```", "'''") for line in details(finding) if not line.startswith("remedy"))
        yield "```"
        if finding.remedies:
            yield ""
            yield "```bash"
            yield from (printable(text, 2000).replace("```", "'''") for text in finding.remedies)
            yield "```"
    notes = [f for f in result.findings if f.severity == INFO]
    if notes or result.capture.notes:
        yield ""
        yield "### What limits this audit"
        yield ""
        yield from (f"- {_cell(text)}" for text in _notes(notes, result))
        yield from (f"- passed over: {_cell(f'{where}: {why}')}" for where, why in result.capture.notes[:50])


def _cell(text: str) -> str:
    shown = printable(text, 2000)
    return "".join(f"\\{c}" if c in "|`*<>[]" else c for c in shown)
