"""The run as pytest sees it: options, target, needs, verdicts by exception type, exit code, an end on Ctrl-C.

Without scenarios among what was collected (the project's own tests) it does nothing. A scenario without a target is a
usage error, never a skip: an all-skipped run would look green. The record is put up here; what is drawn from it is
not this module's business.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pytest_bdd.scenario import scenario_wrapper_template_registry

from lab.core import facts, names, trace
from lab.core.errors import EnvironmentBroken, Inconclusive, LabError, NeedUnmet, UsageError, foremost, verdict_of
from lab.core.part import Part
from lab.diagnosis.expect import all_lived_on
from lab.evidence import versions
from lab.evidence.ending import look, take
from lab.evidence.record import RunRecord, ScenarioRecord, StepRecord, Verdict
from lab.evidence.tasks import BUDGET_S
from lab.faults.port import AND
from lab.parallel.merging import in_a_line
from lab.run import Lab
from lab.target.connect import check_kubeconfig
from lab.target.inventory import Target, load
from lab.topology.scene import Scene
from lab.topology.site import Site
from reports.terminal import JSON_FD, print_json
from steps import parallel, plan
from steps.ending import as_interrupt, finish, said

NEEDS = "needs:"
EACH_FAULT = "each_fault"
REPEAT = "virtlab_repeat"
SITE = pytest.StashKey[Site]()
"""Of a feature's module: its site, once a step asked for it."""
SCENE = pytest.StashKey[Scene]()
"""Of an item: its scene, likewise. pytest's own funcargs do not have what steps ask for."""
SUBJECTS = {
    "localnet": "virtual machines on VLANs through localnet networks",
    "bonding": "bonds of a node's NICs",
    "linux_bridge": "Linux bridges made by a node policy",
    "cnv_bridge": "virtual machines on a Linux bridge",
    "nmcli": "NetworkManager on a node, by hand",
    "pod_network": "virtual machines on the cluster's default network",
    "traffic": "what a disturbance does to traffic",
    "smoke": "the few that tell in a minute whether the rest is worth running",
}
"""Tags that say what a feature is about, to choose by (`-m bonding`)."""
NO_TARGET = """no target was given, so there is nothing to run the scenarios on. Type
    virtlab run --target targets/embedded.yaml        for the embedded lab: the run starts and ends it
or, for your cluster (docs/real-cluster.md),
    virtlab target init -o FILE                       writes what a look at it tells, and says what is yours to add
    virtlab run --target FILE"""
NEVER_MADE = "it was never made: the scenario passed, and waited for no network to forward"
MADE_AT_ONCE = 'make it before the first step: --each-fault "start:FAULT"'
REMEDY = "what the target file can say of it: virtlab target schema; what the cluster has: virtlab doctor --target FILE"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run."""
    group = parser.getgroup("virtlab")
    group.addoption("--target", default=os.environ.get("VIRTLAB_TARGET", ""), help="target file ($VIRTLAB_TARGET)")
    group.addoption("--run-id", default="", help="name of the run and of its folder (default: made from the time)")
    group.addoption("--out", default="out", help="folder of run folders (default: %(default)s)")
    group.addoption(
        "--keep", choices=("never", "failed", "always"), default="never", help="what to leave on the cluster"
    )
    group.addoption(
        "--evidence-budget",
        type=float,
        default=BUDGET_S,
        metavar="SECONDS",
        help="for what is collected of a scenario that did not pass (0: nothing; default: %(default)s)",
    )
    group.addoption(
        "--workers",
        default="1",
        metavar="N",
        help="-n N: run features in N processes at once (auto: one per core); each with a lab of its own if the run "
        "starts the lab, else side by side on one cluster, as far as they do not disturb each other",
    )
    group.addoption("--takeover", action="store_true", help="take the cluster from a run that still holds it")
    group.addoption("--plan", action="store_true", help="say what would run, be skipped and be changed; do nothing")
    group.addoption(
        "--repeat",
        type=_times,
        default=1,
        metavar="N",
        help="how often to try each scenario; one that measures traffic makes its disturbances N times instead",
    )
    group.addoption("--measure", action="store_true", help="record what traffic did, and judge none of it")
    group.addoption(
        "--require-all", action="store_true", help="a scenario whose needs are unmet is broken, not skipped"
    )
    group.addoption("--fault", action="append", default=[], metavar="WORDS", help="inject once the policy is Available")
    group.addoption(
        "--each-fault",
        action="append",
        default=[],
        metavar="WORDS",
        help="run each scenario once for each such fault, made before its first check and healed at its end",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each scenario once for each fault of ``--each-fault``, and `--repeat` times, one after the other.

    One that measures disturbances repeats these (:mod:`steps.traffic`), so that percentiles stand on one set-up.
    """
    if metafunc.function not in scenario_wrapper_template_registry:
        return
    faults, times = metafunc.config.option.each_fault, metafunc.config.option.repeat
    if faults:
        metafunc.fixturenames.append(EACH_FAULT)
        metafunc.parametrize(EACH_FAULT, faults)
    if times > 1 and not any(mark.name == "traffic" for mark in metafunc.definition.iter_markers()):
        metafunc.fixturenames.append(REPEAT)
        metafunc.parametrize(REPEAT, range(1, times + 1))


