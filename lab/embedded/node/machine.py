"""The node's place on the machine network: its address comes by DHCP, as an installer leaves a node.

The client is the one that policies use, so that a policy can take the address over. It must not touch a node that
is configured already: the agent may have been started again, alone or with all of the node's processes.
"""

from __future__ import annotations

import logging

from lab.embedded.errors import LabError
from lab.embedded.host.link import ip_json
from lab.embedded.model.spec import MACHINE_HOST, MACHINE_NIC, NodeSpec
from lab.embedded.node.networkmanager.session import Session
from lab.embedded.node.nmstate.dhcp import DhcpClients

log = logging.getLogger(__name__)
LEASE_SECONDS = 30.0


async def take_address(node: NodeSpec, dhcp: DhcpClients, stay: Session) -> None:
    """Let the machine NIC ask for its address. Raises LabError without one, or with another than the node's."""
    await dhcp.revive(LEASE_SECONDS)
    try:
        await stay.resume()
    except LabError as error:
        # Whoever asks for it is told again; the node must not stay away for it.
        log.error("NetworkManager: %s", error)
    if dhcp.running() or node.machine_ip in await _addresses():
        return
    found = await dhcp.start(MACHINE_NIC, LEASE_SECONDS)
    if found != str(node.machine):
        raise LabError(
            f"wanted {node.machine} for {MACHINE_NIC} of {node.name} from DHCP",
            found or f"no lease within {LEASE_SECONDS:g} s",
            where=f"/run/{MACHINE_HOST}.log in the lab has the server's side",
        )


async def _addresses() -> set[str]:
    links = await ip_json(["-4", "addr", "show"])
    return {item.get("local", "") for link in links for item in link.get("addr_info", ())}
