"""The life of one pod on this node: sandbox, containers, end. One worker per pod UID.

The order is the kubelet's: network first (tried again until it works), containers, and after the last of them
ended the sandbox goes while the object stays; the object goes when it is deleted and nothing is left.  The
process in a virt-launcher's `compute` is QEMU, which the guests' keeper runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.host import netns as namespaces
from lab.embedded.kube import KubeError
from lab.embedded.model.kinds import POD
from lab.embedded.node import nad as nads
from lab.embedded.node import programlogs, rootfs
from lab.embedded.node.cni import Cni, network_status
from lab.embedded.node.cnierror import CniError
from lab.embedded.node.containers import LogFile, Process, command_of, environment
from lab.embedded.node.context import NodeContext
from lab.embedded.node.launcher import Attachment, Launcher, Launchers
from lab.embedded.node.names import netns_name, now
from lab.embedded.node.place import Place
from lab.embedded.node.podstatus import ContainerState, conditions, phase_of

log = logging.getLogger(__name__)
Obj = dict[str, Any]
UNPLUGS = 3
RETRY_SECONDS = 3.0
EVENT_EVERY = 5
BACKOFF = (1.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
KILLED = 137


@dataclass(frozen=True)
class Tools:
    """What every worker of a node uses."""

    ctx: NodeContext
    cni: Cni
    launchers: Launchers
    path: str


class PodWorker:
    """Runs one pod."""

    def __init__(self, tools: Tools, pod: Obj) -> None:
        self.tools, self.pod = tools, pod
        meta = pod["metadata"]
        self.namespace, self.name, self.uid = meta["namespace"], meta["name"], meta["uid"]
        self.host_network = bool(pod["spec"].get("hostNetwork"))
        labels = meta.get("labels") or {}
        owners = meta.get("ownerReferences") or []
        self.stands_for_programs = any(owner.get("kind") == "Node" for owner in owners)
        """A pod of the node itself: its containers' programs run on the node without it."""
        self.vmi_uid = labels.get("kubevirt.io/created-by", "") if labels.get("kubevirt.io") == "virt-launcher" else ""
        self.attachments: list[Attachment] = []
        self.sandbox = False
        self._trouble = ""
        """Why there is no sandbox yet."""
        self.states = [ContainerState(c["name"], c.get("image", "")) for c in pod["spec"]["containers"]]
        self.started = now()
        self._changed = asyncio.Event()
        self._halt = asyncio.Event()
        """Containers without a process of their own are to end."""
        self._ending = asyncio.Event()
        """The pod is being deleted: nothing is started again."""
        self._lock = asyncio.Lock()
        self._published: Obj = {}
        self._processes: dict[str, Process] = {}
        self._ip = ""

    def update(self, pod: Obj) -> None:
        """A newer object arrived."""
        self.pod = pod
        self._changed.set()
        if self.deleting:
            self._ending.set()

    @property
    def deleting(self) -> bool:
        return bool(self.pod["metadata"].get("deletionTimestamp"))

    @property
    def netns(self) -> str | None:
        """Path of the pod's namespace; None for the node's own."""
        return None if self.host_network else namespaces.path(netns_name(self.uid))

    @property
    def folder(self) -> Path:
        """What the node keeps of this pod."""
        return Path(self.tools.ctx.rundir, "pods", self.uid)

    def place(self, container: Obj) -> Place:
        """Where a container's processes run."""
        root = self._root(container["name"])
        return Place(self.netns, root if root.is_dir() else None, container.get("workingDir"))

    def process(self, container: str) -> Process | None:
        """The running process of a container, for who wants to attach to it."""
        return self._processes.get(container)

    def _root(self, container: str) -> Path:
        return self.folder / container / "root"

    def log_file(self, container: str) -> LogFile:
        if self.stands_for_programs:
            return LogFile(programlogs.path_of(self.tools.ctx.rundir, container))
        return LogFile(self.folder / f"{container}.log")

    def state(self, container: str) -> ContainerState | None:
        return next((state for state in self.states if state.name == container), None)

    async def run(self) -> None:
        """The whole life. When cancelled (the object is gone) everything of the pod is removed."""
        try:
            if not self._already_over() and await self._make_sandbox():
                await self._run_containers()
            await self._teardown()
            await self._publish()
            while not self.deleting:
                await self._next_change()
                await self._publish()
            await self._remove()
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None:
                # Before Python 3.11.3 a timeout in a task that is being cancelled ends as one more cancellation
                # (gh-102780), and what is left of the pod would stay.
                task.uncancel()
            await self._teardown()
            raise

    def _already_over(self) -> bool:
        """A pod that ended before, or whose processes died with an earlier agent and are never started again."""
        phase = self.pod.get("status", {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            before = {c["name"]: c for c in self.pod["status"].get("containerStatuses") or []}
            for state in self.states:
                over = before.get(state.name, {}).get("state", {}).get("terminated") or {}
                state.begin(str(over.get("containerID", "")))
                state.end(int(over.get("exitCode", 0 if phase == "Succeeded" else 1)))
            return True
        if phase == "Running" and self.pod["spec"].get("restartPolicy") == "Never":
            for state in self.states:
                state.begin(f"virtlab://{self.uid}")
                state.end(KILLED)
            return True
        return False

    async def _next_change(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    async def _event(self, type: str, reason: str, message: str, component: str = "kubelet") -> None:
        with contextlib.suppress(KubeError):
            await self.tools.ctx.kube.event(self.pod, type, reason, message, component)

    async def _make_sandbox(self) -> bool:
        """True once the pod has its network; False when it was deleted before."""
        self._ip = self.tools.ctx.node.machine_ip if self.host_network else ""
        await self._publish()
        attempt = 0
        while not self.deleting:
            if self.host_network:
                return True
            try:
                self.attachments = await self.tools.cni.add(self.pod)
                break
            except (CniError, LabError, OSError) as error:
                if str(error) != self._trouble or attempt % EVENT_EVERY == 0:
                    await self._sandbox_failed(error)
                self._trouble = str(error)
                await self._publish()
            attempt += 1
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS):
                    while not self.deleting:
                        await self._next_change()
        else:
            return False
        self.sandbox = True
        self._ip = next((a.addresses[0].split("/")[0] for a in self.attachments if a.default and a.addresses), "")
        await self._tell_networks()
        return True

    async def _sandbox_failed(self, error: Exception) -> None:
        reason = error.reason if isinstance(error, CniError) else ""
        if reason:
            await self._event("Warning", reason, str(error), "multus")
        message = nads.sandbox_failure(self.pod, self.uid.replace("-", ""), str(error))
        await self._event("Warning", "FailedCreatePodSandBox", message)

    async def _tell_networks(self) -> None:
        """Multus' annotation and events."""
        note = {"metadata": {"annotations": {nads.STATUS: network_status(self.attachments)}}}
        with contextlib.suppress(KubeError):
            await self.tools.ctx.kube.patch(POD, self.name, self.namespace, note)
        for attachment in self.attachments:
            addresses = f"[{' '.join(attachment.addresses)}]"
            text = f"Add {attachment.ifname} {addresses} from {attachment.network}"
            await self._event("Normal", "AddedInterface", text, "multus")

    async def _run_containers(self) -> None:
        tasks = {asyncio.create_task(self._supervise(state), name=f"{self.name}/{state.name}") for state in self.states}
        stopping = False
        try:
            while tasks:
                change = asyncio.ensure_future(self._changed.wait())
                try:
                    done, _ = await asyncio.wait({*tasks, change}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    change.cancel()
                self._changed.clear()
                tasks -= done
                for task in done - {change}:
                    task.result()
                if self.deleting and not stopping:
                    stopping = True
                    tasks.add(asyncio.create_task(self._stop()))
                await self._publish()
        finally:
            for task in tasks:
                task.cancel()

    async def _supervise(self, state: ContainerState) -> None:
        """Run one container until it is not to run again."""
        container = next(c for c in self.pod["spec"]["containers"] if c["name"] == state.name)
        await self._event("Normal", "Pulled", f'Container image "{state.image}" already present on machine')
        while True:
            await self._event("Normal", "Created", f"Created container: {state.name}")
            if self.deleting:
                # `_stop` went by before there was anything to stop.
                self._halt.set()
                return
            try:
                status = await self._once(state, container)
            except (LabError, OSError, ValueError) as error:
                # Words with a NUL in them, or too many: no process can be started with these.
                state.begin("")
                status = 128
                self.log_file(state.name).write("stderr", str(error).encode())
            state.end(status)
            policy = self.pod["spec"].get("restartPolicy") or "Always"
            if self.deleting or policy == "Never" or (policy == "OnFailure" and status == 0):
                return
            state.last, state.waiting = state.terminated(), "CrashLoopBackOff"
            state.restarts += 1
            await self._publish()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BACKOFF[min(state.restarts - 1, len(BACKOFF) - 1)]):
                    await self._ending.wait()
                    state.waiting = ""
                    return

    async def _once(self, state: ContainerState, container: Obj) -> int:
        if self.vmi_uid and state.name == "compute":
            return await self._launcher(state)
        if self.stands_for_programs or self.vmi_uid:
            return await self._placeholder(state)
        mounted = rootfs.volumes(self.pod, container, self.folder / "volumes")
        if mounted and not self._root(state.name).is_dir():
            rootfs.build(self._root(state.name), mounted)
        stdin, tty = bool(container.get("stdin")), bool(container.get("tty"))
        process = await Process.start(
            command_of(container),
            self.place(container),
            environment(container, self.pod, self.tools.path),
            self.log_file(state.name),
            stdin=stdin,
            tty=tty,
        )
        self._processes[state.name] = process
        if self.deleting:
            # `_stop` went by while it was being started.
            await process.stop(0)
        await self._begin(state, str(process.process.pid))
        return await process.wait()

    async def _begin(self, state: ContainerState, id: str) -> None:
        state.begin(f"virtlab://{self.uid.replace('-', '')}{id}")
        await self._publish()
        await self._event("Normal", "Started", f"Started container {state.name}")

    async def _launcher(self, state: ContainerState) -> int:
        launcher = Launcher(
            self.namespace,
            self.name,
            self.uid,
            self.vmi_uid,
            self.netns or "",
            tuple(self.attachments),
            self.log_file("compute").path,
        )
        self.tools.launchers.add(launcher)
        self.log_file("compute").write("stdout", b"virt-launcher waits for virt-handler to define the domain")
        await self._begin(state, "compute")
        status = await launcher.ended
        self._halt.set()
        return status

    async def _placeholder(self, state: ContainerState) -> int:
        """A container whose program runs on the node without it, or is part of QEMU."""
        await self._begin(state, state.name)
        await self._halt.wait()
        return 0

    async def _stop(self) -> None:
        """End all containers within the pod's grace period."""
        grace = float(self.pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        for state in self.states:
            if state.running:
                await self._event("Normal", "Killing", f"Stopping container {state.name}")
        if not self.vmi_uid:
            self._halt.set()
        self.tools.launchers.stop(self.uid)
        await asyncio.gather(*(process.stop(grace) for process in self._processes.values()))
        for launcher in self.tools.launchers.of(self.vmi_uid):
            if launcher.uid == self.uid and not launcher.ended.done():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace):
                        await asyncio.shield(launcher.ended)
                launcher.end(KILLED)

    async def _teardown(self) -> None:
        """Remove the sandbox; nothing of the pod runs after that."""
        for process in self._processes.values():
            await process.stop(0)
        self._processes.clear()
        for state in self.states:
            rootfs.remove(self._root(state.name))
        for launcher in self.tools.launchers.of(self.vmi_uid):
            if launcher.uid == self.uid:
                launcher.end(KILLED)
        self.tools.launchers.remove(self.uid)
        if not self.host_network:
            await self._unplug()
        self.sandbox = False

    async def _unplug(self) -> None:
        """Take the sandbox' ports away; on a busy machine the switch may not answer in time, and they would stay."""
        for left in reversed(range(UNPLUGS)):
            try:
                await self.tools.cni.delete(self.uid)
                return
            except LabError as error:
                more = "; once more" if left else ", and what it had stays"
                log.warning("sandbox of pod %s/%s: %s%s", self.namespace, self.name, error, more)

    async def _remove(self) -> None:
        with contextlib.suppress(KubeError):
            await self.tools.ctx.kube.delete(POD, self.name, self.namespace, grace=0, uid=self.uid)

    def status(self) -> Obj:
        """The kubelet's part of Pod.status."""
        restarting = any(state.waiting == "CrashLoopBackOff" for state in self.states)
        phase = phase_of(self.states, restarting=restarting)
        node = self.tools.ctx.node.machine_ip
        found: Obj = {
            "phase": phase,
            "conditions": conditions(
                self.pod, phase, self.states, sandbox=self.sandbox, initialized=True, trouble=self._trouble
            ),
            "hostIP": node,
            "hostIPs": [{"ip": node}],
            "startTime": self.pod.get("status", {}).get("startTime") or self.started,
            "containerStatuses": [state.entry() for state in self.states],
        }
        if self._ip:
            found |= {"podIP": self._ip, "podIPs": [{"ip": self._ip}]}
        return found

    async def _publish(self) -> None:
        """Write the status when it differs from what was written last."""
        async with self._lock:
            status = self.status()
            if _timeless(status) == _timeless(self._published):
                return
            try:
                await self.tools.ctx.kube.patch(
                    POD, self.name, self.namespace, {"metadata": {"uid": self.uid}, "status": status},
                    type="strategic", subresource="status",
                )  # fmt: skip
                self._published = status
            except KubeError as refusal:
                if not refusal.not_found:
                    log.warning("status of pod %s/%s: %s", self.namespace, self.name, refusal)


def _timeless(status: Obj) -> Obj:
    found = [{k: v for k, v in c.items() if k != "lastTransitionTime"} for c in status.get("conditions") or []]
    return {**status, "conditions": found}
