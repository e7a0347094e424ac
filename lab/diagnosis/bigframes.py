"""Where large packets are lost while small ones pass: the residents are asked, one per worker. It changes nothing.

A switch that drops what is too long for one of its ports says so to nobody.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.diagnosis.cause import Said
from lab.diagnosis.gather import scope_of, tell_cause
from lab.probes.ping import ping
from lab.target.inventory import Segment
from lab.topology.pods import PodShell, Resident
from lab.topology.site import Site

ASK_S = 15.0
HEADERS = 28
"""IPv4 and ICMP, without options."""


def explain(site: Site, segment: Segment, size: int) -> str:
    """The workers whose resident has no answer from the gateway to packets of *size*, told to the record; or ""."""
    residents = site.residents.of.get(segment.name, [])

    def passes(resident: Resident) -> bool | None:
        shell, deadline = PodShell(site.client, resident), Deadline.after(ASK_S)
        try:
            seen = ping(shell, segment.gateway, count=2, interval_s=0.2, size=size - HEADERS, deadline=deadline)
        except LabError:
            return None
        return seen.reached if seen.reached or seen.not_reached else None

    with ThreadPoolExecutor(max(1, len(residents))) as pool:
        answers = dict(zip((r.node for r in residents), pool.map(passes, residents), strict=True))
    found = judge(segment, size, answers)
    if found:
        tell_cause(scope_of(site, segment, (getattr(found, "node", ""),)), found)
    return found


def judge(segment: Segment, size: int, answers: dict[str, bool | None]) -> str:
    """The cause by which workers' packets of *size* were answered; "" where all are alike. Pure."""
    lost = [node for node, answered in answers.items() if answered is False]
    kept = [node for node, answered in answers.items() if answered]
    if not lost or not kept:
        return ""
    where = ", ".join(lost)
    return Said(
        f"packets of {size} bytes between {where} and the gateway {segment.gateway} on {segment} are lost, those of "
        f"{', '.join(kept)} are answered: what is between {where} and the switch passes only smaller ones",
        lost[0],
        "cable",
    )
