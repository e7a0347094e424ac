"""Behind which worker a line is slow while every packet arrives: a burst of large pings of each resident, at once.

What waits in a queue comes the later the more is sent, so that the last answers of a burst tell what the line carries.
It changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.diagnosis.cause import Said
from lab.diagnosis.gather import scope_of, tell_cause
from lab.probes.ping import ping
from lab.target.inventory import Segment
from lab.topology.pods import PodShell, Resident
from lab.topology.site import Site

ASK_S = 15.0
COUNT, BYTES, INTERVAL_S, WAIT_S = 40, 1400, 0.005, 5
"""The transfer that was too slow may still fill the queue by seconds."""
LEAST_MS, TIMES = 100.0, 5
"""An answer is late that takes so long, and so many times as long as on the other workers."""


def explain(site: Site, segment: Segment, mbit_s: float) -> str:
    """The workers behind which a burst takes longer than *mbit_s* allow, told to the record; or ""."""
    residents = site.residents.of.get(segment.name, [])

    def latest(resident: Resident) -> float | None:
        shell, deadline = PodShell(site.client, resident), Deadline.after(ASK_S)
        try:
            seen = ping(
                shell, segment.gateway, count=COUNT, interval_s=INTERVAL_S, wait_s=WAIT_S, size=BYTES, deadline=deadline
            )
        except LabError:
            return None
        return max(seen.statistics.rtts_ms, default=None) if seen.statistics else None

    # One after the other: together they might fill the gateway's own line.
    found = judge(segment, mbit_s, {r.node: latest(r) for r in residents})
    if found:
        tell_cause(scope_of(site, segment, (getattr(found, "node", ""),)), found)
    return found


def judge(segment: Segment, mbit_s: float, latest: Mapping[str, float | None]) -> str:
    """The cause by each worker's latest answer of a burst, in ms; "" where all are alike. Pure."""
    known = {node: ms for node, ms in latest.items() if ms is not None}
    allowed = max(LEAST_MS, COUNT * BYTES * 8 / (mbit_s * 1e6) * 1000) if mbit_s else LEAST_MS
    slow = {node: ms for node, ms in known.items() if ms > allowed}
    fast = {node: ms for node, ms in known.items() if node not in slow}
    if not slow or not fast or min(slow.values()) < TIMES * max(fast.values()):
        return ""
    where = ", ".join(slow)
    return Said(
        f"the line between {where} and the switch is slow on {segment}: of {COUNT} packets of {BYTES} bytes at once to "
        f"the gateway {segment.gateway} the last is answered after {max(slow.values()):.0f} ms, on "
        f"{', '.join(fast)} after {max(fast.values()):.0f} ms",
        next(iter(slow)),
        "cable",
    )
