"""What a check before a run found, and how it is told: one line each, with its remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "bad", "unknown"]
MARKS: dict[State, str] = {"ok": "ok ", "bad": "NOT", "unknown": "?  "}


@dataclass(frozen=True)
class Finding:
    """`unknown` is what cannot be known without changing something, or without a right; it makes nothing red."""

    subject: str
    state: State
    seen: str
    remedy: str = ""


def good(subject: str, seen: str) -> Finding:
    return Finding(subject, "ok", seen)


def bad(subject: str, seen: str, remedy: str) -> Finding:
    return Finding(subject, "bad", seen, remedy)


def unknown(subject: str, seen: str, remedy: str) -> Finding:
    return Finding(subject, "unknown", seen, remedy)


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """For people, what is wrong with its remedy below it; the last line counts."""
    for finding in findings:
        yield f"{MARKS[finding.state]}  {finding.subject}: {' '.join(finding.seen.split())}"
        if finding.state != "ok" and finding.remedy:
            yield f"       try: {finding.remedy}"
    counts = {state: sum(f.state == state for f in findings) for state in MARKS}
    if findings:
        yield f"{counts['ok']} ok, {counts['bad']} not, {counts['unknown']} not to be known beforehand"


def document(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """For programs."""
    return [asdict(finding) for finding in findings]


def code(findings: Sequence[Finding]) -> int:
    """1 when anything is not as it must be."""
    return int(any(finding.state == "bad" for finding in findings))
