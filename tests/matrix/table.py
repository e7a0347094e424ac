"""What the matrix came to: for the terminal, and as the page of the documentation. Pure but for writing that page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.matrix.cells import MISSING, Outcome

HEAD = """\
# Faults, and what the harness makes of them

A green run means something only if a wrong network turns it red. This page is written from runs of the
cells of [tests/matrix/cells.yaml](../tests/matrix/cells.yaml): a fault of a real part, set on the embedded lab while a
scenario runs, and what the scenario made of it. `make matrix` runs them all; `python -m tests.matrix --read RUN...`
puts together runs of some, of which the last counts; those that never ran are listed.
How faults are set by hand: [lab.md](lab.md).
"""


def rates(found: Sequence[Outcome]) -> dict[str, tuple[int, int]]:
    """Name of a rate -> (how many, of how many)."""
    ran = [o for o in found if o.verdict != MISSING]
    detect = [o for o in ran if o.to_detect]
    quiet = [o for o in ran if not o.to_detect]
    return {
        "detected": (sum(o.detected for o in detect), len(detect)),
        "right cause": (sum(o.right_cause for o in detect), sum(o.detected for o in detect)),
        "not run": (len(found) - len(ran), len(found)),
        "false alarms": (sum(o.false_alarm for o in quiet), len(quiet)),
    }


def lines(found: Sequence[Outcome], seconds: float) -> list[str]:
    """For the terminal: each cell that is not as wanted, then the rates."""
    rows = []
    for one in found:
        mark = "ok  " if one.expected and not one.words else "LESS" if one.expected else "BAD "
        rows.append(f"{mark} {one.verdict:12} {one.seconds:5.1f} s  {one.fault}")
        if one.words:
            rows.append(f"      without {', '.join(map(repr, one.words))}: {one.line}")
        elif not one.expected:
            rows.append(f"      wanted {' or '.join(one.wanted)}: {one.line}")
    said = ", ".join(f"{name} {part} of {whole}" for name, (part, whole) in rates(found).items())
    return [*rows, f"{len(found)} cells in {seconds / 60:.0f} min: {said}"]


def write(path: Path, found: Sequence[Outcome], catalogue: str) -> None:
    """The page."""
    path.write_text(page(found, catalogue))


def page(found: Sequence[Outcome], catalogue: str) -> str:
    """Catalogue, rates, what is not caught, and every cell with the first line of its reason."""
    ran = [o for o in found if o.verdict != MISSING]
    said = f"{len(ran)} of {len(found)} cells ran, in {sum(o.seconds for o in ran) / 60:.0f} minutes."
    rows = [HEAD, said, "", "| Rate | Cells |", "|---|---|"]
    rows += [
        f"| {name} | {part} of {whole} ({_percent(part, whole)}) |" for name, (part, whole) in rates(found).items()
    ]
    lacking = [f"- `{o.fault}`: {_lack(o)}" for o in ran if not o.expected or o.words or o.missed]
    rows += ["", "## Not caught, or not explained", "", *(lacking or ["Nothing."])]
    if left := [
        f"- `{o.fault}`" + f": expected to be missed, {o.missed}" * bool(o.missed) for o in found if o not in ran
    ]:
        rows += ["", "## Not run", "", *left]
    for scenario in dict.fromkeys(o.scenario for o in ran):
        rows += ["", f"## {scenario}", "", "| Fault | Verdict | First line of the reason |", "|---|---|---|"]
        rows += [f"| `{o.fault}` | {o.verdict} | {_cell(o.line)} |" for o in ran if o.scenario == scenario]
    rows += ["", "## The catalogue", "", "```console", "$ virtlab fault list", catalogue.rstrip(), "```", ""]
    return "\n".join(rows)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"


def _lack(one: Outcome) -> str:
    if one.missed:
        return f"{one.verdict}: {one.missed}"
    if not one.expected:
        return f"{one.verdict}, wanted {' or '.join(one.wanted)}"
    return f"the reason does not say {', '.join(one.words)}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "-"
