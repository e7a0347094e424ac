"""Sends frames through a Linux bridge in the namespace this is started in, and prints which came out as JSON.

Run by test_node_spoofcheck.py through unshare; the rules are those that a pod's port gets.
"""

import asyncio
import json
import socket

from lab.embedded.host.link import ip
from lab.embedded.node import spoofcheck

TRUE, FALSE = "02:00:00:20:24:0a", "02:00:00:66:66:66"
LINKS = """link add br1 type bridge
link add port type veth peer name sender
link add out type veth peer name receiver
link set port master br1 up
link set out master br1 up
link set sender up
link set receiver up
link set br1 up
"""


def passes(receiver: socket.socket, mac: str) -> bool:
    """Whether a frame with this source address, sent into the port, comes out of the other one."""
    mark = b"frame of " + mac.encode()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("sender", 0))
        sender.send(b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) + b"\x88\xb5" + mark.ljust(60, b"\0"))
    try:
        while mark not in receiver.recv(2048):
            pass
    except TimeoutError:
        return False
    return True


async def main() -> None:
    await ip(LINKS.splitlines())
    receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
    receiver.bind(("receiver", 0))
    receiver.settimeout(0.5)
    seen = {"unchecked": passes(receiver, FALSE)}
    await spoofcheck.setup("port", TRUE, "abc", "net1")
    seen |= {"true": passes(receiver, TRUE), "spoofed": passes(receiver, FALSE), "true again": passes(receiver, TRUE)}
    await spoofcheck.teardown(spoofcheck.chain_of("abc", ""))
    print(json.dumps({**seen, "taken back": passes(receiver, FALSE)}))


if __name__ == "__main__":
    asyncio.run(main())
