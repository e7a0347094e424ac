"""pytest hooks to record and terminal: the live lines of a run, its summary, its record.

The record itself is put up by the plugin that chooses the target (it registers a RunRecord under the name
``virtlab-record``); without one, as in the project's unit tests, this plugin stays silent.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from lab.core import facts, trace
from lab.core.errors import LabError, UsageError, verdict_of
from lab.evidence.record import RunRecord, ScenarioRecord, StepRecord, Verdict, now
from reports import upload
from reports.cli import write
from reports.terminal import HEARTBEAT_S, JSON_FD, PATIENCE_S, Terminal, print_json

if TYPE_CHECKING:
    from reports.allureplugin import Filler

SHOWN = frozenset({"wait", "probe", "lab"})
"""Sorts of activity that get lines; all others are in the record only."""
COUNTING = re.compile(r"\d+(?:\.\d+)?(?= ?(?:s|ms|%|seconds?)\b)")
"""What changes in a text while nothing happens but time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where runs are kept for comparison, and where their folders go."""
    group = parser.getgroup("virtlab")
    group.addoption(
        "--store",
        default="",
        help="URL of the store of runs ($VIRTLAB_STORE; default: history.db in --out; none: no store)",
    )
    group.addoption(
        "--upload",
        default=os.environ.get("VIRTLAB_UPLOAD", ""),
        help="put the run's folder there in the end: s3://BUCKET/PREFIX?endpoint=URL ($VIRTLAB_UPLOAD)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep the real standard output: while a test runs, pytest points file descriptor 1 elsewhere.

    Raises pytest.UsageError for an upload that cannot be: hours later it would be said too late.
    """
    if config.option.upload:
        try:
            upload.check(config.option.upload)
        except UsageError as error:
            raise pytest.UsageError(f"--upload: {error}") from error
    config.pluginmanager.register(Live(_own_stdout()), "virtlab-live")


def _own_stdout() -> TextIO:
    try:
        return os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding, errors="backslashreplace")
    except (io.UnsupportedOperation, OSError, AttributeError):
        return sys.stdout


