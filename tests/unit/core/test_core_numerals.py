"""Numbers that others printed, for both programs: each has a reader of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.core import numerals
from lab.embedded import reading


@pytest.mark.parametrize("whole", [numerals.whole, reading.whole])
def test_a_number_has_digits_and_not_thousands_of_them(whole: Callable[[str], int | None]) -> None:
    assert [whole(text) for text in ("0", "07", "9" * 18)] == [0, 7, 10**18 - 1]
    for text in ("", "²", "٣", "-1", "+1", " 1", "1\n", "1e3", "9" * 19, "9" * 5000, "1_0", "nan"):
        assert whole(text) is None, text[:20]


def test_a_real_number_is_finite() -> None:
    assert [numerals.real(text) for text in ("1.5", "-2", "1e3")] == [1.5, -2.0, 1000.0]
    for text in ("", "nan", "inf", "-1e999", "1.2.3", "x"):
        assert numerals.real(text) is None, text


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "9" * 5000, "{", ""])
def test_what_is_no_json_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(ValueError):
        reading.json_of(text)
