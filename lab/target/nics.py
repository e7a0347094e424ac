"""Which NICs of a node a run may use, and for what: by role, for every node or for one.

The lists refuse, they never choose: what a policy names must be in the allow list, if there is one, and must not be in
the deny list. What hangs on the node's own network may be touched by a disruptive scenario alone, and only where the
target file allows those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from lab.target.document import Section


@dataclass(frozen=True)
class Roles:
    """The ports of a bond or a Linux bridge, by its name in the manifests."""

    bonds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bridges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def ports(self, name: str, kind: str) -> tuple[str, ...]:
        """The NICs for an interface of type *kind*; () when the target does not say."""
        return {"bond": self.bonds, "linux-bridge": self.bridges}.get(kind, {}).get(name, ())


@dataclass(frozen=True)
class Nics:
    """Names of links, or patterns of them (``enp6s0f*``).

    `primary` and `protected` are for disruptive scenarios alone, `denied` for nobody; `allowed`, when it is not empty,
    has every NIC that may be used besides. `nodes` has what a node has otherwise than `roles`.
    """

    primary: str
    protected: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    roles: Roles = field(default_factory=Roles)
    nodes: Mapping[str, Roles] = field(default_factory=dict)

    def ports(self, name: str, kind: str, node: str = "") -> tuple[str, ...]:
        """The NICs for the bond or Linux bridge *name*, on a node that may be an exception."""
        own = self.nodes.get(node, Roles()).ports(name, kind)
        return own or self.roles.ports(name, kind)

    def exceptions(self, name: str, kind: str) -> bool:
        """Whether any node has other NICs for it than the rest."""
        return any(roles.ports(name, kind) for roles in self.nodes.values())

    def vital(self, name: str) -> bool:
        """Whether a node's own network hangs on this link."""
        return name == self.primary or _matches(name, self.protected)

    def refusal(self, name: str, *, disruptive: bool = False) -> str:
        """Why a policy may not touch this link; empty when it may."""
        if _matches(name, self.denied):
            return "which nics.denied keeps from everybody"
        if self.vital(name):
            return "" if disruptive else "which the target protects"
        if self.allowed and not _matches(name, self.allowed):
            return "which is not in nics.allowed"
        return ""


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def read_nics(section: Section) -> Nics:
    """The ``nics`` of a target file. Raises UsageError with line and key."""
    nodes = section.section("nodes")
    found = Nics(
        primary=section.text("primary"),
        protected=section.texts("protected"),
        allowed=section.texts("allowed"),
        denied=section.texts("denied"),
        roles=_roles(section),
        nodes={name: _roles(nodes.required_section(name)) for name in nodes.keys()} if nodes else {},  # noqa: SIM118
    )
    for roles in (found.roles, *found.nodes.values()):
        for key, ports in (("bonds", roles.bonds), ("bridges", roles.bridges)):
            for name, members in ports.items():
                _check(section, found, key, name, members)
    return found


def _check(section: Section, nics: Nics, key: str, name: str, members: Sequence[str]) -> None:
    for port in members:
        # The main interface as a bridge's port is what a disruptive scenario is for; as a bond's it is a slip.
        if reason := nics.refusal(port, disruptive=key == "bridges"):
            raise section.complain(key, f"ports that may be touched in {name}", f"{port!r}, {reason}")


def _roles(section: Section) -> Roles:
    return Roles(_ports(section.section("bonds")), _ports(section.section("bridges")))


def _ports(section: Section | None) -> dict[str, tuple[str, ...]]:
    return {name: section.texts(name) for name in section.keys()} if section else {}  # noqa: SIM118
