"""Open vSwitch and OVN through their own command-line tools, and OVSDB's JSON as Python values.

One call is one transaction.  It must not cache: a status is a read-back.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.embedded.errors import ToolError
from lab.embedded.host.command import run, spawn

Row = dict[str, Any]
SCHEMAS = {"vswitch": "openvswitch", "ovn-nb": "ovn", "ovn-sb": "ovn"}


def schema(name: str) -> Path:
    """The schema file that came with the tools in use. Raises ToolError."""
    part = SCHEMAS[name]
    data = os.environ.get("OVS_PKGDATADIR" if part == "openvswitch" else "OVN_PKGDATADIR", "")
    places = [Path(folder) / f"{name}.ovsschema" for folder in (data, f"/usr/share/{part}") if folder]
    for place in places:
        if place.is_file():
            return place
    raise ToolError(
        f"wanted the database schema {name}.ovsschema",
        f"not found in {[str(p.parent) for p in places]}",
        advice="remove the tool cache and run `virtlab up` again",
    )


def value(cell: Any) -> Any:
    """An OVSDB JSON cell as Python: sets are lists (an empty one ``[]``), maps dicts, uuids strings."""
    if isinstance(cell, list) and len(cell) == 2:
        kind, body = cell
        if kind == "set":
            return [value(item) for item in body]
        if kind == "map":
            return {value(key): value(item) for key, item in body}
        if kind in ("uuid", "named-uuid"):
            return body
    return cell


def rows(text: str) -> list[Row]:
    """The rows of a ``--format=json`` table."""
    table = json.loads(text)
    return [dict(zip(table["headings"], map(value, row), strict=True)) for row in table["data"]]


class Database:
    """One OVSDB server as its ``*ctl`` tool sees it."""

    tool = "ovs-vsctl"

    def __init__(self, socket: Path, *, netns: str | None = None) -> None:
        self.socket, self.netns = socket, netns

    async def ctl(self, *args: str, timeout: float = 15.0) -> str:
        """Run the tool in one transaction and return what it printed. Raises CommandFailed."""
        argv = [self.tool, f"--db=unix:{self.socket}", *args]
        return (await run(argv, netns=self.netns, timeout=timeout)).stdout

    async def table(self, name: str, columns: Sequence[str] = (), *, where: str = "") -> list[Row]:
        """Rows of a table; ``where`` is one condition as ``find`` takes it."""
        chosen = [f"--columns={','.join(columns)}"] if columns else []
        verb = ["find", name, where] if where else ["list", name]
        return rows(await self.ctl("--format=json", *chosen, *verb))


class Ovs(Database):
    """A node's (or the switch's) Open vSwitch."""

    def __init__(self, rundir: Path = Path("/run/openvswitch"), *, netns: str | None = None) -> None:
        super().__init__(rundir / "db.sock", netns=netns)
        self.rundir = rundir

    async def vsctl(self, *args: str) -> str:
        """``ovs-vsctl`` in one transaction; waits for ovs-vswitchd to act on it."""
        return await self.ctl(*args)

    async def appctl(self, *args: str) -> str:
        """Ask ovs-vswitchd itself."""
        env = {"OVS_RUNDIR": str(self.rundir)}
        return (await run(["ovs-appctl", "-t", "ovs-vswitchd", *args], netns=self.netns, env=env)).stdout

    async def start(self) -> None:
        """Start ovsdb-server and ovs-vswitchd, and wait for both sockets."""
        self.rundir.mkdir(parents=True, exist_ok=True)
        await start_database(
            self.rundir / "conf.db", self.socket, "vswitch", self.rundir / "ovsdb-server", netns=self.netns
        )
        # Shorter revalidation: a switch must learn a migrated MAC at once, not from a stale cached flow.
        await self.ctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".",
                       "other_config:max-revalidator=100", "other_config:max-idle=500",
                       "other_config:n-revalidator-threads=1", "other_config:n-handler-threads=1")  # fmt: skip
        await daemon("ovs-vswitchd", [f"unix:{self.socket}"], self.rundir / "ovs-vswitchd", netns=self.netns)


class Northbound(Database):
    """The northbound database of one OVN zone."""

    tool = "ovn-nbctl"


class Southbound(Database):
    """The southbound database of one OVN zone."""

    tool = "ovn-sbctl"


async def daemon(tool: str, args: Sequence[str], base: Path, *, netns: str | None, unixctl: bool = False) -> None:
    """Start one of the OVS/OVN daemons detached, with its pid and log files at ``base``.*.

    ``--detach`` returns when the daemon has opened its sockets: nothing has to wait or poll.  One that
    runs already is left alone, so that an agent can be started again without hurting traffic.  The
    control socket is where the tools look for it, or with ``unixctl`` at ``base``.ctl.
    """
    if alive(base.with_suffix(".pid"), tool):
        return
    control = [f"--unixctl={base}.ctl"] if unixctl else []
    # ovn-controller looks for br-int.mgmt in OVS_RUNDIR, which is never its own folder.
    ovn = base.parent.name == "ovn"
    env = {"OVN_RUNDIR": str(base.parent)} if ovn else {"OVS_RUNDIR": str(base.parent)}
    argv = [tool, *args, f"--pidfile={base}.pid", "--detach", f"--log-file={base}.log", "-vconsole:off",
            "-vfile:info", *control]  # fmt: skip
    await _detached(argv, netns, env)


def alive(pidfile: Path, tool: str) -> bool:
    """Whether the daemon that wrote ``pidfile`` still runs.

    A file outlives its process: the number may be that of another, or of one that was killed and is not reaped yet.
    """
    try:
        words = Path(f"/proc/{int(pidfile.read_text())}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False
    return Path(os.fsdecode(words[0])).name == tool


async def _detached(argv: Sequence[str], netns: str | None, env: dict[str, str]) -> None:
    # The daemon keeps inherited pipes open for ever: only its parent's exit status may be waited for.
    process = await spawn(argv, netns=netns, env=env)
    async with asyncio.timeout(20):
        status = await process.wait()
    if status != 0:
        await run([*argv[:1], "--version"], netns=netns)
        raise RuntimeError(f"{argv[0]} did not start (exit {status}); its log: {argv}")


async def start_database(file: Path, socket: Path, kind: str, base: Path, *, netns: str | None) -> None:
    """Create a database of ``kind`` (a key of SCHEMAS) and serve it on ``socket``."""
    if not file.exists():
        await run(["ovsdb-tool", "create", str(file), str(schema(kind))])
    await daemon(
        "ovsdb-server", [str(file), f"--remote=punix:{socket}"], base, netns=netns, unixctl=base.name != "ovsdb-server"
    )
