"""Names and quantities against upstream's own examples."""

import pytest

from lab.embedded.node import names


@pytest.mark.parametrize(
    ("text", "value"),
    [("128Mi", 128 * 2**20), ("1Gi", 2**30), ("1.5Gi", 3 * 2**29), ("64M", 64 * 10**6), ("100m", 1), ("0", 0), (7, 7)],
)
def test_quantity(text: str | int, value: int) -> None:
    assert names.quantity(text) == value


@pytest.mark.parametrize("text", ["", "12 Mi", "Mi", "1Qi", "-1"])
def test_quantity_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="wanted a quantity"):
        names.quantity(text)


def test_pod_interface_is_kubevirts_hash() -> None:
    assert names.pod_interface("vlan2024") == "podcc4dd54e40a"


def test_names_inside_the_pod() -> None:
    assert (names.nic_of("podcc4dd54e40a"), names.bridge_of("podcc4dd54e40a"), names.tap_of("podcc4dd54e40a")) == (
        "cc4dd54e40a-nic",
        "k6t-cc4dd54e40a",
        "tapcc4dd54e40a",
    )
    assert (names.nic_of("eth0"), names.bridge_of("eth0"), names.tap_of("eth0")) == ("eth0-nic", "k6t-eth0", "tap0")
    for made in (names.nic_of("podcc4dd54e40a"), names.bridge_of("podcc4dd54e40a"), names.tap_of("podcc4dd54e40a")):
        assert len(made) <= 15


def test_iface_id_is_the_logical_port() -> None:
    pod = "virt-launcher-vm-abcde"
    assert names.iface_id("demo", pod, "default/vlan-2024") == "default.vlan.2024_demo_virt-launcher-vm-abcde"
    assert names.iface_id("demo", pod) == "demo_virt-launcher-vm-abcde"


def test_host_port_fits_an_interface_name() -> None:
    assert names.host_port("0c8a4e8e-2c7f-4c62-9d3a-5b0a7a1f8f11", 12) == "0c8a4e8e2c7f_12"


def test_stable_mac_is_local_and_unicast() -> None:
    mac = names.stable_mac("a", "b")
    assert mac == names.stable_mac("a", "b") != names.stable_mac("a", "c")
    assert int(mac[:2], 16) & 3 == 2
