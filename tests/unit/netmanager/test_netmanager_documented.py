"""The documentation's text as it lies beside the feature, and each way in which a node can differ from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab.core.errors import UsageError
from lab.netmanager.documented import Documented, Names, Shown, differences, read
from lab.netmanager.links import Address, Link
from lab.netmanager.profiles import Profile

FOLDER = Path(__file__).resolve().parents[3] / "features/nmcli/documented"
ADDRESS = "192.168.52.13"


@pytest.fixture
def text() -> Documented:
    return read(FOLDER)


def test_the_documented_commands_in_the_documented_order(text: Documented) -> None:
    assert text.names == Names("br1", "ens3", "Wired connection 1")
    assert [" ".join(argv[:4]) for argv in text.prepare] == [
        "nmcli con show --active",
        "nmcli con add type",
        "nmcli con add type",
        "nmcli con modify br1",
    ]
    assert text.switch == (
        ("nmcli", "con", "down", "Wired connection 1"),
        ("nmcli", "con", "up", "br1"),
        ("nmcli", "con", "mod", "br1", "connection.autoconnect", "yes"),
        ("nmcli", "con", "mod", "Wired connection 1", "connection.autoconnect", "no"),
    )


def test_under_the_names_of_another_lab(text: Documented) -> None:
    there = text.under(Names("br1", "eno1", "System eno1"))
    assert there.prepare[2] == ("nmcli", "con", "add", "type", "bridge-slave", "ifname", "eno1", "master", "br1")
    assert there.switch[0] == ("nmcli", "con", "down", "System eno1")
    assert [(p.name, p.device) for p in there.shown.profiles] == [
        ("br1", "br1"),
        ("bridge-slave-eno1", "eno1"),
        ("System eno1", ""),
    ]
    assert (there.shown.port.name, there.shown.port.master, there.shown.bridge.name) == ("eno1", "br1", "br1")


def test_without_the_port(text: Documented) -> None:
    assert len(text.under(text.names, port=False).prepare) == 3
    assert not any("bridge-slave" in argv for argv in text.under(text.names, port=False).prepare)


def test_the_documentation_is_as_documented(text: Documented) -> None:
    assert differences(text.shown, text.shown, ADDRESS) == []


def test_more_profiles_and_settings_are_fine(text: Documented) -> None:
    more = replace(
        text.shown,
        profiles=(*text.shown.profiles, Profile("lo", "u", "loopback", "lo")),
        settings={**text.shown.settings, "bridge.vlan-protocol": "802.1Q"},
    )
    assert differences(text.shown, more, ADDRESS) == []


def address(shown: Shown, **changes: object) -> Shown:
    return replace(shown, bridge=replace(shown.bridge, addresses=(replace(shown.bridge.ipv4[0], **changes),)))  # type: ignore[arg-type]


def profile(shown: Shown, which: str, **changes: str) -> Shown:
    return replace(shown, profiles=tuple(replace(p, **changes) if p.name == which else p for p in shown.profiles))


def port(shown: Shown, **changes: object) -> Shown:
    return replace(shown, port=replace(shown.port, **changes))  # type: ignore[arg-type]


def bridge(shown: Shown, **changes: object) -> Shown:
    return replace(shown, bridge=replace(shown.bridge, **changes))  # type: ignore[arg-type]


CASES: list[tuple[Callable[[Shown], Shown], str]] = [
    (
        lambda s: profile(s, "br1", device=""),
        "the profile br1 (bridge, on br1), found br1 (bridge, on no device)",
    ),
    (
        lambda s: profile(s, "br1", type="ethernet"),
        "the profile br1 (bridge, on br1), found br1 (ethernet, on br1)",
    ),
    (
        lambda s: profile(s, "Wired connection 1", device="ens3"),
        "wanted the profile Wired connection 1 (ethernet, on no device), found Wired connection 1 (ethernet, on ens3)",
    ),
    (
        lambda s: profile(s, "bridge-slave-ens3", name="bridge-slave-eth0"),
        "0 profiles are called bridge-slave-ens3; there are: br1, bridge-slave-eth0, Wired connection 1",
    ),
    (lambda s: replace(s, profiles=(*s.profiles, s.profiles[0])), "2 profiles are called br1"),
    (lambda s: replace(s, settings={**s.settings, "bridge.stp": "yes"}), "bridge.stp is 'yes', documented is 'no'"),
    (
        lambda s: replace(s, settings={k: v for k, v in s.settings.items() if k != "bridge.priority"}),
        "bridge.priority is 'not told', documented is '32768'",
    ),
    (lambda s: port(s, master=""), "master of ens3 is none, documented is br1"),
    (lambda s: port(s, flags=s.port.flags - {"LOWER_UP"}), "ens3 lacks the flags LOWER_UP"),
    (lambda s: port(s, addresses=s.bridge.addresses), "ens3 still has 192.168.52.13/24"),
    (lambda s: bridge(s, state="DOWN"), "state of br1 is DOWN, documented is UP"),
    (lambda s: bridge(s, master="br0"), "master of br1 is br0, documented is none"),
    (
        lambda s: bridge(s, mac="02:00:00:00:00:01"),
        "br1 has not the hardware address of ens3: 02:00:00:00:00:01, 52:54:00:a8:34:0d",
    ),
    (lambda s: bridge(s, addresses=()), "br1 has no address, not the node's 192.168.52.13"),
    (lambda s: address(s, address="192.168.52.101"), "br1 has 192.168.52.101/24, not the node's 192.168.52.13"),
    (lambda s: address(s, words=frozenset({"noprefixroute"})), "192.168.52.13/24 of br1 lacks: dynamic"),
    (lambda s: address(s, scope="link"), "192.168.52.13/24 of br1 lacks: scope global"),
    (lambda s: address(s, valid_s=None), "192.168.52.13/24 of br1 is for ever, and so no lease"),
]


@pytest.mark.parametrize(("change", "said"), CASES, ids=[said for _, said in CASES])
def test_each_difference_is_told(text: Documented, change: Callable[[Shown], Shown], said: str) -> None:
    found = differences(text.shown, change(text.shown), ADDRESS)
    assert len(found) == 1
    assert said in found[0]


def test_the_lab_has_what_is_documented(text: Documented) -> None:
    """As an embedded lab's node answered, with another NIC's index, its own UUIDs and its own lease."""
    flags = frozenset({"BROADCAST", "MULTICAST", "UP", "LOWER_UP"})
    lease = Address("192.168.52.11", 24, "global", frozenset({"dynamic", "noprefixroute"}), 3600)
    seen = replace(
        text.shown,
        port=Link("ens3", flags, "UP", "br1", "02:00:00:a8:34:0b"),
        bridge=Link("br1", flags, "UP", "", "02:00:00:a8:34:0b", (lease,)),
    )
    assert differences(text.shown, seen, "192.168.52.11") == []


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("commands.txt", None, "found: No such file or directory"),
        (
            "commands.txt",
            "nmcli con show\n",
            "its port or the profile that goes down is not among the commands",
        ),
        ("commands.txt", "nmcli con 'down\n", "found: No closing quotation"),
        ("con-show.txt", "br1\n", "found: wanted the heading NAME UUID TYPE DEVICE, found 'br1'"),
        ("con-show-br1.txt", "stp no\n", "found: wanted a line such as `bridge.stp: no`"),
        ("ip-ens3.txt", "", "found: wanted one link, found 0"),
    ],
)
def test_a_text_that_cannot_be_read_is_named(tmp_path: Path, file: str, content: str | None, said: str) -> None:
    for path in FOLDER.glob("*.txt"):
        (tmp_path / path.name).write_text(path.read_text())
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    with pytest.raises(UsageError) as raised:
        read(tmp_path)
    assert said in str(raised.value)
    assert str(tmp_path) in str(raised.value)
