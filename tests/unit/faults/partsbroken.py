"""Sets faults on a real bridge and a real packet filter in the namespaces this is started in; prints what then is read.

Run by test_sentence_faults.py through unshare. One place stands for node and outside host.
"""

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Sequence

from lab.diagnosis.bridgedpath import bridged, unchecked
from lab.embedded.faults.bridge_port_lost import BridgePortLost
from lab.embedded.faults.port_filtered import PortFiltered
from lab.embedded.faults.site import Fault, Site
from lab.embedded.faults.spoof_check_lost import SpoofCheckLost
from lab.embedded.faults.spoof_check_stale import SpoofCheckStale
from lab.embedded.faults.web_hijacked import WebHijacked
from lab.embedded.host.command import run
from lab.embedded.host.link import ip
from lab.embedded.node import spoofcheck
from lab.multus.bridgeports import LinuxBridge, look, read_bridge
from lab.probes.packetfilter import rules_for

OWN, FOREIGN = "02:00:00:20:24:0a", "02:00:00:66:66:66"
LINKS = """link add br1 type bridge
link add port type veth peer name sender
link set port master br1 up
link set sender up
link set br1 up
link set lo up
"""
NODE = {"node": "worker-1"}
PORT = {**NODE, "bridge": "br1", "mac": OWN}


async def here(argv: Sequence[str]) -> str:
    return (await run(argv)).stdout


SITE = Site(here, lambda _: here, lambda _: here, ("worker-1",), ("gateway-2024",))


def send(mac: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("sender", 0))
        sender.send((b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) + b"\x88\xb5").ljust(60, b"\0"))


async def bridge() -> LinuxBridge:
    found = read_bridge("br1", await here(look("br1")))
    assert found is not None
    return found


async def walked(mac: str) -> str:
    """What the VM's port on the bridge says against itself, or that the bridge knows of none."""
    before = await bridge()
    send(mac)
    station = next(iter(bridged(("vm-a", mac, OWN), "worker-1", "br1", (), (before, await bridge()))))
    return station.wrong or station.said


async def under(fault: Fault, arguments: dict[str, str], mac: str = OWN) -> list[str]:
    """The walk under a fault, and when it is healed."""
    saved = await fault.inject(SITE, arguments)
    seen = await walked(mac)
    await fault.heal(SITE, arguments, saved)
    send(OWN)
    return [seen, await walked(OWN)]


async def lost() -> str:
    """What is said of a foreign address that nobody checks any more."""
    saved = await SpoofCheckLost().inject(SITE, NODE)
    send(FOREIGN)
    said = unchecked("br1", FOREIGN, await bridge())
    await SpoofCheckLost().heal(SITE, NODE, saved)
    return said


async def filtered() -> list[str]:
    """What a packet filter is read to do with a port, under the fault and after it."""
    arguments = {"host": "gateway-2024", "proto": "udp", "ports": "53-53", "how": "drop"}
    await PortFiltered().inject(SITE, arguments)
    said = [rule.does for rule in rules_for(await here(["nft", "list", "ruleset"]), "udp", 53)]
    await PortFiltered().heal(SITE, arguments, {})
    return [*said, await here(["nft", "list", "tables", "inet"])]


def asked() -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{WebHijacked.port}/", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


async def hijacked() -> list[object]:
    """The status that somebody else answers with, what is read of it, and what is left."""
    arguments = {"vlan": "2024", "ports": "20000-29999"}
    saved = await WebHijacked().inject(SITE, arguments)
    said = [rule.does for rule in rules_for(await here(["nft", "list", "ruleset"]), "tcp", 20080)]
    status = await asyncio.to_thread(asked)
    await WebHijacked().heal(SITE, arguments, saved)
    return [status, *said, await here(["nft", "list", "tables", "ip"])]


async def main() -> None:
    await ip(LINKS.splitlines())
    send(OWN)
    seen: dict[str, object] = {
        "disabled": await under(BridgePortLost(), {**PORT, "how": "disabled"}),
        "unplugged": await under(BridgePortLost(), {**PORT, "how": "unplugged"}),
    }
    await spoofcheck.setup("port", OWN, "cafe01", "net1")
    seen |= {"stale": await under(SpoofCheckStale(), NODE), "lost": await lost()}
    print(json.dumps({**seen, "filtered": await filtered(), "hijacked": await hijacked()}))


asyncio.run(main())
