"""The record as Allure results: Gherkin steps, labels, links, attachments, environment, categories for the verdicts.

With ``--alluredir`` the results of allure-pytest are filled from here before they are written, and ``virtlab report
--allure`` writes the same from the record: there is one wording.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from allure_commons.model2 import (
    Attachment,
    Label,
    Link,
    Parameter,
    Status,
    StatusDetails,
    TestResult,
    TestStepResult,
)
from allure_commons.types import LabelType, LinkType, Severity

from lab.evidence.record import RunRecord, ScenarioRecord, StepRecord, Verdict, write_atomically
from reports import timeline, topology, traffic, words
from reports.html import path_of
from reports.terminal import clean

STATUS = {
    Verdict.PASSED: Status.PASSED,
    Verdict.FAILED: Status.FAILED,
    Verdict.BROKEN: Status.BROKEN,
    Verdict.INCONCLUSIVE: Status.BROKEN,
    Verdict.SKIPPED: Status.SKIPPED,
    "running": Status.BROKEN,
}
INCONCLUSIVE = r"inconclusive: [\s\S]*"
"""For Java (Allure 2) and JavaScript (Allure 3) alike."""
CATEGORIES = [
    {"name": "Failed: the product did not do what it must", "matchedStatuses": ["failed"]},
    {"name": "Inconclusive: it was not observed", "matchedStatuses": ["broken"], "messageRegex": INCONCLUSIVE},
    {"name": "Broken: the environment is at fault", "matchedStatuses": ["broken"]},
    {"name": "Skipped: a need is unmet", "matchedStatuses": ["skipped"]},
    {"name": "Passed", "matchedStatuses": ["passed"]},
]
SEVERITIES = {f"severity:{s.value}": s.value for s in Severity}
ISSUE = re.compile(r"^(issue|link|tms):(.+)$")
ATTACHED = 20
"""Files of evidence that go into one result."""
SIZE = 512 * 1024
ENDINGS = {"image/svg+xml": "svg", "text/plain": "txt", "application/vnd.tcpdump.pcap": "pcap"}

Keep = Callable[[str, str, bytes], Attachment]
"""(name, media type, content) -> the attachment, kept somewhere."""


def write(record: RunRecord, folder: Path) -> int:
    """All results of a run into *folder*, for ``allure generate``; returns how many. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for scenario in record.scenarios:
        result = TestResult(
            uuid=str(uuid4()), fullName=scenario.node_id, historyId=identity(scenario), testCaseId=identity(scenario)
        )
        fill(result, record, scenario, keeper(folder))
        write_atomically(folder / f"{result.uuid}-result.json", _dumped(result))
    settings(record, folder)
    return len(record.scenarios)


def settings(record: RunRecord, folder: Path) -> None:
    """Environment and categories."""
    facts = {"run": record.run_id, "target": str(record.target.get("name", ""))} | record.versions
    rows = [f"{name.replace(' ', '.')}={_line(value)}" for name, value in facts.items()]
    write_atomically(folder / "environment.properties", "\n".join(rows) + "\n")
    # Allure 2 reads categories.json by itself, Allure 3 with `--config allurerc.json`.
    write_atomically(folder / "categories.json", json.dumps(CATEGORIES, indent=1) + "\n")
    rules = {"name": f"virtlab {record.run_id}", "categories": CATEGORIES}
    write_atomically(folder / "allurerc.json", json.dumps(rules, indent=1) + "\n")


def fill(result: TestResult, record: RunRecord, scenario: ScenarioRecord, keep: Keep) -> None:
    """Make a result say what the record says."""
    result.name = clean(scenario.name)
    result.status = STATUS.get(scenario.verdict, Status.SKIPPED)
    result.statusDetails = _details(scenario)
    result.start, result.stop = _moments(scenario.started, scenario.seconds)
    result.steps = [_step(step) for step in scenario.steps]
    result.labels = _labels(record, scenario)
    result.links = [
        Link(type=LinkType.ISSUE if m[1] == "issue" else LinkType.LINK, url=m[2], name=m[2])
        for tag in scenario.tags
        if (m := ISSUE.match(tag))
    ]
    result.parameters = [Parameter(name="verdict", value=words.verdict_of(scenario))]
    story = words.story(scenario)
    if scenario.verdict in words.BAD:
        result.description = (
            f"{clean(story.cause)}\n\nFirst lead: {clean(story.lead)}" if story.lead else clean(story.cause)
        )
    result.attachments = _attachments(record, scenario, keep)


