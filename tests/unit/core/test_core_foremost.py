"""Several errors at the end of a scenario are told as one, where all of them are ours."""

from __future__ import annotations

from lab.core.errors import ApiDown, ProductFailure, foremost, verdict_of

DOWN, WRONG = ApiDown("an answer", "connection refused"), ProductFailure("an answer", "another one")


def test_the_environment_comes_first() -> None:
    found = foremost(ExceptionGroup("errors during test teardown", [WRONG, ExceptionGroup("more", [DOWN])]))
    assert found is DOWN
    assert verdict_of(found) == "broken"


def test_one_error_and_strangers_stay_what_they_are() -> None:
    group = ExceptionGroup("errors", [DOWN, KeyError("x")])
    assert foremost(DOWN) is DOWN
    assert foremost(group) is group
    assert foremost(ExceptionGroup("errors", [WRONG])) is WRONG
