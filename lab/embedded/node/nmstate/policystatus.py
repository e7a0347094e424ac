"""The status of a policy, which all handlers share: its conditions, and the places for nodes at work.

Every write is read-modify-write against the API and retried on conflict. Sources: pkg/policyconditions/conditions.go,
pkg/node/nodes.go. It must not act on a node.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from lab.embedded.kube import Kube, KubeError, Obj
from lab.embedded.model.kinds import NNCP, NODE, POD
from lab.embedded.node.nmstate import conditions as cond
from lab.embedded.node.nmstate.enactments import Enactments
from lab.embedded.node.nmstate.settings import HANDLER_LABEL, HANDLER_NAMESPACE

log = logging.getLogger(__name__)
CONFLICTS = 12


class LimitReached(Exception):
    """As many nodes as the policy allows are at work."""


class Places:
    """How many nodes are at work on a generation of a policy, where the release keeps it.

    One number before v0.85.0; since then a number for each generation.
    """

    def __init__(self, by_generation: bool) -> None:
        self.by_generation = by_generation

    def taken(self, policy: Obj, key: str) -> int:
        status = policy.get("status", {})
        if self.by_generation:
            return int(status.get("unavailableNodeCountMap", {}).get(key, 0))
        return int(status.get("unavailableNodeCount", 0))

    def put(self, policy: Obj, key: str, number: int, now: datetime) -> None:
        status = policy.setdefault("status", {})
        if self.by_generation:
            status.setdefault("unavailableNodeCountMap", {})[key] = number
        else:
            status.update({"unavailableNodeCount": number, "lastUnavailableNodeCountUpdate": cond.stamp(now)})


class PolicyStatus:
    """Reads and writes the status of any policy."""

    def __init__(
        self,
        kube: Kube,
        enactments: Enactments,
        places: Places,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.kube, self.enactments, self.places = kube, enactments, places
        self.clock, self.sleep = clock, sleep

    async def get(self, name: str) -> Obj | None:
        """The policy, None when it is gone."""
        try:
            return await self.kube.get(NNCP, name)
        except KubeError as refusal:
            if refusal.not_found:
                return None
            raise

    async def change(self, name: str, change: Callable[[Obj], Awaitable[bool]], *, attempts: int = CONFLICTS) -> None:
        """Read, change, write the status; False from ``change``: nothing to write. A policy that is gone is fine."""
        for attempt in range(attempts):
            policy = await self.get(name)
            if policy is None or not await change(policy):
                return
            try:
                await self.kube.update(NNCP, policy, subresource="status")
                return
            except KubeError as refusal:
                if refusal.not_found:
                    return
                if not refusal.conflict or attempt == attempts - 1:
                    raise
            await self.sleep(0.005 * (attempt + 1))

    async def reset(self, name: str) -> None:
        """All conditions Unknown."""

        async def reset(policy: Obj) -> bool:
            policy.setdefault("status", {})["conditions"] = cond.unknown(cond.POLICY_TYPES, self.clock())
            return True

        await self.change(name, reset)

    # -- places ------------------------------------------------------------------------------------------------

    async def claim(self, name: str, key: str) -> None:
        """Take one of the places for unavailable nodes. Raises LimitReached; KubeError when others were faster."""

        async def increment(policy: Obj) -> bool:
            taken = self.places.taken(policy, key)
            if taken >= await self.limit(policy):
                raise LimitReached
            self.places.put(policy, key, taken + 1, self.clock())
            return True

        await self.change(name, increment, attempts=5)

    async def limit(self, policy: Obj) -> int:
        """How many nodes may be at work at once."""
        enactments = await self.enactments.of_policy(policy["metadata"]["name"])
        return cond.max_unavailable(len(enactments), policy.get("spec", {}).get("maxUnavailable"))

    async def release(self, name: str, key: str) -> None:
        """Give a place back."""

        async def decrement(policy: Obj) -> bool:
            taken = self.places.taken(policy, key)
            if taken <= 0:
                return False
            self.places.put(policy, key, taken - 1, self.clock())
            return True

        await self.change(name, decrement)

    # -- conditions --------------------------------------------------------------------------------------------

    async def recompute(self, name: str, *, only_unknown: bool = False) -> None:
        """Recompute the policy's conditions from all enactments of its generation."""

        async def update(policy: Obj) -> bool:
            status = policy.setdefault("status", {})
            known = status.get("conditions") or []
            if only_unknown and cond.status_of(known, "Available") not in ("", cond.UNKNOWN):
                return False
            count = await self._tally(policy)
            fresh, success = cond.policy_conditions(known, count, self.clock())
            if await self._same_second(known, fresh):
                fresh, success = cond.policy_conditions(known, await self._tally(policy), self.clock())
            status["conditions"] = fresh
            if success:
                status.pop("unavailableNodeCountMap", None)
            return True

        try:
            await self.change(name, update)
        except KubeError as refusal:
            # Upstream logs and goes on: the next handler that finishes computes the same.
            log.warning("conditions of policy %s: %s", name, refusal)

    async def _same_second(self, known: cond.Conditions, fresh: cond.Conditions) -> bool:
        # Clients tell two runs of one policy apart by lastTransitionTime alone, which has whole seconds: a result must
        # not carry the very second of the Unknown before it (openshift-python-wrapper waits for a later one).
        old, new = cond.find(known, "Available"), cond.find(fresh, "Available")
        if old is None or new is None or new["status"] == cond.UNKNOWN or old["status"] == new["status"]:
            return False
        if old["lastTransitionTime"] != new["lastTransitionTime"]:
            return False
        await self.sleep(1.0 - self.clock().microsecond / 1e6 + 0.001)
        return True

    async def _tally(self, policy: Obj) -> cond.Tally:
        name = policy["metadata"]["name"]
        enactments, nodes, pods = await asyncio.gather(
            self.enactments.of_policy(name),
            self.kube.list(NODE),
            self.kube.list(POD, HANDLER_NAMESPACE, labels=HANDLER_LABEL),
        )
        with_handler = {pod.get("spec", {}).get("nodeName") for pod in pods}
        matching = [n for n in nodes if n["metadata"]["name"] in with_handler and matches(policy, n)]
        ready = sum(is_ready(node) for node in matching)
        return cond.tally(len(matching), ready, enactments, policy["metadata"]["generation"])


def matches(policy: Obj, node: Obj) -> bool:
    """nodeSelector is a subset of the node's labels, value by value."""
    labels = node["metadata"].get("labels") or {}
    selector = policy.get("spec", {}).get("nodeSelector") or {}
    return all(labels.get(key) == value for key, value in selector.items())


def is_ready(node: Obj) -> bool:
    found = cond.find(node.get("status", {}).get("conditions"), "Ready")
    return found is not None and found["status"] == cond.TRUE
