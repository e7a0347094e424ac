"""HTTP, DNS, path MTU, ARP on the wire, throughput and datagrams: tools' own words in, observations out."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import Here

from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ProbeNotStarted, ProductFailure, ToolMissing, UsageError
from lab.core.result import CommandResult
from lab.diagnosis import probed
from lab.probes.arp import arping_command, read_arping
from lab.probes.clocks import Stretch
from lab.probes.datagrams import Datagrams, receiver, sender
from lab.probes.dns import dns_command, read_dns
from lab.probes.http import http, http_command, read_http
from lab.probes.mtu import Fits, mtu_command, path_mtu, read_size, search
from lab.probes.observation import Outcome
from lab.probes.throughput import read_counted, read_iperf, throughput
from lab.probes.toolbox import Toolbox, look
from lab.probes.udp import read_udp

EVEN = (Stretch(0.0, 1e10, 0.0, 0.001),)
REACHED, NOT, UNSURE = Outcome.REACHED, Outcome.NOT_REACHED, Outcome.INCONCLUSIVE


def tools(*has: str, ping: str = "busybox", nc: str = "") -> Toolbox:
    return Toolbox("guest demo/a", ("bash",), ping, nc, frozenset(has))


def said(out: str, code: int = 0, err: str = "", argv: tuple[str, ...] = ("x",)) -> CommandResult:
    return CommandResult(argv, "guest demo/a", code, out, err, 0.1)


@pytest.mark.parametrize(
    ("out", "err", "code", "outcome", "detail"),
    [
        ("204 0.012\n", "", 0, REACHED, "status 204"),
        ("", "  HTTP/1.1 200 OK\n  Server: x\n", 0, REACHED, "status 200"),
        (
            "",
            "Connecting to 10.0.0.1\n  HTTP/1.0 404 Not Found\nwget: server returned error\n",
            1,
            REACHED,
            "status 404",
        ),
        ("", "  HTTP/1.1 301 Moved\n  HTTP/1.1 200 OK\n", 0, REACHED, "status 200"),
        ("000 3.001\n", "curl: (28) Connection timed out after 3001 milliseconds\n", 28, NOT, "timed out"),
        ("000 0.1\n", "curl: (7) Failed to connect to 10.0.0.1 port 80: Connection refused\n", 7, NOT, "refused"),
        ("", "wget: can't connect to remote host (10.0.0.1): Connection refused\n", 1, NOT, "refused"),
        ("", "wget: bad address 'x'\n", 1, NOT, "bad address"),
        ("", "wget: unrecognized option: S\n", 1, UNSURE, "no status line"),
        ("", "", 0, UNSURE, "no status line"),
    ],
)
def test_http_is_read_by_its_status_line(out: str, err: str, code: int, outcome: Outcome, detail: str) -> None:
    seen = read_http(said(out, code, err), "a", "http://10.0.0.1/")
    assert seen.outcome is outcome
    assert detail in seen.detail


def test_a_wget_that_dies_is_stood_in_for_by_nc(tmp_path: Path) -> None:
    (tmp_path / "wget").write_text("#!/bin/sh\nkill -SEGV $$\n")
    (tmp_path / "nc").write_text("#!/bin/sh\ngrep -q '^GET /x HTTP/1.0' && printf 'HTTP/1.0 200 OK\\r\\n\\r\\nok\\n'\n")
    for name in ("wget", "nc"):
        (tmp_path / name).chmod(0o755)
    box = Toolbox("guest demo/a", (), "", "busybox", frozenset({"wget"}))
    seen = http(Here(tmp_path), box, "http://10.0.0.1:81/x", deadline=Deadline.after(10))
    assert (seen.outcome, seen.detail) == (Outcome.REACHED, "status 200")
    alone = Toolbox("guest demo/a", (), "", "", frozenset({"wget"}))
    assert http(Here(tmp_path), alone, "http://10.0.0.1:81/x", deadline=Deadline.after(10)).inconclusive
    (tmp_path / "nc").write_text(
        '#!/bin/sh\necho "nc: can\'t connect to remote host: Connection refused" >&2; exit 1\n'
    )
    assert http(Here(tmp_path), box, "http://10.0.0.1:81/x", deadline=Deadline.after(10)).not_reached


def test_a_request_over_http_is_made_with_what_is_there(tmp_path: Path) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        here = Here(tmp_path)
        box = look(here, deadline=Deadline.after(10))
        url = f"http://127.0.0.1:{server.server_port}/"
        try:
            for name in {"curl", "wget"} & box.has:
                one = Toolbox(box.place, box.clock, box.ping, box.nc, frozenset({name}))
                assert http(here, one, url, deadline=Deadline.after(10)).reached
        finally:
            server.shutdown()
            serving.join()
    with pytest.raises(ToolMissing, match="curl or wget or nc for an HTTP request"):
        http_command(tools(), url)


DIG = """;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 4711
;; flags: qr rd ra; QUERY: 1, ANSWER: 2, AUTHORITY: 0, ADDITIONAL: 1

