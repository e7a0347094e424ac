"""What virt-handler keeps of VMIs: their files as long as they are there, and no longer."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lab.embedded.node.launcher import Launchers
from lab.embedded.node.virthandler import VirtHandler

UID = "003789fe-f0ea-4885-a89f-6bcc8ffe4aa8"


class PlayedVmis:
    def __init__(self) -> None:
        self.items: dict[str, Any] = {}
        self.tell: Callable[[str, Any], None] = lambda _change, _vmi: None

    def subscribe(self, callback: Callable[[str, Any], None]) -> None:
        self.tell = callback


async def _quiet() -> None:
    while len(asyncio.all_tasks()) > 2:
        waiting = [task for task in asyncio.all_tasks() if task.get_name().startswith("vmi ")]
        await asyncio.wait(waiting, timeout=0.05)
        if all(not task.done() for task in waiting):
            return


async def _handled(tmp_path: Path, what: Callable[[VirtHandler, PlayedVmis], None]) -> None:
    vmis = PlayedVmis()
    ctx = SimpleNamespace(
        node=SimpleNamespace(name="worker-1"), informers=SimpleNamespace(get=lambda _kind: vmis), kube=None,
        rundir=tmp_path / "run", state=tmp_path, kernel=Path("k"), initrd=Path("i"),
    )  # fmt: skip
    handler = VirtHandler(ctx, Launchers())  # type: ignore[arg-type]
    running = asyncio.create_task(handler.run())
    await asyncio.sleep(0)
    what(handler, vmis)
    await _quiet()
    vmis.items.clear()
    vmis.tell("DELETED", {"metadata": {"uid": UID}, "status": {"nodeName": "worker-1"}})
    await _quiet()
    running.cancel()


def files(tmp_path: Path) -> Path:
    folder = tmp_path / "guests" / UID
    folder.mkdir(parents=True)
    (folder / "cloudinitdisk.img").write_text("a password")
    return folder


def test_the_files_of_a_vmi_go_with_it(tmp_path: Path) -> None:
    folder = files(tmp_path)

    def comes(_handler: VirtHandler, vmis: PlayedVmis) -> None:
        vmi = {"metadata": {"uid": UID}, "status": {"nodeName": "worker-1", "phase": "Succeeded"}}
        vmis.items["here/vm-a"] = vmi
        vmis.tell("ADDED", vmi)

    asyncio.run(_handled(tmp_path, comes))
    assert not folder.exists()
    assert folder.parent.exists()


def test_a_vmi_that_was_never_seen_takes_no_files_along(tmp_path: Path) -> None:
    folder = files(tmp_path)
    asyncio.run(_handled(tmp_path, lambda _handler, _vmis: None))
    assert folder.exists()


def test_a_source_whose_guest_has_left_is_ended_after_it_has_read_its_last_figures(tmp_path: Path) -> None:
    told: list[str] = []

    class Guest:
        launcher = SimpleNamespace(end=lambda _status: None)
        sending: asyncio.Task[None] | None = None

        async def close(self) -> None:
            told.append("ended")

    async def send() -> None:
        await asyncio.sleep(0.05)
        told.append("the last figures")

    async def scene() -> None:
        ctx = SimpleNamespace(
            node=SimpleNamespace(name="worker-1"), informers=SimpleNamespace(get=lambda _kind: PlayedVmis()), kube=None,
            rundir=tmp_path / "run", state=tmp_path, kernel=Path("k"), initrd=Path("i"),
        )  # fmt: skip
        handler = VirtHandler(ctx, Launchers())  # type: ignore[arg-type]
        guest = handler.guests[UID] = Guest()  # type: ignore[assignment]
        guest.sending = asyncio.create_task(send())
        await handler._look(UID, {"metadata": {"uid": UID}, "status": {"nodeName": "worker-2"}})

    asyncio.run(scene())
    assert told == ["the last figures", "ended"]
