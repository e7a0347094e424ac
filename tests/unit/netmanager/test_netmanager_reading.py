"""What nmcli and ip print, read: the documentation's own text, a node's, and whatever else they may contain."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.netmanager import terse
from lab.netmanager.links import Address, read_link
from lab.netmanager.profiles import FIELDS, Profile, read_settings, read_table, read_terse

UUID = "2ae82518-2ff3-4d49-b95c-fc8fbf029d48"
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20)
SIGN = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"])
NAME = st.builds("{}{}{}".format, SIGN, TEXT, SIGN)


def escaped(value: str) -> str:
    """As nmcli does it."""
    return value.replace("\\", "\\\\").replace(":", "\\:")


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_terse_fields_come_back_as_they_were(values: list[str]) -> None:
    assert terse.fields(":".join(map(escaped, values))) == values


@given(TEXT)
def test_any_line_has_fields(line: str) -> None:
    assert all(isinstance(value, str) for value in terse.fields(line))


def test_a_backslash_before_another_sign_stands_for_itself() -> None:
    assert terse.fields(r"a\b:c\\:d\:e:" + "\\") == ["a\\b", "c\\", "d:e", "\\"]


def test_a_row_with_too_few_fields() -> None:
    with pytest.raises(ValueError, match=r"wanted 4 fields \(NAME,UUID,TYPE,DEVICE\), found 3: 'br1:u:bridge'"):
        read_terse("br1:u:bridge")


def test_terse_profiles_have_the_types_that_people_read() -> None:
    text = f"Wired connection 1:{UUID}:802-3-ethernet:ens3\nbr\\:1:{UUID}:bridge:\n"
    assert read_terse(text) == [
        Profile("Wired connection 1", UUID, "ethernet", "ens3"),
        Profile("br:1", UUID, "bridge", ""),
    ]


@given(
    st.lists(
        st.tuples(NAME, st.sampled_from(["bridge", "ethernet", "vlan"]), st.sampled_from(["", "br1", "ens3"])),
        max_size=4,
    )
)
def test_the_table_is_read_whatever_profiles_are_called(rows: list[tuple[str, str, str]]) -> None:
    width = max([len("NAME"), *(len(name) for name, _, _ in rows)])
    lines = [f"{'NAME':{width}}  {'UUID':36}  {'TYPE':8}  DEVICE"]
    lines += [f"{name:{width}}  {UUID}  {kind:8}  {device or '--'} " for name, kind, device in rows]
    assert read_table("\n".join(lines)) == [Profile(name, UUID, kind, device) for name, kind, device in rows]


@pytest.mark.parametrize("text", ["", "Error: NetworkManager is not running.", "NAME  UUID  TYPE\n"])
def test_a_table_without_its_heading(text: str) -> None:
    with pytest.raises(ValueError, match="wanted the heading NAME UUID TYPE DEVICE, found"):
        read_table(text)


def test_a_line_that_is_no_row() -> None:
    with pytest.raises(ValueError, match="wanted name, UUID, type and device, found 'br1  bridge  br1'"):
        read_table("  ".join(FIELDS) + "\nbr1  bridge  br1\n")


def test_settings() -> None:
    text = "bridge.mac-address:                     --\nbridge.stp:                             no\n\n"
    assert read_settings(text) == {"bridge.mac-address": "", "bridge.stp": "no"}
    with pytest.raises(ValueError, match=r"wanted a line such as `bridge\.stp: no`, found 'Error: br1 - no such"):
        read_settings("Error: br1 - no such connection profile.")


LINK = """\
5: ens3@if5: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue master br1 state UP group default qlen 1000
    link/ether 02:00:00:a8:34:0b brd ff:ff:ff:ff:ff:ff link-netnsid 0
    inet 192.168.52.11/24 brd 192.168.52.255 scope global dynamic noprefixroute ens3
       valid_lft 3523sec preferred_lft 3523sec
    inet 192.0.2.1/32 scope link ens3
       valid_lft forever preferred_lft forever
    inet6 fe80::da8f:abad:d786:2005/64 scope link tentative noprefixroute
       valid_lft forever preferred_lft forever
"""


def test_a_link_as_people_see_it() -> None:
    link = read_link(LINK)
    assert (link.name, link.state, link.master, link.mac) == ("ens3", "UP", "br1", "02:00:00:a8:34:0b")
    assert link.flags == {"BROADCAST", "MULTICAST", "UP", "LOWER_UP"}
    assert link.ipv4 == (
        Address("192.168.52.11", 24, "global", frozenset({"dynamic", "noprefixroute"}), 3523),
        Address("192.0.2.1", 32, "link"),
    )
    assert str(link.addresses[2]) == "fe80::da8f:abad:d786:2005/64"


def test_a_link_that_is_down_and_nobodys_port() -> None:
    link = read_link("12: br1: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group default qlen 1000\n")
    assert (link.state, link.master, link.mac, link.addresses) == ("DOWN", "", "", ())


@pytest.mark.parametrize("text", ["", 'Device "br1" does not exist.', LINK + LINK])
def test_no_link_or_two(text: str) -> None:
    with pytest.raises(ValueError, match=r"wanted one link, found [02] in"):
        read_link(text)


@given(st.text(max_size=300))
def test_nothing_but_a_complaint_comes_of_any_text(text: str) -> None:
    for read in (read_table, read_terse, read_settings, read_link):
        with contextlib.suppress(ValueError):
            read(text)
