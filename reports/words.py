"""What a run means, in words: the verdict, how it ended, how long things took. One wording for every report.

It reads the record and decides nothing that the record does not say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.evidence.record import RunRecord, ScenarioRecord, Verdict

NOT_RUN = "not run"
ORDER = (Verdict.FAILED, Verdict.BROKEN, Verdict.INCONCLUSIVE, Verdict.PASSED, Verdict.SKIPPED, NOT_RUN)
BAD = frozenset({Verdict.FAILED, Verdict.BROKEN, Verdict.INCONCLUSIVE})
_MISSING = {"": "", "running": "The run has not ended: it goes on, or it ended without a word.",
            "killed": "The run was killed: what follows is how far it came.",
            "interrupted": "The run was interrupted: scenarios without a verdict did not run.",
            "cut off": "The record is cut off: scenarios behind its end are not known."}  # fmt: skip


def verdict_of(scenario: ScenarioRecord) -> str:
    """Its verdict, or ``not run``."""
    return scenario.verdict or NOT_RUN


def unfinished(scenario: ScenarioRecord) -> str:
    """Where a scenario was when its run was killed; empty for one that never began, or has its verdict."""
    if scenario.verdict or not scenario.started:
        return ""
    begun = [s for s in scenario.steps if s.started]
    if not begun:
        return "begun; no step had begun"
    was = "it was at" if begun[-1].status == "running" else "it was after"
    return f"begun; {was}: {begun[-1].keyword} {begun[-1].name}"


def state(record: RunRecord) -> str:
    """How the run ended, where that is not by itself; else empty."""
    return _MISSING.get(record.state, "")


def headline(record: RunRecord) -> tuple[str, str]:
    """(verdict for the colour, the sentence)."""
    counts, total = record.counts(), len(record.scenarios)
    of = f"of {counted(total, 'scenario')}"
    if failed := counts[Verdict.FAILED]:
        return "failed", f"Failed: {failed} {of} {'shows' if failed == 1 else 'show'} the product at fault."
    if record.broken or counts[Verdict.BROKEN]:
        return (
            "broken",
            f"No verdict: the environment broke. {counts[Verdict.PASSED]} {of} passed, none shows the product failing.",
        )
    if unclear := counts[Verdict.INCONCLUSIVE]:
        return "inconclusive", f"Inconclusive: {unclear} {of} could not be observed."
    passed, skipped, left = counts[Verdict.PASSED], counts[Verdict.SKIPPED], counts[NOT_RUN]
    if not passed:
        how = "came to its end" if any(unfinished(s) for s in record.scenarios) else "ran"
        return "skipped", f"Nothing was checked: of {counted(total, 'scenario')} none {how}."
    if left:
        return "incomplete", f"Incomplete: {passed} {of} passed, {left} did not run."
    if skipped:
        return "passed", f"Passed: {passed} {of}; {skipped} {'was' if skipped == 1 else 'were'} skipped."
    return "passed", f"Passed: all {total} scenarios." if total > 1 else "Passed: the one scenario."


def counted(number: int, what: str) -> str:
    """``1 scenario``, ``2 scenarios``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def duration(seconds: float) -> str:
    """``4.2 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def length(record: RunRecord) -> float:
    """Seconds from the run's start to its end, or to the last that is known of it."""
    try:
        first = datetime.fromisoformat(record.started)
        last = datetime.fromisoformat(record.ended or record.written)
    except ValueError:
        return 0.0
    return max(0.0, (last - first).total_seconds())


def moment(stamp: str) -> str:
    """``2026-09-21 10:15:00 UTC``; what is no time stays as it is."""
    return f"{stamp[:10]} {stamp[11:19]} UTC" if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", stamp) else stamp


@dataclass(frozen=True)
class Story:
    """Why a scenario did not pass: the cause in one sentence, what was wanted and seen, the first lead."""

    cause: str
    wanted: str
    seen: str
    where: str
    lead: str
    step: str
    odd: tuple[str, ...] = ()
    """What stood out in the network when it was looked at."""


