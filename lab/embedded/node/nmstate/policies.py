"""One policy reconciled on one node, step by step as kubernetes-nmstate does it.

Source: controllers/handler/nodenetworkconfigurationpolicy_controller.go, of the release that is played: since v0.85.0
a failed policy is tried again; before, the first failure is final and whoever has not begun aborts. It must not know
how a state is applied.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from lab.embedded.kube import Kube, KubeError, Obj
from lab.embedded.model.kinds import NNS, NODE
from lab.embedded.node.nmstate import conditions as cond
from lab.embedded.node.nmstate.apply import Outcome
from lab.embedded.node.nmstate.desired import features, with_default_vlans
from lab.embedded.node.nmstate.enactments import Enactments
from lab.embedded.node.nmstate.errors import ApplyError, ProbesFailed
from lab.embedded.node.nmstate.parsing import parse
from lab.embedded.node.nmstate.policystatus import LimitReached, Places, PolicyStatus, matches
from lab.embedded.node.nmstate.settings import COMPONENT, REFRESH_LABEL, Settings

log = logging.getLogger(__name__)
NO_CAPTURE = (
    "failure generating desiredState and capturedStates: `capture` expressions are not evaluated by this lab; "
    "write the interfaces out in desiredState"
)


class Applier(Protocol):
    """Puts a desired state in place; raises ApplyError when the node is as before."""

    async def apply(self, document: Obj) -> Outcome: ...


@dataclass(frozen=True)
class Requeue:
    """Come again, with the doubling delay of the queue; ``pending``: sooner when another node gives its place back."""

    pending: bool = False


class PolicyReconciler:
    """Reconciles policies on ``node``."""

    def __init__(
        self,
        kube: Kube,
        node: str,
        applier: Applier,
        settings: Settings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.kube, self.node, self.applier, self.settings = kube, node, applier, settings
        self.clock = clock
        self.places = Places(by_generation=settings.release.retries)
        self.enactments = Enactments(kube, node, clock, sleep)
        self.status = PolicyStatus(kube, self.enactments, self.places, clock, sleep)

    async def reconcile(self, name: str) -> Requeue | None:
        """One pass. None: done until something changes. Raises KubeError."""
        policy = await self.status.get(name)
        if policy is None:
            await self.enactments.delete(name)
            return None
        if cond.status_of(policy.get("status", {}).get("conditions"), "Progressing") != cond.TRUE:
            await self.status.reset(name)
        try:
            return await self._reconcile(name)
        finally:
            await self.status.recompute(name)

    async def _reconcile(self, name: str) -> Requeue | None:
        policy = await self.status.get(name)
        node = await self.kube.get(NODE, self.node)
        if policy is None or not matches(policy, node):
            await self.enactments.delete(name)
            return None
        enactment = await self.enactments.initialise(policy, node)
        previous = enactment.get("status", {}).get("conditions")
        enactment, document = await self._fill(policy, enactment)
        if policy.get("spec", {}).get("capture"):
            await self.enactments.condition(name, cond.enactment_failed, NO_CAPTURE)
            return None
        key = str(enactment["status"]["policyGeneration"])
        if self.settings.release.retries:
            if enactment["status"].get("retryCount", {}).get(key, 0) >= self.settings.max_retries:
                return None
        elif await self._others_failed(policy):
            await self.enactments.condition(name, cond.enactment_aborted, "policy has failing enactments, aborting")
            return None
        if not (self.settings.release.retries and cond.retrying(previous)):
            refused = await self._claim(name, enactment, key)
            if refused is not None:
                return refused[0]
        await self.enactments.condition(name, cond.enactment_progressing)
        await self.status.recompute(name, only_unknown=True)
        return await self._apply(policy, document, key)

    async def _others_failed(self, policy: Obj) -> bool:
        enactments = await self.enactments.of_policy(policy["metadata"]["name"])
        return any(cond.failing(item, policy["metadata"]["generation"]) for item in enactments)

    async def _claim(self, name: str, enactment: Obj, key: str) -> tuple[Requeue | None] | None:
        """Take one of the places for unavailable nodes. None: taken. Otherwise Pending (or Aborted) was written."""
        try:
            await self.status.claim(name, key)
            return None
        except KubeError as refusal:
            if not refusal.conflict:
                raise
        except LimitReached:
            pass
        await self.enactments.condition(name, cond.enactment_pending)
        if not self.settings.release.retries:
            return (Requeue(pending=True),)
        policy = await self.status.get(name)
        if policy is None:
            return (Requeue(pending=True),)
        enactments = await self.enactments.of_policy(name)
        failed = sum(cond.finally_failed(item, policy["metadata"]["generation"]) for item in enactments)
        if failed < await self.status.limit(policy):
            return (Requeue(pending=True),)
        text = f'reconciliation of enactment "{enactment["metadata"]["name"]}" has aborted'
        await self.kube.event(policy, "Warning", "ReconcileFailed", text, COMPONENT)
        await self.enactments.condition(name, cond.enactment_aborted, text)
        return (None,)

    async def _apply(self, policy: Obj, document: Obj, key: str) -> Requeue | None:
        name = policy["metadata"]["name"]
        try:
            outcome = await self.applier.apply(document)
        except ApplyError as failure:
            message = failure_text(self.node, failure)
            log.warning("%s", message[:600])
            if self.settings.release.retries:
                return await self._count_failure(policy, message, key)
            await self.enactments.condition(name, cond.enactment_failed, message)
            await self.kube.event(policy, "Warning", "ReconcileFailed", message, COMPONENT)
            await self.status.release(name, key)
            return None
        log.info(
            "%s on %s: %s", name, self.node, f"{len(outcome.changes)} changes" if outcome.changes else "no changes"
        )
        await self.enactments.condition(name, cond.enactment_success)
        await self.enactments.say_not_set(policy, outcome)
        await self.status.release(name, key)
        await self._force_refresh()
        return None

    async def _count_failure(self, policy: Obj, message: str, key: str) -> Requeue | None:
        name = policy["metadata"]["name"]
        counts: dict[str, int] = {}

        def count(status: Obj) -> None:
            kept = status.setdefault("retryCount", {})
            kept[key] = kept.get(key, 0) + 1
            counts[key] = kept[key]

        await self.enactments.change(name, count)
        limit = self.settings.max_retries
        if counts[key] >= limit:
            await self.enactments.condition(name, cond.enactment_failed, message)
            text = f'reconciliation of enactment "{self.node}.{name}" has failed after {limit} retries'
            await self.kube.event(policy, "Warning", "ReconcileFailed", text, COMPONENT)
            return None
        text = (
            f"failed to reconcile NodeNetworkConfigurationPolicy on node {self.node}. "
            f"Retrying {counts[key] + 1}/{limit}"
        )
        await self.enactments.condition(name, cond.enactment_retrying, text)
        return Requeue()

    async def _fill(self, policy: Obj, enactment: Obj) -> tuple[Obj, Obj]:
        """Write generation, desired state and features; conditions of another generation are dropped.

        Before v0.85.0 those of the same generation as well, each time that the policy is reconciled.
        """
        document = policy.get("spec", {}).get("desiredState") or {}
        document = with_default_vlans(document) if isinstance(document, dict) else {"interfaces": document}
        try:
            found = features(parse(document))
        except ApplyError:
            # nmstatectl's statistics fail on such a state too; the apply says why.
            found = []
        generation = policy["metadata"]["generation"]

        def fill(status: Obj) -> None:
            if not self.settings.release.retries or status.get("policyGeneration") != generation:
                status["conditions"] = []
            status["policyGeneration"] = generation
            status["desiredState"] = document
            status["features"] = found
            status.setdefault("desiredStateMetaInfo", {})

        return await self.enactments.change(policy["metadata"]["name"], fill), document

    async def _force_refresh(self) -> None:
        stamp = str(int(self.clock().timestamp() * 1e9))
        try:
            await self.kube.patch(NNS, self.node, None, {"metadata": {"labels": {REFRESH_LABEL: stamp}}})
        except KubeError as refusal:
            log.info("no forced refresh of the NodeNetworkState, it comes with the regular one: %s", refusal)


def failure_text(node: str, failure: ApplyError) -> str:
    """The enactment's message: the controller's frame around what nmstatectl printed, or around a failed probe."""
    detail = str(failure)
    if not isinstance(failure, ProbesFailed):
        detail = f", {detail}\n: failed to execute nmstatectl apply --no-commit --timeout 480: exit status 1"
    head = f"error reconciling NodeNetworkConfigurationPolicy on node {node} at desired state apply"
    return f"{head}: {json.dumps('')},\n {detail}"
