"""Sentences on traffic that flows while something is done: what flows, what is done, what must have come of it.

Flows are declared first and run over each disturbance that is named `under this traffic`. A judgement looks at the last
disturbance, with all its repeats (`--repeat`); with `--measure` it is noted instead of raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from pytest_bdd import given, then, when

from lab.core import trace
from lab.core.errors import Inconclusive, NeedUnmet, ProductFailure, WaitHopeless
from lab.diagnosis import traffic as judge
from lab.evidence.measured import document
from lab.kubevirt.migration import Migration
from lab.topology import disruption
from lab.topology.scene import Scene
from lab.topology.traffic import Traffic
from steps import running
from steps.types import sentence


@pytest.fixture
def traffic(scene: Scene, request: pytest.FixtureRequest) -> Iterator[Traffic]:
    """The scenario's flows; what was measured goes into the record."""
    made = Traffic(scene, repeat=request.config.option.repeat)
    yield made
    if made.measurements:
        running.run_of(request.config).keep(request.node, "traffic", document(made))


ALLOW_POST_COPY = "set the sysctl vm.unprivileged_userfaultfd to 1 on the workers"
Judged = Callable[[Callable[[], None]], None]


@pytest.fixture
def judged(traffic: Traffic, request: pytest.FixtureRequest) -> Judged:
    """Lets a judgement speak, or notes what it would have said."""

    def speak(verdict: Callable[[], None]) -> None:
        try:
            verdict()
        except (ProductFailure, Inconclusive) as error:
            if not request.config.option.measure:
                raise
            trace.note("traffic", judge.only_noted(error))
        if request.config.option.measure:
            for one in traffic.latest:
                one.judged.clear()

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


@given(sentence("migrations may slow the guest down, and send {bandwidth} per second"))
def auto_converge(scene: Scene, bandwidth: str) -> None:
    """Auto-converge: QEMU takes the guest's processors away when it writes faster than is sent."""
    disruption.limit(scene, {"allowAutoConverge": True, "bandwidthPerMigration": bandwidth})


@given(sentence("migrations may go on by post-copy after {seconds:d} s, and send {bandwidth} per second"))
def post_copy(scene: Scene, seconds: int, bandwidth: str) -> None:
    """The guest goes first then, and its memory follows as it is asked for. The time is that of a guest of 1 GiB."""
    settings = {"allowPostCopy": True, "completionTimeoutPerGiB": seconds, "bandwidthPerMigration": bandwidth}
    disruption.limit(scene, settings)


@given(sentence("{name:VM} is on another worker than {other:VM}"))
def apart(scene: Scene, name: str, other: str) -> None:
    """It is moved away when it was put there."""
    if scene.guest(name).node == scene.guest(other).node:
        scene.migrate(name)


@given(sentence("{name:VM} keeps writing to {mib:d} MiB of its memory"), target_fixture="busy_folder")
def keeps_writing(scene: Scene, name: str, mib: int) -> str:
    """And compares what it wrote, over and over, until the end of the scenario."""
    return disruption.keep_busy(scene, name, mib)


@when(sentence("{name:VM} migrates to the worker of {other:VM} under this traffic"))
def joins(scene: Scene, traffic: Traffic, name: str, other: str) -> None:
    """The peer's worker then has a port for it before it runs there. It is moved away again before each repeat."""
    traffic.through(
        lambda: scene.migrate(name, scene.guest(other).node),
        f"{name} migrates to the worker of {other}",
        before=lambda: apart(scene, name, other),
    )


@when(sentence("{name:VM} and {other:VM} migrate at the same time under this traffic"))
def migrate_together(scene: Scene, traffic: Traffic, name: str, other: str) -> None:
    """Both wherever the scheduler wants."""
    traffic.through(lambda: disruption.together(scene, (name, other)), f"{name} and {other} migrate")


@when(sentence("{name:VM} migrates under this traffic, where the workers can do post-copy"))
def migrates_by_post_copy(scene: Scene, traffic: Traffic, request: pytest.FixtureRequest, name: str) -> None:
    """Skipped in QEMU's words where they cannot (broken with `--require-all`); the VM must be where it was then."""
    try:
        traffic.through(lambda: scene.migrate(name), f"{name} migrates by post-copy")
    except WaitHopeless as refusal:
        if reason := judge.no_post_copy(refusal):
            judge.stayed(scene.guest(name), scene.state(name))
            if request.config.option.require_all:
                raise NeedUnmet(
                    "post-copy (--require-all)", reason, scene.site.target.name, ALLOW_POST_COPY
                ) from refusal
            pytest.skip(f"{reason}: {ALLOW_POST_COPY}")
        raise


@when(sentence("{name:VM} migrates to another worker under this traffic"))
def migrates(scene: Scene, traffic: Traffic, name: str) -> None:
    """Wherever the scheduler wants."""
    traffic.through(lambda: disruption.move(scene, name), f"{name} migrates")


@when(sentence("a migration of {name:VM} is cancelled in the middle under this traffic"))
def cancelled(scene: Scene, traffic: Traffic, name: str) -> None:
    """While its memory is sent."""
    traffic.through(lambda: disruption.cancel(scene, name), f"a migration of {name} is cancelled")


@when(sentence("the worker of {name:VM} is drained of it under this traffic"))
def drained(scene: Scene, traffic: Traffic, name: str) -> None:
    """Cordoned, and the VM's pod evicted."""
    traffic.through(lambda: disruption.drain(scene, name), f"the worker of {name} is drained")


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


def _moves(traffic: Traffic) -> list[Migration]:
    """The migrations of the last disturbance."""
    return [done for done in (one.done for one in traffic.latest) if isinstance(done, Migration)]


@then(sentence("{name:VM} was sent at no more than {size:SIZE} per second"))
def sent_within(scene: Scene, traffic: Traffic, judged: Judged, name: str, size: float) -> None:
    """By QEMU's own figures and by the clock."""
    for done in _moves(traffic):
        info = disruption.job(scene, name, done)
        trace.note(done.name, f"QEMU sent {info}")
        judged(partial(judge.sent_within, done, info, size, scene.namespace))


@then(sentence("the migration was made by {mode:MODE}"))
def made_by(scene: Scene, traffic: Traffic, mode: tuple[str, dict[str, object]]) -> None:
    """`pre-copy`, `pre-copy with auto-converge` or `post-copy`, as the instance tells it."""
    for done in _moves(traffic):
        judge.made_by(done, *mode, scene.namespace)


@then("they were on their way at the same time")
def at_the_same_time(traffic: Traffic) -> None:
    """Memory of both was being sent at one moment."""
    for done in (one.done for one in traffic.latest):
        if isinstance(done, disruption.Together):
            judge.at_the_same_time(done)


@then(sentence("{name:VM} reads from its memory what it wrote"))
def kept_memory(scene: Scene, busy_folder: str, name: str) -> None:
    """And goes on writing."""
    judge.kept_memory(name, disruption.written(scene, name, busy_folder))