def story(scenario: ScenarioRecord, picture: Mapping[str, Any] | None = None) -> Story:
    """From its reason (written ``wanted: ... found: ... where: ... try: ...`` by lab.core.errors) and its facts."""
    parts = _parts(scenario.reason)
    causes = [str(f["text"]) for f in scenario.facts if f.get("sort") == "cause"]
    step = next((f"{s.keyword} {s.name}" for s in scenario.steps if s.status in BAD), "")
    found = parts.get("found") or parts.get("last seen") or parts[""]
    cause = causes[-1] if causes else _finding(scenario) or _told(parts, found)
    # The cause stands in the finding's sentence already, behind a semicolon.
    seen = found.replace(f"; {cause}", "").strip() if causes else found.strip()
    lead = scenario.advice or parts.get("try", "")
    odd = tuple(map(str, (picture or {}).get("oddities") or ()))
    return Story(cause, parts.get("wanted", ""), seen, parts.get("where", ""), lead, step, odd)


def _finding(scenario: ScenarioRecord) -> str:
    """Of a failed check of routes: the worst finding of the last audit, where the step has one."""
    step = next((i for i, s in enumerate(scenario.steps) if s.status in BAD), -2)
    audits = [f["document"] for f in scenario.facts if f.get("sort") == "routes" and f.get("step") == step]
    findings = audits[-1].get("findings") or () if audits else ()
    worst = next((f for w in ("CRITICAL", "MAJOR") for f in findings if f.get("severity") == w), None)
    if worst is None:
        return ""
    stale = next((row["text"] for row in worst.get("lines") or () if row.get("role") in {"stale", "wrong"}), "")
    said = f"{', '.join(worst.get('zones') or ())}: {worst.get('summary', '')}, {worst.get('subject', '')}"
    said += f" ({worst['class']})" if worst.get("class") else ""
    return said + (f"; the stale one is `{stale.partition(' _uuid=')[0]}`" if stale else "")


def _told(parts: dict[str, str], found: str) -> str:
    """One sentence where diagnosis told no cause: what was found alone ("5 of 5 answered") says nothing."""
    first = parts[""].strip().partition("\n")[0]
    if match := _NMSTATE_PROBE.search(parts[""]):
        place = core(first).partition(": FailedToConfigure")[0]
        return f"{place}: rolled back, since kubernetes-nmstate's probe '{match[1]}' failed after the change"
    if match := _WAITED.match(first):
        return f"{match[1]}: still {core(found)}"
    if match := _HOPELESS.match(first):
        return f"{_NAMESPACE.sub('', match[1])}: {core(match[2])}"
    if first:
        return core(first)
    errors = [row.removeprefix("# stderr: ") for row in found.splitlines() if row.startswith("# stderr: ")]
    first = errors[0] if errors else found.strip().partition("\n")[0]
    wanted = parts.get("wanted", "")
    return f"wanted {wanted}; found {core(first)}" if wanted and first else core(first or wanted)


_WAITED = re.compile(r"^(.*): waited [\d.]+ s$")
_HOPELESS = re.compile(r"^(.*?): gave up after [\d.]+ s, it cannot get there any more: (.*)$")
_NAMESPACE = re.compile(r"(?<= )[^ /]+/(?=[^ /]+$)")
"""The namespace in ``Kind namespace/name``: it is the scenario's own, and long."""
_NMSTATE_PROBE = re.compile(r"failed runn\w+ probe '([\w-]+)'")
"""kubernetes-nmstate pkg/probe writes "runnig"."""
_GAVE_UP = "it cannot get there any more: "
_SANDBOX = re.compile(r"^(.*?)FailedCreatePodSandBox: .*(error adding container to network .*)$")


def core(text: str) -> str:
    """What a platform's message comes to: what stands around its end is which call went through which."""
    text = text.partition(_GAVE_UP)[2] or text
    if match := _SANDBOX.match(text):
        return f"{match[1]}{match[2]}"
    return text


_LABEL = re.compile(r"^(wanted|found|last seen|before|where|try): ?(.*)$")


def _parts(reason: str) -> dict[str, str]:
    parts: dict[str, list[str]] = {"": []}
    label = ""
    for row in reason.split("\n"):
        if match := _LABEL.match(row):
            label = match[1]
            parts.setdefault(label, []).append(match[2])
        else:
            parts[label].append(row)
    return {name: "\n".join(rows).strip() for name, rows in parts.items()}
