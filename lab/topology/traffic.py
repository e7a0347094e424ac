"""Traffic that flows while something is done to the network, and what came of it: probes, clocks and phases together.

One measurement is: every declared flow running and answered, the clocks watched, the disturbance, everything stopped
and read. It may be repeated. It holds what was seen; judging that, and writing it down, is for others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from lab.core import clock, trace
from lab.core.deadline import Deadline
from lab.core.errors import LabError, UsageError
from lab.guest.addresses import read_addresses
from lab.kubevirt.timeline import Timeline
from lab.probes.clocks import Reading, Stretch, stretches
from lab.probes.clockwatch import ClockWatch, harness_moved
from lab.probes.series import Series
from lab.topology.flows import Flow, Flows, Running
from lab.topology.scene import Scene

START_S = 60.0
STOP_S = 60.0
NODE_S = 15.0
UNSEEN_MS = 20.0
"""What a clock may have lost unseen without a word: a question over a console takes about as long."""


class Disturbance(Protocol):
    """What was done, as KubeVirt's rooms report it."""

    @property
    def name(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def timeline(self) -> Timeline: ...


D = TypeVar("D", bound=Disturbance)


@dataclass(frozen=True)
class Measurement(Generic[D]):
    """One disturbance under traffic, `what` in words, the same for its repeats. `clocks` by place, `nodes` by worker,
    as stretches against the harness' clock."""

    number: int
    done: D
    series: tuple[Series, ...]
    clocks: dict[str, tuple[Stretch, ...]]
    nodes: dict[str, tuple[Stretch, ...]]
    what: str = ""
    judged: list[str] = field(default_factory=list)
    """The verdict of each sentence that judged this disturbance: passed, inconclusive, failed."""

    def of(self, *kinds: str) -> tuple[Series, ...]:
        """The series of some kinds."""
        return tuple(s for s in self.series if s.kind in kinds)

    def where(self, series: Series) -> str:
        """In which phase of the disturbance the longest gap of a series lies; "" without one."""
        return self.done.timeline.during(series.gaps[0].at, series.gaps[0].until) if series.gaps else ""


@dataclass
class Addresses:
    """A guest's own view: `before` and `after` map its interfaces to MAC and addresses, link-local ones left out."""

    before: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    after: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)


