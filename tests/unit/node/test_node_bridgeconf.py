"""What the bridge and tuning plugins are told, with upstream's words for every mistake."""

from typing import Any

import pytest

from lab.embedded.node.bridgeconf import ALWAYS, BridgeConf, Tuning, bridge_conf, tuning
from lab.embedded.node.cnierror import CniError

MAC = "02:00:00:20:24:0a"


def test_the_documented_one_takes_every_default() -> None:
    assert bridge_conf({"type": "cnv-bridge", "bridge": "br1"}) == BridgeConf(bridge="br1")
    assert tuning({"type": "cnv-tuning"}, "net1") == Tuning()


def test_every_field() -> None:
    conf = {
        "bridge": "br1", "mtu": 1400, "vlan": 100, "preserveDefaultVlan": True, "promiscMode": True,
        "portIsolation": True, "macspoofchk": True, "disableContainerInterface": True, "ipam": {},
    }  # fmt: skip
    assert bridge_conf(conf, MAC.upper()) == BridgeConf(
        "br1", mtu=1400, mac=MAC, vlan=100, preserve_default_vlan=True, promiscuous=True, isolated=True,
        spoof_check=True, interface_down=True,
    )  # fmt: skip
    assert bridge_conf({"args": {"cni": {"mac": "02:00:00:00:00:01"}}}, MAC).mac == "02:00:00:00:00:01"
    assert bridge_conf({}).bridge == "cni0"


def test_a_trunk_is_ids_and_ranges() -> None:
    found = bridge_conf({"vlanTrunk": [{"minID": 5, "maxID": 7}, {"id": 100}, {"id": 6}]})
    assert (found.trunk, found.tags) == ((5, 6, 7, 100), True)


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({"vlan": 4095}, "invalid VLAN ID 4095 (must be between 0 and 4094)"),
        ({"vlan": "100"}, "failed to load netconf: json: cannot unmarshal string into Go struct field NetConf.vlan of "
         "type int"),
        ({"vlan": True}, "cannot unmarshal bool into Go struct field NetConf.vlan of type int"),
        ({"macspoofchk": "yes"}, "cannot unmarshal string into Go struct field NetConf.macspoofchk of type bool"),
        ({"vlan": 1, "vlanTrunk": [{"id": 2}]}, "cannot set vlan and vlanTrunk at the same time"),
        ({"vlanTrunk": [{"minID": 2}]}, "minID and maxID should be configured simultaneously, maxID is missing"),
        ({"vlanTrunk": [{"maxID": 2}]}, "minID and maxID should be configured simultaneously, minID is missing"),
        ({"vlanTrunk": [{"minID": 9, "maxID": 2}]}, "minID is greater than maxID in trunk parameter"),
        ({"vlanTrunk": [{"id": 0}]}, "incorrect trunk id parameter"),
        ({"vlanTrunk": "2-4"}, "cannot unmarshal into Go struct field NetConf.vlanTrunk"),
        ({"hairpinMode": True, "promiscMode": True}, "cannot set hairpin mode and promiscuous mode at the same time"),
        ({"ipam": {"type": "host-local"}, "disableContainerInterface": True}, "cannot use IPAM when "
         "DisableContainerInterface flag is set"),
        ({"ipam": {"type": "whereabouts"}}, 'failed to find plugin "whereabouts" in path [/opt/cni/bin]'),
        ({"bridge": "br1 type veth"}, 'failed to create bridge "br1 type veth": could not add "br1 type veth": '
         "interface name contains / or : or whitespace characters"),
        ({"args": {"cni": {"mac": "x"}}}, "invalid args x for MAC addr: address x: invalid MAC address"),
    ],
)  # fmt: skip
def test_mistakes_of_the_bridge(conf: dict[str, Any], words: str) -> None:
    with pytest.raises(CniError) as error:
        bridge_conf(conf)
    assert words in str(error.value)


def test_a_plugin_from_before_vlans_hears_nothing_of_them() -> None:
    conf = {"type": "bridge", "bridge": "br1", "mtu": 1400, "hairpinMode": True, "vlan": 7, "macspoofchk": True}
    heard = bridge_conf({key: value for key, value in conf.items() if key in ALWAYS})
    assert heard == BridgeConf("br1", 1400, hairpin=True)


def test_tuning_changes_what_it_is_told() -> None:
    conf = {"mac": "02:00:00:00:00:01", "mtu": 1400, "promisc": True, "allmulti": False,
            "sysctl": {"net.ipv4.conf.IFNAME.arp_notify": "1"}}  # fmt: skip
    sysctls = {"/proc/sys/net/ipv4/conf/pod.1/arp_notify": "1"}
    expected = Tuning("02:00:00:00:00:01", 1400, promiscuous=True, allmulti=False, sysctls=sysctls)
    assert tuning(conf, "pod.1") == expected
    assert tuning({**conf, "args": {"cni": {"mtu": 1300, "promisc": False}}}, "net1").mtu == 1300
    # The pod's wish goes before the network's own address.
    assert tuning(conf, "net1", MAC).mac == MAC


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({"sysctl": {"net.core.somaxconn": "500"}}, "Sysctl net.core.somaxconn is not allowed. Only the following "
         "sysctls are allowed: [^net.ipv4.conf.IFNAME.accept_redirects$ "),
        ({"sysctl": {"net.ipv4.conf.IFNAME.arp_notify": 1}}, "Go struct field TuningConf.sysctl of type"),
        ({"sysctl": ["x"]}, "Go struct field TuningConf.sysctl of type"),
        ({"mtu": "1400"}, "cannot unmarshal string into Go struct field TuningConf.mtu of type int"),
        ({"mac": "02:00"}, "invalid args 02:00 for MAC addr"),
    ],
)  # fmt: skip
def test_mistakes_of_tuning(conf: dict[str, Any], words: str) -> None:
    with pytest.raises(CniError) as error:
        tuning(conf, "net1")
    assert words in str(error.value)


def test_a_sysctl_stays_below_net() -> None:
    with pytest.raises(CniError, match=r'invalid net sysctl key: "kernel\.x"'):
        tuning({"sysctl": {"kernel.x": "1"}}, "net1", allowed=["."])