def _details(scenario: ScenarioRecord) -> StatusDetails | None:
    if scenario.verdict == Verdict.PASSED:
        return None
    story = words.story(scenario)
    message = clean(story.cause if scenario.verdict in words.BAD else scenario.reason or "it did not run")
    message += f"\nwanted: {clean(story.wanted)}" if scenario.verdict in words.BAD and story.wanted else ""
    # The category of what could not be observed goes by these words: Allure has no status for it.
    message = f"inconclusive: {message}" if scenario.verdict == Verdict.INCONCLUSIVE else message
    return StatusDetails(message=message, trace=clean(scenario.reason))


def _moments(started: str, seconds: float) -> tuple[int, int]:
    try:
        began = int(datetime.fromisoformat(started).timestamp() * 1000)
    except ValueError:
        return 0, 0
    return began, began + int(seconds * 1000)


def _step(step: StepRecord) -> TestStepResult:
    began, ended = _moments(step.started, step.seconds)
    status = STATUS.get(step.status, Status.SKIPPED)
    made = TestStepResult(name=clean(f"{step.keyword} {step.name}"), status=status, start=began, stop=ended)
    if step.message:
        made.statusDetails = StatusDetails(message=clean(step.message))
    made.steps = [TestStepResult(name=clean(note), status=status, start=began, stop=ended) for note in step.notes[:30]]
    return made


def _labels(record: RunRecord, scenario: ScenarioRecord) -> list[Label]:
    plain = [tag for tag in scenario.tags if tag not in SEVERITIES and not ISSUE.match(tag)]
    severity = next((SEVERITIES[t] for t in scenario.tags if t in SEVERITIES), Severity.NORMAL.value)
    return [
        Label(name=LabelType.PARENT_SUITE, value="virtlab"),
        Label(name=LabelType.SUITE, value=scenario.feature),
        Label(name=LabelType.FEATURE, value=scenario.feature),
        Label(name=LabelType.STORY, value=scenario.name),
        Label(name=LabelType.SEVERITY, value=severity),
        Label(name=LabelType.HOST, value=str(record.process.get("host", ""))),
        *(Label(name=LabelType.TAG, value=tag) for tag in plain),
    ]


def _attachments(record: RunRecord, scenario: ScenarioRecord, keep: Keep) -> list[Attachment]:
    """The picture, the timelines, what probes printed, and the evidence."""
    found = []
    picture = record.pictures.get(scenario.picture)
    if picture is not None and scenario.verdict in words.BAD:
        path, witnesses = path_of(scenario, picture)
        found.append(keep("the network", "image/svg+xml", _standing(topology.draw(picture, path, witnesses))))
    for move in traffic.moves(scenario):
        found.append(keep(f"{move.vm}: {move.way}", "image/svg+xml", _standing(timeline.draw(move))))
    for fact in scenario.facts:
        if fact.get("sort") == "check" and fact.get("output"):
            text = f"$ {fact.get('command', '')}\n{fact['output']}"
            found.append(keep(f"{fact['vm']} to {fact.get('what', '')}", "text/plain", clean(text).encode()))
    folder, own = record.folder / scenario.evidence, record.folder.resolve()
    for name in scenario.evidence_files[:ATTACHED] if scenario.evidence else ():
        file = (folder / name).resolve()
        # A record from elsewhere may name any file, or have a link to it.
        if not file.is_relative_to(own):
            continue
        if file.is_file() and file.stat().st_size <= SIZE:
            kind = "text/plain" if file.suffix in {".log", ".yaml", ".txt"} else mimetypes.guess_type(name)[0]
            found.append(keep(name, kind or "text/plain", file.read_bytes()))
    return found


def _standing(drawing: str) -> bytes:
    """A drawing with the report's colours inside, since it stands alone here."""
    from reports.html import TEMPLATES

    rules = TEMPLATES.joinpath("style.css").read_text(encoding="utf-8")
    variables = "".join(f"svg {{{block}}}" for block in re.findall(r":root \{(.*?)\}", rules, re.S)[:1])
    own = "\n".join(row for row in rules.splitlines() if row.startswith("svg "))
    head = re.sub(r"^<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', drawing, count=1)
    return head.replace("</title>", f"</title><style>{variables}{own}</style>", 1).encode()


def keeper(folder: Path) -> Keep:
    """Keeps attachments as files in *folder*."""

    def keep(name: str, kind: str, content: bytes) -> Attachment:
        ending = ENDINGS.get(kind, "bin")
        source = f"{uuid4()}-attachment.{ending}"
        (folder / source).write_bytes(content)
        return Attachment(name=clean(name), source=source, type=kind)

    return keep


def _dumped(result: TestResult) -> str:
    from attr import asdict

    body = asdict(result, filter=lambda _, value: value or value is False)
    return json.dumps(body, indent=1, ensure_ascii=False)


def identity(scenario: ScenarioRecord) -> str:
    """By what Allure knows the same scenario in another run."""
    return hashlib.sha256(scenario.node_id.encode()).hexdigest()[:32]


def _line(text: str) -> str:
    return " ".join(clean(text).split())
