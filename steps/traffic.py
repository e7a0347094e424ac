"""Sentences on traffic that flows while something is done: what flows, what is done, what must have come of it.

Flows are declared first and run over each disturbance that is named `under this traffic`. A judgement looks at the last
disturbance, with all its repeats (`--repeat`); with `--measure` it is noted instead of raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pytest_bdd import given, then, when

from lab.core import trace
from lab.core.errors import Inconclusive, ProductFailure
from lab.diagnosis import traffic as judge
from lab.evidence.measured import document
from lab.topology import disruption
from lab.topology.scene import Scene
from lab.topology.traffic import Traffic
from steps import plugin
from steps.types import sentence


@pytest.fixture
def traffic(scene: Scene, request: pytest.FixtureRequest) -> Iterator[Traffic]:
    """The scenario's flows; what was measured goes into the record."""
    made = Traffic(scene, repeat=request.config.option.repeat)
    yield made
    if made.measurements:
        plugin.run_of(request.config).keep(request.node, "traffic", document(made))


Judged = Callable[[Callable[[], None]], None]


@pytest.fixture
def judged(request: pytest.FixtureRequest) -> Judged:
    """Lets a judgement speak, or notes what it would have said."""

    def speak(verdict: Callable[[], None]) -> None:
        try:
            verdict()
        except (ProductFailure, Inconclusive) as error:
            if not request.config.option.measure:
                raise
            trace.note("traffic", judge.only_noted(error))

    return speak


@given(sentence("the gateway of VLAN {vlan:VLAN} pings {name:VM} all the time"))
def gateway_pings(scene: Scene, traffic: Traffic, vlan: int, name: str) -> None:
    """Every 10 ms, from the outside host in that VLAN."""
    traffic.declare(traffic.flows.ping_vm(scene.site.target.vlan(vlan), name))


@given(sentence("{name:VM} pings the gateway of VLAN {vlan:VLAN} all the time"))
def pings_gateway(scene: Scene, traffic: Traffic, name: str, vlan: int) -> None:
    """Every 10 ms, from inside the guest."""
    traffic.declare(traffic.flows.ping_gateway(name, scene.site.target.vlan(vlan)))


@given(sentence("{name:VM} pings {other:VM} all the time"))
def pings_vm(traffic: Traffic, name: str, other: str) -> None:
    """Every 10 ms, from inside the first guest."""
    traffic.declare(traffic.flows.ping_between(name, other))


@given(sentence("a TCP session is open between the gateway of VLAN {vlan:VLAN} and {name:VM}"))
def stream(scene: Scene, traffic: Traffic, vlan: int, name: str) -> None:
    """Numbered records both ways."""
    traffic.declare(traffic.flows.stream(scene.site.target.vlan(vlan), name))


@given(sentence("a TCP session is open between {name:VM} and {other:VM}"))
def stream_between(traffic: Traffic, name: str, other: str) -> None:
    """The first connects to the second; numbered records both ways."""
    traffic.declare(traffic.flows.stream_between(name, other))


@given(sentence("an SSH session is open to {name:VM}"))
def session(traffic: Traffic, name: str) -> None:
    """It echoes numbered records."""
    traffic.declare(traffic.flows.session(name))


@given(sentence("migrations may send {bandwidth} per second"))
def bandwidth(scene: Scene, bandwidth: str) -> None:
    """A quantity such as 16Mi, in a MigrationPolicy for this scenario's VMs."""
    disruption.limit(scene, {"bandwidthPerMigration": bandwidth})


@when(sentence("{name:VM} migrates to another worker under this traffic"))
def migrates(scene: Scene, traffic: Traffic, name: str) -> None:
    """Wherever the scheduler wants."""
    traffic.through(lambda: scene.migrate(name))


@when(sentence("a migration of {name:VM} is cancelled in the middle under this traffic"))
def cancelled(scene: Scene, traffic: Traffic, name: str) -> None:
    """While its memory is sent."""
    traffic.through(lambda: disruption.cancel(scene, name))


@when(sentence("the worker of {name:VM} is drained of it under this traffic"))
def drained(scene: Scene, traffic: Traffic, name: str) -> None:
    """Cordoned, and the VM's pod evicted."""
    traffic.through(lambda: disruption.drain(scene, name))


@then(sentence("the longest gap is under {limit:SPAN}"))
def gap_under(traffic: Traffic, judged: Judged, limit: float) -> None:
    """Of every ping."""
    judged(lambda: judge.longest_gap(traffic, limit))


@then(sentence("no gap is longer than the target allows"))
def gap_allowed(scene: Scene, traffic: Traffic, judged: Judged) -> None:
    """thresholds.migration-gap-ms of the target file."""
    judged(lambda: judge.longest_gap(traffic, scene.site.target.thresholds.migration_gap_ms))


@then(sentence("the {kind:SESSION} session survived"))
def survived(traffic: Traffic, judged: Judged, kind: str) -> None:
    """The same connection, both ways, to the end."""
    judged(lambda: judge.survived(traffic, kind))


@then(sentence("{name:VM} kept its address"))
def kept_address(scene: Scene, traffic: Traffic, judged: Judged, name: str) -> None:
    """As the guest itself says, and as the platform reports."""
    judged(lambda: judge.kept_address(traffic, scene.guest(name), scene.state(name)))


@then(sentence("{name:VM} is still on the worker where it was"))
def stayed(scene: Scene, name: str) -> None:
    """Running, as the platform reports."""
    judge.stayed(scene.guest(name), scene.state(name))


@then(sentence("{name:VM} has left that worker"))
def left(scene: Scene, name: str) -> None:
    """Running elsewhere, as the platform reports."""
    judge.left(scene.guest(name), scene.state(name))
