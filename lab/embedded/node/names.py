"""Names and quantities that several programs must derive alike: pure functions, no state.

Interface names follow KubeVirt's pkg/network/namescheme, logical port names follow OVN-Kubernetes'
pkg/util/multi_network.go, quantities follow Kubernetes' resource.Quantity.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from decimal import Decimal

_SUFFIXES: dict[str, int | Decimal] = {
    "": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([a-zA-Z]*)")


def quantity(text: str | int | float) -> int:
    """Bytes (or units) of a Kubernetes quantity, rounded up. Raises ValueError."""
    found = _QUANTITY.fullmatch(str(text).strip())
    if not found or found[2] not in _SUFFIXES:
        raise ValueError(f"wanted a quantity such as 128Mi, found {text!r}")
    exact = Decimal(found[1]) * Decimal(_SUFFIXES[found[2]])
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))


def now() -> str:
    """This moment as the API writes it: RFC 3339, whole seconds, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def netns_name(uid: str) -> str:
    """The network namespace of a pod, by its UID."""
    return f"pod-{uid.replace('-', '')[:12]}"


def host_port(uid: str, index: int) -> str:
    """The node's end of a pod's cable, at most 15 characters; index 0 is the default network."""
    return f"{uid.replace('-', '')[:12]}_{index}"


def pod_interface(network: str) -> str:
    """The pod's interface for a secondary network of a VM, by the name in spec.networks."""
    return f"pod{hashlib.sha256(network.encode()).hexdigest()[:11]}"


def _base(pod_if: str) -> str:
    return pod_if.removeprefix("pod") if pod_if.startswith("pod") else pod_if


def bridge_of(pod_if: str) -> str:
    """The in-pod Linux bridge of a pod interface: `k6t-eth0` or `k6t-<hash>`."""
    return f"k6t-{_base(pod_if)}"


def nic_of(pod_if: str) -> str:
    """What a pod interface is called once it is a port of the in-pod bridge."""
    return f"{_base(pod_if)}-nic"


def tap_of(pod_if: str) -> str:
    """The tap of a guest interface: `tap0` for eth0, `tap<hash>` for the others."""
    found = re.fullmatch(r"(?:eth|net)(\d+)", pod_if)
    return f"tap{found[1]}" if found else f"tap{_base(pod_if)}"


def stable_mac(*parts: str) -> str:
    """A locally administered address that depends on ``parts`` only."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return ":".join(f"{octet:02x}" for octet in (0x02, *digest[:5]))


def iface_id(namespace: str, pod: str, nad: str = "") -> str:
    """The logical switch port of a pod: of the default network, or of the attachment ``ns/name``."""
    prefix = f"{nad.replace('-', '.').replace('/', '.')}_" if nad else ""
    return f"{prefix}{namespace}_{pod}"


def sanitize_hostname(name: str) -> str:
    """A host name from an object's name: up to the first dot, at most 63 characters (KubeVirt's rule)."""
    return name.split(".", 1)[0][:63]