;; ANSWER SECTION:
vm-a.example.		30	IN	A	192.168.24.20
vm-a.example.		30	IN	A	192.168.24.21
"""
BUSYBOX = "Server:\t\t192.168.24.1\nAddress:\t192.168.24.1:53\n\nName:\tvm-a.example\nAddress: 192.168.24.20\n\n"
BIND = BUSYBOX.replace(":53", "#53").rstrip() + "\nAddress: fd00::7\n"


@pytest.mark.parametrize(
    ("out", "code", "outcome", "answer", "addresses"),
    [
        (DIG, 0, REACHED, "NOERROR", ("192.168.24.20", "192.168.24.21")),
        (DIG.replace("NOERROR", "SERVFAIL").partition(";; ANSWER")[0], 0, REACHED, "SERVFAIL", ()),
        (";; communications error to 192.168.24.1#53: connection refused\n", 9, NOT, "", ()),
        (";; connection timed out; no servers could be reached\n", 1, NOT, "", ()),
        (BUSYBOX, 0, REACHED, "NOERROR", ("192.168.24.20",)),
        (BIND, 0, REACHED, "NOERROR", ("192.168.24.20", "fd00::7")),
        (
            "Server:\t\t1.1.1.1\nAddress:\t1.1.1.1:53\n\n** server can't find x.example: NXDOMAIN\n",
            1,
            REACHED,
            "NXDOMAIN",
            (),
        ),
        ("Server:\t\t1.1.1.1\nAddress:\t1.1.1.1:53\n\n", 0, UNSURE, "", ()),
        ("", 1, UNSURE, "", ()),
    ],
)
def test_a_server_that_answers_is_reached_whatever_it_says(
    out: str, code: int, outcome: Outcome, answer: str, addresses: tuple[str, ...]
) -> None:
    seen = read_dns(said(out, code), "a", "vm-a.example", "192.168.24.1")
    assert (seen.outcome, seen.code, seen.addresses) == (outcome, answer, addresses)


def test_the_words_of_a_dns_question() -> None:
    assert dns_command(tools("dig", "nslookup"), "x", "10.0.0.1", kind="aaaa")[:4] == ["dig", "@10.0.0.1", "x", "aaaa"]
    assert dns_command(tools("nslookup"), "x", "10.0.0.1") == ["nslookup", "-type=a", "x", "10.0.0.1"]
    with pytest.raises(ToolMissing, match="dig or nslookup"):
        dns_command(tools(), "x", "10.0.0.1")
    with pytest.raises(ProbeNotStarted):
        read_dns(said("", 127, "sh: nslookup: not found"), "a", "x", "y")


ANSWER = """PING 10.0.0.1 (10.0.0.1) 1472(1500) bytes of data.
1480 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.1 ms

--- 10.0.0.1 ping statistics ---
1 packets transmitted, 1 received, 0% packet loss, time 0ms
"""
SILENCE = """PING 10.0.0.1 (10.0.0.1) 1472(1500) bytes of data.

