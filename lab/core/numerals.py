"""Numbers that others printed: guests, nodes, tools. Nobody has looked at them before.

`str.isdigit` takes what `int` does not (``²``), and `int` refuses thousands of digits.
"""

from __future__ import annotations

import math
import re

WHOLE = re.compile(r"[0-9]{1,18}")


def whole(text: str) -> int | None:
    """A number of at most 18 digits; None for all else."""
    return int(text) if WHOLE.fullmatch(text) else None


def real(text: str) -> float | None:
    """A finite number; None for all else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
