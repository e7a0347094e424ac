"""What faults of OVN share: whose zone, which routes, which daemon. Everything is asked of the node's own tools."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.site import Runner, Site, one_of, spec
from lab.embedded.host.command import CommandFailed
from lab.embedded.host.ovs import Row, rows
from lab.embedded.node import podnetwork as net
from lab.embedded.node.podnetwork import Member, Route
from lab.embedded.node.zone import OVN_RUN

ROUTES = "Logical_Router_Static_Route"
TO = "whose traffic: a worker (its subnet) or an address"
VIA = "the worker that it is sent to"
_COLUMNS = "--columns=_uuid,ip_prefix,nexthop,policy,output_port,external_ids"
_LOOKS, _PAUSE_S = 50, 0.1


def member(site: Site, arguments: Mapping[str, str], key: str = "node") -> Member:
    """A worker among the arguments as the pod network knows it. Raises UsageError."""
    return net.member(spec(one_of("a worker", arguments[key], site.nodes)))


def prefix(site: Site, arguments: Mapping[str, str]) -> str:
    """What a route is for, as `to` names it: a worker's subnet or one address. Raises UsageError."""
    given = arguments["to"]
    try:
        return str(IPv4Address(given))
    except ValueError:
        return str(net.member(spec(one_of("an IPv4 address, or a worker", given, site.nodes))).subnet)


async def change(run: Runner, *words: str) -> None:
    """Change a zone. It counts when the flows of its node have it, not when it is written down."""
    await run(["ovn-nbctl", "--wait=hv", "--timeout=30", *words])


async def routes(run: Runner, prefix: str) -> list[Row]:
    """The rows of a zone for traffic to exactly this prefix."""
    found = rows(await run(["ovn-nbctl", "--format=json", _COLUMNS, "list", ROUTES]))
    return [row for row in found if row["ip_prefix"] == prefix and row["policy"] != "src-ip"]


def kept(row: Row) -> dict[str, Any]:
    """A row of the cluster router so that :func:`again` can make it anew."""
    one = {key: row[key] if isinstance(row[key], str) else "" for key in ("ip_prefix", "nexthop", "policy")}
    port = row["output_port"] if isinstance(row["output_port"], str) else ""
    return {**one, "output_port": port, "external_ids": row["external_ids"]}


async def again(run: Runner, saved: Mapping[str, Any]) -> None:
    """Make a row anew. One that names the same next hop is left as it is."""
    if any(row["nexthop"] == saved["nexthop"] for row in await routes(run, saved["ip_prefix"])):
        return
    ids = tuple(sorted(saved["external_ids"].items()))
    row = Route(net.ROUTER, saved["ip_prefix"], saved["nexthop"], saved["policy"], saved["output_port"], ids)
    await change(run, *row.words("back")[1:])


def no_route(zone: Member, prefix: str) -> FaultError:
    """For a zone that has none to break."""
    return FaultError(
        f"wanted a route to {prefix} in the zone of {zone.name}",
        "there is none: what is at home in a zone needs none there",
        advice=f"virtlab node exec {zone.name} -- ovn-nbctl lr-route-list {net.ROUTER}",
    )


# -- daemons


async def pid_of(run: Runner, daemon: str) -> str:
    """The daemon's process; empty when it does not run."""
    try:
        pid = (await run(["cat", f"{OVN_RUN}/{daemon}.pid"])).strip()
        name = (await run(["cat", f"/proc/{pid}/comm"])).strip()
    except CommandFailed:
        return ""
    return pid if name == daemon[:15] else ""


async def kill(run: Runner, node: str, daemon: str) -> list[str]:
    """End a daemon as a crash does, so that it cleans up nothing; returns the words that started it."""
    if not (pid := await pid_of(run, daemon)):
        raise FaultError(f"wanted {daemon} of {node}, to end it", "it does not run")
    words = (await run(["cat", f"/proc/{pid}/cmdline"])).rstrip("\0").split("\0")
    await run(["kill", "-KILL", pid])
    for _ in range(_LOOKS):
        if not await pid_of(run, daemon):
            return words
        await asyncio.sleep(_PAUSE_S)
    raise FaultError(f"wanted {daemon} of {node} gone", f"process {pid} goes on")


async def start(run: Runner, node: str, daemon: str, words: Sequence[str]) -> None:
    """Start it as it was started before, unless it runs."""
    if not await pid_of(run, daemon):
        # What detaches keeps inherited pipes open for ever, and nobody would come back from reading them.
        into = 'OVN_RUNDIR="$1"; export OVN_RUNDIR; shift; exec "$@" </dev/null >/dev/null 2>&1'
        await run(["sh", "-c", into, "sh", str(OVN_RUN), *words])
    if not await pid_of(run, daemon):
        raise FaultError(f"wanted {daemon} of {node} to run again", "it does not", advice=f"{OVN_RUN}/{daemon}.log")


# -- pods


async def port_of(run: Runner, vm: str) -> dict[str, str]:
    """Name and iface-id of the interface on this node by which a VM is on the pod network; empty for none."""
    if not re.fullmatch(r"[a-z0-9.-]+/[a-z0-9.-]+", vm):
        raise UsageError("wanted a VM, as namespace/name", repr(vm), advice="vm=demo/vm-a")
    namespace, _, name = vm.partition("/")
    said = await run(["ovs-vsctl", "--format=json", "--columns=name,external_ids", "list", "Interface"])
    for row in rows(said):
        port = row["external_ids"].get("iface-id", "")
        # The rest is what the name of a pod ends in (apimachinery, pkg/util/rand).
        if re.fullmatch(re.escape(f"{namespace}_virt-launcher-{name}-") + "[a-z0-9]{5}", port):
            return {"interface": row["name"], "port": port}
    return {}
