"""The record as JUnit XML, for whatever shows test results: one suite per feature, one case per scenario.

Failed is a failure, broken and inconclusive are errors (they say nothing against the product), skipped and not run are
skipped with their reason. An environment that broke before any scenario had a verdict is an error of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as Xml

from lab.evidence.record import RunRecord, ScenarioRecord, StepRecord, Verdict
from reports import words
from reports.terminal import clean, headline

_NO_XML = re.compile(r"[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
TAGS = {Verdict.FAILED: "failure", Verdict.BROKEN: "error", Verdict.INCONCLUSIVE: "error"}


def render(record: RunRecord) -> str:
    """The document, with its XML declaration."""
    suites: dict[str, list[ScenarioRecord]] = {}
    for scenario in record.scenarios:
        suites.setdefault(scenario.feature, []).append(scenario)
    root = Xml.Element("testsuites", name="virtlab", time=f"{words.length(record):.3f}")
    for feature, scenarios in suites.items():
        _suite(root, record, feature, [_case(s) for s in scenarios], scenarios)
    if record.broken and not any(s.verdict == Verdict.BROKEN for s in record.scenarios):
        case = Xml.Element("testcase", classname="virtlab", name="the environment", time="0")
        _said(case, "error", "broken", record.broken)
        _suite(root, record, "environment", [case], [])
    for key, number in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        root.set(key, str(sum(1 for _ in root.iter(number))))
    Xml.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _suite(
    root: Xml.Element, record: RunRecord, name: str, cases: Iterable[Xml.Element], scenarios: Iterable[ScenarioRecord]
) -> None:
    suite = Xml.SubElement(root, "testsuite", name=_xml(name), timestamp=record.started, hostname=_host(record))
    suite.set("time", f"{sum(s.seconds for s in scenarios):.3f}")
    properties = Xml.SubElement(suite, "properties")
    facts = {"run": record.run_id, "state": record.state, "target": record.target.get("name", "")} | record.versions
    for key, value in facts.items():
        Xml.SubElement(properties, "property", name=_xml(key), value=_xml(str(value)))
    suite.extend(cases)
    for key, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(sum(1 for _ in suite.iter(tag))))


def _host(record: RunRecord) -> str:
    return _xml(str(record.process.get("host", "")))


def _case(scenario: ScenarioRecord) -> Xml.Element:
    case = Xml.Element(
        "testcase", classname=_xml(scenario.feature), name=_xml(scenario.title), time=f"{scenario.seconds:.3f}"
    )
    properties = Xml.SubElement(case, "properties")
    for tag in scenario.tags:
        Xml.SubElement(properties, "property", name="tag", value=_xml(tag))
    if scenario.evidence:
        Xml.SubElement(properties, "property", name="evidence", value=_xml(scenario.evidence))
    if scenario.verdict in TAGS:
        _said(case, TAGS[Verdict(scenario.verdict)], scenario.verdict, scenario.reason)
    elif scenario.verdict != Verdict.PASSED:
        Xml.SubElement(case, "skipped", message=_xml(scenario.reason or "it did not run"))
    Xml.SubElement(case, "system-out").text = _xml("\n".join(_line(step) for step in scenario.steps))
    return case


def _said(case: Xml.Element, tag: str, kind: str, reason: str) -> None:
    found = Xml.SubElement(case, tag, type=kind, message=_xml(headline(reason, 2).replace("\n", "; ")))
    found.text = _xml(reason)


def _line(step: StepRecord) -> str:
    return f"{step.status:<12} {step.seconds:7.1f} s  {step.keyword} {step.name}"


def _xml(text: str) -> str:
    """Text that XML 1.0 allows; all else is spelled out."""
    return _NO_XML.sub(lambda m: repr(m[0])[1:-1], clean(text))
