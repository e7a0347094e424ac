"""Limits, and the verdict on a migration's progress, against a scripted QMP server on a real socket."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from qemu.qmp import QMPClient

from lab.embedded.kube import KubeError
from lab.embedded.node import handover, jobinfo, migration
from lab.embedded.node.migration import GIB, MIB, Limits, MigrationFailed, Progress
from lab.embedded.node.qemu import Qemu


def test_limits_from_the_clusters_configuration() -> None:
    assert Limits.of({}, 128 * 2**20) == Limits()
    limits = Limits.of(
        {"bandwidthPerMigration": "64Mi", "completionTimeoutPerGiB": 800, "allowPostCopy": True}, 2 * GIB
    )
    assert (limits.bandwidth, limits.completion, limits.post_copy) == (64 * 2**20, 1600, True)
    assert migration.sending(limits) == {"downtime-limit": 300, "max-bandwidth": 64 * 2**20}
    assert migration.sending(Limits())["max-bandwidth"] == 2**40


def emulated(version: tuple[int, int], **configuration: Any) -> Limits:
    return Limits.of(configuration, 128 * MIB, "tcg,tb-size=64", version)


def test_an_emulator_that_loses_writes_has_one_pass_which_allows_no_pause_until_its_end() -> None:
    for version in ((7, 2), (8, 2)):
        assert emulated(version).one_pass
    assert migration.sending(emulated((7, 2))) == {"downtime-limit": 1, "max-bandwidth": migration.FAST_BYTES}
    assert migration.sending(emulated((7, 2), bandwidthPerMigration="1Mi"))["max-bandwidth"] == MIB


def test_a_later_emulator_and_a_processor_have_qemus_own_passes() -> None:
    assert not Limits.of({}, 128 * MIB, "kvm", (7, 2)).one_pass
    for version in ((9, 0), (10, 0)):
        assert not emulated(version).one_pass
    assert migration.sending(emulated((10, 0))) == {"downtime-limit": 41, "max-bandwidth": migration.FAST_BYTES}
    slow = migration.sending(emulated((10, 0), bandwidthPerMigration="8Mi"))
    assert slow == {"downtime-limit": migration.DOWNTIME_MS, "max-bandwidth": 8 * MIB}
    assert migration.sending(emulated((10, 0), maxDowntimeMs=20))["downtime-limit"] == 20


def test_announcements_stay_in_qemus_ranges() -> None:
    rounds = migration.announcing()
    assert 1 <= rounds["step"] <= 10000
    assert rounds["rounds"] <= 1000


class Obedient:
    """A QEMU that takes every command."""

    async def command(self, name: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        return {}


def test_a_target_that_refuses_or_drops_connections_is_told_in_libvirts_words(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "operation failed: unable to connect to server at '127.0.0.1:{port}': "
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        with pytest.raises(OSError, match=re.escape(said.format(port=port) + "Connection refused")):
            asyncio.run(migration.offer(cast(Qemu, Obedient()), "127.0.0.1", port, Limits()))
        # A queue that is full takes no more connections and says nothing.
        listening.listen(0)
        with socket.create_connection(("127.0.0.1", port)), contextlib.suppress(OSError):
            monkeypatch.setattr(migration, "CONNECT_S", 0.0)
            with pytest.raises(OSError, match=re.escape(said.format(port=port) + "Connection timed out")):
                asyncio.run(migration.offer(cast(Qemu, Obedient()), "127.0.0.1", port, Limits()))


Script = Callable[[dict[str, Any]], dict[str, Any]]


def play(folder: Path, script: Script, limits: Limits, abort: bool = False, modes: list[str] | None = None) -> Any:
    async def switched() -> None:
        assert modes is not None, "no post-copy was asked for"
        modes.append("PostCopy")

    asked: list[dict[str, Any]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version = {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": ""}
        writer.write(json.dumps({"QMP": {"version": version, "capabilities": []}}).encode() + b"\r\n")
        # The client sends JSON without line ends.
        rest = ""
        while data := await reader.read(4096):
            rest += data.decode()
            while rest:
                message, end = json.JSONDecoder().raw_decode(rest)
                rest = rest[end:]
                asked.append(message)
                result = {} if message["execute"] == "qmp_capabilities" else script(message)
                writer.write(json.dumps({"return": result, "id": message.get("id")}).encode() + b"\r\n")
        writer.close()

    async def scene() -> Any:
        server = await asyncio.start_unix_server(handle, str(folder / "q"))
        client = QMPClient("test")
        async with asyncio.timeout(5):
            await client.connect(str(folder / "q"))
        qemu = Qemu(folder, None, client)  # type: ignore[arg-type]
        assert qemu.version == (7, 2)
        progress = Progress(qemu, limits)
        try:
            async with asyncio.timeout(10):
                ending = asyncio.ensure_future(progress.finish(switched))
                if abort:
                    await progress.abort()
                return await ending, asked
        finally:
            await client.disconnect()
            server.close()

    return asyncio.run(scene())


def test_completed(tmp_path: Path) -> None:
    said, _ = play(tmp_path, lambda _m: {"status": "completed", "downtime": 4}, Limits())
    assert said["downtime"] == 4


def test_failed_with_qemus_words(tmp_path: Path) -> None:
    with pytest.raises(MigrationFailed) as error:
        play(tmp_path, lambda _m: {"status": "failed", "error-desc": "Unable to write to socket"}, Limits())
    assert (error.value.reason, error.value.aborted) == ("Live migration failed: Unable to write to socket", False)


def test_aborted(tmp_path: Path) -> None:
    cancelled = []

    def script(message: dict[str, Any]) -> dict[str, Any]:
        if message["execute"] == "migrate_cancel":
            cancelled.append(1)
            return {}
        return {"status": "cancelled" if cancelled else "active", "ram": {"remaining": 1}}

    with pytest.raises(MigrationFailed) as error:
        play(tmp_path, script, Limits(), abort=True)
    assert (error.value.reason, error.value.aborted) == (migration.ABORTED, True)


def test_stuck_is_cancelled_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(MigrationFailed, match="Live migration stuck for 1 seconds"):
        play(tmp_path, lambda _m: {"status": "active", "ram": {"remaining": 100}}, Limits(progress=0.6))


def test_never_ending_is_cancelled(tmp_path: Path) -> None:
    left = iter(range(1000, 0, -1))

    def script(_message: dict[str, Any]) -> dict[str, Any]:
        return {"status": "active", "ram": {"remaining": next(left)}}

    with pytest.raises(MigrationFailed, match="Live migration is not completed after 1 seconds"):
        play(tmp_path, script, Limits(completion=1.0))


def test_post_copy_instead_of_giving_up(tmp_path: Path) -> None:
    started = []

    def script(message: dict[str, Any]) -> dict[str, Any]:
        if message["execute"] == "migrate-start-postcopy":
            started.append(1)
            return {}
        return {"status": "completed" if started else "active", "ram": {"remaining": 5}}

    modes: list[str] = []
    play(tmp_path, script, Limits(progress=0.2, post_copy=True), modes=modes)
    assert started
    assert modes == ["PostCopy"]


def test_a_target_that_cannot_do_post_copy_says_so_in_qemus_words() -> None:
    wanted = (
        "Live migration failed: unable to execute QEMU command 'migrate-set-capabilities': Postcopy is not supported: "
        "Userfaultfd not available: Operation not permitted"
    )
    printed = "qemu-system-x86_64: postcopy_ram_supported_by_host: userfaultfd not available: Operation not permitted\n"
    assert migration.refused("Postcopy is not supported", printed) == wanted
    later = "Postcopy is not supported: Userfaultfd not available: Operation not permitted"
    assert migration.refused(later, printed) == wanted
    assert migration.refused("Postcopy is not supported", "").endswith("Postcopy is not supported")


FIGURES = {
    "status": "completed", "total-time": 5215, "downtime": 92, "setup-time": 3,
    "ram": {"transferred": 96856408, "remaining": 0, "total": 136192000, "duplicate": 9000, "normal": 23000,
            "normal-bytes": 94208000, "dirty-pages-rate": 311, "page-size": 4096, "mbps": 149.4,
            "dirty-sync-count": 3, "postcopy-requests": 0},
}  # fmt: skip


def test_what_qemu_counted_is_logged_in_upstreams_line() -> None:
    said = json.loads(jobinfo.line("4d3-1", FIGURES))
    assert said["component"] == "virt-launcher"
    assert said["msg"] == (
        "Migration info for 4d3-1: TimeElapsed:5215ms DataProcessed:92MiB DataRemaining:0MiB DataTotal:129MiB "
        "MemoryProcessed:92MiB MemoryRemaining:0MiB MemoryTotal:129MiB MemoryBandwidth:149Mbps DirtyRate:10Mbps "
        "Iteration:3 PostcopyRequests:0 ConstantPages:9000 NormalPages:23000 NormalData:89MiB Downtime:92ms DiskMbps:0"
    )


def test_the_only_pass_is_slowed_down_and_then_ended(tmp_path: Path) -> None:
    left = iter([100, 50, 20, 10, 3])
    asked: list[dict[str, Any]] = []

    def script(message: dict[str, Any]) -> dict[str, Any]:
        asked.append(message)
        if message["execute"] != "query-migrate":
            return {}
        remaining = next(left, None)
        if remaining is None:
            return {"status": "completed", "total-time": 1}
        return {"status": "active", "ram": {"remaining": remaining * MIB}}

    play(tmp_path, script, Limits(one_pass=True))
    told = [message["arguments"] for message in asked if message["execute"] == "migrate-set-parameters"]
    assert told == [{"max-bandwidth": migration.SLOW_BYTES}, {"downtime-limit": migration.ANY_PAUSE_MS}]


def test_the_source_keeps_the_pod_until_the_vmi_is_the_targets() -> None:
    state = {"targetNodeDomainReadyTimestamp": "2026-01-01T00:00:00Z"}
    assert not handover.taken_over({"status": {"nodeName": "worker-1", "migrationState": state}}, "worker-1")
    done = {**state, "completed": True}
    assert handover.taken_over({"status": {"nodeName": "worker-1", "migrationState": done}}, "worker-1")
    assert handover.taken_over({"status": {"nodeName": "worker-2", "migrationState": state}}, "worker-1")
    assert handover.taken_over(None, "worker-1")


class PlayedApi:
    """What a source that lost its QEMU reads of its VMI, and writes."""

    def __init__(self, vmi: dict[str, Any], known: dict[str, Any] | None = None) -> None:
        self.stored, self.events = vmi, list[str]()
        self.node = SimpleNamespace(name="worker-1")
        self.informers = SimpleNamespace(get=lambda _kind: SimpleNamespace(items={"here/vm-a": known or vmi}))
        self.kube = self

    async def update(self, _kind: object, wanted: dict[str, Any]) -> dict[str, Any]:
        if self.stored["status"]["nodeName"] != wanted["status"]["nodeName"]:
            raise KubeError(409, "Conflict", "the object has been modified")
        self.stored = wanted
        return wanted

    async def get(self, _kind: object, _name: str, _namespace: str) -> dict[str, Any]:
        return self.stored

    async def event(self, _vmi: object, _kind: str, _reason: str, text: str, _component: str) -> None:
        self.events.append(text)


def vmi_on(node: str) -> dict[str, Any]:
    meta = {"namespace": "here", "name": "vm-a", "uid": "1"}
    return {"metadata": meta, "status": {"nodeName": node, "migrationState": {"migrationUid": "7"}}}


class Lost(Obedient):
    """A QEMU that was killed before its last figures were read, and which a guest that stands still would wake."""

    def __init__(self) -> None:
        self.woken = False

    async def command(self, name: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        self.woken = self.woken or name == "cont"
        return {"running": False}


def fail(api: PlayedApi) -> bool:
    qemu = Lost()
    guest = SimpleNamespace(
        progress=None, status=None, paused=False, qemu=qemu, domain=SimpleNamespace(name="here_vm-a")
    )
    asyncio.run(handover._failed(api, guest, vmi_on("worker-1"), "it is gone", aborted=False))  # type: ignore[arg-type]
    return qemu.woken


def test_a_source_that_ends_after_the_guest_has_left_calls_nothing_failed_and_wakes_nothing() -> None:
    api = PlayedApi(vmi_on("worker-2"))
    assert not fail(api)
    assert "failed" not in api.stored["status"]["migrationState"]
    assert not api.events


def test_a_source_that_has_not_heard_of_the_take_over_writes_nothing_over_it() -> None:
    api = PlayedApi(vmi_on("worker-2"), known=vmi_on("worker-1"))
    fail(api)
    assert "failed" not in api.stored["status"]["migrationState"]
    assert not api.events


def test_a_migration_that_failed_leaves_the_guest_running_here_and_says_why() -> None:
    api = PlayedApi(vmi_on("worker-1"))
    assert fail(api)
    assert api.stored["status"]["migrationState"]["failureReason"] == "it is gone"
    assert api.events == ["VirtualMachineInstance migration uid 7 failed. reason:it is gone"]
