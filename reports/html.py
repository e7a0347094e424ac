"""The report as one HTML file: opens from disk, needs no network, and says first what did not pass and why.

Everything in it comes from the record. All text passes :func:`shown` and Jinja's escaping; the page's own policy
lets no script run but its own, since a guest may print anything.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lab.evidence.flakes import Tries
from lab.evidence.record import SCHEMA, RunRecord, ScenarioRecord, Verdict
from reports import matrix, svg, timeline, topology, traffic, words
from reports.terminal import clean

TEMPLATES = Path(__file__).with_name("templates")
PICTURES = 40
"""Pictures of scenarios that did not pass in one report; each is some 15 KB."""
LIMIT_MS = 1000
"""A silence that stands out, where the record does not say what the target takes as too long."""
LEFT_OUT = {"check": {"what": "", "command": "", "output": ""}, "path": {"address": ""}, "policy": {"message": ""}}
"""What a fact may leave out and the page shows, by its sort."""
MARKS = {
    "passed": "✓",
    "failed": "✗",
    "broken": "⚡",
    "inconclusive": "?",
    "skipped": "-",
    "not run": "·",
    "running": "…",
}


@dataclass
class Card:
    """One scenario that did not pass."""

    id: str
    scenario: ScenarioRecord
    verdict: str
    story: words.Story
    picture: Markup | None = None
    caption: str = ""
    same_as: Card | None = None
    checks: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    policies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[dict[str, Any]] = field(default_factory=list)

    @property
    def captures(self) -> list[str]:
        """Files of evidence with packets, and the same as text."""
        return [name for name in self.scenario.evidence_files if "/capture-" in name]


@dataclass(frozen=True)
class Moved:
    """One migration, drawn."""

    id: str
    scenario: ScenarioRecord
    move: traffic.Move
    drawing: Markup
    sent: int
    lost: int
    bad: bool
    remarks: Sequence[str]

    @property
    def failed(self) -> str:
        """Why it failed, without the calls that stand around it."""
        return words.core(self.move.failed)


@dataclass(frozen=True)
class Row:
    """One line of the list of all scenarios."""

    id: str
    scenario: ScenarioRecord
    verdict: str
    story_id: str

    @property
    def unfinished(self) -> str:
        """Where it was when the run was killed."""
        return words.unfinished(self.scenario)


def render(record: RunRecord, place: Path | None = None) -> str:
    """The page. *place* is the file it will be (default: beside the record): links to evidence are relative to it."""
    folder = (place or record.folder / "report.html").parent
    base = os.path.relpath(record.folder, folder)
    return environment().get_template("report.html").render(_context(record, "" if base == "." else f"{base}/"))


def environment() -> Environment:
    """The templates, with everything escaped and spelled out."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    made.filters |= {
        "css": lambda verdict: str(verdict).replace(" ", "-"),
        "mark": lambda status: MARKS.get(status, "·"),
        "duration": lambda seconds: words.duration(float(seconds)),
        "moment": words.moment,
        "href": lambda path: quote(str(path), safe="/.-_"),
    }
    return made


def shown(value: object) -> object:
    """Each word that the page says: control characters, and those that turn writing round, are spelled out.

    What is markup already is our own. The rest is escaped after this.
    """
    return value if isinstance(value, Markup) else clean(str(value))


def _context(record: RunRecord, base: str) -> dict[str, Any]:
    verdict, sentence = words.headline(record)
    style, script = (own(name) for name in ("style.css", "report.js"))
    cards = _cards(record)
    counts = [(str(name), record.counts()[name]) for name in words.ORDER if record.counts()[name]]
    return {
        "record": record,
        "base": base,
        "schema": SCHEMA,
        "verdict": verdict,
        "sentence": sentence,
        "state": words.state(record),
        "broken": record.broken.partition("\n\n")[0],
        "causes": list(dict.fromkeys(c.story.cause for c in cards if c.verdict == Verdict.FAILED))[:3],
        "counts": counts,
        "bar": _bar(counts),
        "length": words.length(record),
        "stories": cards,
        "migrations": _migrations(record),
        "audits": matrix.audits(record),
        "rows": _rows(record, cards),
        "repeats": [(f"{r['feature']}: {r['name']}", Tries(Counter(r["verdicts"]))) for r in record.repeats()],
        "network": [(name, topology.draw(p, None)) for name, p in record.pictures.items() if not name.isdigit()],
        "environment": _facts(record),
        "style": style,
        "style_hash": digest(style),
        "script": script,
        "script_hash": digest(script),
    }


def own(name: str) -> Markup:
    """A file of ours that goes into a page as it is."""
    return Markup(TEMPLATES.joinpath(name).read_text(encoding="utf-8"))  # noqa: S704


