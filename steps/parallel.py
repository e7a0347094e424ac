"""`run -n N` as pytest sees it: this process collects, hands features to workers, and keeps the one record of them all.

Each worker is pytest again, on one feature. What people and programs read (lines, reports, exit code) is drawn here
from the record, as in a run of one process. Why not pytest-xdist: docs/decisions/0038-workers.md.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from lab.core import facts, names, process, trace
from lab.core.deadline import Deadline
from lab.core.errors import AccessDenied, EnvironmentBroken, LabError, UsageError
from lab.core.part import BEGAN, ENDED, Part
from lab.evidence.record import RunRecord, ScenarioRecord, Verdict
from lab.parallel import merging
from lab.parallel.groups import Group, Kind, groups
from lab.parallel.serving import Serving
from lab.parallel.worker import Worker
from lab.run import DOWN_S, Lab
from lab.target.connect import connect
from lab.target.inventory import Target
from steps.ending import as_interrupt, finish, said

if TYPE_CHECKING:
    # pytest wants to rewrite it when it loads it as a plugin.
    from reports.plugin import Live

MOST = 64
FLAGS = ("measure", "require_all", "takeover")
WORDS = ("fault", "each_fault")
KINDS = {
    Kind.BESIDE: "beside any other",
    Kind.NETWORKS: "one at a time, since they have the nodes' networks or VLANs",
    Kind.ALONE: "alone, since they disturb the cluster",
}
Pair = tuple[pytest.Item, ScenarioRecord]


def workers_of(config: pytest.Config) -> int:
    """The number of `-n`. Raises pytest.UsageError for none, and for what workers cannot do."""
    text, keep = str(config.option.workers), config.option.keep
    if text == "auto":
        text = str(len(os.sched_getaffinity(0)))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST:
        raise pytest.UsageError(f"-n: wanted a number of workers from 1 to {MOST}, or auto, found {text!r}")
    if int(text) > 1 and keep != "never" and not config.option.plan:
        raise pytest.UsageError(
            f"-n {text}: wanted --keep never, found --keep {keep}: what one feature keeps is in the way of the next; "
            "run the feature that you want to look at by itself"
        )
    return int(text)


def groups_of(pairs: Sequence[Pair], config: pytest.Config) -> list[Group]:
    """The scenarios that were chosen, by feature."""
    faults = bool(config.option.fault or config.option.each_fault)
    return groups([(Path(item.path), scenario) for item, scenario in pairs], faults=faults)


def labs_of_their_own(target: Target) -> bool:
    """Whether the run would start the lab, and can start several. Asks the cluster whether it is there."""
    if not (target.lab.up and target.lab.name_variable):
        return False
    try:
        connect(target)
    except (AccessDenied, UsageError):
        return False
    except EnvironmentBroken:
        return True
    return False


def brief(made: Sequence[Group], slots: int, *, shared: bool) -> str:
    """How the features are shared out, in a line."""
    features = f"{slots} for {len(made)} features"
    if not shared:
        return f"{features}, each with a lab of its own"
    by = {kind: [g.feature for g in made if g.kind is kind] for kind in Kind}
    return f"{features} on one cluster; " + "; ".join(
        f"{KINDS[kind]}: {', '.join(found)}" for kind, found in by.items() if found
    )


class Reporter:
    """In a worker: says when scenarios begin and have ended, and ends the worker when its run is gone."""

    def __init__(self, part: Part) -> None:
        self._part = part
        part.end_with_the_run()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """It is in the record by now, as it will be at the end."""
        self._part.tell(BEGAN, nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> Generator[None, None, None]:
        """After all others: the record has it."""
        yield
        self._part.tell(ENDED, nodeid)


class Parallel:
    """Instead of a run of one process: the same, by several."""

    def __init__(
        self,
        config: pytest.Config,
        target: Target,
        record: RunRecord,
        pairs: Sequence[Pair],
        made: Sequence[Group],
        slots: int,
        lab: Callable[[Target, str, Path], Lab],
    ) -> None:
        self._config, self._target, self.record = config, target, record
        self._items = {item.nodeid: item for item, _ in pairs}
        self._groups = list(made)
        self._slots = slots
        self._make_lab = lab
        self._lab: Lab | None = None
        self._serving: Serving | None = None
        self._terminated = signal.signal(signal.SIGTERM, as_interrupt)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Hand out the groups. Raises Session.Failed when `--maxfail` ended it."""
        shared = not labs_of_their_own(self._target)
        if shared and not self._open():
            return True
        trace.note("workers", brief(self._groups, self._slots, shared=shared), what=facts.CLUSTER)
        self._serving = serving = Serving(
            self.record,
            self._groups,
            self._slots,
            shared=shared,
            start=self._start,
            told=lambda scenario: self._told(session, scenario),
            busy=self._busy,
            enough=lambda: session.shouldfail,
            clean=self._clean,
        )
        try:
            serving.run()
        except BaseException:
            serving.wind_down()
            raise
        finally:
            serving.finish()
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        return True

    def _open(self) -> bool:
        """Hold the cluster for all workers; one that cannot be held breaks the first scenario, as in any run."""
        self._lab = lab = self._make_lab(self._target, self.record.run_id, self.record.folder)
        try:
            lab.open(takeover=self._config.option.takeover)
        except LabError as error:
            first = self.record.scenarios[0]
            first.verdict, first.reason, first.advice = Verdict.BROKEN, said(error), error.advice
            self.record.broken = first.reason
            for scenario in [first, *merging.not_run(self.record)]:
                self._live().told(scenario)
            return False
        for line in lab.capabilities.brief():
            trace.note("cluster", line, what=facts.CLUSTER)
        self.record.target |= lab.capabilities.facts
        self.record.versions |= lab.versions()
        return True

    def _start(self, group: Group, slot: int) -> Worker:
        folder = merging.folder_of(self.record, group.number)
        part = Part(
            names.part_of(self.record.run_id, group.number),
            str(folder),
            self._lab.holder if self._lab else "",
            str(self.record.folder / "nodes.turn"),
            -1,
        )
        variable, env = self._target.lab.name_variable, {}
        if not self._lab:
            env = {variable: f"{os.environ.get(variable) or self._target.name}-{slot}"}
        return Worker(group, slot, part, self._argv(group), env, folder / merging.LOG)

    def _argv(self, group: Group) -> list[str]:
        """pytest on these very scenarios, with what of this run's options concerns them."""
        option, config = self._config.option, self._config
        settings = ["-c", str(config.inipath)] if config.inipath else []
        plain = ["-p", "no:cacheprovider", "-r", "N", "--no-header", "--rootdir", str(config.rootpath)]
        ours = [f"--target={option.target}", "--store=none", "--upload=", f"--evidence-budget={option.evidence_budget}"]
        ours += [f"--{name.replace('_', '-')}" for name in FLAGS if getattr(option, name)]
        ours += [f"--{name.replace('_', '-')}={words}" for name in WORDS for words in getattr(option, name)]
        ours += [f"--repeat={option.repeat}", f"--maxfail={option.maxfail or 0}"]
        ours += ["-" + "v" * option.verbose] if option.verbose > 0 else []
        places = [f"{self._items[node].path}::{node.partition('::')[2]}" for node in group.nodes]
        return [sys.executable, "-m", "pytest", *settings, *plain, *ours, *places]

    def _told(self, session: pytest.Session, scenario: ScenarioRecord) -> None:
        """Draw a scenario that has ended, and have pytest count it."""
        self._live().told(scenario)
        passed = {Verdict.PASSED: "passed", Verdict.SKIPPED: "skipped"}
        outcome = passed.get(Verdict(scenario.verdict), "failed")
        item = self._items[scenario.node_id]
        path, line, _ = item.location
        why = (path, line or 0, scenario.reason) if outcome == "skipped" else f"{scenario.verdict}: {scenario.reason}"
        report = pytest.TestReport(
            scenario.node_id,
            item.location,
            {},
            outcome,  # type: ignore[arg-type]
            None if outcome == "passed" else why,
            "call",
            duration=scenario.seconds,
        )
        session.config.hook.pytest_runtest_logreport(report=report)

    def _busy(self, text: str) -> None:
        self._live().terminal.moving(text)

    def _live(self) -> Live:
        return cast("Live", self._config.pluginmanager.get_plugin("virtlab-live"))

    def _clean(self, group: Group, run_id: str) -> None:
        """Raises EnvironmentBroken."""
        if self._lab is not None:
            for what in self._lab.clean_part(run_id, faults=group.kind is Kind.ALONE):
                trace.note("worker", f"of {group.feature} left {what}; removed", what=facts.CLUSTER)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Give the cluster back, or end the workers' labs; close the record."""
        try:
            yield
        finally:
            if self._lab is not None:
                self.record.leftovers += self._lab.close(keep=False)
                for phase, seconds in self._lab.phases.items():
                    self.record.phases[phase] = round(self.record.phases.get(phase, 0.0) + seconds, 3)
            self.record.leftovers += self._labs_down()
            finish(self.record, session)
            signal.signal(signal.SIGTERM, self._terminated)

    def _labs_down(self) -> list[str]:
        """End every lab that a worker started, all at once; what stays, in words."""
        argv, labs = self._target.lab.down, list(self._serving.labs.values()) if self._serving else []
        if not argv or not labs:
            return []

        def end(env: Mapping[str, str]) -> str:
            named = " ".join([*(f"{variable}={name}" for variable, name in env.items()), *argv])
            try:
                done = process.run(argv, deadline=Deadline.after(DOWN_S), env=env)
            except LabError as error:
                return f"a worker's lab, end it with `{named}`: {error.headline}"
            return "" if done.ok else f"a worker's lab, end it with `{named}`: exit status {done.exit_code}"

        with ThreadPoolExecutor(len(labs)) as pool:
            return [stays for stays in pool.map(end, labs) if stays]
