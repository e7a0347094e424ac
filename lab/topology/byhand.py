"""A bridge over a node's main interface, made by hand with ``nmcli`` and taken back: what a person in a debug pod does.

The word that keeps it is given when the node was seen to answer over the bridge: packets from another worker, and a
heartbeat of its own to the API server. What was seen is kept for who judges it; the way back is registered before
anything is made.
"""

from __future__ import annotations

from lab.access.kinds import LEASE, NODE, Obj
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken, LabError, UsageError, WaitHopeless, WaitTimeout
from lab.core.wait import Periodic, Seen, wait_until
from lab.netmanager.debugpod import NodeShell
from lab.netmanager.documented import Documented, Names, Shown
from lab.netmanager.links import Link
from lab.netmanager.node import NodeNetwork
from lab.netmanager.profiles import Profile
from lab.netmanager.switchover import (
    KEPT,
    LOOK_S,
    RETURNED,
    RETURNING,
    SILENT,
    SwitchOver,
    fresh_folder,
    going_back,
    see_back,
)
from lab.probes.ping import PingObservation, ping
from lab.topology.site import Site

CALL_S = 30.0
FEW = 2
RETURN_S = 150.0
HEARTBEATS = "kube-node-lease"


class HandMadeBridge:
    """One node's. ``peer`` is a shell on another worker, from where packets are sent."""

    def __init__(self, site: Site, documented: Documented, shell: NodeShell, peer: NodeShell, nic: str) -> None:
        self.site = site
        self.node = shell.node
        self.address = _address(site, self.node)
        self._shell = shell
        self.network = NodeNetwork(shell)
        self._peer = peer
        self.before = self.network.profiles(Deadline.after(CALL_S))
        self.names = Names(documented.names.bridge, nic, self._wired(nic))
        self.port_before = self._free()
        self._text = documented
        self.documented = documented.under(self.names)
        self._switch = SwitchOver(shell, fresh_folder())
        self._installed = self._returned = False
        self.patience_s = 0
        self.dark: PingObservation | None = None
        """The last time that packets got no answer, once the switch had begun."""
        self.trouble: WaitTimeout | WaitHopeless | None = None
        """Why the word was not given; None when it was."""

    def _wired(self, nic: str) -> str:
        """The profile that the NIC has. Raises EnvironmentBroken without one."""
        mine = [p for p in self.before if p.device == nic and p.type == "ethernet"]
        if len(mine) != 1:
            have = ", ".join(map(str, self.before)) or "none"
            raise EnvironmentBroken(
                f"a profile of NetworkManager that {nic} of {self.node} is up with",
                f"its profiles are: {have}",
                f"node {self.node}",
                "is nics.bridges right in the target file?",
            )
        return mine[0].name

    def _free(self) -> Link:
        """The NIC as it is. Raises EnvironmentBroken when it is a port already, or the bridge is there."""
        deadline = Deadline.after(CALL_S)
        port = self.network.link(self.names.nic, deadline)
        there = [str(p) for p in self.before if p.name in (self.names.bridge, self.names.slave)]
        if port.master or there:
            found = [f"{port.name} is a port of {port.master}"] if port.master else []
            raise EnvironmentBroken(
                f"{self.names.nic} of {self.node} in nobody's bridge, and no profile {self.names.bridge}",
                "; ".join(found + there),
                f"node {self.node}",
                "take that away first; what a killed run left goes back by itself within minutes",
            )
        return port

    def make(self, patience_s: int, *, port: bool = True) -> None:
        """Type the documented commands; give the word when the node answers, or leave it to go back.

        Raises CommandFailed for a command that fails before the network is touched.
        """
        self.patience_s = patience_s
        text = self._text.under(self.names, port=port)
        deadline = Deadline.after(CALL_S)
        self.site.change_nodes()
        self.site.undo.push(f"{self.names.bridge} of {self.node}, made by nmcli", self._undo)
        self.site.settle()
        back, up = going_back(self.names.bridge, self.names.slave, self.names.wired)
        self._switch.install(text.switch, back, up, deadline)
        self._installed = True
        for argv in text.prepare:
            self.network.command(argv, deadline)
        self._switch.start(patience_s, deadline)
        try:
            self._answers(Deadline.after(patience_s))
            self._keep()
        except (WaitTimeout, WaitHopeless) as error:
            self.trouble = error
            trace.note(self.node, f"no word to keep {self.names.bridge}: {error.headline}")

    def _answers(self, deadline: Deadline) -> None:
        """Raises WaitTimeout with the last that was seen."""

        def look() -> Seen[None]:
            if not (seen := self.ping(FEW)).reached:
                self.dark = seen
                return Seen(f"{self.address} from {self._peer.node}: {seen.detail}")
            if lacking := self._not_over_bridge():
                return Seen(lacking)
            again = self.ping(FEW)
            return Seen(f"{self.address} over {self.names.bridge}: {again.detail}", again.reached)

        wanted = f"to answer over {self.names.bridge}"
        wait_until(self.node, wanted, look, deadline=deadline, changes=Periodic(0.5, SILENT))
        self._heartbeat(deadline)

    def _keep(self) -> None:
        """Give the word, and see that it came in time. Raises WaitTimeout, WaitHopeless."""
        self._switch.keep(Deadline.after(CALL_S))

        def look() -> Seen[None]:
            state = self._switch.state(Deadline.after(CALL_S))
            late = f"it had no word for {self.patience_s} s" if state in (RETURNING, RETURNED) else ""
            return Seen(f"it is {state}", state == KEPT, hopeless=late)

        wanted = f"to keep {self.names.bridge}"
        wait_until(self.node, wanted, look, deadline=Deadline.after(CALL_S), changes=Periodic(0.2, SILENT))

    def _not_over_bridge(self) -> str:
        """What of the profiles says that the node is not reached over the bridge; empty when nothing does."""
        try:
            now = {p.name: p.device for p in self.network.profiles(Deadline.after(LOOK_S))}
        except LabError as error:
            return f"nmcli of {self.node} gives no answer: {error.headline}"
        bridge, wired = now.get(self.names.bridge), now.get(self.names.wired)
        if bridge == self.names.bridge and not wired:
            return ""
        return f"{self.names.bridge} is on {bridge or 'no device'}, {self.names.wired} on {wired or 'no device'}"

    def _heartbeat(self, deadline: Deadline) -> None:
        """A new one: the node's own connection to the API server works. Raises WaitTimeout."""
        first = _renewed(self.site.client.get(LEASE, self.node, HEARTBEATS))

        def check(lease: Obj | None) -> Seen[None]:
            now = _renewed(lease)
            return Seen(f"last at {now or 'no time'}", bool(now) and now != first)

        self.site.client.wait_for(LEASE, self.node, HEARTBEATS, f"renewed by {self.node}", check, deadline=deadline)

    def ping(self, count: int = 0) -> PingObservation:
        """The node's own address, from the other worker; as often as the target wants when no count is given."""
        count = count or self.site.target.thresholds.ping_count
        return ping(self._peer, self.address, count=count, interval_s=0.2, deadline=Deadline.after(CALL_S))

    def shown(self) -> Shown:
        """What the documentation shows, of this node."""
        return self.network.shown(self.names, Deadline.after(CALL_S))

    def wait_returned(self, within_s: float) -> None:
        """Wait until the node went back by itself and answers. Raises WaitTimeout."""
        deadline = Deadline.after(self.patience_s + within_s)

        def look() -> Seen[None]:
            if not (seen := self.ping(FEW)).reached:
                return Seen(f"{self.address} from {self._peer.node}: {seen.detail}")
            try:
                state = self._switch.state(Deadline.after(LOOK_S))
            except LabError as error:
                return Seen(f"no shell there: {error.headline}")
            return Seen(f"it answers, and is {state}", state == RETURNED)

        wait_until(self.node, "back by itself, and to answer", look, deadline=deadline, changes=Periodic(0.5, SILENT))
        self._heartbeat(deadline)
        self._returned = True

    def take_back(self, deadline: Deadline) -> None:
        """Have the node go back, and wait until it is as before; done once. Raises WaitTimeout, as Client.exec."""
        if self._returned or not self._installed:
            return
        see_back(
            self._switch,
            self.node,
            f"without {self.names.bridge}",
            deadline=deadline.sub(RETURN_S),
            advice=f"on its console: nmcli con delete {self.names.bridge}; nmcli con up '{self.names.wired}'",
            revive=self._shell.revive,
        )
        self._returned = True

    def _undo(self, deadline: Deadline) -> None:
        self.take_back(deadline)
        if self._installed:
            self._switch.remove(deadline)

    def log(self) -> str:
        """What the node did by itself; empty while it cannot be asked."""
        try:
            return self._switch.log(Deadline.after(LOOK_S))
        except LabError:
            return ""

    def profiles(self) -> list[Profile]:
        """Those of the node now."""
        return self.network.profiles(Deadline.after(CALL_S))

    def port(self) -> Link:
        """The main interface now."""
        return self.network.link(self.names.nic, Deadline.after(CALL_S))


def _renewed(lease: Obj | None) -> str:
    return str(((lease or {}).get("spec") or {}).get("renewTime") or "")


def _address(site: Site, node: str) -> str:
    """The node's own address. Raises UsageError when it names none."""
    status = site.client.get(NODE, node).get("status") or {}
    found = [a["address"] for a in status.get("addresses") or [] if a.get("type") == "InternalIP"]
    if not found:
        raise UsageError(f"an InternalIP of {node}", "its Node names none", site.client.server)
    return str(found[0])
