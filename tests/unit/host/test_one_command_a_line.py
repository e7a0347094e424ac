"""Batches of iproute2: a word with a line's end in it does not become a command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from lab.embedded.errors import LabError
from lab.embedded.host.link import bridge, ip


@pytest.mark.parametrize("batch", [ip, bridge])
@pytest.mark.parametrize("line", ["addr add 10.0.0.1/24\nlink del lo dev eth0", "link set a\0b up", "link set a\r up"])
def test_a_line_is_one_command(batch: Callable[[Sequence[str]], Awaitable[None]], line: str) -> None:
    with pytest.raises(LabError, match="wanted one command of iproute2"):
        asyncio.run(batch(["link show", line]))  # type: ignore[arg-type]
