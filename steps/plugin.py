"""What a run is, as pytest is told: options, marks, the scenarios, target and record. How it goes is `running`'s.

Without scenarios among what was collected (the project's own tests) it does nothing. A scenario without a target is a
usage error, never a skip: an all-skipped run would look green. The record is put up here; what is drawn from it is
not this module's business.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_bdd.scenario import scenario_wrapper_template_registry

from lab.core import names
from lab.core.errors import LabError, UsageError
from lab.core.part import Part
from lab.evidence import versions
from lab.evidence.record import RunRecord, ScenarioRecord, StepRecord
from lab.evidence.tasks import BUDGET_S
from lab.run import Lab
from lab.target.connect import check_kubeconfig
from lab.target.inventory import Target, load
from reports.terminal import JSON_FD, print_json
from steps import parallel, plan
from steps.running import EACH_FAULT, Run, fault_of

NEEDS = "needs:"
REPEAT = "virtlab_repeat"
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


def _times(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"wanted a number from 1 to 1000, found {text!r}")
    return int(text)
