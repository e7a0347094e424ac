"""What there is to take when something did not pass, before anything is cleaned up; by a scene, or by hand.

Objects as YAML, logs of operators and launchers, each worker's readings, OVN's databases, what guests and consoles
say, and a short capture while the fault lasts. This module only lists it; `tasks` takes it, `redact` hides secrets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from lab.access.client import Client
from lab.access.kinds import EVENT, NAD, NNCE, NNCP, NNS, NODE, POD, VM, VMI, VMIM, Kind, Obj
from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.evidence.capture import capture
from lab.evidence.nodes import DATABASES, read_database, read_node
from lab.evidence.redact import Redactor
from lab.evidence.tasks import BUDGET_S, Task, run_tasks
from lab.ovn.reader import SwitchReader
from lab.target.inventory import Target
from lab.topology.scene import GuestVm, Scene

NAMESPACED: tuple[Kind, ...] = (POD, VM, VMI, VMIM, NAD, EVENT)
CLUSTER_WIDE: tuple[Kind, ...] = (NNCP, NNCE, NNS, NODE)
LOG_LINES = 400
CONTROLLER = "kubevirt.io=virt-controller"
"""How KubeVirt labels the pods that decide (pkg/virt-operator/resource/generate/components)."""
CONSOLE_BYTES = 65536
GUEST = {
    "ip.txt": "ip addr; echo; ip route; ip -6 route; echo; ip neigh",
    "dmesg.txt": "dmesg | tail -n 60",
    "system.txt": "uname -a; uptime; free; cat /etc/resolv.conf",
}


@dataclass(frozen=True)
class Sources:
    """Where to look. `nodes` in the order of their worth; a capture is made on those of `silent` (address pinged, by
    which guest, over which workers) while the guest pings again."""

    client: Client
    target: Target
    nodes: Sequence[str] = ()
    namespaces: Sequence[str] = ()
    guests: Sequence[GuestVm] = ()
    folder: Path | None = None
    """The run's folder, for its console logs."""
    silent: tuple[str, str, tuple[str, ...]] | None = None
    secrets: Sequence[str] = field(default=(), repr=False)
    paths: Sequence[str] = ()
    """Walks along the paths of checks that did not hold, as text."""


def of_scene(scene: Scene, silent: tuple[str, str, tuple[str, ...]] | None = None) -> Sources:
    """A scenario's own, and the workers that it used first."""
    site = scene.site
    used = [guest.node for guest in scene.guests.values()]
    return Sources(
        client=site.client,
        target=site.target,
        nodes=sorted(site.workers, key=lambda node: (node not in used, node)),
        namespaces=(scene.namespace, site.residents.namespace),
        guests=tuple(scene.guests.values()),
        folder=site.folder,
        silent=silent,
        secrets=[image.password for image in site.target.images.values()],
    )


def collect(sources: Sources, folder: Path, seconds: float = BUDGET_S) -> tuple[list[str], list[str]]:
    """Take it into *folder*; returns (files, what could not be taken). Never raises."""
    files: list[str] = []
    redactor = Redactor(sources.secrets)
    try:
        tasks = list(tasks_for(sources, redactor, Deadline.after(seconds)))
    except LabError as error:
        return files, [f"evidence: {error.headline}"]
    return files, run_tasks(tasks, folder, seconds, redactor, files)


