"""A run with scenarios as pytest goes through it: needs, verdicts by exception type, evidence, exit code.

What is run, and with which options, was settled by `plugin`; what is drawn from the record is for others.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import suppress

import pytest

from lab.core import facts, trace
from lab.core.errors import EnvironmentBroken, Inconclusive, LabError, NeedUnmet, UsageError, foremost, verdict_of
from lab.core.part import Part
from lab.diagnosis.expect import all_lived_on
from lab.evidence.ending import look, take
from lab.evidence.record import RunRecord, ScenarioRecord, Verdict
from lab.faults.port import AND
from lab.parallel.merging import in_a_line
from lab.run import Lab
from lab.target.inventory import Target
from lab.topology.scene import Scene
from lab.topology.site import Site
from steps import plan
from steps.ending import as_interrupt, finish, said

EACH_FAULT = "each_fault"
SITE = pytest.StashKey[Site]()
"""Of a feature's module: its site, once a step asked for it."""
SCENE = pytest.StashKey[Scene]()
"""Of an item: its scene, likewise. pytest's own funcargs do not have what steps ask for."""
NEVER_MADE = "it was never made: the scenario passed, and waited for no network to forward"
MADE_AT_ONCE = 'make it before the first step: --each-fault "start:FAULT"'
REMEDY = "what the target file can say of it: virtlab target schema; what the cluster has: virtlab doctor --target FILE"


def fault_of(item: pytest.Item) -> str:
    """The fault that an item's scenario is run with; empty for none."""
    parameters = getattr(item, "callspec", None)
    return str(parameters.params.get(EACH_FAULT, "")) if parameters else ""


def run_of(config: pytest.Config) -> Run:
    """The run that is going on."""
    found = config.pluginmanager.get_plugin("virtlab-run")
    assert isinstance(found, Run)
    return found


