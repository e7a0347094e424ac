"""What a guest says to a probe, gone wrong: an observation, or an error of ours; never anything else, and in time."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_probe_ping import BUSYBOX, IPUTILS, NEIGHBOURS, UNREACHABLE
from test_single_probes import ANSWER, ARPING, BIND, DIG, FRAG, said

from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.core.result import CommandResult
from lab.guest import addresses, busy
from lab.guest.talk import Answer
from lab.probes import (
    announcements,
    arp,
    clockwatch,
    connections,
    continuous,
    detached,
    dns,
    flows,
    http,
    mtu,
    ping,
    replies,
    tcp,
    throughput,
    toolbox,
    udp,
)
from lab.probes import stream as records
from lab.probes.clocks import Stretch
from lab.probes.series import Frame
from tests import hostile

FRAME = Frame("ping", "a", "b", 20.0, 1795346937.0, 1795346938.0)
STRETCHES = (Stretch(1795346930.0, 1795346940.0, 0.1, 0.001),)
IPERF = json.dumps({"end": {"sum_received": {"bytes": 1000, "seconds": 1.5}}})
PACKED = "gz\n" + base64.b64encode(zlib.compress(IPUTILS.encode(), wbits=31)).decode()
LINKS = """2: eth0: <UP> mtu 1400 qdisc x state UP\\    link/ether 02:00:00:20:24:0a brd ff:ff:ff:ff:ff:ff
2: eth0    inet 192.168.24.20/24 brd 192.168.24.255 scope global eth0\\       valid_lft forever preferred_lft forever
2: eth0    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever
"""
READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "addresses": (addresses.read_addresses, LINKS),
    "announcements": (lambda t: announcements.read_heard(t, "a", "m", (0, 1)), "0.5 up\n17953469.5 rarp\n0.9 end\n"),
    "arping": (lambda t: arp.read_arping(said(t), "a", "b"), ARPING),
    "bind": (lambda t: dns.read_dns(said(t), "a", "n", "s"), BIND),
    "busy": (lambda t: busy.look(Says(t), "/tmp/x", deadline=Deadline.after(5)), "12 14\n"),
    "clock": (lambda t: clockwatch.read_clock(Answer(t, 1.0, 1.1)), "1795346937.5 1234.5"),
    "connections": (
        lambda t: connections.read_connections(said(t), "a", "b", 80, (1024, 1025)),
        "flow 1024 0 1.5 1.6 open\nflow 1025 1 1.5 4.6 timed out\nneighbour 10.0.0.1 dev e lladdr 0a:58:0a:80:00:01\n",
    ),
    "dig": (lambda t: dns.read_dns(said(t), "a", "n", "s"), DIG),
    "flows": (lambda t: flows.read_flows(said(t), "a", "b", 2), "1000 1000\n"),
    "http": (lambda t: http.read_http(said(t), "a", "u"), "204 0.012\n"),
    "iperf": (throughput.read_iperf, IPERF),
    "link-locals": (addresses.read_link_locals, LINKS),
    "log": (lambda t: continuous.read_log(t, STRETCHES, FRAME), IPUTILS),
    "log of busybox": (lambda t: continuous.read_log(t, (), FRAME), BUSYBOX),
    "mtu": (lambda t: mtu.own_mtu(said(t)), "1500\n"),
    "neighbours": (lambda t: arp.read_neighbour(said(t), "a", "192.168.24.1"), NEIGHBOURS),
    "packed": (detached.unpacked, PACKED),
    "ping": (lambda t: ping.read_ping(said(t), "a", "b"), IPUTILS),
    "ping unreachable": (lambda t: ping.read_ping(said(t), "a", "b"), UNREACHABLE),
    "records": (records.read_records, "1795346937.5 1 1795346937.4\n1795346937.6 2 1795346937.5\n1795346938.0 end\n"),
    "replies": (replies.read_replies, IPUTILS),
    "size": (lambda t: mtu.read_size(said(t)), ANSWER + FRAG),
    "tcp": (lambda t: tcp.read_tcp(said("", 1, t), "a", "b", 80), "nc: connect to b port 80 (tcp): refused\n"),
    "throughput": (lambda t: throughput.read_counted(t, "arrived 1000\n"), "took 1.5 2.5\n"),
    "throughput of the sink": (lambda t: throughput.read_counted("took 1.5 2.5\n", t), "arrived 1000\n"),
    "toolbox": (lambda t: toolbox.read_toolbox(t, "a"), "clock bash\nping busybox\nnc x\nhas dig\nend\n"),
    "udp": (lambda t: udp.read_udp(said(t), "a", "b"), " 1  10.0.0.1  0.5 ms !H\n"),
}  # fmt: skip


@dataclass
class Says:
    """A guest's shell that answers whatever is asked the same."""

    text: str
    place: str = "a"

    def run(self, argv: Sequence[str], *, deadline: Deadline, stdin: bytes | None = None) -> CommandResult:
        return said(self.text)


@pytest.mark.parametrize("name", READERS)
@hostile.few(20)
@given(data=st.data())
def test_words_gone_wrong(name: str, data: st.DataObject) -> None:
    read, good = READERS[name]
    with contextlib.suppress(LabError):
        str(read(data.draw(hostile.garbled(good))))


@pytest.mark.parametrize("name", READERS)
def test_each_number_that_is_none(name: str) -> None:
    """Of thousands of digits, of digits that `int` does not take, of none: one place after the other."""
    read, good = READERS[name]
    for match in re.finditer(r"[0-9]+", good):
        for number in ("9" * 5000, "²", "٣", "1e999", "nan", "-1", "."):
            with contextlib.suppress(LabError):
                str(read(good[: match.start()] + number + good[match.end() :]))


@pytest.mark.parametrize("name", READERS)
def test_the_good_words_are_read(name: str) -> None:
    read, good = READERS[name]
    assert read(good) is not None
