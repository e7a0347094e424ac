"""Kubernetes quantities (`100m`, `1Gi`, `1k`) as numbers, and bytes back as text. Pure; raises ValueError."""

from __future__ import annotations

import re

MI = 1024**2
SUFFIXES = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 1024.0,
    "Mi": 1024.0**2,
    "Gi": 1024.0**3,
    "Ti": 1024.0**4,
    "Pi": 1024.0**5,
    "Ei": 1024.0**6,
}
PATTERN = re.compile(r"([+-]?[0-9.]+)(?:([eE][+-]?[0-9]+)|([numkMGTPE]i?|Ki)?)")


def parse(text: str | int | float) -> float:
    """`parse("100m") == 0.1`. Raises ValueError with upstream's wording for what is no quantity."""
    match = PATTERN.fullmatch(str(text))
    if match is None or (match[3] or "") not in SUFFIXES:
        raise ValueError(
            f"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$': {text!r}"
        )
    return float(match[1] + (match[2] or "")) * SUFFIXES[match[3] or ""]


def mebibytes(count: float) -> str:
    """Bytes as whole mebibytes, rounded up."""
    return f"{-(-int(count) // MI)}Mi"
