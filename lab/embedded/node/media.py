"""The files behind a guest's disks: cloud-init images and scratch space, on storage that all nodes share.

A cloud-init image is written once per VMI and used again by a migration target, so that the guest finds the
same bytes on both sides, also when a secret changed in between.  It must not decide which disks there are.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
from pathlib import Path
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.kube import Kube, KubeError
from lab.embedded.model.kinds import PVC, SECRET
from lab.embedded.node import cloudinit
from lab.embedded.node.domain import Disk

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A file is named by it: one with a slash would lie elsewhere."""

Obj = dict[str, Any]


async def read_secret(kube: Kube, namespace: str, name: str) -> dict[str, bytes]:
    """Decoded data of a secret. Raises KubeError."""
    secret = await kube.get(SECRET, name, namespace)
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


async def ssh_keys(kube: Kube, vmi: Obj, source: str) -> tuple[str, ...]:
    """Public keys that accessCredentials hand over through the cloud-init volume of type ``source``."""
    way = "noCloud" if source == "cloudInitNoCloud" else "configDrive"
    found: list[str] = []
    for credential in vmi["spec"].get("accessCredentials") or []:
        public = credential.get("sshPublicKey") or {}
        if way in (public.get("propagationMethod") or {}):
            data = await read_secret(kube, vmi["metadata"]["namespace"], public["source"]["secret"]["secretName"])
            found += [value.decode(errors="replace").strip() for _key, value in sorted(data.items())]
    return tuple(found)


async def prepare(kube: Kube, vmi: Obj, disks: tuple[Disk, ...], folder: Path) -> dict[str, Path]:
    """Make the missing files of ``disks`` in ``folder``; paths by disk. Raises KubeError, LabError, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    volumes = {volume["name"]: volume for volume in vmi["spec"].get("volumes") or []}
    files: dict[str, Path] = {}
    for disk in disks:
        if disk.kind == "image":
            continue
        if not NAME.fullmatch(disk.name):
            raise LabError("wanted a disk named by small letters, digits and dashes", repr(disk.name))
        files[disk.name] = path = folder / f"{disk.name}.img"
        if path.exists():
            continue
        fresh = path.with_suffix(f".{os.getpid()}.new")
        if disk.kind == "cloudinit":
            fresh.write_bytes(await _cloudinit(kube, vmi, volumes[disk.name]))
        else:
            with fresh.open("wb") as scratch:
                scratch.truncate(disk.size)
        fresh.replace(path)
    return files


def forget(folder: Path) -> None:
    """Remove the files of a VMI that is gone: nobody starts it again, and what its user data says is secret."""
    shutil.rmtree(folder, ignore_errors=True)


async def _cloudinit(kube: Kube, vmi: Obj, volume: Obj) -> bytes:
    namespace = vmi["metadata"]["namespace"]

    async def secret(name: str) -> dict[str, bytes]:
        return await read_secret(kube, namespace, name)

    data = await cloudinit.read(volume, secret)
    return cloudinit.image(vmi, volume, data, await ssh_keys(kube, vmi, cloudinit.source_of(volume)))


async def access_modes(kube: Kube, vmi: Obj) -> dict[str, list[str]]:
    """Access modes of the claims a VMI names; a claim that is not there has none."""
    found: dict[str, list[str]] = {}
    for volume in vmi["spec"].get("volumes") or []:
        claim = volume.get("persistentVolumeClaim", {}).get("claimName") or volume.get("dataVolume", {}).get("name")
        if claim:
            try:
                claimed = await kube.get(PVC, claim, vmi["metadata"]["namespace"])
            except KubeError as refusal:
                if not refusal.not_found:
                    raise
                continue
            found[claim] = claimed.get("spec", {}).get("accessModes") or []
    return found
