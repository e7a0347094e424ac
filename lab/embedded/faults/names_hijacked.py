"""Fabric: what a VLAN asks its gateway over DNS is answered by somebody else, who has one address for every name."""

from __future__ import annotations

from collections.abc import Sequence

from lab.embedded.faults.hijack import Hijacked

ADDRESS = "198.51.100.7"
"""For documentation (RFC 5737): nobody's."""


class NamesHijacked(Hijacked):
    """A dnsmasq of a stranger, as in the network of a hotel."""

    name = "names-hijacked"
    summary = f"DNS to the gateway of a VLAN is answered by somebody else: every name is {ADDRESS}"
    proto = "udp"
    port = 8053

    def server(self) -> Sequence[str]:
        own = ("--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--no-resolv", "--no-hosts")
        return ("dnsmasq", *own, f"--port={self.port}", f"--address=/#/{ADDRESS}")
