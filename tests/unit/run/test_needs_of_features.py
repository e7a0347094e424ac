"""Every scenario declares what it needs: what its sentences and its policies name is among its tags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_bdd.feature import get_features

from lab.target.capabilities import Capabilities, Feature
from lab.target.inventory import load
from steps.plugin import NEEDS, SUBJECTS

ROOT = Path(__file__).parents[3]
FEATURES = get_features([str(ROOT / "features")])
SCENARIOS = [(feature, scenario) for feature in FEATURES for scenario in feature.scenarios.values()]
FOUND = ("nmstate", "multus", "kubevirt", "ovn", "localnet", "migration", "console", "ssh", "faults", "outside", "lab",
         "networkmanager", "disruptive", "drain")  # fmt: skip
SAYS = (
    (r"\bVLAN (\d+)", "vlan:{}"),
    (r"gateway of VLAN (\d+) pings|between the gateway of VLAN (\d+)", "outside:vlan-{}"),
    (r"\bthe network (?!of\b)([a-z]+)\b", "network:{}"),
    (r"outside host (?!of\b)([\w-]+)", "outside:{}"),
    (r"\bmigrates (?:to|back)", "migration"),
    (r"\bis drained", "drain"),
    (r"loses? (?:its|their) link|switch suspends|answers nobody", "faults"),
    (r"over SSH|SSH session", "ssh"),
)


def needs(feature: Any, scenario: Any) -> set[str]:
    tags = {*feature.tags, *scenario.tags}
    return {tag.removeprefix(NEEDS) for tag in tags if tag.startswith(NEEDS)} | tags & {"disruptive"}


def named(feature: Any, scenario: Any) -> Iterator[str]:
    """What the sentences of a scenario stand for, and the bonds and bridges that its policies fill from the target."""
    text = " \n ".join(step.name for step in scenario.steps)
    for pattern, need in SAYS:
        for match in re.finditer(pattern, text):
            yield need.format(next((group for group in match.groups() if group), ""))
    for path in (Path(feature.filename).parent / "manifests").glob("nncp-*.yaml"):
        if re.search(rf"(?<![\w-]){path.stem.removeprefix('nncp-')}(?![\w-])", text):
            yield from _ports(yaml.safe_load(path.read_text()))


def _ports(policy: Any) -> Iterator[str]:
    for link in policy["spec"]["desiredState"].get("interfaces") or []:
        if link["type"] in ("bond", "linux-bridge") and link.get("state") != "absent":
            yield f"{ {'bond': 'bond', 'linux-bridge': 'bridge'}[link['type']] }:{link['name']}"


@pytest.mark.parametrize(("feature", "scenario"), SCENARIOS, ids=[s.name[:50] for _, s in SCENARIOS])
def test_what_a_scenario_names_it_needs(feature: Any, scenario: Any) -> None:
    have = needs(feature, scenario)
    target = load(ROOT / "targets" / "embedded.yaml")
    capabilities = Capabilities(target, ("w1", "w2", "w3"), {name: Feature(True, "") for name in FOUND})
    assert not capabilities.unmet(sorted(have))
    # "the VLAN 2024 of its attachment" is a tag that leads nowhere: nothing of that VLAN is asked.
    said = {need for need in named(feature, scenario) if (need, feature.name[:30]) != ("vlan:2024", CNV)}
    assert said <= have, said - have


CNV = "Virtual machines on a Linux br"


def test_every_tag_is_a_subject_or_a_need() -> None:
    tags = {tag for feature, scenario in SCENARIOS for tag in (*feature.tags, *scenario.tags)}
    assert {tag for tag in tags if not tag.startswith(NEEDS)} <= {*SUBJECTS, "disruptive"}
