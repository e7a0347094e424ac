"""Changes to VMIs, written so that several controllers can share one object.

A VMI has no status subresource, and its lists (conditions, interfaces) have several writers: a change is a
function applied to the newest object and written with its resourceVersion; on a conflict it is applied again.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

from lab.embedded.kube import Kube, KubeError
from lab.embedded.model.kinds import VMI

log = logging.getLogger(__name__)
Obj = dict[str, Any]
ATTEMPTS = 12


async def change(kube: Kube, vmi: Obj, edit: Callable[[Obj], None]) -> Obj | None:
    """Apply ``edit`` to the VMI that ``vmi`` is a copy of; returns what is stored now, or None when it is gone.

    ``edit`` may run several times. Raises KubeError when the API refuses or stays in conflict.
    """
    meta = vmi["metadata"]
    current: Obj = vmi
    for attempt in range(ATTEMPTS):
        wanted = copy.deepcopy(current)
        edit(wanted)
        if wanted == current:
            return current
        try:
            return await kube.update(VMI, wanted)
        except KubeError as refusal:
            if refusal.not_found:
                return None
            if not refusal.conflict or attempt == ATTEMPTS - 1:
                raise
        try:
            current = await kube.get(VMI, meta["name"], meta["namespace"])
        except KubeError as refusal:
            if refusal.not_found:
                return None
            raise
        if current["metadata"]["uid"] != meta["uid"]:
            return None
    return None


async def merge_state(kube: Kube, vmi: Obj, state: Obj, **more: Obj) -> None:
    """Merge keys into status.migrationState in one request: the quick way, for keys with one writer."""
    meta = vmi["metadata"]
    body: Obj = {"metadata": {"uid": meta["uid"]}, "status": {"migrationState": state}}
    for key, value in more.items():
        body[key] = {**body.get(key, {}), **value}
    await kube.patch(VMI, meta["name"], meta["namespace"], body)
