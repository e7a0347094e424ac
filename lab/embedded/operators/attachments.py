"""The attachments that an instance names, asked for one by one, as upstream does (virt-controller, pkg/network/multus).

A watch tells later than the API server knows: one that is behind must not have the say that an attachment is missing.
What an attachment means for a pod is rendered elsewhere.
"""

from __future__ import annotations

from lab.embedded.kube import Kube, KubeError
from lab.embedded.model.kinds import NAD
from lab.embedded.operators.launcher import attachment_key
from lab.embedded.operators.objects import Obj, namespace_of


async def attachments_of(kube: Kube, vmi: Obj) -> dict[str, Obj]:
    """Those that are there, by `namespace/name`. Raises KubeError: whether one is there could not be told."""
    found = {}
    for network in vmi["spec"].get("networks") or []:
        if multus := network.get("multus"):
            key = attachment_key(multus["networkName"], namespace_of(vmi))
            namespace, _, name = key.partition("/")
            try:
                found[key] = await kube.get(NAD, name, namespace)
            except KubeError as error:
                if not error.not_found:
                    raise
    return found
