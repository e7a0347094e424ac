"""Parameter types of steps: what may stand in a sentence, and how a parser reads it."""

from __future__ import annotations

from pytest_bdd import parsers

VM = r"[a-z](?:[-a-z0-9]*[a-z0-9])?"


def vm_name(text: str) -> str:
    """The name of a VM, which is also that of its manifest."""
    return text


vm_name.pattern = VM  # type: ignore[attr-defined]


def net_name(text: str) -> str:
    """The name of a network of the target, or of an attachment."""
    return text


net_name.pattern = VM  # type: ignore[attr-defined]


def vlan_id(text: str) -> int:
    """A VLAN from 1 to 4094."""
    number = int(text)
    if not 1 <= number <= 4094:
        raise ValueError(f"wanted a VLAN from 1 to 4094, found {number}")
    return number


vlan_id.pattern = r"\d+"  # type: ignore[attr-defined]


def ordinal(text: str) -> int:
    """Which of two NICs: the first is 0."""
    return ("first", "second").index(text)


ordinal.pattern = "first|second"  # type: ignore[attr-defined]


def mac_address(text: str) -> str:
    """Six pairs of hexadecimal digits with colons between."""
    return text.lower()


mac_address.pattern = r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}"  # type: ignore[attr-defined]


def span_ms(text: str) -> float:
    """`1 second`, `2.5 seconds`, `300 ms`, in ms."""
    number, unit = text.split()
    return float(number) * (1 if unit == "ms" else 1000)


span_ms.pattern = r"\d+(?:\.\d+)? (?:ms|seconds?)"  # type: ignore[attr-defined]


def session_kind(text: str) -> str:
    """TCP or SSH."""
    return text


session_kind.pattern = "TCP|SSH"  # type: ignore[attr-defined]


def size_mib(text: str) -> float:
    """`24Mi` or `1Gi`, in MiB."""
    return float(text[:-2]) * (1024 if text.endswith("Gi") else 1)


size_mib.pattern = r"\d+[MG]i"  # type: ignore[attr-defined]


def migration_mode(text: str) -> tuple[str, dict[str, object]]:
    """The mode of a migration as KubeVirt spells it, and what its configuration must say."""
    return MODES[text]


MODES: dict[str, tuple[str, dict[str, object]]] = {
    "pre-copy": ("PreCopy", {}),
    "pre-copy with auto-converge": ("PreCopy", {"allowAutoConverge": True}),
    "post-copy": ("PostCopy", {"allowPostCopy": True}),
}
migration_mode.pattern = "|".join(sorted(MODES, key=len, reverse=True))  # type: ignore[attr-defined]

TYPES = {
    "VM": vm_name,
    "NET": net_name,
    "VLAN": vlan_id,
    "NTH": ordinal,
    "MAC": mac_address,
    "SPAN": span_ms,
    "SESSION": session_kind,
    "SIZE": size_mib,
    "MODE": migration_mode,
}


def sentence(text: str) -> parsers.StepParser:
    """A step's sentence with ``{name:VM}`` and ``{vlan:VLAN}`` in it."""
    return parsers.parse(text, extra_types=TYPES)
