"""A desired state put in place on the real node: checkpoint, act, read back, verify, probe, commit or roll back.

The order is kubernetes-nmstate's (pkg/client/client.go, ApplyDesiredState). It must not talk to the API: what the
node's reachability means is asked of the probes it is given.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from lab.embedded.errors import LabError
from lab.embedded.host.command import run
from lab.embedded.host.link import bridge, ip, tx_checksum_off
from lab.embedded.host.ovs import Ovs
from lab.embedded.node.nmstate.desired import Desired
from lab.embedded.node.nmstate.dhcp import DhcpClients
from lab.embedded.node.nmstate.errors import BUG, PLUGIN, VERIFICATION, ApplyError, NmstateError, ProbesFailed
from lab.embedded.node.nmstate.merge import merge
from lab.embedded.node.nmstate.model import Host
from lab.embedded.node.nmstate.notset import not_set
from lab.embedded.node.nmstate.parsing import parse, resolve
from lab.embedded.node.nmstate.readback import IPV6_CONF, Reader
from lab.embedded.node.nmstate.restoration import restoration
from lab.embedded.node.nmstate.show import show
from lab.embedded.node.nmstate.transition import Steps, transition
from lab.embedded.node.nmstate.verify import verify

log = logging.getLogger(__name__)
VERIFY_ATTEMPTS, VERIFY_PAUSE = 20, 0.25
DHCP_WAIT = 3.0


class Probes(Protocol):
    """What must go on working; ``select`` before the change, ``run`` after it (a text when something broke).

    ``reconnect`` gives up the connections from before: their address was gone meanwhile, and though nobody was told,
    they wait for a retransmission that is as late as the outage was long.
    """

    async def select(self, host: Host) -> Sequence[str]: ...

    async def run(self, names: Sequence[str], read: Callable[[], Awaitable[Host]]) -> str: ...

    async def reconnect(self) -> None: ...


class Others(Protocol):
    """Somebody else who configures links of this node, as NetworkManager does for who talks to it directly."""

    async def release(self) -> None:
        """Give the links back, if there is nothing of its own to keep on them."""

    def held(self) -> frozenset[str]:
        """Links in its hands."""


@dataclass(frozen=True)
class Outcome:
    """What an apply did: ``changes`` as commands (empty: everything was so already), ``not_set`` in words."""

    changes: tuple[str, ...] = ()
    not_set: tuple[str, ...] = ()
    moved: bool = False
    """The node lost an address."""


class Node:
    """One node's network as nmstate acts on it; one change at a time."""

    def __init__(self, ovs: Ovs, nics: Sequence[str], folder: Path, *, dhcp_wait: float = DHCP_WAIT) -> None:
        self.ovs, self.folder, self.dhcp_wait = ovs, folder, dhcp_wait
        self.dhcp = DhcpClients.beneath(folder)
        self.reader = Reader(ovs, nics, self.dhcp, folder / "dns.json")
        self.lock = asyncio.Lock()
        self.others: Others | None = None

    async def show(self) -> dict[str, Any]:
        """The state as nmstate documents it; never in the middle of a change."""
        async with self.lock:
            return show(await self.reader.read())

    async def apply(self, document: Mapping[str, Any], probes: Probes | None = None) -> Outcome:
        """Make the node look like ``document``. Raises ApplyError, and then the node is as it was before."""
        desired = parse(document)
        if desired.empty:
            return Outcome()
        if self.others is not None:
            await self.others.release()
        async with self.lock:
            checkpoint = await self._read()
            selected = await probes.select(checkpoint) if probes is not None else ()
            desired = resolve(desired, checkpoint)
            planned = merge(checkpoint, desired)
            self._leave_others(checkpoint, planned)
            steps = transition(checkpoint, planned)
            await self._put_in_place(desired, checkpoint, planned, steps)
            if probes is not None:
                await self._probe(probes, selected, checkpoint, planned)
            moved = bool(steps) and bool(_addresses(checkpoint) - _addresses(await self._read()))
            if moved and probes is not None:
                await probes.reconnect()
            return Outcome(tuple(steps.lines()), tuple(not_set(desired, filters=checkpoint.filters)), moved)

    def _leave_others(self, checkpoint: Host, planned: Host) -> None:
        # Upstream nmstate changes NetworkManager's profiles themselves; here they are nobody's but their owner's.
        held = self.others.held() if self.others is not None else frozenset()
        names = {*checkpoint.links, *planned.links}
        touched = {name for name in names if checkpoint.links.get(name) != planned.links.get(name)}
        clash = sorted(held & (touched | (checkpoint.dhcp ^ planned.dhcp)))
        if clash:
            text = f"{', '.join(clash)}: held by profiles that were made with nmcli on this node; delete them first"
            raise NmstateError(PLUGIN, text)

    async def _put_in_place(self, desired: Desired, checkpoint: Host, planned: Host, steps: Steps) -> None:
        try:
            if steps:
                log.info("applying: %s", "; ".join(steps.lines()))
                await self.execute(steps)
            await self._verify(desired)
        except Exception as failure:
            await self.rollback(checkpoint, planned)
            if isinstance(failure, ApplyError):
                raise
            if isinstance(failure, (LabError, OSError)):
                raise NmstateError(PLUGIN, str(failure)) from failure
            raise NmstateError(BUG, f"{type(failure).__name__}: {failure}") from failure
        except asyncio.CancelledError:
            # The agent is going: leave no half-made change behind.
            with contextlib.suppress(Exception):
                await self.rollback(checkpoint, planned)
            raise

    async def _probe(self, probes: Probes, selected: Sequence[str], checkpoint: Host, planned: Host) -> None:
        failure = await probes.run(selected, self._read)
        if not failure:
            return
        text = f"rolling back desired state configuration: failed runnig probes after network changes: {failure}"
        await self.rollback(checkpoint, planned)
        await probes.reconnect()
        again = await probes.run(selected, self._read)
        if again:
            text = f"{text}: failed running probes after rollback: {again}"
        raise ProbesFailed(text)

    async def _read(self) -> Host:
        try:
            return await self.reader.read()
        except LabError as failure:
            raise NmstateError(PLUGIN, str(failure)) from failure

    async def _verify(self, desired: Desired) -> None:
        # ovs-vsctl waits for ovs-vswitchd, but a link's flags and a port's error column follow a moment later. The
        # kernel tells a link's carrier once a second at most, and only then gives it its link-local address; upstream
        # it is NetworkManager that waits for that.
        for left in reversed(range(VERIFY_ATTEMPTS)):
            try:
                verify(desired, await self._read())
            except NmstateError as failure:
                missing = failure.text.startswith("Failed to find desired interface")
                if failure.kind != VERIFICATION or missing or not left:
                    raise
                await asyncio.sleep(VERIFY_PAUSE)
            else:
                return

    async def execute(self, steps: Steps, *, resume: bool = False) -> None:
        """Run the steps. Raises CommandFailed at the first that fails.

        With ``resume`` a DHCP client that is started takes up the lease which its interface had.
        """
        for name in steps.dhcp_stop:
            await self.dhcp.stop(name)
        await ip(steps.before)
        await self._change_ovs(steps)
        for name in steps.offloads:
            await tx_checksum_off(name)
        await ip(steps.after)
        await bridge(steps.vlans)
        for name, enabled in steps.ipv6:
            await _write(IPV6_CONF / name / "disable_ipv6", "0" if enabled else "1")
        if steps.dns is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            servers, search = steps.dns
            (self.folder / "dns.json").write_text(json.dumps({"server": servers, "search": search}))
        await asyncio.gather(*(self.dhcp.start(name, self.dhcp_wait, resume=resume) for name in steps.dhcp_start))

    async def _change_ovs(self, steps: Steps) -> None:
        if not steps.ovs:
            return
        for name in steps.stp_pause:
            await self.ovs.vsctl("set", "Bridge", name, "stp_enable=false")
        for bond in steps.lacp_restart:
            await self.ovs.vsctl("set", "Port", bond, "lacp=off")
        try:
            await self.ovs.vsctl(*steps.ovs)
        finally:
            for name in steps.stp_pause:
                await self.ovs.vsctl("--if-exists", "set", "Bridge", name, "stp_enable=true")

    async def rollback(self, checkpoint: Host, planned: Host) -> None:
        """Put back what the step checkpoint -> planned had changed, and see to it that it is so."""
        for _attempt in range(2):
            now = await self.reader.read()
            steps = transition(now, restoration(checkpoint, planned, now))
            if not steps:
                return
            log.warning("rolling back: %s", "; ".join(steps.lines()))
            await self._execute_each(steps)

    async def _execute_each(self, steps: Steps) -> None:
        # A rollback does all it can: one line that fails must not keep the others from being tried.
        for name in steps.dhcp_stop:
            await self.dhcp.stop(name)
        await self._tolerant(["ip", "-force", "-batch", "-"], steps.before)
        if steps.ovs:
            try:
                await self._change_ovs(steps)
            except LabError as failure:
                log.error("rollback: %s", failure)
        for name in steps.offloads:
            with contextlib.suppress(OSError):
                await tx_checksum_off(name)
        await self._tolerant(["ip", "-force", "-batch", "-"], steps.after)
        await self._tolerant(["bridge", "-force", "-batch", "-"], steps.vlans)
        try:
            rest = Steps(ipv6=steps.ipv6, dns=steps.dns, dhcp_start=steps.dhcp_start)
            await self.execute(rest, resume=True)
        except (LabError, OSError) as failure:
            log.error("rollback: %s", failure)

    async def _tolerant(self, argv: Sequence[str], lines: Sequence[str]) -> None:
        if lines:
            result = await run(argv, input=("\n".join(lines) + "\n").encode(), check=False)
            if result.returncode != 0:
                log.error("rollback: %s", result)


def _addresses(host: Host) -> set[str]:
    return {address for link in host.links.values() for address in link.addresses | link.dynamic}


async def _write(path: Path, text: str) -> None:
    try:
        await asyncio.to_thread(path.write_text, text)
    except FileNotFoundError:
        # No IPv6 in this kernel, or the link is gone again: both mean that it is off.
        return


def as_yaml(host: Host) -> str:
    """The state as a message quotes it."""
    text: str = yaml.safe_dump(show(host), sort_keys=False)
    return text
