"""KubeVirt: the target of a migration stands still while the guest's memory arrives, on whichever node it is."""

from __future__ import annotations

from lab.embedded.faults.target_crash import TargetCrash


class MigrationHangs(TargetCrash):
    """SIGSTOP: the target's QEMU takes nothing more, and says nothing."""

    name = "migration-hangs"
    summary = "the QEMU that the next guest migrates to stops in the middle of it"
    signal = 19