--- 10.0.0.1 ping statistics ---
1 packets transmitted, 0 received, 100% packet loss, time 0ms
"""
TOO_LONG = "ping: local error: message too long, mtu=1400\n"
FRAG = "From 10.0.0.254 icmp_seq=1 Frag needed and DF set (mtu = 1400)\n"


@pytest.mark.parametrize(
    ("out", "err", "wanted"),
    [
        (ANSWER, "", Fits.YES),
        (SILENCE, "", Fits.SILENT),
        (SILENCE, TOO_LONG, Fits.NO),
        (FRAG + SILENCE, "", Fits.NO),
        ("traceroute to 10.0.0.1 (10.0.0.1), 30 hops max, 1500 byte packets\n30  10.0.0.1  1.2 ms\n", "", Fits.YES),
        ("traceroute to 10.0.0.1 (10.0.0.1), 30 hops max, 1500 byte packets\n30  *\n", "", Fits.SILENT),
        ("", "traceroute: sendto: Message too long\n", Fits.NO),
        ("30  10.0.0.254  1.0 ms  !F-1400\n", "", Fits.NO),
        ("nothing of the sort", "", None),
        ("", "", None),
    ],
)
def test_what_became_of_one_size(out: str, err: str, wanted: Fits | None) -> None:
    assert read_size(said(out, 0, err)) is wanted


@given(st.integers(576, 9216), st.booleans())
def test_the_search_finds_every_mtu_and_says_whether_it_is_a_black_hole(mtu: int, hole: bool) -> None:
    asked: list[int] = []

    def fits(size: int) -> Fits:
        asked.append(size)
        return Fits.YES if size <= mtu else Fits.SILENT if hole else Fits.NO

    assert search(fits, 576, 9216) == (mtu, hole and mtu < 9216)
    assert len(asked) <= 14


def test_a_path_mtu_by_real_words_of_ping(tmp_path: Path) -> None:
    (tmp_path / "ping").write_text(
        f"#!{sys.executable}\nimport sys\nsize = int(sys.argv[sys.argv.index('-s') + 1]) + 28\n"
        f"print({ANSWER!r} if size <= 1400 else {SILENCE!r})\n"
        "if size > 1500: sys.exit('ping: local error: message too long, mtu=1500')\n"
    )
    (tmp_path / "ping").chmod(0o755)
    box = tools(ping="iputils")
    seen = path_mtu(Here(tmp_path), box, "10.0.0.1", deadline=Deadline.after(30))
    assert (seen.mtu, seen.black_hole) == (1400, False)
    assert "1400 bytes (by ping)" in str(seen)
    (tmp_path / "ping").write_text(f"#!{sys.executable}\nprint({SILENCE!r})\n")
    with pytest.raises(Inconclusive, match="576 bytes to pass"):
        path_mtu(Here(tmp_path), box, "10.0.0.1", deadline=Deadline.after(30))
    (tmp_path / "ping").write_text("#!/bin/sh\necho what\n")
    with pytest.raises(Inconclusive, match="what became of 576 bytes"):
        path_mtu(Here(tmp_path), box, "10.0.0.1", deadline=Deadline.after(30))


def test_the_words_for_one_size() -> None:
    assert mtu_command(tools(ping="iputils"), "10.0.0.1", 1500)[-3:] == ["-s", "1472", "10.0.0.1"]
    assert mtu_command(tools(ping="iputils"), "fd00::1", 1500)[-2] == "1452"
    assert mtu_command(tools("traceroute", "sudo"), "10.0.0.1", 1500)[:4] == ["sudo", "-n", "traceroute", "-n"]
    with pytest.raises(ToolMissing, match="for the path MTU"):
        mtu_command(tools(), "10.0.0.1", 1500)


ARPING = """ARPING 192.168.24.1 from 192.168.24.20 eth0
Unicast reply from 192.168.24.1 [0a:58:c0:a8:18:01] 1.123ms
Unicast reply from 192.168.24.1 [0A:58:C0:A8:18:01] 0.9ms
Sent 3 probe(s) (1 broadcast(s))
Received 2 response(s) (0 request(s), 0 broadcast(s))
"""


def test_arp_is_asked_on_the_wire_and_two_that_answer_are_told() -> None:
    seen = read_arping(said(ARPING), "a", "192.168.24.1")
    assert (seen.outcome, seen.macs) == (REACHED, ("0a:58:c0:a8:18:01",))
    two = read_arping(said(ARPING.replace("0A:58:C0:A8:18:01", "02:00:00:00:00:07")), "a", "192.168.24.1")
    assert "more than one" in two.detail
    silent = ARPING.partition("Unicast")[0] + "Sent 3 probe(s) (3 broadcast(s))\nReceived 0 response(s)\n"
    assert read_arping(said(silent, 1), "a", "192.168.24.1").not_reached
    assert read_arping(said("", 1, "arping: socket: Operation not permitted"), "a", "192.168.24.1").inconclusive
    assert arping_command(tools("arping", "sudo"), "10.0.0.1", "eth0")[:3] == ["sudo", "-n", "arping"]
    with pytest.raises(ToolMissing, match="arping for ARP requests"):
        arping_command(tools(), "10.0.0.1", "eth0")
    with pytest.raises(UsageError, match="an IPv4 address"):
        arping_command(tools("arping"), "fd00::1", "eth0")


@pytest.mark.parametrize(
    ("source", "sink", "wanted"),
    [
        ("took 100.5 102.5\n", "up\narrived 4194304\n", (4194304, 2.0)),
        ("took 100.5 100.5\n", "up\narrived 4194304\n", None),
        ("took 100 N\n", "up\narrived 4194304\n", None),
        ("64+0 records out\n", "up\narrived 4194304\n", None),
        ("took 100.5 102.5\n", "up\n", None),
    ],
)
def test_a_throughput_is_what_arrived_in_the_time_it_took(
    source: str, sink: str, wanted: tuple[int, float] | None
) -> None:
    assert read_counted(source, sink) == wanted


UDP_SAYS = "traceroute to 10.0.0.1 (10.0.0.1), 30 hops max, 46 byte packets\n"


@pytest.mark.parametrize(
    ("out", "outcome", "detail"),
    [
        (
            UDP_SAYS + "30  10.0.0.1  23.611 ms  3.1 ms  2.0 ms\n",
            Outcome.REACHED,
            "the port is closed, after 23.611 ms",
        ),
        (UDP_SAYS + "30  *  10.0.0.1  3.1 ms  *\n", Outcome.REACHED, "after 3.1 ms"),
        (UDP_SAYS + "30  *  *  *\n", Outcome.NOT_REACHED, "*"),
        (UDP_SAYS + "30  10.0.0.254  3.1 ms !H  *  *\n", Outcome.NOT_REACHED, "10.0.0.254 says: !H"),
        (UDP_SAYS, Outcome.INCONCLUSIVE, "cannot make sense"),
        ("", Outcome.INCONCLUSIVE, "cannot make sense"),
        ("traceroute: sendto: Network is unreachable\n", Outcome.NOT_REACHED, "unreachable"),
    ],
)
def test_what_came_back_for_a_datagram(out: str, outcome: Outcome, detail: str) -> None:
    seen = read_udp(CommandResult(("traceroute",), "guest demo/a", 0, out, "", 0.1), "guest demo/a", "10.0.0.1")
    assert seen.outcome is outcome
    assert detail in seen.detail


def test_without_a_ping_that_forbids_fragments_no_size_above_the_interface_s_is_tried(tmp_path: Path) -> None:
    """busybox' traceroute sends fragments: an answer to 9216 bytes over an interface of 1500 says nothing."""
    (tmp_path / "ip").write_text("#!/bin/sh\necho 10.0.0.1 dev lo src 10.0.0.2\n")
    (tmp_path / "traceroute").write_text("#!/bin/sh\nshift $(($# - 2))\necho; echo ' 30  10.0.0.1  0.5 ms'\n")
    for name in ("ip", "traceroute"):
        (tmp_path / name).chmod(0o755)
    seen = path_mtu(Here(tmp_path), tools("traceroute"), "10.0.0.1", largest=100_000, deadline=Deadline.after(30))
    assert seen.mtu == int(Path("/sys/class/net/lo/mtu").read_text())
    assert "no further than its interface" in str(seen)
    (tmp_path / "ip").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(Inconclusive, match="the MTU of the interface"):
        path_mtu(Here(tmp_path), tools("traceroute"), "10.0.0.1", deadline=Deadline.after(30))