def digest(text: str) -> str:
    """What the page's policy allows it by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _bar(counts: Sequence[tuple[str, int]]) -> Markup:
    total, at, parts = sum(n for _, n in counts) or 1, 0.0, []
    for name, number in counts:
        width = 1000 * number / total
        parts.append(svg.rect(at, 0, max(3.0, width - 3), 10, name.replace(" ", "-"), 0))
        at += width
    return svg.element(
        "svg", *parts, class_="bar", viewBox="0 0 1000 10", preserveAspectRatio="none", aria_hidden="true"
    )


def _of(scenario: ScenarioRecord, sort: str) -> list[dict[str, Any]]:
    return [LEFT_OUT.get(sort, {}) | f for f in scenario.facts if f.get("sort") == sort]


def _cards(record: RunRecord) -> list[Card]:
    """Failed first, then broken, then inconclusive; each in the order of the run."""
    chosen = [(i, s) for i, s in enumerate(record.scenarios) if s.verdict in words.BAD]
    chosen.sort(key=lambda entry: words.ORDER.index(entry[1].verdict))
    cards: list[Card] = []
    drawn: dict[str, Card] = {}
    for index, scenario in chosen:
        card = Card(
            f"f{index + 1}", scenario, scenario.verdict,
            words.story(scenario, record.pictures.get(scenario.picture)),
            checks=[c for c in _of(scenario, "check") if not c["held"]],
            faults=_of(scenario, "fault"), policies=_of(scenario, "policy"), paths=_of(scenario, "path"),
        )  # fmt: skip
        _draw(record, card, drawn)
        cards.append(card)
    return cards


def _draw(record: RunRecord, card: Card, drawn: dict[str, Card]) -> None:
    """Its picture, unless a card before has the very same."""
    picture = record.pictures.get(card.scenario.picture)
    if picture is None or len(drawn) >= PICTURES:
        return
    path, witnesses = path_of(card.scenario, picture)
    image = topology.draw(picture, path, witnesses, _segment(card.scenario, picture))
    if image in drawn:
        card.same_as = drawn[image]
        return
    drawn[image], card.picture = card, image
    missing = picture.get("left_out") or 0
    card.caption = f"As it was found at {words.moment(picture['taken'])}, before anything was cleaned up."
    card.caption += f" {missing} more workers are not drawn." if missing else ""


def _segment(scenario: ScenarioRecord, picture: Mapping[str, Any]) -> str:
    """The one that the scenario is about: of its last check, else of its VMs."""
    named = [str(c.get("segment", "")) for c in _of(scenario, "check")]
    named += [str(vm.get("segment", "")) for w in picture["workers"] for vm in w.get("vms") or ()]
    return next((name for name in reversed(named) if name), "")


def path_of(
    scenario: ScenarioRecord, picture: Mapping[str, Any]
) -> tuple[topology.Path | None, Sequence[Mapping[str, Any]]]:
    """The way of the check that did not hold, and what the workers' residents said; (None, ()) when there is none."""
    checks = [c for c in _of(scenario, "check") if not c["held"]]
    if not checks:
        return None, ()
    check, causes = checks[-1], _of(scenario, "cause")
    cause = causes[-1] if causes else {}
    gateways = {str(s.get("gateway")) for s in picture["segments"]}
    path = topology.Path(
        nodes=tuple(check.get("nodes") or (check.get("node", ""),)),
        segment=str(check.get("segment", "")),
        held=check["outcome"] == "reached",
        node=str(cause.get("node", "")),
        part=str(cause.get("part", "")),
        to_gateway=str(check.get("address")) in gateways,
        vm=str(check["vm"]),
    )
    return path, cause.get("witnesses") or ()


def _migrations(record: RunRecord) -> list[Moved]:
    limit = float(record.target.get("migration-gap-ms") or LIMIT_MS)
    found: list[Moved] = []
    for scenario in record.scenarios:
        for move in traffic.moves(scenario):
            sent = sum(p.sent for p in move.probes)
            found.append(
                Moved(
                    id=f"m{len(found) + 1}",
                    scenario=scenario,
                    move=move,
                    drawing=timeline.draw(move, limit),
                    sent=sent,
                    lost=sent - sum(p.received for p in move.probes),
                    bad=bool(move.failed) or any(s.open or s.ms > limit for p in move.probes for s in p.silences),
                    remarks=[*_moments(move), *(f"{p.title}: {r}" for p in move.probes for r in p.remarks)],
                )
            )
    return found


def _moments(move: traffic.Move) -> list[str]:
    """The phases in words, for those too short to be written in."""
    phases = [f"{name} {at:.2f} s" for name, at in move.phases]
    return [", ".join(phases)] if phases else []


def _rows(record: RunRecord, cards: Sequence[Card]) -> list[Row]:
    ids = {id(card.scenario): card.id for card in cards}
    return [
        Row(f"s{number}", s, words.verdict_of(s), ids.get(id(s), "")) for number, s in enumerate(record.scenarios, 1)
    ]


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    target = {k: str(v) for k, v in record.target.items() if k not in {"target", *record.versions}}
    phases = {f"time: {name}": words.duration(seconds) for name, seconds in record.phases.items()}
    rows = {
        **target,
        **record.versions,
        **phases,
        "exit code": "" if record.exit_code is None else str(record.exit_code),
    }
    return [(name, text) for name, text in rows.items() if text]