class Live:
    """The hooks; one object per run."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.terminal = Terminal(out)
        self.record: RunRecord | None = None
        self.config: pytest.Config | None = None
        self._scenario: ScenarioRecord | None = None
        self._step: StepRecord | None = None
        self._began = 0.0
        self._told: dict[int, float] = {}
        self._seen: dict[int, str] = {}
        """Span -> what it showed last, without what only counts time."""
        self._unsubscribe: Callable[[], None] = lambda: None
        self._allure: Filler | None = None
        self._relayed = False
        """Whether workers ran the scenarios: allure-pytest then saw none of them."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Begin, if there is a record to fill."""
        self.config = session.config
        self.terminal = Terminal(self._out, quiet=session.config.option.verbose < 1)
        self.record = session.config.pluginmanager.get_plugin("virtlab-record")
        if self.record is None or session.config.option.collectonly:
            self.record = None
            return
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.showfspath = False
        self._unsubscribe = trace.subscribe(self._traced)
        if folder := getattr(session.config.option, "allure_report_dir", None):
            from reports.allureplugin import Filler

            self._allure = Filler(self.record, Path(folder))
        target = self.record.target
        self.terminal.line(f"run {self.record.run_id} on {target.get('name', '?')} ({target.get('file', '?')})")

    def _kept(self) -> None:
        """What is told on the terminal is in the record by then: a run that is killed loses nothing it had told."""
        if self.record is not None:
            self.record.write()

    def _of(self, nodeid: str) -> ScenarioRecord | None:
        return next((s for s in (self.record.scenarios if self.record else ()) if s.node_id == nodeid), None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """The head line with ``[i/N]``."""
        self._scenario = scenario = self._of(nodeid)
        if scenario is None or self.record is None:
            return
        scenario.started = now()
        self._began = time.monotonic()
        number = self.record.scenarios.index(scenario) + 1
        self._kept()
        self.terminal.scenario(number, len(self.record.scenarios), scenario)

    def told(self, scenario: ScenarioRecord) -> None:
        """Draw a scenario that a worker ran; it has ended."""
        if self.record is None:
            return
        self._relayed = True
        self.terminal.scenario(self.record.scenarios.index(scenario) + 1, len(self.record.scenarios), scenario)
        for step in scenario.steps:
            if step.status in set(Verdict) | {"running"}:
                for note in step.notes:
                    self.terminal.note(note)
                self.terminal.step_ended(step)
        self.terminal.scenario_ended(scenario, explained=any(s.message for s in scenario.steps))

    def pytest_bdd_before_step(self, scenario: Any, step: Any) -> None:
        """The step in the record, and on the moving line."""
        if self._scenario is None:
            return
        index = list(scenario.steps).index(step)
        self._step = self._scenario.steps[index]
        self._step.status, self._step.started = "running", now()
        self._began_step = time.monotonic()
        self._kept()
        self.terminal.step_began(self._step)

    def pytest_bdd_after_step(self) -> None:
        """The lasting line of a step that passed."""
        self._end_step(Verdict.PASSED, "")

    def pytest_bdd_step_error(self, exception: BaseException) -> None:
        """The lasting line of a step that did not, with what it found."""
        self._end_step(Verdict(verdict_of(exception)), _message(exception))

    def _end_step(self, verdict: Verdict, message: str) -> None:
        if self._step is None or self.record is None:
            return
        step, self._step = self._step, None
        step.status, step.message = str(verdict), message
        step.seconds = round(time.monotonic() - self._began_step, 3)
        self._kept()
        self.terminal.step_ended(step)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Close a step that ended without a word to pytest-bdd: a skip, Ctrl-C."""
        if self._step is not None and call.excinfo is not None and call.when == "call":
            skipped = call.excinfo.errisinstance(pytest.skip.Exception)
            self._end_step(
                Verdict.SKIPPED if skipped else Verdict(verdict_of(call.excinfo.value)), _message(call.excinfo.value)
            )
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """The verdict of the scenario, known by now."""
        if (scenario := self._scenario) is None or self.record is None:
            return
        scenario.seconds = round(time.monotonic() - self._began, 3)
        scenario.ended = now()
        self._kept()
        self.terminal.scenario_ended(scenario, explained=any(s.message for s in scenario.steps))
        self._scenario = None
        if self._allure is not None:
            self._allure.scenario = scenario

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport | pytest.CollectReport) -> tuple[str, str, str] | None:
        """Keep pytest's own letters out of our lines, and out of its summary what our lines have told in full."""
        if self._of(report.nodeid) is None:
            return None
        if report.when in {"setup", "teardown"} and report.passed:
            return "", "", ""
        told = report.failed and isinstance(report.longrepr, str)
        return "not passed" if told else report.outcome, "", ""

    def _traced(self, event: trace.Event) -> None:
        """What the lab says it does: to the record when it changes, to the terminal when it takes long enough."""
        if event.what == facts.WHAT:
            self._keep(event.data["fact"])
            return
        if event.what == facts.CLUSTER:
            self.terminal.line(f"{event.subject}: {event.text}")
            return
        if event.kind == "noted":
            self._remember(event)
            self._kept()
            self.terminal.note(f"{event.subject}: {event.text}" if event.subject else event.text)
            return
        if event.what not in SHOWN:
            return
        if event.kind == "finished":
            if event.span in self._told or event.what != "wait":
                self._remember(event)
            self._told.pop(event.span, None)
            self._seen.pop(event.span, None)
            return
        changed = self._changed(event)
        if event.kind == "observed" and changed:
            self._remember(event)
        self._show(event, changed)

    def _changed(self, event: trace.Event) -> bool:
        """Whether something else is seen than before; a countdown is no change."""
        kind = COUNTING.sub("#", event.text)
        before, self._seen[event.span] = self._seen.get(event.span), kind
        return kind != before

    def _remember(self, event: trace.Event) -> None:
        step = self._step
        if step is None or not event.text:
            return
        said = f"{event.subject}: {event.text}" if event.subject else event.text
        step.notes.append(f"{said} ({event.elapsed:.1f} s)" if event.elapsed else said)

    def _keep(self, fact: Any) -> None:
        """A fact, with the step that it belongs to."""
        if (scenario := self._scenario) is None:
            return
        step = next((i for i, s in enumerate(scenario.steps) if s is self._step), -1)
        scenario.facts.append(facts.document(fact) | {"step": step, "at": now()})

    def _show(self, event: trace.Event, changed: bool) -> None:
        if self.terminal.tty:
            self.terminal.wait(event.subject, event.text, event.elapsed, event.limit)
            return
        last = self._told.get(event.span)
        late = event.elapsed >= PATIENCE_S and last is None
        if late or (last is not None and (changed or event.elapsed - last >= HEARTBEAT_S)):
            self._told[event.span] = event.elapsed
            self.terminal.wait(event.subject, event.text, event.elapsed, event.limit)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self) -> None:
        """The verdicts and the path of the record, last of all; the reports that need no asking for."""
        self._unsubscribe()
        if self.record is None:
            return
        if self._allure is not None:
            self._allure.end(results=self._relayed)
        self.terminal.summary(self.record)
        for name in ("html", "junit"):
            try:
                self.terminal.line(f"{name}: {write(self.record, name)}")
            except OSError as error:
                self.terminal.line(f"{name}: not written, {error.filename or self.record.folder}: {error.strerror}")
        self._keep_run(self.record)
        self._upload(self.record)
        if os.environ.get(JSON_FD):
            print_json(json.dumps(self.record.document(), ensure_ascii=False, default=str))

    def _keep_run(self, record: RunRecord) -> None:
        """Into the store; one that does not take it is said, and loses nothing."""
        url = self.config.option.store if self.config else "none"
        if url == "none":
            return
        from reports.store import Store, default_url

        try:
            store = Store(url or default_url(record.folder.parent))
            try:
                store.add(record)
            finally:
                store.close()
        except LabError as error:
            self.terminal.block(f"not in the history: {error}", Verdict.BROKEN)

    def _upload(self, record: RunRecord) -> None:
        """Into an S3 store; one that does not take it is said, and changes nothing about the run."""
        url = self.config.option.upload if self.config else ""
        if not url:
            return
        results = getattr(self.config.option, "allure_report_dir", None) if self.config else None
        try:
            where = upload.run(record.folder, record.run_id, url, {"allure": Path(results)} if results else None)
        except LabError as error:
            self.terminal.block(f"not uploaded: {error}", Verdict.BROKEN)
        else:
            self.terminal.line(f"uploaded: {where}")

    def pytest_unconfigure(self) -> None:
        """Give the duplicate of standard output back."""
        if self._out is not sys.stdout:
            self._out.close()


def _message(error: BaseException) -> str:
    text = str(error).strip()
    return text if type(error).__module__.startswith("lab.") and text else f"{type(error).__name__}: {text}"