def test_what_iperf_reports() -> None:
    assert read_iperf('{"end": {"sum_received": {"bytes": 1000000, "seconds": 2.0}}}') == (1000000, 2.0)
    for text in ("", "{}", '{"error": "unable to connect"}', '{"end": {"sum_received": {"bytes": 1, "seconds": 0}}}'):
        assert read_iperf(text) is None


@pytest.fixture
def here(tmp_path: Path) -> Here:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox for its nc, found none")
    (tmp_path / "nc").write_text(f'#!/bin/sh\nexec {busybox} nc "$@"\n')
    (tmp_path / "nc").chmod(0o755)
    return Here(tmp_path)


def test_a_throughput_by_dd_over_nc_is_what_arrived(here: Here) -> None:
    box = Toolbox("guest demo/a", ("bash",), "", "busybox", frozenset())
    seen = throughput(here, here, "127.0.0.1", (box, box), mib=4, deadline=Deadline.after(30))
    assert seen.sent == 4 * 2**20
    assert seen.mbit_s > 1
    assert "since iperf3 is not in both places" in str(seen)
    assert here.left() == []


def test_a_transfer_without_end_is_no_throughput_and_no_broken_tool(here: Here) -> None:
    """As where small packets pass and large ones vanish: the connection stands, and nothing more comes."""
    listens = (here.programs / "nc").read_text()
    (here.programs / "nc").write_text(listens.replace("exec", '[ "$1" = -l ] || exec sleep 30\nexec'))
    box = Toolbox("guest demo/a", ("bash",), "", "busybox", frozenset())
    seen = throughput(here, here, "127.0.0.1", (box, box), mib=4, deadline=Deadline.after(10))
    assert (seen.mbit_s, seen.sent) == (0.0, 0)
    assert "it had no end within" in str(seen)
    with pytest.raises(ProductFailure, match=r"1 Mbit/s from guest demo/a[^$]*0 Mbit/s over 0 MiB"):
        probed.faster(seen, 1)
    assert here.left() == []


