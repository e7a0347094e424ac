"""Checks of a VMI spec's networks and interfaces: upstream's texts, fields and order. Pure.

Rules: upstream pkg/network/admitter (validator.go, netsource.go, netiface.go, binding.go, admit.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lab.embedded.operators.admission.causes import DUPLICATE, INVALID, NOT_SUPPORTED, REQUIRED, Cause
from lab.embedded.operators.objects import Obj, dig

BINDINGS = ("bridge", "masquerade", "sriov", "passtBinding", "binding")
DISCONTINUED = {
    "slirp": ("Slirp", "v1.3"),
    "macvtap": ("Macvtap", "v1.3"),
    "passt": ("Passt", "v1.3"),
}
MODELS = ("e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", "virtio")
STATES = ("", "up", "down", "absent")
NAME = re.compile(r"[A-Za-z0-9_-]+")
MAC = re.compile(r"(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}")
LONG_MAC = re.compile(r"(?:[0-9a-fA-F]{2}[:-]){7,19}[0-9a-fA-F]{2}")
RESERVED_MAC = "02:00:00:00:00:00"
BAD_NAME = "Network interface name can only contain alphabetical characters, numbers, dashes (-) or underscores (_)"


@dataclass(frozen=True)
class Subject:
    """A VMI spec with the path by which its owner knows it (`spec.template.spec` for a VM, `spec` for a VMI)."""

    path: str
    spec: Obj
    pod_bridge_allowed: bool = True
    networks: list[Obj] = field(init=False)
    interfaces: list[Obj] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "networks", dig(self.spec, "networks", default=[]))
        object.__setattr__(self, "interfaces", dig(self.spec, "domain", "devices", "interfaces", default=[]))

    def network(self, index: int, *rest: str) -> str:
        return ".".join((f"{self.path}.networks[{index}]", *rest))

    def interface(self, index: int, *rest: str) -> str:
        return ".".join((f"{self.path}.domain.devices.interfaces[{index}]", *rest))

    def network_named(self, name: str) -> Obj | None:
        return next((entry for entry in self.networks if entry.get("name") == name), None)


def network_causes(subject: Subject) -> list[Cause]:
    """Every mistake, in upstream's order."""
    checks = (
        _single_pod_network,
        _single_source,
        _multus_source,
        _state,
        _binding,
        _network_names,
        _networks_used,
        _interface_names,
        _interfaces_connected,
        _interface_fields,
    )
    return [cause for check in checks for cause in check(subject)]


def _is_pod(network: Obj) -> bool:
    return network.get("pod") is not None


def _is_default_multus(network: Obj) -> bool:
    return bool(dig(network, "multus", "default", default=False))


def _single_pod_network(subject: Subject) -> Iterator[Cause]:
    if sum(_is_pod(network) for network in subject.networks) > 1:
        where = f"{subject.path}.interfaces"
        yield Cause(DUPLICATE, f"more than one interface is connected to a pod network in {where}", where)
    defaults = sum(_is_default_multus(network) for network in subject.networks)
    where = f"{subject.path}.networks"
    if defaults > 1:
        yield Cause(INVALID, "Multus CNI should only have one default network", where)
    if defaults and any(_is_pod(network) for network in subject.networks):
        yield Cause(INVALID, "Pod network cannot be defined when Multus default network is defined", where)


def _single_source(subject: Subject) -> Iterator[Cause]:
    for index, network in enumerate(subject.networks):
        sources = sum(network.get(key) is not None for key in ("pod", "multus", "resourceClaim"))
        if sources > 1:
            yield Cause(REQUIRED, "should have only one network type", subject.network(index))
        elif not sources:
            yield Cause(REQUIRED, "should have a network type", subject.network(index))


def _multus_source(subject: Subject) -> Iterator[Cause]:
    for index, network in enumerate(subject.networks):
        multus = network.get("multus")
        if multus is not None and not multus.get("networkName"):
            yield Cause(REQUIRED, "CNI delegating plugin must have a networkName", subject.network(index))


def _state(subject: Subject) -> Iterator[Cause]:
    for index, interface in enumerate(subject.interfaces):
        name, state = interface.get("name", ""), interface.get("state") or ""
        where = subject.interface(index, "state")
        if state not in STATES:
            yield Cause(INVALID, f"logical {name} interface state value is unsupported: {state}", where)
        elif state == "absent":
            if interface.get("bridge") is None:
                text = f'"{name}" interface\'s state "absent" is supported only for bridge binding'
                yield Cause(INVALID, text, where)
            network = subject.network_named(name)
            if network is not None and (_is_pod(network) or _is_default_multus(network)):
                yield Cause(
                    INVALID, f'"{name}" interface\'s state "absent" is not supported on default networks', where
                )


