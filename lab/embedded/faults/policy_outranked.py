"""KubeVirt: somebody else's MigrationPolicy fits a VM better than the one that was made for it, and so it is the rule.

The policy that matches with most labels wins, whatever it says; the other one stays and does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.guest import NAME, VM
from lab.embedded.faults.site import Site, one_of
from lab.embedded.model.kinds import MIGRATION_POLICY, VMI

POLICY = "virtlab-fault-outranks"
LABELS = 8
"""More than any policy of a scenario names."""


class PolicyOutranked:
    """It names the VM's own labels, as many as there are, and its namespace."""

    name = "policy-outranked"
    layer = "kubevirt"
    summary = "a MigrationPolicy of somebody else outranks the one made for a VM"
    parameters: Mapping[str, str] = {
        **VM, "bandwidth": "bandwidthPerMigration, e.g. 1Gi", "converge": "allowAutoConverge: true or false",
    }  # fmt: skip

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        if not NAME.fullmatch(arguments["vm"]):
            raise UsageError("wanted a VM as namespace/name", repr(arguments["vm"]), advice="vm=default/vm-a")
        converge = one_of("true or false", arguments["converge"], ("true", "false"))
        namespace, _, name = arguments["vm"].partition("/")
        async with site.kube() as kube:
            vmi = await kube.get(VMI, name, namespace)
            labels = dict(sorted((vmi["metadata"].get("labels") or {}).items())[:LABELS])
            selectors = {
                "namespaceSelector": {"kubernetes.io/metadata.name": namespace},
                "virtualMachineInstanceSelector": labels,
            }
            spec = {
                "bandwidthPerMigration": arguments["bandwidth"], "allowAutoConverge": converge == "true",
                "selectors": selectors,
            }  # fmt: skip
            await kube.create(MIGRATION_POLICY, {"metadata": {"name": POLICY}, "spec": spec})
            if (found := (await kube.get(MIGRATION_POLICY, POLICY))["spec"]) != spec:
                raise FaultError(f"wanted the policy {POLICY}", f"the API server has {found}")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        async with site.kube() as kube:
            if POLICY in await self._names(kube):
                await kube.delete(MIGRATION_POLICY, POLICY)
            if POLICY in await self._names(kube):
                raise FaultError(f"wanted no policy {POLICY}", "it is still there")

    async def _names(self, kube: Any) -> list[str]:
        return [str(one["metadata"]["name"]) for one in await kube.list(MIGRATION_POLICY)]