NC_UDP = """#!{python}
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("127.0.0.1", int(sys.argv[-1])))
    for n in range(10000):
        data = sock.recv(2048)
        if n % 10 != 5:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash for /dev/udp, found none")
def test_datagrams_that_do_not_come_are_lost(tmp_path: Path) -> None:
    (tmp_path / "nc").write_text(NC_UDP.format(python=sys.executable))
    (tmp_path / "nc").chmod(0o755)
    here = Here(tmp_path)
    box = tools("bash", nc="openbsd")
    stream = Datagrams(here, here, "127.0.0.1", (box, box), ("vm-b", "vm-a"))
    stream.start(Deadline.after(20))
    time.sleep(1.0)
    stream.stop(Deadline.after(30))
    seen = stream.read(EVEN, EVEN)
    assert seen.received > 20
    assert 0.05 < seen.lost / seen.sent < 0.15
    assert seen.duplicates == 0
    assert here.left() == []


def test_who_can_carry_datagrams() -> None:
    assert receiver(tools(nc="traditional"), 7) == ["nc", "-u", "-l", "-p", "7"]
    assert receiver(tools("socat"), 7) == ["socat", "-u", "UDP-RECV:7", "-"]
    assert sender(tools(nc="ncat"), "10.0.0.1", 7) == ["nc", "-u", "10.0.0.1", "7"]
    assert sender(tools("socat"), "fd00::1", 7)[-1] == "UDP-SENDTO:[fd00::1]:7"
    with pytest.raises(ToolMissing, match="an nc with UDP, or socat"):
        receiver(tools(nc="busybox"), 7)
    with pytest.raises(ToolMissing, match="to send datagrams"):
        sender(tools(nc="busybox"), "10.0.0.1", 7)
