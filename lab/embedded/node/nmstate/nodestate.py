"""The NodeNetworkState of one node: the real state, published when it changed.

It must not remember anything that was not read from the node just now, except what it last wrote.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from lab.embedded.kube import Kube, KubeError, Obj
from lab.embedded.model.kinds import NNS, NODE
from lab.embedded.node.nmstate.conditions import stamp
from lab.embedded.node.nmstate.settings import NMSTATE_VERSION, RELATIONSHIP_LABELS

log = logging.getLogger(__name__)


class NodeState:
    """Writes the NodeNetworkState named as the node."""

    def __init__(self, kube: Kube, node: str, read: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self.kube, self.node, self.read = kube, node, read

    async def refresh(self) -> bool:
        """Publish the present state; returns whether it differed from the one published. Raises KubeError, LabError."""
        current = await self.read()
        published = await self._get() or await self._create()
        status = published.get("status") or {}
        if status.get("currentState") == current:
            return False
        published["status"] = {
            **status,
            "currentState": current,
            "handlerNmstateVersion": NMSTATE_VERSION,
            "lastSuccessfulUpdateTime": stamp(datetime.now(UTC)),
        }
        try:
            await self.kube.update(NNS, published, subresource="status")
        except KubeError as refusal:
            if not refusal.conflict:
                raise
            # Somebody touched its labels (a forced refresh): the event of that change brings us back here.
            return await self.refresh()
        return True

    async def _get(self) -> Obj | None:
        try:
            return await self.kube.get(NNS, self.node)
        except KubeError as refusal:
            if refusal.not_found:
                return None
            raise

    async def _create(self) -> Obj:
        node = await self.kube.get(NODE, self.node)
        reference = {"apiVersion": "v1", "kind": "Node", "name": self.node, "uid": node["metadata"]["uid"]}
        return await self.kube.create(
            NNS,
            {"metadata": {"name": self.node, "labels": RELATIONSHIP_LABELS, "ownerReferences": [reference]}},
        )
