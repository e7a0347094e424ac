"""One stay of NetworkManager on the node: it takes the machine NIC over as it is, and gives it back as it was.

What was there before is kept in a file, so that an agent that was started again can still end the stay.  When to begin
and when to end is not decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.host.command import run, spawn
from lab.embedded.host.link import ip, ip_json
from lab.embedded.model.spec import MACHINE_NIC
from lab.embedded.node.networkmanager import files
from lab.embedded.node.nmstate.dhcp import DhcpClients
from lab.embedded.node.ownfiles import PROFILES, STATE

log = logging.getLogger(__name__)
RUNTIME = Path("/run/NetworkManager")
SYSCTL = (Path("/proc/sys/net/ipv4/conf") / MACHINE_NIC, Path("/proc/sys/net/ipv6/conf") / MACHINE_NIC)
DAEMONS = ("dbus-daemon", "NetworkManager")
PROGRAMS = (*DAEMONS, "nmcli", "nm-online")
COMM_LENGTH = 15
BUS_SECONDS = 5.0
READY_SECONDS = 15
LEASE_SECONDS = 5.0
STOP_SECONDS = 10.0
POLL = 0.02


class Session:
    """NetworkManager, its bus and what they need; files in ``folder``, the NIC's own client among ``dhcp``."""

    def __init__(self, folder: Path, dhcp: DhcpClients) -> None:
        self.folder, self.dhcp = folder, dhcp
        self.bus = folder / "bus"
        self._kept = folder / "kept.json"

    @property
    def running(self) -> bool:
        """Whether there is a stay to end, of this agent or of one before it."""
        return self._kept.exists()

    @property
    def alive(self) -> bool:
        """Whether all that was started still runs; somebody may have ended it."""
        pids = self._read()["pids"] if self.running else []
        return len(pids) == len(DAEMONS) and all(map(_ours, pids))

    def links(self, kind: Callable[[str], bool]) -> frozenset[str]:
        """Names of the links whose state file in NetworkManager's own words is of that ``kind``."""
        found = set()
        for path in (RUNTIME / "devices").glob("[0-9]*") if self.running else ():
            with contextlib.suppress(OSError):  # the link is gone, and the file soon, too
                if kind(path.read_text()):
                    found.add(socket.if_indextoname(int(path.name)))
        return frozenset(found)

    async def begin(self) -> None:
        """Start it, and wait until it has the NIC; a stay whose processes died goes on with what they had kept.

        Raises LabError, and then the node is as before."""
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing:
            raise LabError(
                "wanted NetworkManager on this node", f"not on PATH: {', '.join(missing)}", advice="virtlab fetch"
            )
        if not (PROFILES.is_mount() and STATE.is_mount()):
            raise LabError(
                f"wanted {PROFILES} and {STATE} of the node's own",
                "the kernel refused to mount them",
                where="the node's log has its words",
            )
        if self.running:
            # Without its address the node will have asked for one itself.
            await self.dhcp.stop(MACHINE_NIC)
            await self._start(self._read())
            return
        try:
            await self._start(await self._take_over())
        except BaseException:
            await self.end()
            raise

    async def resume(self) -> None:
        """Go on after it was killed, as after a boot: with profiles that were saved it is started again, without any
        the NIC goes back. Raises LabError."""
        if not self.running or self.alive:
            return
        if any((PROFILES / "system-connections").glob("*")):
            log.info("NetworkManager was killed and is started again")
            await self.begin()
        else:
            log.info("NetworkManager was killed and had nothing to keep")
            await self.end()

    async def _take_over(self) -> dict[str, Any]:
        """Write down what there is, end the NIC's own client, and tell NetworkManager what it is to take up."""
        (link,) = await ip_json(["addr", "show", "dev", MACHINE_NIC])
        # A NIC that a policy made a port is the policy's: NetworkManager gets no profile for it.
        profile = "" if link.get("master") else files.profile_uuid(link["address"])
        kept = {
            "link": link,
            "profile": profile,
            "routes": await _routes(),
            "sysctl": _sysctls(),
            "dhcp": MACHINE_NIC in self.dhcp.running(),
            "pids": [],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write(kept)
        if kept["dhcp"]:
            await self.dhcp.stop(MACHINE_NIC)
        _write_files(link, profile, self.folder / "bus.conf", self.bus)
        return kept

    async def _start(self, kept: dict[str, Any]) -> None:
        await self._stop(kept)
        bus = ["dbus-daemon", f"--config-file={self.folder / 'bus.conf'}", "--nofork", "--nopidfile"]
        await self._spawn(bus, kept)
        deadline = time.monotonic() + BUS_SECONDS
        # A daemon that does not fork has no other way to tell than the socket that it makes.
        while not self.bus.exists():
            if time.monotonic() > deadline:
                raise LabError(
                    "wanted a bus for NetworkManager", f"none within {BUS_SECONDS:g} s", where=str(self._log(bus))
                )
            await asyncio.sleep(POLL)
        manager = ["NetworkManager", "--debug"]
        await self._spawn(manager, kept)
        # Until the NIC has its lease. Without a server it is in NetworkManager's hands all the same.
        online = ["nm-online", "--quiet", "--wait-for-startup", f"--timeout={READY_SECONDS}"]
        await run(online, env=self._env(), check=False)
        if not await self._nmcli("-t", "-f", "RUNNING", "general"):
            raise LabError("wanted NetworkManager to be up", "it does not answer", where=str(self._log(manager)))

    async def _spawn(self, argv: Sequence[str], kept: dict[str, Any]) -> None:
        with self._log(argv).open("ab") as output:
            process = await spawn(argv, env=self._env(), stdout=output, stderr=output)
        kept["pids"].append(process.pid)
        self._write(kept)

    def _log(self, argv: Sequence[str]) -> Path:
        return self.folder / f"{argv[0]}.log"

    async def _stop(self, kept: dict[str, Any]) -> None:
        for pid in reversed(kept["pids"]):
            await _end_process(pid)
        kept["pids"] = []
        self.bus.unlink(missing_ok=True)

    async def idle(self) -> bool:
        """Whether NetworkManager has nothing to keep: the NIC's profile as it was made, and no other."""
        wanted = self._read()["profile"]
        listed = await self._nmcli("-t", "-f", "UUID,FILENAME,STATE", "con", "show")
        if not files.nothing_saved(listed, wanted):
            return False
        settings = ["-g", "connection.autoconnect,ipv4.method", "con", "show", wanted]
        return not wanted or await self._nmcli(*settings) == "yes\nauto\n"

    async def end(self) -> None:
        """Stop it and give the NIC back; what it was told is forgotten."""
        if not self.running:
            return
        kept = self._read()
        await self._stop(kept)
        _clear(PROFILES, STATE, RUNTIME)
        try:
            await self._give_back(kept)
        finally:
            self._kept.unlink(missing_ok=True)

    async def _give_back(self, kept: dict[str, Any]) -> None:
        for folder, values in kept["sysctl"].items():
            _restore(Path(folder), values)
        was, now = kept["link"], (await ip_json(["addr", "show", "dev", MACHINE_NIC]))[0]
        if _local(was) != _local(now) and was.get("operstate") == "UP":
            # The kernel makes the link-local address only when IPv6 comes up on a link.
            for value in ("1", "0"):
                _restore(SYSCTL[1], {"disable_ipv6": value})
        # An address that NetworkManager set has no prefix route of the kernel's, and would not get one by a renewal.
        foreign = [a for a in _ipv4(now) if a.get("noprefixroute") or not a.get("dynamic")]
        await ip([f"addr del {a['local']}/{a['prefixlen']} dev {MACHINE_NIC}" for a in foreign])
        static = [a for a in _ipv4(was) if not a.get("dynamic")]
        await ip([f"addr replace {a['local']}/{a['prefixlen']} brd + dev {MACHINE_NIC}" for a in static])
        # Two clients of one NIC would take the address from each other: one killed half way back is running again.
        await self.dhcp.stop(MACHINE_NIC)
        if kept["dhcp"] and not await self.dhcp.start(MACHINE_NIC, LEASE_SECONDS, resume=True):
            log.warning("no lease for %s within %g s of NetworkManager's end", MACHINE_NIC, LEASE_SECONDS)
        # NetworkManager's routes differ from the kernel's in their metric, and some outlive their addresses.
        for family, routes in (await _routes()).items():
            lines = [f"route del {route}" for route in routes if route not in kept["routes"][family]]
            await run(["ip", family, "-force", "-batch", "-"], input=("\n".join(lines) + "\n").encode(), check=False)

    async def _nmcli(self, *words: str) -> str:
        return (await run(["nmcli", *words], env=self._env(), check=False)).stdout

    def _env(self) -> dict[str, str]:
        return {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.bus}", "LC_ALL": "C.UTF-8"}

    def _write(self, kept: dict[str, Any]) -> None:
        fresh = self._kept.with_suffix(".new")
        fresh.write_text(json.dumps(kept))
        fresh.replace(self._kept)

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._kept.read_text())
        return found


