"""What is taken at the end of a scenario, before anything of it is cleaned up: a picture, versions, evidence.

Of one that did not pass, everything; of the first of a feature, the picture. Nothing here changes a verdict or fails.
"""

from __future__ import annotations

from lab.core import facts
from lab.core.errors import LabError
from lab.evidence import picture, versions
from lab.evidence.collect import collect
from lab.evidence.record import RunRecord, ScenarioRecord
from lab.nmstate.policy import enactments_of
from lab.topology.scene import Scene


def look(scene: Scene, record: RunRecord, scenario: ScenarioRecord, *, bad: bool) -> None:
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
        folder = record.folder / "evidence" / name
        scenario.evidence_missing = collect(scene, folder)
        scenario.evidence = str(folder.relative_to(record.folder))
        scenario.evidence_files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


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