def tasks_for(sources: Sources, redactor: Redactor, deadline: Deadline) -> Iterable[Task]:
    """The most telling first: with little time, or a large cluster, the end of the list is not reached."""
    client = sources.client
    if sources.paths:
        yield Task("path.txt", lambda: plain("\n\n".join(sources.paths)) + "\n")
    for space in sources.namespaces:
        for kind in NAMESPACED:
            yield _objects(client, kind, space, redactor, deadline)
    for guest in sources.guests:
        silent = sources.silent if sources.silent and sources.silent[0] == guest.name else None
        yield Task(f"guests/{guest.name}", partial(_guest, sources, guest, silent, deadline))
        if sources.folder is not None:
            log = sources.folder / "console" / f"{guest.namespace}_{guest.name}.log"
            yield Task(f"guests/{guest.name}/console.log", partial(console, log))
    for kind in CLUSTER_WIDE:
        yield _objects(client, kind, None, redactor, deadline)
    reader = SwitchReader(client, sources.target.platform.ovn)
    for node in sources.nodes:
        yield Task(f"nodes/{node}", partial(read_node, reader, node, deadline))
    for space in sources.namespaces:
        yield Task(f"logs/{space}", partial(_logs, client, space, "", (), deadline))
    for node in sources.nodes:
        for role in DATABASES:
            yield Task(
                f"nodes/{node}/ovn-{role}.db", partial(read_database, reader, node, role, deadline), database=True
            )
    platform = sources.target.platform
    virt = platform.kubevirt.namespace
    yield Task("logs/kubevirt", partial(_logs, client, virt, CONTROLLER, (), deadline))
    for name, component in (("nmstate", platform.nmstate), ("kubevirt", platform.kubevirt), ("ovn", platform.ovn)):
        yield Task(
            f"logs/{name}",
            partial(_logs, client, component.namespace, component.labels, sources.nodes[:8], deadline),
        )
    if sources.target.lab.status:
        yield Task("lab.txt", partial(_status, sources.target.lab.status, deadline))


def _objects(client: Client, kind: Kind, namespace: str | None, redactor: Redactor, deadline: Deadline) -> Task:
    folder = f"objects/{namespace}" if namespace else "objects"
    return Task(
        f"{folder}/{kind.kind.lower()}.yaml", lambda: dump(client.list(kind, namespace, deadline=deadline), redactor)
    )


def dump(objects: Iterable[Obj], redactor: Redactor | None = None) -> str:
    """Objects as YAML documents, without managedFields and without secrets."""
    redactor = redactor or Redactor()
    return yaml.safe_dump_all([redactor.value(o) for o in objects], sort_keys=False, allow_unicode=True)


def _logs(client: Client, namespace: str, labels: str, nodes: Sequence[str], deadline: Deadline) -> Mapping[str, str]:
    """The end of each container's log; of a component, only of pods on those nodes."""
    found: dict[str, str] = {}
    for pod in client.list(POD, namespace, labels=labels, deadline=deadline):
        spec = pod.get("spec") or {}
        if nodes and spec.get("nodeName") not in nodes:
            continue
        for container in spec.get("containers") or []:
            if deadline.expired:
                return found
            name = f"{pod['metadata']['name']}_{container['name']}.log"
            try:
                found[name] = plain(_log(client, pod, container, deadline))
            except LabError as error:
                found[name] = f"(not read: {error.headline})\n"
    return found


def _log(client: Client, pod: Obj, container: Obj, deadline: Deadline) -> str:
    meta = pod["metadata"]
    return client.logs(meta["name"], meta["namespace"], container["name"], tail=LOG_LINES, deadline=deadline)


def _guest(
    sources: Sources, guest: GuestVm, silent: tuple[str, str, tuple[str, ...]] | None, deadline: Deadline
) -> Mapping[str, str | bytes]:
    """What a guest says of itself; and, if it is the one without answers, a capture while it asks again."""
    shell = guest.shell
    if shell is None:
        raise LabError(f"a shell in {guest.name}", "nobody ever logged in")
    found: dict[str, str | bytes] = {}
    found |= {name: str(shell.run(["sh", "-c", line], deadline=deadline.sub(15))) for name, line in GUEST.items()}
    if silent is not None:
        _, address, nodes = silent
        reader = SwitchReader(sources.client, sources.target.platform.ovn)
        taken = capture(
            reader, nodes, lambda: shell.run(["ping", "-c", "3", address], deadline=deadline.sub(8)), deadline
        )
        found |= {name: plain(part) if isinstance(part, str) else part for name, part in taken.items()}
    return found


def _status(argv: Sequence[str], deadline: Deadline) -> str:
    return str(process.run(argv, deadline=deadline.sub(10)))


def console(log: Path) -> str:
    """The console's last 64 KiB."""
    return plain(log.read_bytes()[-CONSOLE_BYTES:].decode("utf-8", "replace"))


def plain(text: str) -> str:
    """Text with control characters spelled out, since a guest may send any."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text.replace("\r\n", "\n"))