def _write_files(link: dict[str, Any], profile: str, bus: Path, listen: Path) -> None:
    bus.write_text(files.BUS.format(socket=listen))
    for folder in (PROFILES / "system-connections", RUNTIME / "system-connections", RUNTIME / "devices"):
        folder.mkdir(parents=True, exist_ok=True)
    (PROFILES / "NetworkManager.conf").write_text(files.CONFIGURATION.format(nic=MACHINE_NIC))
    if not profile:
        return
    path = RUNTIME / "system-connections" / f"{files.NAME}.nmconnection"
    path.touch(mode=0o600)
    path.write_text(files.PROFILE.format(name=files.NAME, uuid=profile, nic=MACHINE_NIC))
    (RUNTIME / "devices" / str(link["ifindex"])).write_text(files.DEVICE.format(uuid=profile))


async def _routes() -> dict[str, list[str]]:
    """Every route over the NIC as iproute2 takes it, by family, but for those that come and go with addresses."""
    found = {}
    for family in ("-4", "-6"):
        said = (await run(["ip", family, "route", "show", "table", "all", "dev", MACHINE_NIC], check=False)).stdout
        lines = (" ".join(line.split(" pref ")[0].split()) for line in said.splitlines())
        found[family] = [f"{line} dev {MACHINE_NIC}" for line in lines if "table local" not in line]
    return found


