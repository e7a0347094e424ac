"""The kubernetes-nmstate handler of one node: a queue of policies, one worker, and the NodeNetworkState beside it.

It decides when to reconcile: a policy made, changed in generation or deleted, a change of the own node's labels, the
start of the handler (every policy again). What to do is `policies`' work, how is `apply`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable

from lab.embedded.errors import LabError
from lab.embedded.kube import KubeError, Obj
from lab.embedded.model.kinds import NNCP, NNS, NODE
from lab.embedded.model.releases import KNOWN, NmstateRelease
from lab.embedded.node.context import NodeContext
from lab.embedded.node.nmstate.apply import Node, Outcome
from lab.embedded.node.nmstate.errors import ApplyError
from lab.embedded.node.nmstate.nodestate import NodeState
from lab.embedded.node.nmstate.policies import PolicyReconciler, Requeue
from lab.embedded.node.nmstate.probes import NodeProbes
from lab.embedded.node.nmstate.settings import REFRESH_LABEL, Settings, folder

log = logging.getLogger(__name__)
JITTER = 0.1
# A node that probes without a network is silent for so long that this lab's KubeVirt closes it to VMs, and opens it
# afterwards; upstream waits five minutes and more.  Were it a change of labels, the policy would start all over.
SCHEDULABLE = "kubevirt.io/schedulable"


class Queue:
    """Names to reconcile: each at most once, in order of arrival; after failures with a delay that doubles."""

    def __init__(self, backoff: Callable[[int], float]) -> None:
        self._backoff = backoff
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}

    def add(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        if name not in self._waiting:
            self._waiting.add(name)
            self._ready.put_nowait(name)

    def add_later(self, name: str) -> None:
        self._failures[name] = self._failures.get(name, 0) + 1
        if name in self._waiting or name in self._timers:
            return
        delay = self._backoff(self._failures[name])
        self._timers[name] = asyncio.get_running_loop().call_later(delay, self.add, name)

    def forget(self, name: str) -> None:
        self._failures.pop(name, None)

    def hurry(self, name: str) -> None:
        """Cut a delay short; a name that is not waiting for one is left alone."""
        if name in self._timers:
            self.add(name)

    async def get(self) -> str:
        name = await self._ready.get()
        self._waiting.discard(name)
        return name

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()


class _Applied:
    """The node and its probes as the one thing that a reconciler needs."""

    def __init__(self, node: Node, probes: NodeProbes, moved: Callable[[], None]) -> None:
        self.node, self.probes, self.moved = node, probes, moved

    async def apply(self, document: Obj) -> Outcome:
        outcome = await self.node.apply(document, self.probes)
        if outcome.moved:
            self.moved()
        return outcome


class NmstateHandler:
    """Component of a node agent; ``run`` ends when it is cancelled."""

    def __init__(self, ctx: NodeContext, release: NmstateRelease = KNOWN[-1]) -> None:
        self.ctx = ctx
        self.settings = Settings.from_environment(release=release)
        name = ctx.node.name
        self.node = Node(ctx.ovs, ctx.node.nics, folder(ctx.rundir), dhcp_wait=self.settings.dhcp_seconds)
        self._refresh = asyncio.Event()
        probes = NodeProbes(ctx.kube, name, self.settings)
        self.policies = PolicyReconciler(ctx.kube, name, _Applied(self.node, probes, self.refresh), self.settings)
        self.state = NodeState(ctx.kube, name, self.node.show)
        self._generations: dict[str, tuple[str, int]] = {}
        self._pending: set[str] = set()
        self._busy: dict[str, int] = {}
        self._labels: dict[str, str] | None = None
        self._refresh_stamp: str | None = None
        self._queue = Queue(self.settings.backoff)

    def refresh(self) -> None:
        """Have the node read again: somebody else changed its network."""
        self._refresh.set()

    async def run(self) -> None:
        """Watch and reconcile until cancelled."""
        informers, me = self.ctx.informers, self.ctx.node.name
        nodes = informers.get(NODE)
        policies = informers.get(NNCP)
        states = informers.get(NNS, fields=f"metadata.name={me}")
        for informer in (nodes, policies, states):
            await informer.synced()
        # A NodeNetworkState and enactments are owned by the Node: it must be there first.
        while me not in nodes.items:
            with contextlib.suppress(TimeoutError):
                await nodes.wait_for(lambda items: me in items, 30.0)
        nodes.subscribe(self._node_changed)
        policies.subscribe(self._policy_changed)
        states.subscribe(self._state_changed)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work(), name="nmstate policies")
                group.create_task(self._publish(), name="nmstate state")
        finally:
            self._queue.close()

    # -- triggers ----------------------------------------------------------------------------------------------

    def _policy_changed(self, change: str, policy: Obj) -> None:
        meta = policy["metadata"]
        name, seen = meta["name"], (meta["uid"], meta["generation"])
        if change == "DELETED":
            self._generations.pop(name, None)
            self._queue.add(name)
        elif self._generations.get(name) != seen:
            self._generations[name] = seen
            self._queue.forget(name)
            self._queue.add(name)
        elif name in self._pending:
            # Another node gave its place back: no need to sit the delay out.
            self._hurry_when_freed(name, policy)

    def _hurry_when_freed(self, name: str, policy: Obj) -> None:
        busy = self.policies.places.taken(policy, str(policy["metadata"]["generation"]))
        if busy < self._busy.get(name, 0):
            self._queue.hurry(name)
        self._busy[name] = busy

    def _node_changed(self, change: str, node: Obj) -> None:
        if node["metadata"]["name"] != self.ctx.node.name or change == "DELETED":
            return
        labels = {key: value for key, value in (node["metadata"].get("labels") or {}).items() if key != SCHEDULABLE}
        if self._labels is not None and labels != self._labels:
            for name in sorted(self._generations):
                self._queue.add(name)
        self._labels = labels

    def _state_changed(self, change: str, state: Obj) -> None:
        stamp = (state["metadata"].get("labels") or {}).get(REFRESH_LABEL)
        if change == "DELETED" or stamp != self._refresh_stamp:
            self._refresh.set()
        self._refresh_stamp = stamp

    # -- loops -------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            self._pending.discard(name)
            try:
                again = await self.policies.reconcile(name)
            except (KubeError, LabError, ApplyError) as failure:
                log.warning("policy %s: %s", name, failure)
                self._queue.add_later(name)
                continue
            except Exception:
                # A bug on one policy must not silence the handler for all others.
                log.exception("policy %s", name)
                self._queue.add_later(name)
                continue
            if isinstance(again, Requeue):
                if again.pending:
                    self._pending.add(name)
                self._queue.add_later(name)
            else:
                self._queue.forget(name)

    async def _publish(self) -> None:
        while True:
            self._refresh.clear()
            try:
                await self.state.refresh()
            except (KubeError, LabError, ApplyError) as failure:
                log.warning("NodeNetworkState: %s", failure)
            pause = self.settings.refresh_seconds * (1 + JITTER * random.random())  # noqa: S311  spreads load only
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._refresh.wait()
