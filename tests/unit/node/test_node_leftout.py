"""A node's own pods that their DaemonSet leaves out: the work stops with the word and goes on with it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from lab.embedded.node import leftout
from lab.embedded.node.leftout import LeftOut


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FOLDER", "WANTED", "TAKEN", "PID"):
        here = tmp_path if name == "FOLDER" else tmp_path / name.lower()
        monkeypatch.setattr(leftout, name, here)
    return tmp_path


def tell(folder: Path, text: str) -> None:
    (folder / "wanted").write_text(text)
    os.kill(int((folder / "pid").read_text()), signal.SIGUSR1)


def test_work_stops_and_goes_on_with_the_word(folder: Path) -> None:
    async def story() -> None:
        seen: asyncio.Queue[str] = asyncio.Queue()
        told = asyncio.Event()

        async def work() -> None:
            seen.put_nowait("begun")
            try:
                await asyncio.Event().wait()
            finally:
                seen.put_nowait("stopped")

        left = LeftOut()
        left.subscribe(told.set)
        left.listen()
        minded = asyncio.create_task(left.minding("handler", work))
        async with asyncio.timeout(5):
            assert await seen.get() == "begun"
            tell(folder, "other\n")
            await told.wait()
            assert seen.empty(), "another pod's name is no word for this one"
            tell(folder, "handler\n")
            assert await seen.get() == "stopped"
            left.taken()
            assert (folder / "taken").read_text() == "handler\n"
            tell(folder, "")
            assert await seen.get() == "begun"
            minded.cancel()
            assert await seen.get() == "stopped"
        await asyncio.gather(minded, return_exceptions=True)

    asyncio.run(story())


def test_work_that_falls_over_is_told_to_whoever_keeps_it_alive(folder: Path) -> None:
    async def work() -> None:
        raise ValueError("fell over")

    with pytest.raises(ValueError, match="fell over"):
        asyncio.run(LeftOut().minding("handler", work))