def _sysctls() -> dict[str, dict[str, str]]:
    """Every setting of the NIC, by folder; those that cannot be read are left out."""
    found: dict[str, dict[str, str]] = {}
    for folder in SYSCTL:
        values = found.setdefault(str(folder), {})
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            with contextlib.suppress(OSError):
                values[path.name] = path.read_text().strip()
    return found


def _restore(folder: Path, values: dict[str, str]) -> None:
    for name, value in values.items():
        with contextlib.suppress(OSError):
            if (folder / name).read_text().strip() != value:
                (folder / name).write_text(value)


def _ipv4(link: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in link.get("addr_info", ()) if item.get("family") == "inet"]


def _local(link: dict[str, Any]) -> set[str]:
    return {item["local"] for item in link.get("addr_info", ()) if item.get("scope") == "link"}


def _clear(*folders: Path) -> None:
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else []:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _ours(pid: int) -> bool:
    """Whether the process with this number is one of those that are started here, and lives."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return False
    return name in {daemon[:COMM_LENGTH] for daemon in DAEMONS} and rest.split()[0] != "Z"


async def _end_process(pid: int) -> None:
    """SIGTERM, then SIGKILL. A process that an agent before this one started cannot be waited for, only looked at."""
    for number, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        deadline = time.monotonic() + patience
        with contextlib.suppress(ProcessLookupError):
            if _ours(pid):
                os.kill(pid, number)
        while _ours(pid):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(POLL)
