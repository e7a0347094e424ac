"""What is told to the record in numbers and names, and not only in words: checks, migrations, causes, policies, routes.

Whoever measures says it once, `tell(subject, Check(...))`; it travels over the event bus, and the record keeps it with
the step that was running. Plain data: nothing here judges, prints or knows a cluster. A new sort of fact is a new
frozen dataclass with a `sort` of its own; the record's schema lets it through, and reports show what they know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from lab.core import trace

WHAT = "fact"
"""The sort of event that carries one, under the key `fact` of its data."""
CLUSTER = "cluster"
"""The sort of note that says what the cluster can do; shown to everybody, once."""
OUTPUT_LIMIT = 4000
"""Characters of a command's output that a fact keeps."""


@dataclass(frozen=True)
class Check:
    """One look from a place at an address, and what it was to see.

    `wanted` is "answer" or "silence", `outcome` as probes say it ("reached", "not reached", "inconclusive"), `held`
    whether both agree; `nodes` are the workers on the path, that of `vm` first. `sent` and `received` count packets.
    """

    sort: ClassVar[str] = "check"
    vm: str
    node: str
    what: str
    address: str
    segment: str
    nodes: tuple[str, ...]
    wanted: str
    outcome: str
    held: bool
    detail: str = ""
    sent: int = 0
    received: int = 0
    command: str = ""
    output: str = ""


@dataclass(frozen=True)
class Cause:
    """Why a check did not hold, as far as it was found: on which worker and at which part of the path.

    `part` is one of `PARTS`, or empty when the place is not known. `witnesses` are what the workers' own readings said.
    """

    sort: ClassVar[str] = "cause"
    text: str
    segment: str
    gateway: str
    nodes: tuple[str, ...]
    node: str = ""
    part: str = ""
    witnesses: tuple[Mapping[str, Any], ...] = ()


PARTS = ("vm", "tap", "ovn", "mapping", "patch", "bridge", "uplink", "cable", "network", "gateway")
"""The path of a packet, from the guest outwards: the guest or its port, what its pod has between tap and br-int, its
logical port and network in OVN, OVN's mapping and patch port, the bridge (spanning tree), its uplink, what is between
worker and switch, the network as a whole, the gateway."""


@dataclass(frozen=True)
class Path:
    """A walk along the path of a check: a line per station with what it counted, ready to be read.

    `node` and `part` (of `PARTS`) are the place that loses the packets; empty when none does.
    """

    sort: ClassVar[str] = "path"
    vm: str
    address: str
    segment: str
    lines: tuple[str, ...]
    node: str = ""
    part: str = ""


@dataclass(frozen=True)
class Phase:
    """A moment of a migration: `at_s` in seconds since it was asked for."""

    name: str
    at_s: float


@dataclass(frozen=True)
class Migration:
    """One live migration. `seconds` from the request to the platform's word that it is over; `failed` says why not.

    What traffic did meanwhile stands in the scenario's `details.traffic`, under the same `name` (docs/traffic.md).
    """

    sort: ClassVar[str] = "migration"
    vm: str
    name: str
    source: str
    target: str
    seconds: float
    phases: tuple[Phase, ...] = ()
    failed: str = ""


@dataclass(frozen=True)
class Policy:
    """A node policy and what each worker's enactment says of it."""

    sort: ClassVar[str] = "policy"
    name: str
    states: Mapping[str, str]
    message: str = ""


@dataclass(frozen=True)
class Routes:
    """An audit of the pod network's routes: the JSON document of `virtlab audit routes --json` (docs/audit.md).

    `vms` are the VMs looked at, each with `vm`, `address` and `node`.
    """

    sort: ClassVar[str] = "routes"
    document: Mapping[str, Any]
    vms: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class Fault:
    """A part broken on purpose, in the words of the command that did it."""

    sort: ClassVar[str] = "fault"
    words: str
    healed: bool = False


Fact = Check | Cause | Path | Migration | Policy | Routes | Fault


def tell(subject: str, fact: Any) -> None:
    """Hand a fact to whoever keeps the record; nobody need listen."""
    trace.note(subject, str(getattr(fact, "sort", "")), what=WHAT, fact=fact)


def document(fact: Any) -> dict[str, Any]:
    """A fact as the record keeps it."""
    return {"sort": str(fact.sort), **asdict(fact)}
