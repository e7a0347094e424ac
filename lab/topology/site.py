"""What all scenarios of a feature share on a cluster: node policies, the residents of their networks, the way back.

A policy is applied once and taken back at the feature's end, since both cost a change of every node's network and a
bridge with spanning tree 30 s. Everything made here is registered with the site's own undo stack before it is made, and
when all is undone the nodes' network must equal the snapshot that was taken before.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lab.access.client import Client
from lab.access.kinds import NNS, Obj
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken, LabError
from lab.core.turn import Turn
from lab.core.undo import UndoStack
from lab.guest.keys import HostKeys, RunKey
from lab.guest.reach import Access
from lab.multus.attachment import read_attachment
from lab.ovn.reader import SwitchReader
from lab.target.inventory import Segment, Target
from lab.topology import snapshot
from lab.topology.forwarding import wait_forwarding
from lab.topology.ground import Ground
from lab.topology.podnet import ZonePods
from lab.topology.policies import Policies
from lab.topology.residents import Residents

CLOSE_S = 240.0
TURN_S = 3600.0
"""Longer than any feature that another worker may hold the nodes for."""


class Site:
    """One cluster during one feature."""

    def __init__(
        self,
        client: Client,
        target: Target,
        run_id: str,
        workers: Sequence[str],
        folder: Path,
        feature: str = "feature",
        turn: Turn | None = None,
    ) -> None:
        """With a *turn* other workers of this run use the cluster, too: who changes its nodes holds it till the end."""
        self.client = client
        self.folder = folder
        self.feature = feature
        self.access = Access(client, target, RunKey.generate(run_id), HostKeys())
        self.settled: list[Callable[[UndoStack], object]] = []
        """Called before the first check after each change of the policies, with where undoing is to be registered:
        faults of a run are made then."""
        self.target = target
        self.run_id = run_id
        self.workers = tuple(workers)
        self.undo = UndoStack()
        self.reader = SwitchReader(client, target.platform.ovn)
        self.policies = Policies(client, target, run_id, workers, self.undo)
        self.residents = Residents(Ground.of(client, target, run_id, workers, self.undo, feature))
        self.pods = ZonePods(Ground.of(client, target, run_id, workers, self.undo, feature, "pods"))
        self._fresh = True
        """Whether the policies changed since the networks were last seen to forward."""
        self.forwarded = False
        """Whether the networks were seen to forward at all: only then the faults of a run are made."""
        self._counts: dict[str, itertools.count[int]] = {}
        self._turn = turn
        self._before: snapshot.State = {}
        if turn is None:
            self._remember()

    def _remember(self) -> None:
        self._before = snapshot.take(self.client, self.workers) if self.client.serves(NNS) else {}

    def change_nodes(self) -> None:
        """To be called before a node's network is changed: no other worker of this run does so before this site's end.

        So no feature sees another's policies: neither while its checks run nor in the comparison at its end.
        """
        if self._turn is not None and not self._turn.held:
            self._turn.take("the nodes' network", Deadline.after(TURN_S))
            self._remember()

    def console_log(self, name: str) -> Callable[[bytes], None]:
        """Appends what a guest's console says to ``console/<name>.log`` of the run."""
        path = self.folder / "console" / f"{name.replace('/', '_')}.log"
        path.parent.mkdir(parents=True, exist_ok=True)

        def write(data: bytes) -> None:
            with path.open("ab") as file:
                file.write(data)

        return write

    def next_index(self, segment: Segment) -> int:
        """A number that no VM of this feature had in that segment: its address and MAC follow from it."""
        return next(self._counts.setdefault(segment.name, itertools.count()))

    def ensure_policy(self, document: Obj, *, disruptive: bool = False, checked: bool = True) -> None:
        """Make a documented policy the nodes' own. Raises as Policies.ensure."""
        self.change_nodes()
        self._fresh = self.policies.ensure(document, disruptive=disruptive, checked=checked) or self._fresh

    def witness(self, segment: Segment, nad: Obj, template: Obj) -> None:
        """Residents in a segment that the policies of the moment lead to, one per worker; made once, not waited for."""
        said = read_attachment(nad)
        leads = said.localnet in self.policies.mapped() or said.bridge in self.policies.bridges()
        if leads and segment.name not in self.residents.of:
            self.residents.ensure(segment, nad, template)
            self._fresh = True

    def settle(self) -> None:
        """Wait, once after each change of the policies, until every network with residents passes every worker.

        Spanning tree holds a new bridge's ports for 30 s, and a resident must be there for OVN to make the port.
        """
        if not self._fresh:
            return
        self.residents.wait()
        mapped = self.policies.mapped()
        if networks := {n.localnet: n.network for n in self.residents.networks.values() if n.localnet in mapped}:
            wait_forwarding(self.reader, self.workers, networks)
        self._fresh, self.forwarded = False, True
        for call in self.settled:
            call(self.undo)

    def unsettle(self) -> None:
        """What the networks were seen to do no longer holds: the next check waits until they forward."""
        self._fresh = True

    @staticmethod
    def say(texts: Iterable[str]) -> None:
        """Remarks for the person who watches, and for the record."""
        for text in texts:
            trace.note("", text)

    def close(self, deadline: Deadline | None = None) -> None:
        """Undo everything, newest first, and see that the nodes' network is as before; may be called again.

        Raises EnvironmentBroken naming what could not be undone, or each difference that stays.
        """
        deadline = deadline or Deadline.after(CLOSE_S)
        if not self.undo.pending:
            return
        try:
            self._undo(deadline)
        finally:
            if self._turn is not None:
                self._turn.give_back()

    def _undo(self, deadline: Deadline) -> None:
        if failures := self.undo.unwind(deadline.remaining()):
            raise EnvironmentBroken(
                f"everything of the feature {self.feature} undone",
                "; ".join(f"{f.what}: {_line(f.error)}" for f in failures),
                self.client.server,
                f"virtlab clean --target {self.target.source}",
            )
        if self._before:
            snapshot.wait_as_before(self.client, self._before, deadline=deadline.sub(snapshot.SETTLE_S))

    def abandon(self) -> tuple[str, ...]:
        """Leave everything as it is; returns what stays, in words."""
        return self.undo.abandon()


def _line(error: BaseException) -> str:
    return error.headline if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
