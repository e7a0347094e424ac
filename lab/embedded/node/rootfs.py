"""The files of a container that mounts something of its node: a root folder with the volumes in their places.

Images are not used: a container sees what its node has, read-only where that is the host's disk, so that a debug pod
with the node's ``/`` at ``/host`` can change what is the node's own (``/run``, NetworkManager's folders) and nothing
else.  Containers without such volumes see the node's files as they are and need no root folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.host import mounts
from lab.embedded.node import ownfiles

Obj = dict[str, Any]
OWN = (Path("/run"), Path("/proc"), Path("/sys"), Path("/dev"), ownfiles.PROFILES, ownfiles.STATE)
TYPES = {"Directory": Path.is_dir, "File": Path.is_file, "Socket": Path.is_socket, "CharDevice": Path.is_char_device}


@dataclass(frozen=True)
class Volume:
    """Something of the node that a container sees at ``target``."""

    source: Path
    target: Path
    read_only: bool
    type: str = ""
    """hostPath.type: what ``source`` must be."""


def volumes(pod: Obj, container: Obj, scratch: Path) -> list[Volume]:
    """The container's hostPath and emptyDir mounts; ``scratch`` is where the pod's empty folders are."""
    known = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
    found = []
    for wanted in container.get("volumeMounts") or []:
        volume = known.get(wanted["name"], {})
        below = str(wanted.get("subPath") or "")
        target, read_only = Path(wanted["mountPath"]), bool(wanted.get("readOnly"))
        if "hostPath" in volume:
            path = volume["hostPath"]
            found.append(Volume(Path(path["path"]) / below, target, read_only, path.get("type") or ""))
        elif "emptyDir" in volume:
            found.append(Volume(scratch / wanted["name"] / below, target, read_only, "DirectoryOrCreate"))
    return sorted(found, key=lambda volume: volume.target)


def build(root: Path, wanted: Sequence[Volume]) -> None:
    """Make the root folder. Raises LabError: a source is not what its type says, or the kernel refuses a mount."""
    for volume in wanted:
        _check(volume)
    try:
        root.mkdir(parents=True)
        mounts.mount("tmpfs", str(root), options="mode=755")
        # Else a volume of the node's whole / would hold this folder again, and every other container's.
        mounts.unbindable(root)
        for entry in sorted(Path("/").iterdir()):
            _take(entry, root / entry.name)
        for volume in wanted:
            _put(volume, root)
    except OSError as error:
        remove(root)
        raise LabError("wanted a container with volumes of its node", str(error), where=str(root)) from error


def remove(root: Path) -> None:
    """Take the root folder away with all that is mounted there; none is no error."""
    with contextlib.suppress(OSError):
        mounts.detach(root)
        root.rmdir()


def forget(folder: Path) -> None:
    """Take away what the node kept of a pod that is gone. Where something is mounted still, nothing is touched: it may
    be the host's disk."""
    if not any(point.is_relative_to(folder) for point in mounts.mount_points()):
        shutil.rmtree(folder, ignore_errors=True)


def _check(volume: Volume) -> None:
    source, kind = volume.source, volume.type
    # What is not the node's own is this machine's disk: nothing is made there.
    if kind.endswith("OrCreate") and not source.exists() and not _of_the_node(source.resolve()):
        raise LabError(f"wanted to make {source} on the node", "that is this machine's disk, where it may not")
    if kind == "DirectoryOrCreate":
        with contextlib.suppress(OSError):
            source.mkdir(parents=True, exist_ok=True)
        kind = "Directory"
    if not source.exists():
        raise LabError(f"wanted {source} of the node as a volume", "it does not exist")
    if kind in TYPES and not TYPES[kind](source):
        # The kubelet's words.
        raise LabError(f"wanted a {kind} of the node as a volume", f"hostPath type check failed: {source} is none")


def _take(entry: Path, place: Path) -> None:
    """One entry of the node's ``/``; loose files there are nobody's business."""
    if entry.is_symlink():
        place.symlink_to(entry.readlink())
    elif entry.name == "tmp":
        place.mkdir()
        place.chmod(0o1777)
    elif entry.is_dir():
        place.mkdir()
        _show(entry, place, read_only=False)


def _put(volume: Volume, root: Path) -> None:
    # `..` leads nowhere above the root, as in a chroot; neither may a link on the way.
    place = root / os.path.normpath(f"/{volume.target}").lstrip("/")
    if not place.resolve().is_relative_to(root.resolve()):
        raise OSError(f"the mount path {volume.target} leads out of the container")
    if volume.source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _show(volume.source, place, read_only=volume.read_only)


def _show(source: Path, place: Path, *, read_only: bool) -> None:
    """Bind ``source`` there; all of it that is the host's becomes read-only."""
    mounts.bind(source, place)
    for mounted in mounts.mount_points():
        if mounted.is_relative_to(place) and (read_only or not _of_the_node(source / mounted.relative_to(place))):
            mounts.make_read_only(mounted)


def _of_the_node(path: Path) -> bool:
    return any(path.is_relative_to(own) for own in OWN) or path in ownfiles.overlaid()
