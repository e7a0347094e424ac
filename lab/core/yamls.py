"""YAML of people, whatever it is: what PyYAML lets through as other errors is an error of YAML here, too.

Its constructors raise ValueError for `!!int x` and for numbers of thousands of digits, AttributeError for a wrong date,
and RecursionError for brackets within brackets: none of them is a fault of the program that reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import yaml

T = TypeVar("T")


class Unreadable(yaml.YAMLError):
    """`problem` says what is wrong, as PyYAML's own errors do."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def reading(read: Callable[[], T]) -> T:
    """What *read* makes with PyYAML. Raises yaml.YAMLError and nothing else for what is no good YAML."""
    try:
        return read()
    except RecursionError as error:
        raise Unreadable("it is nested too deep") from error
    except (ValueError, TypeError, AttributeError, OverflowError, KeyError) as error:
        raise Unreadable(f"a value that cannot be read: {str(error)[:80]}") from error
