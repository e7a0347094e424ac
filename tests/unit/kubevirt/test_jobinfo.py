"""QEMU's figures of a migration, out of a launcher's log as a cluster writes it."""

from __future__ import annotations

import json

from lab.kubevirt.jobinfo import JobInfo, parse

UID = "4d3e8a5-1b27"


def line(uid: str = UID, elapsed: int = 3910, processed: int = 93, iteration: int = 2, requests: int = 0) -> str:
    text = (
        f"Migration info for {uid}: TimeElapsed:{elapsed}ms DataProcessed:{processed}MiB DataRemaining:0MiB "
        f"DataTotal:129MiB MemoryProcessed:{processed}MiB MemoryRemaining:0MiB MemoryTotal:129MiB "
        f"MemoryBandwidth:201Mbps DirtyRate:0Mbps Iteration:{iteration} PostcopyRequests:{requests} ConstantPages:9000 "
        "NormalPages:23000 NormalData:89MiB ExpectedDowntime:300ms DiskMbps:0"
    )
    return json.dumps({"component": "virt-launcher", "level": "info", "msg": text, "pos": "live-migration-source.go:1"})


def test_the_last_line_of_the_migration_that_is_meant() -> None:
    log = "\n".join(["not json", line(elapsed=100, processed=3), line(), line("another", 1, 1), ""])
    found = parse(log, UID)
    assert found == JobInfo(3910, 93, 2, 0)
    assert str(found) == "93 MiB in 3.9 s (24 MiB/s), 2 looks at what was written, 0 pages asked for"


def test_a_log_without_figures_has_none() -> None:
    assert parse("Migration info for " + UID + ": nothing\n" + line("another"), UID) is None
    assert parse("", UID) is None


def test_no_time_is_no_speed() -> None:
    assert JobInfo(0, 93, 1, 0).mib_per_second == 0.0