def _binding(subject: Subject) -> Iterator[Cause]:
    for index, interface in enumerate(subject.interfaces):
        name, where = interface.get("name", ""), subject.interface(index)
        gone = next((key for key in DISCONTINUED if interface.get(key) is not None), None)
        if gone is not None:
            label, version = DISCONTINUED[gone]
            text = f"{label} interface support has been discontinued since {version}"
            yield Cause(INVALID, text, subject.interface(index, gone))
            continue
        if sum(interface.get(key) is not None for key in BINDINGS) != 1:
            text = f"logical {name} interface must have exactly one binding method or binding plugin"
            yield Cause(INVALID, text, where)
            continue
        yield from _binding_fits(subject, index, interface)


def _binding_fits(subject: Subject, index: int, interface: Obj) -> Iterator[Cause]:
    network = subject.network_named(interface.get("name", ""))
    if network is None:
        return
    if interface.get("masquerade") is not None:
        if not _is_pod(network):
            text = "Masquerade interface only implemented with pod network"
            yield Cause(INVALID, text, subject.interface(index, "name"))
        if str(interface.get("macAddress", "")).replace("-", ":") == RESERVED_MAC:
            text = "The requested MAC address is reserved for the in-pod bridge. Please choose another one."
            yield Cause(INVALID, text, subject.interface(index, "macAddress"))
    if interface.get("bridge") is not None and _is_pod(network) and not subject.pod_bridge_allowed:
        text = "Bridge on pod network configuration is not enabled under kubevirt-config"
        yield Cause(INVALID, text, subject.interface(index, "name"))


def _network_names(subject: Subject) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, network in enumerate(subject.networks):
        name = network.get("name", "")
        if name in seen:
            text = f'Network with name "{name}" already exists, every network must have a unique name'
            yield Cause(DUPLICATE, text, subject.network(index, "name"))
        seen.add(name)


def _networks_used(subject: Subject) -> Iterator[Cause]:
    names = {interface.get("name") for interface in subject.interfaces}
    for index, network in enumerate(subject.networks):
        if network.get("name") not in names:
            where = subject.network(index, "name")
            yield Cause(REQUIRED, f"{where} '{network.get('name', '')}' not found.", where)


def _interface_names(subject: Subject) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, interface in enumerate(subject.interfaces):
        name = interface.get("name", "")
        if name in seen:
            text = "Only one interface can be connected to one specific network"
            yield Cause(DUPLICATE, text, subject.interface(index, "name"))
        seen.add(name)


def _interfaces_connected(subject: Subject) -> Iterator[Cause]:
    for index, interface in enumerate(subject.interfaces):
        name, where = interface.get("name", ""), subject.interface(index, "name")
        if subject.network_named(name) is None:
            yield Cause(INVALID, f"{where} '{name}' not found.", where)


def _interface_fields(subject: Subject) -> Iterator[Cause]:
    for index, interface in enumerate(subject.interfaces):
        name = str(interface.get("name", ""))
        if not NAME.fullmatch(name):
            yield Cause(INVALID, BAD_NAME, subject.interface(index, "name"))
        yield from _model(subject, index, interface)
        yield from _mac(subject, index, interface)
        yield from _ports(subject, index, interface)


def _model(subject: Subject, index: int, interface: Obj) -> Iterator[Cause]:
    model = interface.get("model")
    if model and model not in MODELS:
        where = subject.interface(index, "name")
        yield Cause(
            NOT_SUPPORTED, f"interface {where} uses model {model} that is not supported.", where[:-5] + ".model"
        )


def _mac(subject: Subject, index: int, interface: Obj) -> Iterator[Cause]:
    mac = interface.get("macAddress")
    if not mac or MAC.fullmatch(str(mac)):
        return
    what = "too long" if LONG_MAC.fullmatch(str(mac)) else "malformed"
    text = f"interface {subject.interface(index, 'name')} has {what} MAC address ({mac})."
    yield Cause(INVALID, text, subject.interface(index, "macAddress"))


def _ports(subject: Subject, index: int, interface: Obj) -> Iterator[Cause]:
    seen: set[str] = set()
    for number, port in enumerate(interface.get("ports") or []):
        where = subject.interface(index, f"ports[{number}]")
        value: Any = port.get("port")
        if not value:
            yield Cause(REQUIRED, "Port field is mandatory.", where)
        elif not isinstance(value, int) or not 0 < value < 65536:
            yield Cause(INVALID, "Port field must be in range 0 < x < 65536.", where)
        if port.get("protocol") not in (None, "", "TCP", "UDP"):
            yield Cause(INVALID, "Unknown protocol, only TCP or UDP allowed", f"{where}.protocol")
        name = port.get("name")
        if name:
            if name in seen:
                yield Cause(DUPLICATE, f"Duplicate name of the port: {name}", f"{where}.name")
            seen.add(name)
