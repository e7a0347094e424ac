"""What a migration's QEMU counted, read from the log of the launcher that the guest left.

virt-launcher logs the same as `virsh domjobinfo` while a migration goes on and at its end, at KubeVirt's ordinary
verbosity (pkg/virt-launcher/virtwrap/live-migration-source.go, logMigrationInfo). No object of the API has them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.access.client import Client
from lab.core.errors import Inconclusive

COMPUTE = "compute"
LINES = 2000
_FIGURE = re.compile(r"(\w+):(\d+)")


@dataclass(frozen=True)
class JobInfo:
    """`elapsed_ms` since the beginning, `processed_mib` sent so far; `iteration` counts the looks at what the guest had
    written: 3 (first, at the end of the pass, with the guest stopped) is one live pass."""

    elapsed_ms: int
    processed_mib: int
    iteration: int
    postcopy_requests: int

    @property
    def mib_per_second(self) -> float:
        """Over the whole migration, the part with the guest stopped included: that has no limit."""
        return self.processed_mib * 1000 / self.elapsed_ms if self.elapsed_ms else 0.0

    def __str__(self) -> str:
        return (
            f"{self.processed_mib} MiB in {self.elapsed_ms / 1000:.1f} s ({self.mib_per_second:.0f} MiB/s), "
            f"{self.iteration} looks at what was written, {self.postcopy_requests} pages asked for"
        )


def parse(log: str, uid: str) -> JobInfo | None:
    """The last line of the migration *uid* in a launcher's log; pure."""
    found = None
    for line in log.splitlines():
        _, said, rest = line.partition(f"Migration info for {uid}: ")
        figures = {name: int(number) for name, number in _FIGURE.findall(rest)}
        if said and "TimeElapsed" in figures:
            wanted = ("TimeElapsed", "DataProcessed", "Iteration", "PostcopyRequests")
            found = JobInfo(*(figures.get(name, 0) for name in wanted))
    return found


def read(client: Client, namespace: str, pod: str, uid: str) -> JobInfo:
    """The figures of a migration that is over; *pod* is the launcher at its source. Raises Inconclusive, ApiError."""
    found = parse(client.logs(pod, namespace, COMPUTE, tail=LINES), uid)
    if found is None:
        raise Inconclusive(
            f"QEMU's figures of migration {uid}",
            "its launcher logged none",
            f"pod {namespace}/{pod}, container {COMPUTE}",
            "KubeVirt logs them at verbosity 2, its default",
        )
    return found
