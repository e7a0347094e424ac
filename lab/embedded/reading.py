"""Text of people and guests: JSON within a string of an object, numbers. Nobody has looked at it before.

What Python lets through as another error, or as a number that it cannot read, is refused here the same way.
"""

from __future__ import annotations

import json
import re
from typing import Any

DIGITS = re.compile(r"[0-9]{1,18}")


def json_of(text: str | bytes) -> Any:
    """The value. Raises ValueError for all that is no good JSON, brackets within brackets included."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("exceeded max depth") from error


def whole(text: str) -> int | None:
    """A number of at most 18 digits, None for all else: `str.isdigit` takes what `int` does not (``²``), and `int`
    refuses thousands of digits."""
    return int(text) if DIGITS.fullmatch(text) else None
