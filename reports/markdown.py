"""The record as Markdown, for a ticket or the summary of a pipeline: the verdict, what did not pass and why, the rest
in one table. A guest's text cannot become markup: its signs are escaped, and code stands in fences it cannot close.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.evidence.record import RunRecord, Verdict
from reports import words
from reports.terminal import clean

_SIGNS = re.compile(r"([\\`*_{}\[\]<>|~])")
SHOWN = 20
"""Scenarios that did not pass and are told in full."""


def render(record: RunRecord) -> str:
    """The document."""
    return "\n".join(_lines(record)) + "\n"


def _lines(record: RunRecord) -> Iterator[str]:
    _, sentence = words.headline(record)
    yield f"## {cell(sentence)}"
    yield ""
    if state := words.state(record):
        yield f"**{state}**"
        yield ""
    counts = record.counts()
    said = ", ".join(f"{counts[v]} {v}" for v in words.ORDER if counts[v])
    took = words.duration(words.length(record))
    yield f"Run `{code(record.run_id)}` on {cell(str(record.target.get('name', '?')))}: {said}, in {took}."
    if record.broken:
        yield ""
        yield from _fence(record.broken)
    bad = [s for s in record.scenarios if s.verdict in words.BAD]
    bad.sort(key=lambda s: words.ORDER.index(s.verdict))
    for scenario in bad[:SHOWN]:
        story = words.story(scenario, record.pictures.get(scenario.picture))
        yield ""
        yield f"### {scenario.verdict}: {cell(scenario.name)}"
        yield ""
        yield f"**{cell(story.cause)}**"
        yield ""
        rows = (("step", story.step), ("wanted", story.wanted), ("seen", story.seen),
                ("stands out", "; ".join(story.odd)), ("first lead", story.lead))  # fmt: skip
        yield from (f"- {name}: {cell(text)}" for name, text in rows if text)
        if scenario.evidence:
            yield f"- evidence: `{code(scenario.evidence)}`"
    if len(bad) > SHOWN:
        yield ""
        yield f"and {len(bad) - SHOWN} more that did not pass."
    yield ""
    yield "| verdict | scenario | time |"
    yield "| --- | --- | ---: |"
    for scenario in record.scenarios:
        said = scenario.reason if scenario.verdict == Verdict.SKIPPED else words.unfinished(scenario)
        reason = f" ({cell(said)})" if said else ""
        yield f"| {words.verdict_of(scenario)} | {cell(scenario.name)}{reason} | {words.duration(scenario.seconds)} |"
    yield ""
    yield ", ".join(f"{cell(name)} {cell(text)}" for name, text in record.versions.items())


def cell(text: str) -> str:
    """Text on one line, with Markdown's own signs escaped."""
    return _SIGNS.sub(r"\\\1", " ".join(clean(text).split()))


def code(text: str) -> str:
    """Text for between single back-quotes."""
    return clean(text).replace("`", "'")


def _fence(text: str) -> Iterator[str]:
    yield "```text"
    yield from clean(text).replace("```", "'''").splitlines()
    yield "```"
