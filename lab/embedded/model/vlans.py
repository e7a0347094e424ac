"""Sets of VLAN IDs as runs of neighbours, which is how every tool takes and prints them. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def runs(vlans: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each run of neighbours, in order."""
    found: list[tuple[int, int]] = []
    for vlan in sorted(set(vlans)):
        if found and vlan == found[-1][1] + 1:
            found[-1] = (found[-1][0], vlan)
        else:
            found.append((vlan, vlan))
    return found


def spans(vlans: Iterable[int]) -> list[str]:
    """`2-4`, `7`: the runs as iproute2 takes them."""
    return [str(low) if low == high else f"{low}-{high}" for low, high in runs(vlans)]
