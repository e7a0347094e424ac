"""Which versions took part: virtlab and its target file, the cluster, its operators, Open vSwitch, OVN, the guest.

A report without them cannot be compared with another. What cannot be found out is left out, or says why; nothing here
may fail a run.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from lab.access.client import Client
from lab.access.kinds import NODE, POD, Obj
from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.ovn.reader import SwitchReader
from lab.target.inventory import Component, Target
from lab.topology.scene import Scene

BUDGET_S = 10.0
DISK = "volumecontainerdisk"
"""How KubeVirt names the container of a containerDisk in a launcher pod (pkg/container-disk)."""
NODE_INFO = {
    "node system": "osImage",
    "node kernel": "kernelVersion",
    "kubelet": "kubeletVersion",
    "container runtime": "containerRuntimeVersion",
}


def of_code(target: Target) -> dict[str, str]:
    """virtlab, Python, the revision of the checkout, and what the target file was."""
    root = Path(__file__).resolve().parents[2]
    found = {"virtlab": _package(), "python": platform.python_version(), "git revision": _revision(root)}
    try:
        found["target file"] = f"sha256:{hashlib.sha256(target.source.read_bytes()).hexdigest()[:16]}"
    except OSError as error:
        found["target file"] = f"unknown ({error.strerror})"
    return {name: text for name, text in found.items() if text}


def _package() -> str:
    try:
        return metadata.version("virtlab")
    except metadata.PackageNotFoundError:
        return "not installed"


def _revision(root: Path) -> str:
    """The commit, with ``+changes`` when the checkout has others; empty where there is no git."""
    if not (root / ".git").exists():
        return ""
    try:
        head = process.run(["git", "-C", str(root), "rev-parse", "HEAD"], deadline=Deadline.after(5))
        dirty = process.run(
            ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"], deadline=Deadline.after(5)
        )
    except LabError as error:
        return f"unknown ({error.headline})"
    if not head.ok:
        return "unknown"
    return head.stdout.strip()[:12] + ("+changes" if dirty.stdout.strip() else "")


def of_cluster(client: Client, target: Target, workers: Iterable[str], facts: dict[str, str]) -> dict[str, str]:
    """Of the cluster and what runs on it. *facts* are those that were detected already."""
    deadline, nodes = Deadline.after(BUDGET_S), list(workers)
    reader = SwitchReader(client, target.platform.ovn)
    asked: list[Callable[[], dict[str, str]]] = [
        lambda: _nodes(client.list(NODE), nodes),
        lambda: _image(client, "nmstate image", target.platform.nmstate),
        lambda: _image(client, "ovn-kubernetes image", target.platform.ovn),
        lambda: _image(client, "kubevirt image", target.platform.kubevirt),
        lambda: _program(reader, nodes, "Open vSwitch", ("ovs-vsctl", "--version"), deadline),
        lambda: _program(reader, nodes, "OVN", ("ovn-controller", "--version"), deadline),
    ]
    found = {name: facts[name] for name in ("kubernetes", "kubevirt") if facts.get(name)}
    with ThreadPoolExecutor(len(asked), "versions") as pool:
        for part in pool.map(_calm, asked):
            found |= part
    found["guest image"] = target.image().image
    return found


def _calm(ask: Callable[[], dict[str, str]]) -> dict[str, str]:
    try:
        return ask()
    except LabError:
        return {}


def _nodes(nodes: Iterable[Obj], names: list[str]) -> dict[str, str]:
    """What the workers say of themselves; several values where they differ."""
    infos = [(n.get("status") or {}).get("nodeInfo") or {} for n in nodes if n["metadata"]["name"] in names]
    found = {
        name: ", ".join(sorted({str(info[key]) for info in infos if info.get(key)})) for name, key in NODE_INFO.items()
    }
    return {name: text for name, text in found.items() if text}


def _image(client: Client, name: str, component: Component) -> dict[str, str]:
    """The images, with digest where the runtime says it, of a component's first container."""
    images = set()
    for pod in client.list(POD, component.namespace, labels=component.labels):
        states = (pod.get("status") or {}).get("containerStatuses") or []
        if states:
            images.add(str(states[0].get("imageID") or states[0].get("image") or ""))
    return {name: ", ".join(sorted(images - {""}))} if images - {""} else {}


def _program(
    reader: SwitchReader, nodes: list[str], name: str, argv: tuple[str, ...], deadline: Deadline
) -> dict[str, str]:
    if not nodes:
        return {}
    result = reader.run(nodes[0], argv, deadline=deadline)
    first = result.stdout.strip().splitlines()
    return {name: first[0].rpartition(" ")[2]} if result.ok and first else {}


def of_guest(scene: Scene) -> dict[str, str]:
    """Of the guests of a scenario: their image's digest as the launcher pod says it, and the first guest's kernel."""
    found: dict[str, str] = {}
    for guest in scene.guests.values():
        if guest.shell is None:
            continue
        try:
            digests = {
                str(state.get("imageID"))
                for pod in scene.site.client.list(POD, scene.namespace)
                for state in (pod.get("status") or {}).get("containerStatuses") or []
                if str(state.get("name", "")).startswith(DISK) and state.get("imageID")
            }
            kernel = guest.shell.run(["uname", "-sr"], deadline=Deadline.after(5))
        except LabError:
            continue
        if digests:
            found["guest image"] = ", ".join(sorted(digests))
        if kernel.ok and kernel.stdout.strip():
            found["guest kernel"] = kernel.stdout.strip().splitlines()[0][:80]
        break
    return found
