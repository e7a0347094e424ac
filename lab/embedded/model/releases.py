"""The releases of kubernetes-nmstate and KubeVirt that a lab can play, and what a client can see differ between them.

Pure data. Sources: deploy/crds, deploy/handler/operator.yaml and the policy controller of each tag of
kubernetes-nmstate; api/core/v1/types.go, the admitters and virt-handler of each tag of KubeVirt.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.embedded.errors import UsageError

NEWEST = "0.86"
KUBEVIRT = "1.8"
"""What a lab plays when nobody asks for a release of KubeVirt."""


@dataclass(frozen=True)
class NmstateRelease:
    """One release; ``minor`` is what counts, the 86 of 0.86."""

    minor: int

    def __str__(self) -> str:
        return f"0.{self.minor}"

    @property
    def alpha_served(self) -> bool:
        """``nmstate.io/v1alpha1`` is served (deprecated); its removal is in v0.84.0."""
        return self.minor <= 83

    @property
    def retries(self) -> bool:
        """A policy that failed on a node is tried again; before v0.85.0 one failure is final and aborts the others."""
        return self.minor >= 85

    @property
    def admission_policy(self) -> bool:
        """Policies are judged by a ValidatingAdmissionPolicy; before v0.86.0 by a webhook."""
        return self.minor >= 86

    @property
    def unserved(self) -> frozenset[tuple[str, str]]:
        """(group, version) of the lab's definitions that this release has not."""
        return frozenset() if self.alpha_served else frozenset({("nmstate.io", "v1alpha1")})


KNOWN = tuple(NmstateRelease(minor) for minor in (83, 84, 85, 86))


def nmstate_release(text: str) -> NmstateRelease:
    """The release called ``0.86``. Raises UsageError listing what there is."""
    for release in KNOWN:
        if str(release) == text:
            return release
    raise UsageError(
        "wanted a release of kubernetes-nmstate that the lab can play",
        repr(text),
        where="--nmstate",
        advice=f"one of {', '.join(map(str, KNOWN))}; without --nmstate it is {NEWEST}",
    )


_INSTANCES, _MIGRATIONS = "virtualmachineinstances.kubevirt.io", "virtualmachineinstancemigrations.kubevirt.io"
_SINCE: tuple[tuple[int, str, str], ...] = (
    (4, _INSTANCES, "status.interfaces[].podInterfaceName"),
    (5, _INSTANCES, "status.interfaces[].linkState"),
    (6, _INSTANCES, "status.migrationState.sourceState"),
    (6, _INSTANCES, "status.migrationState.targetState"),
    (6, _MIGRATIONS, "spec.addedNodeSelector"),
    (6, _MIGRATIONS, "spec.receive"),
    (6, _MIGRATIONS, "spec.sendTo"),
    (6, _MIGRATIONS, "status.migrationState.sourceState"),
    (6, _MIGRATIONS, "status.migrationState.targetState"),
    (7, _MIGRATIONS, "spec.priority"),
    (9, _INSTANCES, "status.migrationState.migrationConfiguration.maxDowntimeMs"),
    (9, _MIGRATIONS, "status.migrationState.migrationConfiguration.maxDowntimeMs"),
)
"""Fields by the minor release that brought them: an older server drops them from whatever is written."""


@dataclass(frozen=True)
class KubevirtRelease:
    """One release; ``minor`` is what counts, the 8 of 1.8."""

    minor: int

    def __str__(self) -> str:
        return f"1.{self.minor}"

    @property
    def version(self) -> str:
        """As it names itself."""
        return f"v{self}.0"

    @property
    def absent(self) -> tuple[tuple[str, str], ...]:
        """(definition, field) of the lab's definitions that this release does not know."""
        return tuple((crd, field) for minor, crd, field in _SINCE if minor > self.minor)

    @property
    def judges_storage_alone(self) -> bool:
        """A VMI has the condition StorageLiveMigratable."""
        return self.minor >= 4

    @property
    def topology_annotated(self) -> bool:
        """A VMI says which version of the PCI topology it has."""
        return self.minor >= 8

    @property
    def strategies(self) -> frozenset[str]:
        """What ``runStrategy`` may be."""
        known = {"Always", "RerunOnFailure", "Manual", "Halted", "Once"}
        return frozenset(known | {"WaitAsReceiver"} if self.minor >= 6 else known)

    @property
    def no_strategy(self) -> str:
        """The refusal of a VM without ``runStrategy`` and ``running``."""
        return "RunStrategy must be specified" if self.minor >= 4 else "One of Running or RunStrategy must be specified"

    @property
    def not_masquerade(self) -> str:
        """Why a VMI with a bridge on the pod network cannot be migrated."""
        annotated = ", bridge with kubevirt.io/allow-pod-bridge-network-live-migration VM annotation"
        bridge = "" if self.minor >= 8 else annotated
        return (
            f"cannot migrate VMI which does not use masquerade{bridge} or a migratable plugin to connect to the pod "
            "network"
        )

    @property
    def migration_defaults(self) -> dict[str, int]:
        """What later releases add to the migration configuration."""
        return {"maxDowntimeMs": 900} if self.minor >= 9 else {}


KUBEVIRTS = tuple(KubevirtRelease(minor) for minor in range(3, 10))


DEFAULT_KUBEVIRT = next(release for release in KUBEVIRTS if str(release) == KUBEVIRT)


def kubevirt_release(text: str) -> KubevirtRelease:
    """The release called ``1.8``. Raises UsageError listing what there is."""
    for release in KUBEVIRTS:
        if str(release) == text:
            return release
    raise UsageError(
        "wanted a release of KubeVirt that the lab can play",
        repr(text),
        where="--kubevirt",
        advice=f"one of {', '.join(map(str, KUBEVIRTS))}; without --kubevirt it is {KUBEVIRT}",
    )
