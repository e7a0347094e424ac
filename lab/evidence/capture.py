"""A short capture on the workers of a path while the question that got no answer is asked again.

The packets themselves, as a pcap file that tcpdump and Wireshark open, and as text with the names that the worker's
links have there. Only headers of ARP, ICMP, LACP, DHCP and tunnels are kept. It captures; it judges nothing.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.ovn.reader import SwitchReader

SECONDS = 4
MARK = "== the capture itself, base64 =="
EMPTY_BYTES = 24
"""A pcap file without a packet: its header."""
_TAGGED = "(link[{p}:2] = 0x8100 and (link[{t}:2] = 0x0806 or link[{t}:2] = 0x86dd or link[{i}:1] = 1))"
FILTER = " or ".join(
    (
        "arp or icmp or icmp6 or ether proto 0x8809 or udp port 67 or udp port 6081",
        _TAGGED.format(p=0, t=22, i=33),
        _TAGGED.format(p=14, t=18, i=29),
    )
)
"""On all links at once libpcap has no word for what is behind a VLAN tag, so it is said by offsets: those of the header
of LINUX_SLL2 (libpcap 1.10 and later), then those of LINUX_SLL before it."""
SCRIPT = f"""\
f=$(mktemp) || exit 1
trap 'rm -f "$f" "$f.said"' EXIT
timeout {SECONDS} tcpdump -i any -nn -s 160 -c 4000 -w "$f" "$1" 2>"$f.said"
tcpdump -nn -e -r "$f" 2>/dev/null | head -n 200
sed 's/^/# /' "$f.said"
echo '{MARK}'
base64 "$f"
"""
"""Into a file first: packets that are sent away while they are captured would be captured, too."""


def argv() -> tuple[str, ...]:
    return ("sh", "-c", SCRIPT, "capture", FILTER)


def split(output: str) -> tuple[str, bytes]:
    """(text, pcap) of what the script printed; the pcap is empty when it holds no packet."""
    text, _, packets = output.partition(MARK)
    try:
        pcap = base64.b64decode("".join(packets.split()), validate=True)
    except binascii.Error:
        return text, b""
    return text, pcap if len(pcap) > EMPTY_BYTES else b""


def capture(
    reader: SwitchReader, nodes: Sequence[str], ask: Callable[[], object], deadline: Deadline
) -> dict[str, str | bytes]:
    """``capture-NODE.txt`` and ``capture-NODE.pcap`` of each node, while *ask* makes the packets. Never raises."""
    found: dict[str, str | bytes] = {}

    def listen(node: str) -> None:
        try:
            result = reader.run(node, argv(), deadline=deadline.sub(SECONDS + 10))
        except LabError as error:
            found[f"capture-{node}.txt"] = f"(no capture: {error.headline})\n"
            return
        text, pcap = split(result.stdout)
        found[f"capture-{node}.txt"] = f"{'' if pcap else '(no packet)'}\n{text}{result.stderr}".lstrip()
        if pcap:
            found[f"capture-{node}.pcap"] = pcap

    threads = [threading.Thread(target=listen, args=(node,), daemon=True) for node in nodes]
    for thread in threads:
        thread.start()
    # A guest that does not answer its own shell in time: what was captured so far still tells.
    with suppress(LabError):
        ask()
    for thread in threads:
        thread.join(deadline.sub(SECONDS + 10).remaining())
    return dict(found)
