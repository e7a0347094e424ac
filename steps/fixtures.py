"""What steps are handed: the lab of the run, the site of the feature, the scene of the scenario.

Scope and order of the end, nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.run import Lab
from lab.topology.scene import Scene
from lab.topology.site import Site
from steps import running


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Lab:
    """The lab of this run, opened by the plugin when the first scenario's needs are looked at."""
    return running.run_of(pytestconfig).lab()


@pytest.fixture(scope="module")
def site(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Site]:
    """What the scenarios of one feature share; undone, and compared with what was before, when the last has ended."""
    run = running.run_of(request.config)
    made = lab.feature(request.path.parent.name.replace("_", "-"))
    request.node.stash[running.SITE] = made
    yield made
    if not run.keeps():
        made.close()


@pytest.fixture
def scene(lab: Lab, site: Site, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """The scenario's own namespace, VMs and checks; evidence is taken before they go."""
    title = request.node.name.removeprefix("test_").replace("_", "-")
    disruptive = request.node.get_closest_marker("disruptive") is not None
    manifests, fault = request.node.path.parent / "manifests", running.fault_of(request.node)
    made = lab.scene(site, f"virtlab-{title}", manifests, disruptive=disruptive, fault=fault)
    request.node.stash[running.SCENE] = made
    yield made
    running.run_of(request.config).end(request.node, made)
