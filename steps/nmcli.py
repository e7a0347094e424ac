"""Sentences on what a person does with nmcli in a debug pod of a worker."""

from __future__ import annotations

import pytest
from pytest_bdd import given, then, when

from lab.core.deadline import Deadline
from lab.diagnosis import byhand as judge
from lab.netmanager import documented
from lab.topology.byhand import HandMadeBridge
from lab.topology.debugpods import DebugPods
from lab.topology.guard import main_interface
from lab.topology.manifests import Manifests
from lab.topology.scene import Scene
from lab.topology.site import Site
from steps.types import sentence

TAKE_BACK_S = 150.0


@pytest.fixture(scope="module")
def debug_pods(site: Site, request: pytest.FixtureRequest) -> DebugPods:
    """The debug pods of the feature."""
    return DebugPods(site, Manifests(request.path.parent / "manifests")["debug-pod"])


@given(sentence("debug pods on two workers, and on one of them the documented nmcli commands"), target_fixture="made")
def debugging(scene: Scene, debug_pods: DebugPods, request: pytest.FixtureRequest) -> HandMadeBridge:
    """Another worker first in each scenario; nothing is changed yet."""
    text = documented.read(request.path.parent / "documented")
    node, peer = debug_pods.pair()
    disruptive = request.node.get_closest_marker("disruptive") is not None
    nic = main_interface(scene.site.target, text.names.bridge, node, disruptive=disruptive)
    mine, other = debug_pods.on([node, peer])
    return HandMadeBridge(scene.site, text, mine, other, nic)


@when(sentence("they are typed, to be kept only if the worker answers within {seconds:d} s"))
def typed(made: HandMadeBridge, seconds: int) -> None:
    """All of them, in the documented order; the switch-over runs on the worker by itself."""
    made.make(seconds)


@when(sentence("they are typed without the bridge's port, to be kept only if the worker answers within {seconds:d} s"))
def typed_without_port(made: HandMadeBridge, seconds: int) -> None:
    """The slip of a tired person: NetworkManager says of each command that it succeeded."""
    made.make(seconds, port=False)


@when("the bridge is taken back")
def taken_back(made: HandMadeBridge) -> None:
    """The worker does it by itself, as it did the switch-over."""
    made.take_back(Deadline.after(TAKE_BACK_S))


@then("the worker answers over the bridge, at its own address")
def answers(made: HandMadeBridge) -> None:
    """Packets from the other worker, and a heartbeat to the API server."""
    judge.answers(made)


@then("nmcli and ip of the worker show what the documentation shows")
def as_documented(made: HandMadeBridge) -> None:
    """Profiles, settings of the bridge, both links."""
    judge.as_documented(made)


@then("the worker is Ready")
def ready(made: HandMadeBridge) -> None:
    """As the API server has it."""
    judge.ready(made)


@then(sentence("the worker, which lost its network, is back by itself {seconds:d} s later at most"))
def went_back(made: HandMadeBridge, seconds: int) -> None:
    """It was silent, had no word, and answers again."""
    judge.went_back(made, seconds)


@then("its profiles and its main interface are as before")
def as_before(made: HandMadeBridge) -> None:
    """Nothing of the bridge is left."""
    judge.as_before(made)
