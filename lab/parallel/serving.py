"""The queue: hands groups to workers as they come free, hears how far they are, and keeps the run's record of it.

A worker that dies costs its group and no other: what it left on a shared cluster is removed before the next one begins.
It knows neither pytest nor a terminal; both are told by callbacks.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping, Sequence

from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.core.part import BEGAN, ENDED, STARTED
from lab.evidence.record import RunRecord, ScenarioRecord
from lab.parallel import merging
from lab.parallel.groups import Group, choose
from lab.parallel.worker import Worker

PATIENCE_S = (330.0, 60.0)
"""For workers to put everything back after Ctrl-C; after a second one."""
WORDLESS = frozenset({"running", "killed", "cut off", "interrupted"})
"""States of a worker's record that say that its group is not finished."""


class Serving:
    """Use :meth:`run`; after Ctrl-C :meth:`wind_down`; in the end, whatever happened, :meth:`finish`."""

    def __init__(
        self,
        record: RunRecord,
        groups: Sequence[Group],
        slots: int,
        *,
        shared: bool,
        start: Callable[[Group, int], Worker],
        told: Callable[[ScenarioRecord], object],
        busy: Callable[[str], object],
        enough: Callable[[], object],
        clean: Callable[[Group, str], object],
    ) -> None:
        """*told* is called with each scenario that has its verdict, *busy* with what goes on, *enough* when no more is
        to begin (its answer is true then), *clean* with the group and run id of a worker that died on a shared cluster.
        """
        self._record, self._shared = record, shared
        self._start, self._told, self._busy, self._enough, self._clean = start, told, busy, enough, clean
        self._waiting = list(groups)
        self._free = list(range(slots, 0, -1))
        self._running: list[Worker] = []
        self._unmerged: dict[int, Worker] = {}
        self._done: set[str] = set()
        self._stopping = False
        self.labs: dict[int, Mapping[str, str]] = {}
        """Slot -> environment of the lab that a worker started there."""

    def run(self) -> None:
        """Until every group has ended, or no slot is fit for another."""
        while True:
            self._begin()
            if not self._running:
                return
            self._hear(None)

    def _begin(self) -> None:
        while self._waiting and self._free and not self._enough():
            group = choose(self._waiting, [w.group for w in self._running], shared=self._shared)
            if group is None:
                return
            self._waiting.remove(group)
            worker = self._start(group, self._free[-1])
            self._free.remove(worker.slot)
            self._running.append(worker)
            self._unmerged[group.number] = worker

    def _hear(self, seconds: float | None) -> None:
        for worker in select.select(self._running, [], [], seconds)[0]:
            lines = worker.said()
            if lines is None:
                self._running.remove(worker)
                self._ended(worker)
                continue
            for word, text in lines:
                self._heard(worker, word, text)

    def _heard(self, worker: Worker, word: str, text: str) -> None:
        if word == STARTED:
            self.labs[worker.slot] = worker.env
        elif word in (BEGAN, ENDED) and (part := merging.read(self._record, worker.group.number)) is not None:
            scenario = merging.take(self._record, part, worker.group.number, text)
            if word == ENDED and scenario is not None:
                self._tell(scenario)
            self._record.write()
        self._show()

    def _tell(self, scenario: ScenarioRecord) -> None:
        if scenario.node_id not in self._done and scenario.verdict:
            self._done.add(scenario.node_id)
            self._told(scenario)

    def _show(self) -> None:
        ids = {node: w for w in self._running for node in w.group.nodes}
        now = [s for s in self._record.scenarios if s.started and not s.ended and s.node_id in ids]
        self._busy(" · ".join(f"{ids[s.node_id].slot}: {s.feature}: {s.title}" for s in now))

    def _ended(self, worker: Worker) -> None:
        """Take all that it recorded, and see whether it ended as it should."""
        code, number = worker.end(), worker.group.number
        part = merging.read(self._record, number)
        if part is not None:
            for node_id in worker.group.nodes:
                merging.take(self._record, part, number, node_id)
            merging.close(self._record, part)
        self._unmerged.pop(number, None)
        if not self._stopping and (part is None or part.state in WORDLESS):
            merging.lost(self._record, number, worker.group, code)
            self._put_back(worker)
        elif part is not None and part.broken:
            self._retire(worker)
        else:
            self._free.append(worker.slot)
        for scenario in self._record.scenarios:
            if scenario.node_id in worker.group.nodes:
                self._tell(scenario)
        self._record.write()

    def _put_back(self, worker: Worker) -> None:
        """What a dead worker left; on a lab of its own the next one finds it, as any run does after one that died."""
        self._free.append(worker.slot)
        if not self._shared:
            return
        try:
            self._clean(worker.group, worker.run_id)
        except LabError as error:
            self._record.leftovers.append(f"what the worker of {worker.group.feature} made: {error.headline}")
            self._retire(worker)

    def _retire(self, worker: Worker) -> None:
        """The environment broke: nothing more for this worker's lab, or for the cluster that all of them use."""
        self._free = [] if self._shared else [slot for slot in self._free if slot != worker.slot]
        if self._shared:
            self._waiting.clear()

    def wind_down(self) -> None:
        """End the workers as Ctrl-C ends a run, and wait until all is put back; Ctrl-C again ends them sooner."""
        self._stopping = True
        for patience in PATIENCE_S:
            deadline = Deadline.after(patience)
            try:
                for worker in self._running:
                    process.interrupt(worker.child)
                while self._running and not deadline.expired:
                    self._hear(deadline.remaining())
                break
            except KeyboardInterrupt:
                continue
        for worker in self._running:
            process.stop(worker.child)

    def finish(self) -> None:
        """What an interruption kept from the record, and what never began since the environment broke."""
        self._stopping = self._stopping or bool(self._running)
        self._running.clear()
        for worker in list(self._unmerged.values()):
            self._ended(worker)
        if self._record.broken and not self._stopping and not self._enough():
            for scenario in merging.not_run(self._record):
                self._tell(scenario)
