"""What a binding is made of: link commands, translation rules, the DHCP server's arguments."""

from pathlib import Path

from lab.embedded.node.binding import bridge_lines, dhcp_argv, masquerade_lines, nft_rules
from lab.embedded.node.domain import Nic

VLAN = Nic("vlan2024", "podcc4dd54e40a", "02:00:00:20:24:11", "bridge")
POD = Nic("default", "eth0", "0a:58:0a:80:02:0e", "masquerade", pod_network=True, mtu=1400)


def test_the_pods_interface_becomes_a_port_with_another_mac() -> None:
    lines = bridge_lines(VLAN, "uid")
    (rename,) = [line for line in lines if " name cc4dd54e40a-nic " in line]
    assert VLAN.mac not in " ".join(lines)
    assert lines.index(rename) < lines.index("link set cc4dd54e40a-nic master k6t-cc4dd54e40a")
    assert "tuntap add tapcc4dd54e40a mode tap" in lines
    assert "link set tapcc4dd54e40a master k6t-cc4dd54e40a" in lines


def test_masquerade_has_its_own_bridge() -> None:
    lines = masquerade_lines(POD)
    assert lines[0].startswith("link add k6t-eth0 address 02:00:00:00:00:00 mtu 1400 type bridge")
    assert "addr add 10.0.2.1/24 dev k6t-eth0" in lines


def test_rules_for_all_ports_and_for_named_ones() -> None:
    assert "    counter dnat to 10.0.2.2\n" in nft_rules("eth0", [])
    named = nft_rules("eth0", [{"port": 80}, {"port": 53, "protocol": "UDP"}], ["10.128.2.14"])
    assert "tcp dport 80 counter dnat to 10.0.2.2" in named
    assert "udp dport 53 counter dnat to 10.0.2.2" in named
    assert "    counter dnat" not in named
    assert "ip daddr { 127.0.0.1, 10.128.2.14 }" in named


def test_one_lease_for_ever() -> None:
    argv = dhcp_argv(POD, Path("/l"), "10.0.2.2", 24, "10.0.2.1", ["192.0.2.53"])
    assert "--dhcp-range=10.0.2.2,static,255.255.255.0,infinite" in argv
    assert "--dhcp-host=0a:58:0a:80:02:0e,10.0.2.2" in argv
    assert {"--dhcp-option=3,10.0.2.1", "--dhcp-option=6,192.0.2.53", "--dhcp-option=26,1400"} <= set(argv)
    assert "--no-daemon" in argv, "a user namespace may forbid it to change its groups"
