"""What the matrix came to: for the terminal, and as the page of the documentation. Pure but for writing that page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tests.matrix.cells import MISSING, Group, Outcome

HEAD = """\
# Faults, and what the harness makes of them

A green run means something only if a wrong network turns it red. This page is written from runs of the
cells of [tests/matrix/cells.yaml](../tests/matrix/cells.yaml): a fault of a real part, set on the embedded lab while a
scenario runs, and what the scenario made of it. `make matrix` runs them all; `python -m tests.matrix --read RUN...`
puts together runs of some, of which the last counts; those that never ran are listed.
How faults are set by hand: [lab.md](lab.md).

The lines are those that the HTML report begins the scenario's entry with, read back from the page. A cause is right
when all words that the cell wants of it (layer, node, object) are in that line, and in the summary on the terminal.
"""

BY_EYE = """\
## What a reader makes of them

The red lines of such a run were read by eye, too, beside the faults that had been set. All name an object and its
place. What they leave to be found out:

- A target that hangs and one that crashes read alike: *Target pod is down*, from which worker to which.
- A VLAN that is native on a trunk reads as one that does not pass the trunk; the counters beside it, packets received
  and no answer, tell the two apart.
- That an nmstate handler is dead reads as the row that its worker lacks in the table of enactments.
- A bridge that a node's packet filter drops reads as one over which the node does not answer.
- A second DHCP server reads as a policy that was applied, and was to be rolled back.
- A VM that ended says where and that another one runs; why QEMU ended is in the launcher's log.
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
        mark = "ok  " if one.expected and not one.lacking else "LESS" if one.expected else "BAD "
        rows.append(f"{mark} {one.verdict:12} {one.seconds:5.1f} s  {one.fault}")
        if one.lacking:
            rows.append(f"      without {', '.join(map(repr, one.lacking))}: {one.line}")
        elif one.verdict in one.wanted and not one.expected:
            rows.append(f"      red was: {one.red}: {one.line}")
        elif not one.expected and one.verdict != MISSING:
            rows.append(f"      wanted {' or '.join(one.wanted)}: {one.line}")
    said = ", ".join(f"{name} {part} of {whole}" for name, (part, whole) in rates(found).items())
    return [*rows, f"{len(found)} cells in {seconds / 60:.0f} min: {said}"]


def page(
    found: Sequence[Outcome],
    catalogue: str,
    unnoticed: Mapping[str, str],
    note: str = "",
    unproven: Mapping[str, str] | None = None,
) -> str:
    """Rates with a *note* on the runs, what is not caught, what may not be noticed, sentences without a fault of their
    own, each cell's line, the catalogue."""
    ran = [o for o in found if o.verdict != MISSING]
    said = f"{len(ran)} of {len(found)} cells ran, {_last(ran)}in {sum(o.seconds for o in ran) / 60:.0f} minutes."
    rows = [HEAD, f"{said} {note}".rstrip(), "", "| Rate | Cells |", "|---|---|"]
    rows += [
        f"| {name} | {part} of {whole} ({_percent(part, whole)}) |" for name, (part, whole) in rates(found).items()
    ]
    lacking = [f"- `{o.fault}`: {_lack(o)}" for o in ran if not o.expected or o.lacking or o.missed]
    rows += ["", "## Not caught, or not explained", "", *(lacking or ["Nothing."])]
    if left := [
        f"- `{o.fault}`" + f": expected to be missed, {o.missed}" * bool(o.missed) for o in found if o not in ran
    ]:
        rows += ["", "## Not run", "", *left]
    rows += ["", "## What no check may notice", ""]
    rows += [f"- `{name}`: {why}" for name, why in sorted(unnoticed.items())]
    if unproven:
        rows += ["", "## Sentences that no fault turns red alone", ""]
        rows += [f"- *{_BRACED.sub(_name, text)}*: {why}" for text, why in unproven.items()]
    rows += ["", BY_EYE.rstrip()]
    for scenario in dict.fromkeys(o.scenario for o in ran):
        rows += ["", f"## {scenario}", "", *_table([o for o in ran if o.scenario == scenario])]
    rows += ["", "## The catalogue", "", "```console", "$ virtlab fault list", catalogue.rstrip(), "```", ""]
    return "\n".join(rows)


def _name(braced: re.Match[str]) -> str:
    return braced[1]


_BRACED = re.compile(r"{(\w+).*?}")
_ROW = re.compile(r"^\| `(?P<fault>[^`]+)` \| (?P<verdict>\w+) \| (?P<rest>.*) \|$")


def onto(page: str, groups: Sequence[Group], found: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes, those of cells that did not run as an earlier *page* has them, if it has them.

    Of a cause only the words that are the same in every run can be looked for again.
    """
    known: dict[tuple[str, str], tuple[str, str, str]] = {}
    scenario = ""
    for line in page.splitlines():
        if line.startswith("## "):
            scenario = line.removeprefix("## ")
        elif row := _ROW.match(line):
            *first, last = re.split(r" (?<!\\)\| ", row["rest"])
            known[scenario, row["fault"]] = row["verdict"], "".join(first), last.replace("\\|", "|")
    wanted = {(group.scenario, cell.fault): cell.cause for group in groups for cell in group.cells}
    made = []
    for one in found:
        key = one.scenario, one.fault
        if one.verdict == MISSING and key in known:
            verdict, red, line = known[key]
            words = tuple(word for word in wanted[key] if "{" not in word and word not in line)
            one = replace(one, verdict=verdict, line="" if line == "-" else line, red=red, words=words)
        made.append(one)
    return made


def _last(ran: Sequence[Outcome]) -> str:
    """How many of them in the last runs, where others are as an earlier page had them."""
    now = sum(bool(o.seconds) for o in ran)
    return f"{now} of them for the last time " if now < len(ran) else ""


def _table(found: Sequence[Outcome]) -> list[str]:
    """A row for each cell; with the first sentence that did not hold, where that was the point."""
    if not any(o.sentence for o in found):
        rows = [f"| `{o.fault}` | {o.verdict} | {_cell(o.line)} |" for o in found]
        return ["| Fault | Verdict | First line of the report |", "|---|---|---|", *rows]
    rows = [f"| `{o.fault}` | {o.verdict} | {_cell(o.red)} | {_cell(o.line)} |" for o in found]
    return ["| Fault | Verdict | The sentence | First line of the report |", "|---|---|---|---|", *rows]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"


def _lack(one: Outcome) -> str:
    if one.missed:
        return f"{one.verdict}: {one.missed}"
    if one.verdict in one.wanted and not one.expected:
        return f"{one.verdict}, but by {one.red!r}"
    if not one.expected:
        return f"{one.verdict}, wanted {' or '.join(one.wanted)}"
    where = "" if one.words and one.unsaid else " of the page" if one.words else " on the terminal"
    return f"the report{where} does not say {', '.join(one.lacking)}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "-"
