"""What a migration's QEMU counted, as virt-launcher logs it: the line by which a cluster tells how a guest was sent.

Pure. Names, units and their order are upstream's (pkg/virt-launcher/virtwrap/live-migration-source.go,
logMigrationInfo: the same as `virsh domjobinfo`); which figure of QEMU stands for which is libvirt's.
"""

from __future__ import annotations

import json
from typing import Any

from lab.embedded.node.names import now

Obj = dict[str, Any]
MIB, MBIT = 2**20, 1_000_000
PAGE = 4096


def line(uid: str, figures: Obj) -> bytes:
    """The log line of the migration *uid* out of an answer to `query-migrate`."""
    ram: Obj = figures.get("ram") or {}
    sent, left, total = (int(ram.get(key, 0)) // MIB for key in ("transferred", "remaining", "total"))
    dirty = int(ram.get("dirty-pages-rate", 0)) * int(ram.get("page-size", PAGE)) * 8 // MBIT
    pause = f"Downtime:{figures['downtime']}ms" if "downtime" in figures else (
        f"ExpectedDowntime:{figures.get('expected-downtime', 0)}ms"
    )  # fmt: skip
    text = (
        f"Migration info for {uid}: TimeElapsed:{figures.get('total-time', 0)}ms "
        f"DataProcessed:{sent}MiB DataRemaining:{left}MiB DataTotal:{total}MiB "
        f"MemoryProcessed:{sent}MiB MemoryRemaining:{left}MiB MemoryTotal:{total}MiB "
        f"MemoryBandwidth:{int(ram.get('mbps', 0))}Mbps DirtyRate:{dirty}Mbps "
        f"Iteration:{ram.get('dirty-sync-count', 0)} PostcopyRequests:{ram.get('postcopy-requests', 0)} "
        f"ConstantPages:{ram.get('duplicate', 0)} NormalPages:{ram.get('normal', 0)} "
        f"NormalData:{int(ram.get('normal-bytes', 0)) // MIB}MiB {pause} DiskMbps:0"
    )
    said = {"component": "virt-launcher", "level": "info", "msg": text, "timestamp": now()}
    return json.dumps(said, separators=(",", ":")).encode()
