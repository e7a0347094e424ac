"""A guest's own addresses out of what iproute2 and busybox print."""

from __future__ import annotations

from lab.guest.addresses import read_addresses

IPROUTE = """1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000\\    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq state UP mode DEFAULT group default qlen 1000\\    link/ether 02:00:00:20:24:10 brd ff:ff:ff:ff:ff:ff
5: eth0.7@eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP\\    link/ether 02:00:00:20:24:10 brd ff:ff:ff:ff:ff:ff
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
2: eth0    inet 192.168.24.20/24 brd 192.168.24.255 scope global eth0\\       valid_lft forever preferred_lft forever
2: eth0    inet6 fd00::7/64 scope global \\       valid_lft forever preferred_lft forever
2: eth0    inet6 fe80::ff:fe20:2410/64 scope link \\       valid_lft forever preferred_lft forever
"""  # noqa: E501


def test_addresses_are_read_and_those_of_the_link_left_out() -> None:
    assert read_addresses(IPROUTE) == {
        "eth0": ("02:00:00:20:24:10", ("192.168.24.20/24", "fd00::7/64")),
        "eth0.7": ("02:00:00:20:24:10", ()),
    }


def test_what_is_no_such_text_is_no_address() -> None:
    assert read_addresses("sh: ip: not found\n") == {}
