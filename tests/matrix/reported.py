"""What reports say of one scenario to whoever has nothing else: drawn from the record as a person's, and read back."""

from __future__ import annotations

import html
import io
import re
from dataclasses import replace

from lab.evidence.record import RunRecord, ScenarioRecord
from reports.html import render
from reports.terminal import Terminal

_CAUSE = re.compile(r'<p class="cause">(.*?)</p>', re.S)


def page(record: RunRecord, scenario: ScenarioRecord) -> str:
    """The line that the HTML report begins its first entry with, were the scenario the run's only one; "" for none."""
    found = _CAUSE.search(render(_alone(record, scenario)))
    return " ".join(html.unescape(found[1]).split()) if found else ""


def terminal(record: RunRecord, scenario: ScenarioRecord) -> str:
    """The summary on a terminal, its lines put together."""
    out = io.StringIO()
    Terminal(out, {}).summary(_alone(record, scenario))
    return " ".join(out.getvalue().split())


def _alone(record: RunRecord, scenario: ScenarioRecord) -> RunRecord:
    # Without its title, which has the fault in it as it was asked for.
    return replace(record, scenarios=[replace(scenario, name="a scenario")])
