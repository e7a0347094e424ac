"""The workers' NICs beside what the target says of them, for a person who writes a target file."""

from __future__ import annotations

from collections.abc import Sequence

from lab.access.client import Client
from lab.access.kinds import NNS
from lab.core.errors import OperatorMissing
from lab.nmstate.nics import Nic, discover
from lab.target.capabilities import detect
from lab.target.inventory import Target

HEAD = ("NODE", "NIC", "STATE", "USED BY", "IN THE TARGET")


def workers_nics(client: Client, target: Target) -> list[Nic]:
    """Every NIC of the target's workers. Raises OperatorMissing where nmstate reports no states."""
    if not client.serves(NNS):
        raise OperatorMissing(
            "NodeNetworkState, to read NICs from", "the cluster does not serve it", client.server,
            "install kubernetes-nmstate",
        )  # fmt: skip
    workers = detect(client, target).workers
    return [nic for nns in client.list(NNS) if nns["metadata"]["name"] in workers for nic in discover(nns)]


def table(nics: Sequence[Nic], target: Target) -> list[str]:
    """Lines of text, a heading first."""
    rows = [HEAD, *(_row(nic, target) for nic in nics)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(nic: Nic, target: Target) -> tuple[str, ...]:
    state = "up" if nic.up else "down or no carrier"
    return (nic.node, nic.name, state, ", ".join(nic.users) or "nothing", role(nic, target))


def role(nic: Nic, target: Target) -> str:
    """What the target file says of this NIC on this node."""
    nics = target.nics
    own = nics.nodes.get(nic.node)
    every = [
        *(own.bonds.items() if own else ()),
        *(own.bridges.items() if own else ()),
        *nics.roles.bonds.items(),
        *nics.roles.bridges.items(),
    ]
    said = ["primary"] if nic.name == nics.primary else []
    said += list(dict.fromkeys(f"port of {name}" for name, ports in every if nic.name in ports and name))
    # Under the rule for disruptive scenarios, which is the wider one: what even they may not touch is shown.
    if refusal := nics.refusal(nic.name, disruptive=True):
        said.append("denied" if "denied" in refusal else "not allowed")
    elif nics.vital(nic.name) and nic.name != nics.primary:
        said.append("protected")
    return ", ".join(said) or "-"
