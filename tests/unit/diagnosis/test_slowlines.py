"""Behind which worker a line is slow, by the last answer of a burst on each."""

from __future__ import annotations

import pytest

from lab.diagnosis.slowlines import judge
from lab.target.segments import Segment

VLAN = Segment("VLAN 2024", "192.168.24.1", "192.168.24.0/24", ("", ""), vlan=2024)


@pytest.mark.parametrize(
    ("latest", "node"),
    [
        ({"w1": 4.0, "w2": 1900.0, "w3": 5.0}, "w2"),
        ({"w1": 1800.0, "w2": 1900.0, "w3": 5.0}, "w1"),
        ({"w1": 1800.0, "w2": 1900.0, "w3": 1700.0}, ""),
        ({"w1": 300.0, "w2": 900.0, "w3": 290.0}, ""),
        ({"w1": 4.0, "w2": None, "w3": 5.0}, ""),
    ],
)
def test_the_worker_that_differs_is_named(latest: dict[str, float | None], node: str) -> None:
    found = judge(VLAN, 1, latest)
    assert getattr(found, "node", "") == node
    if node:
        assert found.startswith(
            f"the line between {', '.join(n for n, ms in latest.items() if (ms or 0) > 500)} and the"
        )
        assert "VLAN 2024" in found
