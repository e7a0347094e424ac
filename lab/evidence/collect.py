"""What is taken from a cluster when a scenario did not pass, before anything is cleaned up.

A list of small tasks that run side by side within one budget. One that fails, or is not done in time, is listed in
``index.txt`` with its reason and keeps no other from its end. Secrets are not read: user data, which holds a login, is
taken out of what is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.access.client import Client
from lab.access.kinds import EVENT, NAD, NNCE, NNCP, NNS, POD, VM, VMI, VMIM, Kind, Obj
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.evidence.record import write_atomically
from lab.topology.scene import Scene

BUDGET_S = 30.0
NAMESPACED: tuple[Kind, ...] = (POD, VM, VMI, VMIM, NAD, EVENT)
CLUSTER_WIDE: tuple[Kind, ...] = (NNCP, NNCE, NNS)
ON_NODES = {
    "ovs-vsctl-show": ("ovs-vsctl", "show"),
    "ovs-ports": ("ovs-vsctl", "--columns=name,tag,trunks,status,interfaces", "list", "Port"),
    "ovs-external-ids": ("ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids"),
    "ip-link": ("ip", "-d", "link"),
    "ip-addr": ("ip", "addr"),
    "ip-route": ("ip", "route"),
}
HIDDEN = ("userData", "userDataBase64", "password", "token")


@dataclass(frozen=True)
class Task:
    """``read`` returns the text that goes into ``file``."""

    file: str
    read: Callable[[], str]


def collect(scene: Scene, folder: Path, *, seconds: float = BUDGET_S) -> list[str]:
    """Take the evidence of a scenario into *folder*; returns what could not be taken, one line each. Never raises."""
    return run_tasks(tasks_for(scene, Deadline.after(seconds)), folder, seconds)


def run_tasks(tasks: Iterable[Task], folder: Path, seconds: float) -> list[str]:
    """Run all tasks side by side for at most so many seconds and write the index."""
    began = time.monotonic()
    pool = ThreadPoolExecutor(8, "evidence")
    try:
        futures: dict[Future[None], Task] = {pool.submit(_one, task, folder): task for task in tasks}
        done, late = wait(futures, timeout=seconds)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    failed = [f"{futures[f].file}: {_reason(error)}" for f in done if (error := f.exception()) is not None]
    failed += [f"{futures[f].file}: not done within {seconds:.0f} s" for f in late]
    failed.sort()
    taken = sorted(futures[f].file for f in done if f.exception() is None)
    lines = [f"taken in {time.monotonic() - began:.1f} s", *taken]
    lines += ["", "could not be taken:", *failed] if failed else []
    write_atomically(folder / "index.txt", "\n".join(lines) + "\n")
    trace.note("evidence", f"{len(taken)} files in {folder}" + (f", {len(failed)} failed" if failed else ""))
    return failed


def _one(task: Task, folder: Path) -> None:
    write_atomically(folder / task.file, task.read())


def _reason(error: BaseException) -> str:
    return error.headline if isinstance(error, LabError) else f"{type(error).__name__}: {error}"


def tasks_for(scene: Scene, deadline: Deadline) -> list[Task]:
    """What there is to take: objects, events, each worker's switch and addresses, what guests and consoles say."""
    site = scene.site
    tasks = [
        _objects(site.client, kind, space)
        for space in (scene.namespace, site.residents.namespace)
        for kind in NAMESPACED
    ]
    tasks += [_objects(site.client, kind, None) for kind in CLUSTER_WIDE]
    for node in site.workers:
        for name, argv in ON_NODES.items():
            tasks.append(Task(f"nodes/{node}/{name}.txt", _on_node(scene, node, argv, deadline)))
    for guest in scene.guests.values():
        tasks.append(Task(f"guests/{guest.name}/ip.txt", _in_guest(scene, guest.name, deadline)))
        log = site.folder / "console" / f"{guest.namespace}_{guest.name}.log"
        tasks.append(Task(f"guests/{guest.name}/console.log", lambda log=log: _console(log)))  # type: ignore[misc]
    return tasks


def _objects(client: Client, kind: Kind, namespace: str | None) -> Task:
    folder = f"objects/{namespace}" if namespace else "objects"
    return Task(f"{folder}/{kind.kind.lower()}.yaml", lambda: dump(client.list(kind, namespace)))


def dump(objects: Iterable[Obj]) -> str:
    """Objects as YAML documents, without managedFields and without what may hold a secret."""
    return yaml.safe_dump_all([hide(o) for o in objects], sort_keys=False, allow_unicode=True)


def hide(value: Any) -> Any:
    """The value with secrets replaced and managedFields left out."""
    if isinstance(value, dict):
        return {k: "(hidden)" if k in HIDDEN else hide(v) for k, v in value.items() if k != "managedFields"}
    return [hide(v) for v in value] if isinstance(value, list) else value


def _on_node(scene: Scene, node: str, argv: tuple[str, ...], deadline: Deadline) -> Callable[[], str]:
    return lambda: str(scene.site.reader.run(node, argv, deadline=deadline))


def _in_guest(scene: Scene, name: str, deadline: Deadline) -> Callable[[], str]:
    def read() -> str:
        shell = scene.guests[name].shell
        if shell is None:
            raise LabError(f"a shell in {name}", "nobody ever logged in")
        line = "ip addr; ip route; ip neigh; dmesg | tail -n 40"
        return str(shell.run(["sh", "-c", line], deadline=deadline.sub(15)))

    return read


def _console(log: Path) -> str:
    """The console's last 64 KiB; control characters are spelled out, since a guest may send any."""
    text = log.read_bytes()[-65536:].decode("utf-8", "replace").replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
