"""The flows that a scenario declares, each a probe between two places: which shells, which addresses, which clocks.

Composition only: nothing is started here and nothing is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import ToolMissing, UsageError
from lab.guest.outside import OutsideShell
from lab.guest.shell import Shell
from lab.guest.ssh import SshShell
from lab.probes.clocks import Stretch
from lab.probes.continuous import ContinuousPing
from lab.probes.series import Series
from lab.probes.session import SshSession
from lab.probes.stream import OutsideStream, PlaceStream, carrier
from lab.probes.toolbox import Toolbox, look
from lab.target.inventory import OutsideHost, Segment
from lab.topology.scene import Scene

LOOK_S = 60.0
SSH_S = 60.0
Clocks = Mapping[str, Sequence[Stretch]]


class Probe(Protocol):
    """What goes on while something else happens."""

    @property
    def title(self) -> str: ...
    def start(self, deadline: Deadline) -> None: ...
    def stop(self, deadline: Deadline) -> None: ...


@dataclass(frozen=True)
class Running:
    """A probe for one disturbance; `read` gives what it saw, once it is stopped, with the clocks of its places.
    `busy` are the places whose shell it needs to itself while it starts and stops."""

    probe: Probe
    busy: tuple[str, ...]
    read: Callable[[Clocks], tuple[Series, ...]]


Flow = Callable[[], Running]
"""Makes a new probe for each disturbance."""


class Flows:
    """Places of a scenario by name, with their shells and tools; and the flows between them."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._shells: dict[str, Shell] = {}
        self._tools: dict[str, Toolbox] = {}

    def shell(self, place: str) -> Shell:
        """Of a VM its console, so that the network under test carries no verdict."""
        if place not in self._shells:
            if place in self.scene.guests:
                shell = self.scene.guest(place).shell
                assert shell is not None
                self._shells[place] = shell
            else:
                self._shells[place] = OutsideShell(self.scene.site.target.outside_host(place))
        return self._shells[place]

    def tools(self, place: str) -> Toolbox:
        """What a place has to probe with, looked at once."""
        if place not in self._tools:
            self._tools[place] = look(self.shell(place), deadline=Deadline.after(LOOK_S))
        return self._tools[place]

    def outside(self, segment: Segment) -> OutsideHost:
        """The host beside the cluster in a segment. Raises UsageError when the target names none."""
        if not segment.outside:
            raise UsageError(
                f"an outside host in {segment}", "none is named", str(self.scene.site.target.source), "add `outside`"
            )
        return self.scene.site.target.outside_host(segment.outside)

    def address(self, name: str) -> str:
        """Where a VM is reached in its own segment. Raises UsageError while that is not known."""
        found = self.scene.guest(name).address or self._leased(name)
        if not found:
            raise UsageError(f"the address of VM {name}", "it reports none yet")
        return found

    def _leased(self, name: str) -> str:
        reported = [a for i in self.scene.state(name).interfaces for a in i.addresses if ":" not in a]
        return reported[0] if reported else ""

    def ping_vm(self, segment: Segment, name: str) -> Flow:
        """From the outside host of a segment to a VM."""
        host = self.outside(segment).name
        return lambda: self._ping(host, name, self.address(name))

    def ping_gateway(self, name: str, segment: Segment) -> Flow:
        """From a VM to the gateway of a segment."""
        return lambda: self._ping(name, f"gateway {segment.gateway}", segment.gateway)

    def ping_between(self, name: str, other: str) -> Flow:
        """From one VM to another."""
        return lambda: self._ping(name, other, self.address(other))

    def _ping(self, place: str, target: str, address: str) -> Running:
        probe = ContinuousPing(self.shell(place), address, self.tools(place), place=place, name=target)
        return Running(probe, (place,), lambda clocks: (probe.read(clocks[place]),))

    def stream(self, segment: Segment, name: str) -> Flow:
        """A TCP stream between the outside host of a segment and a VM; by SSH where nothing there can listen."""
        host = self.outside(segment)

        def open_() -> Running:
            try:
                carrier(self.tools(name), "", 1)
            except ToolMissing as error:
                trace.note(f"VM {name}", f"{error.headline}: its stream is an SSH session's")
                return self._session(name, kind="tcp")
            probe = OutsideStream(
                host.connect, host.name, self.shell(name), self.address(name), self.tools(name), name=name
            )
            return Running(probe, (name,), lambda clocks: probe.read(clocks[name]))

        return open_

    def stream_between(self, client: str, server: str) -> Flow:
        """A TCP stream between two VMs: the first one connects."""

        def open_() -> Running:
            tools = self.tools(client), self.tools(server)
            probe = PlaceStream(self.shell(client), self.shell(server), self.address(server), tools, (client, server))
            return Running(probe, (client, server), lambda clocks: probe.read(clocks[client], clocks[server]))

        return open_

    def session(self, name: str) -> Flow:
        """An SSH session with a VM."""
        return lambda: self._session(name)

    def _session(self, name: str, kind: str = "ssh") -> Running:
        shell = self.scene.session(name)
        assert isinstance(shell, SshShell)
        probe = SshSession(shell, name=name, kind=kind)
        return Running(probe, (), lambda _: (probe.read(),))
