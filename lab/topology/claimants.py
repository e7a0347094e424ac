"""Who answers by ARP for an address, as the resident on a worker hears it: two of them share an address.

A ping cannot tell: either of them may answer it, and which one is believed changes with the neighbour tables. It is a
question beside a check and never raises; a resident that may not ask (no arping, no raw sockets) heard nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from lab.access.client import Client
from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.probes.arp import read_arping
from lab.topology.pods import PodShell, Resident

ASK_S = 10.0
NIC = "net1"
"""Multus' name for the first network of a pod beside the cluster's."""


@contextmanager
def asked(client: Client, resident: Resident | None, address: str) -> Iterator[Future[tuple[str, ...]]]:
    """The MAC addresses that answered for *address*, asked while the block runs; its ping takes no less time."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(claimants, client, resident, address)


def claimants(client: Client, resident: Resident | None, address: str) -> tuple[str, ...]:
    """All that answered one request, in order of first answer; () when nobody could ask."""
    if resident is None:
        return ()
    shell = PodShell(client, resident)
    # One request, and a second for its answers: with -w, iputils' arping ends at the first of them.
    argv = ["arping", "-c", "1", "-I", NIC, address]
    try:
        return read_arping(shell.run(argv, deadline=Deadline.after(ASK_S)), shell.place, address).macs
    except LabError:
        return ()
