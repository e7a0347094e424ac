"""What is taken at the end of a scenario, before anything of it is cleaned up: a picture, versions, evidence.

Of one that did not pass, everything; of the first of a feature, the picture. Nothing here changes a verdict or fails.
"""

from __future__ import annotations

from dataclasses import replace

from lab.core import facts
from lab.core.errors import LabError
from lab.evidence import picture, versions
from lab.evidence.collect import Sources, collect, of_scene
from lab.evidence.record import RunRecord, ScenarioRecord
from lab.nmstate.policy import enactments_of
from lab.topology.scene import Scene


def look(scene: Scene, record: RunRecord, scenario: ScenarioRecord, *, bad: bool, budget: float) -> None:
    """Fill the scenario's picture, facts and evidence."""
    feature = scene.site.feature
    name = f"{record.scenarios.index(scenario) + 1:02d}"
    if bad or feature not in record.pictures:
        shown = name if bad else feature
        record.pictures[shown] = picture.take(scene)
        scenario.picture = shown
    else:
        scenario.picture = feature
    if "guest kernel" not in record.versions:
        record.versions |= versions.of_guest(scene)
    if bad:
        _tell_policies(scene)
        take(replace(of_scene(scene, _silent(scenario)), paths=_paths(scenario)), record, scenario, budget)


def take(sources: Sources, record: RunRecord, scenario: ScenarioRecord, budget: float) -> None:
    """The evidence of a scenario, into its folder of the run; none with a budget of 0."""
    if budget <= 0:
        return
    folder = record.folder / "evidence" / f"{record.scenarios.index(scenario) + 1:02d}"
    scenario.evidence_files, scenario.evidence_missing = collect(sources, folder, budget)
    scenario.evidence = str(folder.relative_to(record.folder))


def _silent(scenario: ScenarioRecord) -> tuple[str, str, tuple[str, ...]] | None:
    """(VM, address, workers) of the last check that got no answer where one was wanted: worth a capture."""
    checks = [f for f in scenario.facts if f.get("sort") == "check" and not f["held"] and f["wanted"] == "answer"]
    return (str(checks[-1]["vm"]), str(checks[-1]["address"]), tuple(checks[-1]["nodes"])) if checks else None


def _paths(scenario: ScenarioRecord) -> list[str]:
    return ["\n".join(map(str, fact["lines"])) for fact in scenario.facts if fact.get("sort") == "path"]


def _tell_policies(scene: Scene) -> None:
    site = scene.site
    for policy in site.policies.applied:
        name = str(policy["metadata"]["name"])
        try:
            states = {node: str(state) for node, state in enactments_of(site.client, name, site.workers).items()}
        except LabError as error:
            facts.tell(name, facts.Policy(name, {}, error.headline))
        else:
            facts.tell(name, facts.Policy(name, states))
