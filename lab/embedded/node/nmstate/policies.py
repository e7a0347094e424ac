"""One policy reconciled on one node, step by step as kubernetes-nmstate does it.

Source: controllers/handler/nodenetworkconfigurationpolicy_controller.go. All handlers share one policy's status:
every write is read-modify-write against the API and retried on conflict. It must not know how a state is applied.
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from lab.embedded.kube import Kube, KubeError, Obj
from lab.embedded.model.kinds import NNCE, NNCP, NNS, NODE, POD
from lab.embedded.node.nmstate import conditions as cond
from lab.embedded.node.nmstate.apply import Outcome
from lab.embedded.node.nmstate.desired import features, with_default_vlans
from lab.embedded.node.nmstate.errors import ApplyError, ProbesFailed
from lab.embedded.node.nmstate.parsing import parse
from lab.embedded.node.nmstate.settings import (
    HANDLER_LABEL,
    HANDLER_NAMESPACE,
    NODE_LABEL,
    POLICY_LABEL,
    REFRESH_LABEL,
    RELATIONSHIP_LABELS,
    Settings,
)

log = logging.getLogger(__name__)
CONFLICTS = 12
OUTAGE_SECONDS = 60.0
NOT_SET = "virtlab.dev/not-set"
COMPONENT = "nmstate-handler"
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


class LimitReached(Exception):
    """As many nodes as the policy allows are at work."""


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
        self.clock, self.sleep = clock, sleep

    async def reconcile(self, name: str) -> Requeue | None:
        """One pass. None: done until something changes. Raises KubeError."""
        policy = await self._policy(name)
        if policy is None:
            await self._delete_enactment(name)
            return None
        if cond.status_of(policy.get("status", {}).get("conditions"), "Progressing") != cond.TRUE:
            await self._reset(name)
        try:
            return await self._reconcile(name)
        finally:
            await self._update_policy(name)

    async def _reconcile(self, name: str) -> Requeue | None:
        policy = await self._policy(name)
        node = await self.kube.get(NODE, self.node)
        if policy is None or not matches(policy, node):
            await self._delete_enactment(name)
            return None
        enactment = await self._initialise(policy, node)
        previous = enactment.get("status", {}).get("conditions")
        enactment, document = await self._fill(policy, enactment)
        if policy.get("spec", {}).get("capture"):
            await self._enactment(name, lambda s: _conditions(s, cond.enactment_failed, NO_CAPTURE, self.clock()))
            return None
        key = str(enactment["status"]["policyGeneration"])
        if enactment["status"].get("retryCount", {}).get(key, 0) >= self.settings.max_retries:
            return None
        if not cond.retrying(previous):
            refused = await self._claim(name, enactment, key)
            if refused is not None:
                return refused[0]
        await self._enactment(name, lambda s: _conditions(s, cond.enactment_progressing, self.clock()))
        await self._update_policy(name, only_unknown=True)
        return await self._apply(policy, document, key)

    async def _apply(self, policy: Obj, document: Obj, key: str) -> Requeue | None:
        name = policy["metadata"]["name"]
        try:
            outcome = await self.applier.apply(document)
        except ApplyError as failure:
            return await self._failed(policy, failure, key)
        log.info(
            "%s on %s: %s", name, self.node, f"{len(outcome.changes)} changes" if outcome.changes else "no changes"
        )
        await self._enactment(name, lambda s: _conditions(s, cond.enactment_success, self.clock()))
        await self._say_not_set(policy, outcome)
        await self._release(name, key)
        await self._force_refresh()
        return None

    async def _failed(self, policy: Obj, failure: ApplyError, key: str) -> Requeue | None:
        name = policy["metadata"]["name"]
        message = failure_text(self.node, failure)
        log.warning("%s", message[:600])
        counts: dict[str, int] = {}

        def count(status: Obj) -> None:
            kept = status.setdefault("retryCount", {})
            kept[key] = kept.get(key, 0) + 1
            counts[key] = kept[key]

        await self._enactment(name, count)
        limit = self.settings.max_retries
        if counts[key] >= limit:
            await self._enactment(name, lambda s: _conditions(s, cond.enactment_failed, message, self.clock()))
            text = f'reconciliation of enactment "{self.node}.{name}" has failed after {limit} retries'
            await self.kube.event(policy, "Warning", "ReconcileFailed", text, COMPONENT)
            return None
        text = (
            f"failed to reconcile NodeNetworkConfigurationPolicy on node {self.node}. "
            f"Retrying {counts[key] + 1}/{limit}"
        )
        await self._enactment(name, lambda s: _conditions(s, cond.enactment_retrying, text, self.clock()))
        return Requeue()

    # -- enactment ---------------------------------------------------------------------------------------------

    async def _initialise(self, policy: Obj, node: Obj) -> Obj:
        name = f"{self.node}.{policy['metadata']['name']}"
        try:
            return await self.kube.get(NNCE, name)
        except KubeError as missing:
            if not missing.not_found:
                raise
        body = {
            "metadata": {
                "name": name,
                "labels": {
                    **RELATIONSHIP_LABELS,
                    POLICY_LABEL: policy["metadata"]["name"],
                    NODE_LABEL: self.node,
                },
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": self.node, "uid": node["metadata"]["uid"]}
                ],
            },
        }
        made = await self.kube.create(NNCE, body)
        made["status"] = {"conditions": cond.unknown(cond.ENACTMENT_TYPES, self.clock()), "desiredStateMetaInfo": {}}
        return await self.kube.update(NNCE, made, subresource="status")

    async def _fill(self, policy: Obj, enactment: Obj) -> tuple[Obj, Obj]:
        """Write generation, desired state and features; conditions of another generation are dropped."""
        document = policy.get("spec", {}).get("desiredState") or {}
        document = with_default_vlans(document) if isinstance(document, dict) else {"interfaces": document}
        try:
            found = features(parse(document))
        except ApplyError:
            # nmstatectl's statistics fail on such a state too; the apply says why.
            found = []
        generation = policy["metadata"]["generation"]

        def fill(status: Obj) -> None:
            if status.get("policyGeneration") != generation:
                status["conditions"] = []
            status["policyGeneration"] = generation
            status["desiredState"] = document
            status["features"] = found
            status.setdefault("desiredStateMetaInfo", {})

        return await self._enactment(policy["metadata"]["name"], fill), document

    async def _enactment(self, policy: str, change: Callable[[Obj], None]) -> Obj:
        """Change this node's enactment of ``policy``, however long the node is cut off (up to a minute)."""
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

    async def _delete_enactment(self, policy: str) -> None:
        try:
            await self.kube.delete(NNCE, f"{self.node}.{policy}")
        except KubeError as refusal:
            if not refusal.not_found:
                raise

    async def _enactments(self, policy: str) -> list[Obj]:
        return await self.kube.list(NNCE, labels=f"{POLICY_LABEL}={policy}")

    # -- maxUnavailable ----------------------------------------------------------------------------------------

    async def _claim(self, name: str, enactment: Obj, key: str) -> tuple[Requeue | None] | None:
        """Take one of the places for unavailable nodes. None: taken. Otherwise Pending (or Aborted) was written."""
        try:
            await self._policy_status(name, lambda policy: self._increment(policy, key), attempts=5)
            return None
        except KubeError as refusal:
            if not refusal.conflict:
                raise
        except LimitReached:
            pass
        await self._enactment(name, lambda s: _conditions(s, cond.enactment_pending, self.clock()))
        policy = await self.kube.get(NNCP, name)
        enactments = await self._enactments(name)
        limit = cond.max_unavailable(len(enactments), policy.get("spec", {}).get("maxUnavailable"))
        failed = sum(cond.finally_failed(item, policy["metadata"]["generation"]) for item in enactments)
        if failed < limit:
            return (Requeue(pending=True),)
        text = f'reconciliation of enactment "{enactment["metadata"]["name"]}" has aborted'
        await self.kube.event(policy, "Warning", "ReconcileFailed", text, COMPONENT)
        await self._enactment(name, lambda s: _conditions(s, cond.enactment_aborted, text, self.clock()))
        return (None,)

    async def _increment(self, policy: Obj, key: str) -> bool:
        enactments = await self._enactments(policy["metadata"]["name"])
        limit = cond.max_unavailable(len(enactments), policy.get("spec", {}).get("maxUnavailable"))
        counts = policy.setdefault("status", {}).setdefault("unavailableNodeCountMap", {})
        if counts.get(key, 0) >= limit:
            raise LimitReached
        counts[key] = counts.get(key, 0) + 1
        return True

    async def _release(self, name: str, key: str) -> None:
        async def decrement(policy: Obj) -> bool:
            counts = policy.setdefault("status", {}).setdefault("unavailableNodeCountMap", {})
            if counts.get(key, 0) <= 0:
                return False
            counts[key] -= 1
            return True

        await self._policy_status(name, decrement)

    # -- policy ------------------------------------------------------------------------------------------------

    async def _policy(self, name: str) -> Obj | None:
        try:
            return await self.kube.get(NNCP, name)
        except KubeError as refusal:
            if refusal.not_found:
                return None
            raise

    async def _policy_status(
        self, name: str, change: Callable[[Obj], Awaitable[bool]], *, attempts: int = CONFLICTS
    ) -> None:
        """Read, change, write the status; False from ``change``: nothing to write. A policy that is gone is fine."""
        for attempt in range(attempts):
            policy = await self._policy(name)
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

    async def _reset(self, name: str) -> None:
        async def reset(policy: Obj) -> bool:
            policy.setdefault("status", {})["conditions"] = cond.unknown(cond.POLICY_TYPES, self.clock())
            return True

        await self._policy_status(name, reset)

    async def _update_policy(self, name: str, *, only_unknown: bool = False) -> None:
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
            await self._policy_status(name, update)
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
            self._enactments(name),
            self.kube.list(NODE),
            self.kube.list(POD, HANDLER_NAMESPACE, labels=HANDLER_LABEL),
        )
        with_handler = {pod.get("spec", {}).get("nodeName") for pod in pods}
        matching = [n for n in nodes if n["metadata"]["name"] in with_handler and matches(policy, n)]
        ready = sum(is_ready(node) for node in matching)
        return cond.tally(len(matching), ready, enactments, policy["metadata"]["generation"])

    # -- aside -------------------------------------------------------------------------------------------------

    async def _force_refresh(self) -> None:
        stamp = str(int(self.clock().timestamp() * 1e9))
        try:
            await self.kube.patch(NNS, self.node, None, {"metadata": {"labels": {REFRESH_LABEL: stamp}}})
        except KubeError as refusal:
            log.info("no forced refresh of the NodeNetworkState, it comes with the regular one: %s", refusal)

    async def _say_not_set(self, policy: Obj, outcome: Outcome) -> None:
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


def _conditions(status: Obj, setter: Callable[..., cond.Conditions], *args: Any) -> None:
    status["conditions"] = setter(status.get("conditions") or [], *args)


def matches(policy: Obj, node: Obj) -> bool:
    """nodeSelector is a subset of the node's labels, value by value."""
    labels = node["metadata"].get("labels") or {}
    selector = policy.get("spec", {}).get("nodeSelector") or {}
    return all(labels.get(key) == value for key, value in selector.items())


def is_ready(node: Obj) -> bool:
    found = cond.find(node.get("status", {}).get("conditions"), "Ready")
    return found is not None and found["status"] == cond.TRUE


def failure_text(node: str, failure: ApplyError) -> str:
    """The enactment's message: the controller's frame around what nmstatectl printed, or around a failed probe."""
    detail = str(failure)
    if not isinstance(failure, ProbesFailed):
        detail = f", {detail}\n: failed to execute nmstatectl apply --no-commit --timeout 480: exit status 1"
    head = f"error reconciling NodeNetworkConfigurationPolicy on node {node} at desired state apply"
    return f"{head}: {json.dumps('')},\n {detail}"