def fault_of(item: pytest.Item) -> str:
    """The fault that an item's scenario is run with; empty for none."""
    parameters = getattr(item, "callspec", None)
    return str(parameters.params.get(EACH_FAULT, "")) if parameters else ""


def pytest_configure(config: pytest.Config) -> None:
    """Marks that tags become."""
    config.addinivalue_line("markers", "needs(what): a capability without which the scenario is skipped")
    for name, what in SUBJECTS.items():
        config.addinivalue_line("markers", f"{name}: {what}")


def pytest_bdd_apply_tag(tag: str, function: Callable[..., object]) -> bool | None:
    """``@needs:x`` becomes the mark ``needs("x")``; other tags become marks of their own name."""
    if not tag.startswith(NEEDS):
        return None
    pytest.mark.needs(tag.removeprefix(NEEDS))(function)
    return True


def template_of(item: pytest.Item) -> Any:
    """The scenario of an item; None for a plain test."""
    function = getattr(item, "function", None)
    return scenario_wrapper_template_registry.get(function) if function else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put up the record, if there is a scenario to run. Raises pytest.UsageError without a usable target."""
    scenarios = [item for item in items if template_of(item) is not None]
    if not scenarios or config.option.collectonly:
        return
    if not config.option.target:
        raise pytest.UsageError(NO_TARGET)
    try:
        target = load(Path(config.option.target))
        check_kubeconfig(target)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    part = Part.of()
    run_id = config.option.run_id or names.new_run_id()
    if names.dns_label(run_id) != run_id:
        raise pytest.UsageError(f"--run-id: wanted lower case letters, digits and dashes, found {run_id!r}")
    folder = Path(config.rootpath, config.option.out, run_id)
    if part:
        run_id, folder = part.run_id, part.path
    about = {"name": target.name, "file": str(target.source), "migration-gap-ms": target.thresholds.migration_gap_ms}
    record = RunRecord(run_id, folder, target=about)
    record.arguments = list(config.invocation_params.args)
    record.versions = versions.of_code(target)
    record.scenarios = [_scenario(item) for item in scenarios]
    pairs = list(zip(scenarios, record.scenarios, strict=True))
    groups = parallel.groups_of(pairs, config)
    slots = min(parallel.workers_of(config), len(groups))
    if config.option.plan:
        shares = parallel.brief(groups, slots, shared=not parallel.labs_of_their_own(target)) if slots > 1 else ""
        config.pluginmanager.register(Plan(config, target, record, shares), "virtlab-plan")
        return
    config.pluginmanager.register(record, "virtlab-record")
    if slots > 1:
        several = parallel.Parallel(config, target, record, pairs, groups, slots, Lab)
        config.pluginmanager.register(several, "virtlab-parallel")
    else:
        config.pluginmanager.register(Run(config, target, record, part), "virtlab-run")
    if part:
        config.pluginmanager.register(parallel.Reporter(part), "virtlab-part")
    record.write()


def _scenario(item: pytest.Item) -> ScenarioRecord:
    template = template_of(item)
    parameters = getattr(item, "callspec", None)
    rendered = template.render((parameters.params.get("_pytest_bdd_example") if parameters else None) or {})
    fault = fault_of(item)
    return ScenarioRecord(
        name=f"{rendered.name} [{fault}]" if fault else rendered.name,
        feature=Path(template.feature.filename).stem,
        node_id=item.nodeid,
        tags=sorted(template.tags | template.feature.tags),
        steps=[StepRecord(step.keyword, step.name) for step in rendered.steps],
        repeat=int(parameters.params.get(REPEAT, 0)) if parameters else 0,
    )


def run_of(config: pytest.Config) -> Run:
    """The run that is going on."""
    found = config.pluginmanager.get_plugin("virtlab-run")
    assert isinstance(found, Run)
    return found


class Plan:
    """Instead of a run: says what it would be."""

    def __init__(self, config: pytest.Config, target: Target, record: RunRecord, workers: str) -> None:
        """*workers* says how features are shared out among several; empty for one."""
        self._config, self._target, self._record, self._workers = config, target, record, workers

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Nothing is run. Raises pytest.UsageError for a target that cannot be used."""
        as_json = bool(os.environ.get(JSON_FD))
        try:
            text = plan.show(self._record, session.items, self._target, as_json=as_json)
        except LabError as error:
            raise pytest.UsageError(str(error)) from error
        if as_json:
            print_json(text)
        elif (terminal := self._config.pluginmanager.get_plugin("terminalreporter")) is not None:
            terminal.ensure_newline()
            terminal.write_line("\n".join([text, *([f"workers: {self._workers}"] if self._workers else [])]))
        return True


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


def _times(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"wanted a number from 1 to 1000, found {text!r}")
    return int(text)