class Run:
    """The hooks of a run with scenarios."""

    def __init__(self, config: pytest.Config, target: Target, record: RunRecord, part: Part | None) -> None:
        self._config = config
        self._target = target
        self._part = part
        self.record = record
        self._lab: Lab | None = None
        self._terminated = signal.signal(signal.SIGTERM, as_interrupt)

    def lab(self) -> Lab:
        """The lab, opened at first use. Raises what opening raised, once; later callers were skipped by then."""
        if self._lab is None:
            lab = Lab(self._target, self.record.run_id, self.record.folder)
            self._lab = lab
            lab.open(takeover=self._config.option.takeover, part=self._part)
            lab.fault_each_policy(self._config.option.fault)
            for line in lab.capabilities.brief():
                trace.note("cluster", line, what=facts.CLUSTER)
            self.record.target |= lab.capabilities.facts
            self.record.versions |= lab.versions()
        return self._lab

    def _of(self, item: pytest.Item) -> ScenarioRecord | None:
        return next((s for s in self.record.scenarios if s.node_id == item.nodeid), None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip what cannot run, with the reason: a broken environment, or a need that this cluster does not meet."""
        if self._of(item) is None:
            return
        if self.record.broken:
            pytest.skip(f"not run, since the environment broke: {in_a_line(self.record.broken)}")
        lab = self.lab()
        lab.still_alone()
        capabilities = lab.capabilities
        if unmet := "; ".join(capabilities.unmet(plan.wanted(item))):
            if self._config.option.require_all:
                raise NeedUnmet("every need of this scenario (--require-all)", unmet, self._target.name, REMEDY)
            pytest.skip(unmet)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """What no step looks at: that its VMs are the ones it began with, and that a fault asked for was made.

        Raises ProductFailure, Inconclusive.
        """
        yield
        if (scene := item.stash.get(SCENE, None)) is not None:
            all_lived_on(scene)
        if self._of(item) is not None and (words := self._unmade(item)):
            raise Inconclusive(f"the fault {words!r} before the scenario's first check", NEVER_MADE, "", MADE_AT_ONCE)

    def _unmade(self, item: pytest.Item) -> str:
        """The words of a fault that was asked for and not made; empty when there is none."""
        scene, site, all_over = item.stash.get(SCENE, None), _site(item), self._config.option.fault
        if (own := fault_of(item)) and (scene is None or scene.faults.armed):
            return own
        return f" {AND} ".join(all_over) if site is None or not site.forwarded else ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """The verdict, by the type of what was raised; our own errors say all without a traceback."""
        report = yield
        scenario = self._of(item)
        if scenario is None:
            return report
        if call.excinfo is None:
            if call.when == "call":
                scenario.verdict = scenario.verdict or Verdict.PASSED
            return report
        error = foremost(call.excinfo.value)
        if report.skipped:
            scenario.verdict, scenario.reason = Verdict.SKIPPED, str(error)
            return report
        if call.when == "call" and self._undisturbed(item):
            error = self.lab().explained(error, item.stash.get(SCENE, None))
        if not scenario.verdict or scenario.verdict == Verdict.PASSED:
            scenario.verdict, scenario.reason = Verdict(verdict_of(error)), said(error)
            scenario.advice = getattr(error, "advice", "")
        if scenario.verdict not in {Verdict.PASSED, Verdict.SKIPPED} and call.when == "setup":
            self._take(scenario)
        ended = isinstance(error, EnvironmentBroken) or (isinstance(error, UsageError) and call.when == "setup")
        # With a fault of its own a scenario says nothing of the others.
        if ended and not self.record.broken and not fault_of(item):
            self.record.broken = said(error)
        if isinstance(error, LabError) and self._config.option.verbose < 1:
            report.longrepr = f"{scenario.verdict}: {error}"
        return report

    def _undisturbed(self, item: pytest.Item) -> bool:
        """Whether a worker that is not Ready has nothing to do with what the scenario itself does."""
        lost = self._lab is None or self.record.broken
        return not lost and item.get_closest_marker("disruptive") is None

    def _take(self, scenario: ScenarioRecord) -> None:
        """Evidence where there is no scene yet: the set-up failed."""
        sources = self._lab.sources() if self._lab is not None else None
        if sources is not None:
            take(sources, self.record, scenario, self._config.option.evidence_budget)

    def end(self, item: pytest.Item, scene: Scene) -> None:
        """The end of a scenario: evidence first if it did not pass, then what it made, unless it is to be kept."""
        scenario = self._of(item)
        bad = scenario is not None and scenario.verdict not in {Verdict.PASSED, Verdict.SKIPPED, ""}
        if scenario is not None:
            look(scene, self.record, scenario, bad=bad, budget=self._config.option.evidence_budget)
        if self._config.option.keep == "always" or (bad and self._config.option.keep == "failed"):
            scene.let_go()
        else:
            scene.close()

    def keep(self, item: pytest.Item, what: str, details: object) -> None:
        """Something that a scenario found out, for the record."""
        if (scenario := self._of(item)) is not None:
            scenario.details[what] = details

    def keeps(self) -> bool:
        """Whether what was made stays on the cluster, by what is known now."""
        verdicts = {s.verdict for s in self.record.scenarios}
        bad = bool(verdicts & {Verdict.FAILED, Verdict.BROKEN, Verdict.INCONCLUSIVE})
        return self._config.option.keep == "always" or (bad and self._config.option.keep == "failed")

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Put the cluster back, close the record, say by the exit code what it was."""
        try:
            # Fixtures of a run that was interrupted end in here. What they could not undo is tried once more below, and
            # what then stays is said.
            with suppress(LabError):
                yield
        finally:
            if self._lab is not None:
                self.record.leftovers = self._lab.close(keep=self.keeps())
                self.record.phases = self._lab.phases
            finish(self.record, session)
            signal.signal(signal.SIGTERM, self._terminated)


def _site(item: pytest.Item) -> Site | None:
    module = item.getparent(pytest.Module)
    return module.stash.get(SITE, None) if module else None
