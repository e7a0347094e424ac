"""What the audit can find: the classes, how bad each is, and the shape of one finding."""

from __future__ import annotations

from dataclasses import dataclass, field

CRITICAL, MAJOR, MINOR, INFO = "CRITICAL", "MAJOR", "MINOR", "INFO"
SEVERITIES = (CRITICAL, MAJOR, MINOR, INFO)
CLASSES = {
    "ECMP_LOCAL_REMOTE": ("R1", CRITICAL),
    "ECMP_REMOTE": ("R2", MAJOR),
    "ECMP_SUBNET": ("R3", CRITICAL),
    "EXACT_DUP": ("R4", MINOR),
    "OWNER_DISAGREE": ("R5", MAJOR),
    "SPLIT_LOCAL": ("R6", CRITICAL),
    "SELF_TRANSIT": ("R7", CRITICAL),
    "FOREIGN_PORT": ("R8", CRITICAL),
    "UNKNOWN_NEXTHOP": ("R9", CRITICAL),
    "UNREACHABLE_NEXTHOP": ("R10", MINOR),
    "SUBNET_ROUTE_MISSING": ("R11", CRITICAL),
    "SUBNET_ROUTE_WRONG": ("R12", CRITICAL),
    "JOIN_ROUTE_MISSING": ("R13", MAJOR),
    "HOST_ROUTE_MISSING": ("R14", CRITICAL),
    "WRONG_RUNNER": ("R15", CRITICAL),
    "REDUNDANT_HOST_ROUTE": ("R16", MINOR),
    "STALE_AFTER_RETURN": ("R17", MAJOR),
    "ORPHAN_ROUTE": ("R18", MAJOR),
    "ORPHAN_SUBNET": ("R19", INFO),
    "EGRESS_DEFAULT_MISSING": ("R20", CRITICAL),
    "HALF_FAMILY": ("R21", MAJOR),
    "NO_OWNER_IDS": ("R22", MINOR),
    "UNEXPECTED_ROUTE": ("R23", MINOR),
    "ZONE_NOT_CAPTURED": ("R24", INFO),
    "RUNNER_UNVERIFIED": ("I1", INFO),
    "ZONE_CUT": ("I2", INFO),
    "MIGRATING": ("I3", INFO),
}


@dataclass(frozen=True, order=True)
class Line:
    """A line a finding rests on. `role`: ``stale``, ``good``, ``seen`` or ``inventory``."""

    source: str
    number: int
    zone: str
    role: str
    text: str


@dataclass
class Finding:
    """One thing wrong with one prefix, or INFO: something that limits what can be said."""

    kind: str
    severity: str
    subject: str
    """An address, a subnet, or a node."""
    zones: list[str]
    """Zones that have the fault."""
    summary: str
    vm: str = ""
    owner: str = ""
    runner: str = ""
    verified: bool = False
    """Whether the inventory says that the VM runs there."""
    broken: dict[str, int] = field(default_factory=dict)
    """Zone of a client -> percent of its flows that never arrive."""
    effects: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    """The first of them, where one finding stands for many."""
    count: int = 1
    """How many it stands for."""
    legs: list[tuple[int, str, str, str]] = field(default_factory=list)
    """For finding lines: (zone, role, next hop, port); without both it stands for every row of the subject there."""

    @property
    def rule(self) -> str:
        """Its number."""
        return CLASSES[self.kind][0]

    @property
    def key(self) -> tuple[int, int, str, str, list[str]]:
        """Worst first; independent of the order of input."""
        rule = self.rule
        return SEVERITIES.index(self.severity), int(rule[1:]) + 100 * (rule[0] == "I"), self.subject, "", self.zones


def counted(number: int, what: str) -> str:
    """``1 zone``, ``2 zones``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
