"""What `nft list ruleset` says of a protocol and a port: real listings, read."""

from __future__ import annotations

import pytest

from lab.core.deadline import Deadline
from lab.core.errors import GuestUnreachable
from lab.core.result import CommandResult
from lab.probes.packetfilter import look, rules_for

LISTED = """\
table inet virtlab-fault {
	chain port-filtered-udp-53-53 {
		type filter hook input priority filter; policy accept;
		udp dport 53 drop
	}

	chain firewall-drops {
		type filter hook input priority filter; policy accept;
		iifname "ens3" tcp dport 32768-60999 tcp flags syn / syn,ack drop
	}
}
table ip nat {
	chain in {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport { 80, 8000-8100 } redirect to :8503
		meta l4proto udp counter packets 0 bytes 0 reject with icmp port-unreachable
		ct state established accept
		iifname "eth1" drop
	}
}
"""


@pytest.mark.parametrize(
    ("proto", "port", "found"),
    [
        ("udp", 53, ["drops", "refuses"]),
        ("udp", 54, ["refuses"]),
        ("udp", 0, ["drops", "refuses"]),
        ("tcp", 40000, ["drops"]),
        ("tcp", 8050, ["leads away"]),
        ("tcp", 80, ["leads away"]),
        ("tcp", 22, []),
    ],
)
def test_rules_that_meet_a_port_are_found(proto: str, port: int, found: list[str]) -> None:
    assert [rule.does for rule in rules_for(LISTED, proto, port)] == found


def test_a_rule_is_told_with_its_place() -> None:
    (rule,) = rules_for(LISTED, "tcp", 40000)
    assert str(rule) == (
        '`iifname "ens3" tcp dport 32768-60999 tcp flags syn / syn,ack drop` in chain firewall-drops of table '
        "inet virtlab-fault"
    )


def test_a_place_that_cannot_be_asked_has_no_rules() -> None:
    class Silent:
        place = "outside host gw"

        def run(self, argv: object, *, deadline: Deadline) -> CommandResult:
            raise GuestUnreachable("a shell", "no", "gw")

        def close(self) -> None: ...

    assert look(Silent(), "udp", 53, Deadline.after(1)) == ()
