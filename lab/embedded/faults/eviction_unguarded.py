"""KubeVirt: virt-api does not answer for evictions, and its webhook is one that is ignored then: VMs are evicted.

Upstream registers it with `failurePolicy: Ignore`, lest a virt-api that is down keep every pod of the cluster in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Site
from lab.embedded.model.kinds import VALIDATING_WEBHOOK

CONFIGURATION, HOOK = "virt-api-validator", "virt-launcher-eviction-interceptor.kubevirt.io"
NOBODY = "https://127.0.0.1:9/"


class EvictionUnguarded:
    """The webhook leads to a port where nobody listens."""

    name = "eviction-unguarded"
    layer = "kubevirt"
    summary = "nobody refuses the eviction of a VM's pod: virt-api does not answer for it"
    parameters: Mapping[str, str] = {}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        return {"url": await self._lead(site, NOBODY)}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        await self._lead(site, str(saved["url"]))

    async def _lead(self, site: Site, url: str) -> str:
        """Where the webhook led before."""
        async with site.kube() as kube:
            hooks = (await kube.get(VALIDATING_WEBHOOK, CONFIGURATION))["webhooks"]
            own = next(hook for hook in hooks if hook["name"] == HOOK)
            before, own["clientConfig"]["url"] = str(own["clientConfig"]["url"]), url
            await kube.patch(VALIDATING_WEBHOOK, CONFIGURATION, None, {"webhooks": hooks})
            found = (await kube.get(VALIDATING_WEBHOOK, CONFIGURATION))["webhooks"]
            if url not in [hook["clientConfig"].get("url") for hook in found if hook["name"] == HOOK]:
                raise FaultError(f"wanted the webhook {HOOK} at {url}", f"the API server has {found}")
        return before