class Traffic:
    """The flows of one scenario and what was measured of them."""

    def __init__(self, scene: Scene, *, repeat: int = 1) -> None:
        self.scene = scene
        self.repeat = repeat
        self.flows = Flows(scene)
        self.measurements: list[Measurement[Disturbance]] = []
        self.latest: list[Measurement[Disturbance]] = []
        """Those of the last disturbance, as often as it was repeated."""
        self.addresses: dict[str, Addresses] = {}
        self._declared: list[Flow] = []

    def declare(self, flow: Flow) -> None:
        """A flow that is to run over each disturbance from here on."""
        self._declared.append(flow)

    def through(
        self, disturb: Callable[[], Disturbance], what: str = "", *, before: Callable[[], None] = lambda: None
    ) -> None:
        """Disturb (in words: *what*) as often as is to be repeated, under all flows; *before* each time, without them.

        Raises what the disturbance raises; UsageError without a flow; ProbeNotStarted, Inconclusive of the probes."""
        if not self._declared:
            raise UsageError("traffic to measure", "the scenario declares none", "", "a sentence such as `pings`")
        self.latest = []
        for _ in range(self.repeat):
            before()
            self._look_at_addresses("before")
            made = replace(self._measure(disturb), what=what)
            self.latest.append(made)
            self.measurements.append(made)
            self._look_at_addresses("after")

    def _measure(self, disturb: Callable[[], Disturbance]) -> Measurement[Disturbance]:
        running = [flow() for flow in self._declared]
        places = tuple(dict.fromkeys(place for one in running for place in one.busy))
        locks = {place: threading.Lock() for place in places}
        started: list[Running] = []
        with ExitStack() as watching:
            try:
                _each(running, lambda one: self._start(one, locks, started))
                watches = {place: watching.enter_context(ClockWatch(self.flows.shell(place))) for place in places}
                _each(watches.values(), lambda watch: watch.start(Deadline.after(START_S)))
                nodes = self._node_clocks()
                done = disturb()
                clocks = dict(zip(watches, _each(watches.values(), ClockWatch.stop), strict=True))
            except BaseException:
                watching.close()
                with suppress(LabError):
                    _each(started, lambda one: _held(one, locks, lambda: one.probe.stop(Deadline.after(STOP_S))))
                raise
        _each(running, lambda one: _held(one, locks, lambda: one.probe.stop(Deadline.after(STOP_S))))
        found = tuple(_bounded(series, watches, done) for one in running for series in one.read(clocks))
        both = {node: stretches([*nodes[node], *late]) for node, late in self._node_clocks().items()}
        made = Measurement(len(self.measurements) + 1, done, found, clocks, both)
        for series in found:
            trace.note("traffic", f"{series}{f' ({made.where(series)})' if series.gaps else ''}")
        for text in (*_said(found), *harness_moved()):
            trace.note("clocks", text)
        return made

    def _start(self, one: Running, locks: dict[str, threading.Lock], started: list[Running]) -> None:
        _held(one, locks, lambda: one.probe.start(Deadline.after(START_S)))
        started.append(one)

    def _node_clocks(self) -> dict[str, list[Reading]]:
        """The workers' clocks, as exact as a command in a pod can tell; one that cannot be asked has no readings."""
        workers = self.scene.site.workers
        return dict(zip(workers, _each(workers, self._node_clock), strict=True))

    def _node_clock(self, node: str) -> list[Reading]:
        with suppress(LabError, ValueError):
            asked = clock.now()
            said = self.scene.site.reader.run(node, ["date", "+%s.%N"], deadline=Deadline.after(NODE_S))
            return [Reading(asked, clock.now(), float(said.stdout))]
        return []

    def _look_at_addresses(self, when: str) -> None:
        """What each VM itself says that its addresses are."""
        for name in self.scene.guests:
            said = self.flows.shell(name).run(["sh", "-c", "ip -o link; ip -o addr"], deadline=Deadline.after(NODE_S))
            setattr(self.addresses.setdefault(name, Addresses()), when, read_addresses(said.stdout))


def _bounded(series: Series, watches: Mapping[str, ClockWatch], done: Disturbance) -> Series:
    """With what the clock of the place that made the stamps may have lost unseen: a gap may be so much longer."""
    watch = watches.get(series.stamped_at)
    if watch is None:
        return series
    unseen = watch.unseen_ms(done.timeline.moments[-1][1], series.ended)
    if unseen <= max(series.gap_error_ms, UNSEEN_MS):
        return replace(series, gap_error_ms=max(series.gap_error_ms, unseen))
    why = f" ({watch.trouble})" if watch.trouble else ""
    remark = f"{series.stamped_at}: its clock may have stood still for up to {unseen:.0f} ms unseen{why}"
    return replace(series, gap_error_ms=unseen, remarks=(*series.remarks, remark))


def _said(found: Iterable[Series]) -> tuple[str, ...]:
    """Remarks of all series, each once."""
    return tuple(dict.fromkeys(remark for series in found for remark in series.remarks))


def _held(one: Running, locks: dict[str, threading.Lock], act: Callable[[], None]) -> None:
    """With the shells of a flow's places to itself; in one order always, so that no two flows wait for each other."""
    with ExitStack() as held:
        for place in sorted(one.busy):
            held.enter_context(locks[place])
        act()


A = TypeVar("A")
B = TypeVar("B")


def _each(items: Iterable[A], act: Callable[[A], B]) -> Sequence[B]:
    """Side by side; the first error goes up when all have ended."""
    wanted = list(items)
    with ThreadPoolExecutor(max(1, len(wanted))) as pool:
        futures = [pool.submit(act, item) for item in wanted]
    return [future.result() for future in futures]
