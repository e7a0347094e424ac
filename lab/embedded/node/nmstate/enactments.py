"""One node's enactments: the record of what became of each policy there.

Every write is read-modify-write against the API, and outlives the outage that a change of the node's own network is.
It must not know when a policy is reconciled.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from lab.embedded.kube import Kube, KubeError, Obj
from lab.embedded.model.kinds import NNCE
from lab.embedded.node.nmstate import conditions as cond
from lab.embedded.node.nmstate.apply import Outcome
from lab.embedded.node.nmstate.settings import COMPONENT, NODE_LABEL, POLICY_LABEL, RELATIONSHIP_LABELS

log = logging.getLogger(__name__)
OUTAGE_SECONDS = 60.0
NOT_SET = "virtlab.dev/not-set"


class Enactments:
    """Those of ``node``, named ``<node>.<policy>``."""

    def __init__(
        self, kube: Kube, node: str, clock: Callable[[], datetime], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self.kube, self.node, self.clock, self.sleep = kube, node, clock, sleep

    async def of_policy(self, policy: str) -> list[Obj]:
        """The enactments of a policy on all nodes."""
        return await self.kube.list(NNCE, labels=f"{POLICY_LABEL}={policy}")

    async def initialise(self, policy: Obj, node: Obj) -> Obj:
        """The enactment of ``policy`` here, made when there is none. Raises KubeError."""
        name = f"{self.node}.{policy['metadata']['name']}"
        try:
            return await self.kube.get(NNCE, name)
        except KubeError as missing:
            if not missing.not_found:
                raise
        labels = {**RELATIONSHIP_LABELS, POLICY_LABEL: policy["metadata"]["name"], NODE_LABEL: self.node}
        owner = {"apiVersion": "v1", "kind": "Node", "name": self.node, "uid": node["metadata"]["uid"]}
        made = await self.kube.create(
            NNCE, {"metadata": {"name": name, "labels": labels, "ownerReferences": [owner]}}
        )  # fmt: skip
        made["status"] = {"conditions": cond.unknown(cond.ENACTMENT_TYPES, self.clock()), "desiredStateMetaInfo": {}}
        return await self.kube.update(NNCE, made, subresource="status")

    async def change(self, policy: str, change: Callable[[Obj], None]) -> Obj:
        """Change the status of this node's enactment of ``policy``, also when the node is cut off for a minute."""
        deadline = asyncio.get_running_loop().time() + OUTAGE_SECONDS
        while True:
            try:
                fresh = await self.kube.get(NNCE, f"{self.node}.{policy}")
                fresh.setdefault("status", {})
                wanted = copy.deepcopy(fresh)
                change(wanted["status"])
                return await self.kube.update(NNCE, wanted, subresource="status")
            except KubeError as refusal:
                if not refusal.conflict and (refusal.status != 0 or asyncio.get_running_loop().time() > deadline):
                    raise
            await self.sleep(0.01)

    async def condition(self, policy: str, setter: Callable[..., cond.Conditions], *words: str) -> Obj:
        """Give it the conditions that ``setter`` of `conditions` makes."""

        def apply(status: Obj) -> None:
            status["conditions"] = setter(status.get("conditions") or [], *words, self.clock())

        return await self.change(policy, apply)

    async def delete(self, policy: str) -> None:
        """Remove it; none is no error."""
        try:
            await self.kube.delete(NNCE, f"{self.node}.{policy}")
        except KubeError as refusal:
            if not refusal.not_found:
                raise

    async def say_not_set(self, policy: Obj, outcome: Outcome) -> None:
        """Write down, and tell in an event, what the policy asked for and the node cannot have."""
        name = f"{self.node}.{policy['metadata']['name']}"
        text = "; ".join(outcome.not_set) or None
        try:
            fresh = await self.kube.get(NNCE, name)
            if fresh["metadata"].get("annotations", {}).get(NOT_SET) == text:
                return
            await self.kube.patch(NNCE, name, None, {"metadata": {"annotations": {NOT_SET: text}}})
            if text:
                await self.kube.event(policy, "Warning", "NotSet", f"{self.node}: {text}", COMPONENT)
        except KubeError as refusal:
            log.warning("%s: %s (could not be recorded: %s)", name, text, refusal)
