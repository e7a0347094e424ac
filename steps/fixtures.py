"""What steps are handed: the lab of the run, and a scene of the scenario. Scope and order of the end, nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.run import Lab
from lab.topology.scene import Scene
from steps import plugin


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Lab:
    """The lab of this run, opened by the plugin when the first scenario's needs are looked at."""
    return plugin.run_of(pytestconfig).lab()


@pytest.fixture
def scene(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """The scenario's own namespace, VMs and checks; evidence is taken before they go."""
    title = request.node.name.removeprefix("test_").replace("_", "-")
    made = lab.scene(f"virtlab-{title}", request.node.path.parent / "manifests")
    yield made
    plugin.run_of(request.config).end(request.node, made)
