"""What a pod's names and paths must be (upstream: pkg/apis/core/validation/validation.go). Pure.

A node makes folders and files by these names: one that leads out of its folder must not get that far.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from lab.embedded.apiserver.errors import Cause
from lab.embedded.apiserver.objects import LABEL, LABEL_TEXT, invalid_value

Obj = dict[str, Any]
BACKSTEPS = "must not contain '..'"
LISTS = ("initContainers", "containers", "ephemeralContainers")


def causes(spec: Obj) -> list[Cause]:
    """Every wrong name of a container or volume, and every path that leads backwards."""
    found = list(_names(spec.get("volumes") or [], "spec.volumes"))
    for index, volume in enumerate(spec.get("volumes") or []):
        path = (volume.get("hostPath") or {}).get("path")
        if path is not None and ".." in PurePosixPath(path).parts:
            found.append(invalid_value(f"spec.volumes[{index}].hostPath.path", path, BACKSTEPS))
    for key in LISTS:
        found += _names(spec.get(key) or [], f"spec.{key}")
        for number, container in enumerate(spec.get(key) or []):
            for index, mount in enumerate(container.get("volumeMounts") or []):
                found += _mount(mount, f"spec.{key}[{number}].volumeMounts[{index}]")
    return found


def _names(entries: list[Obj], path: str) -> Iterator[Cause]:
    for index, entry in enumerate(entries):
        name = str(entry.get("name") or "")
        if not name:
            yield Cause("FieldValueRequired", "Required value", f"{path}[{index}].name")
        elif len(name) > 63 or not re.fullmatch(LABEL, name):
            yield invalid_value(f"{path}[{index}].name", name, LABEL_TEXT)


def _mount(mount: Obj, path: str) -> Iterator[Cause]:
    if not mount.get("mountPath"):
        yield Cause("FieldValueRequired", "Required value", f"{path}.mountPath")
    below = str(mount.get("subPath") or "")
    if below.startswith("/"):
        yield invalid_value(f"{path}.subPath", below, "must be a relative path")
    if ".." in PurePosixPath(below).parts:
        yield invalid_value(f"{path}.subPath", below, BACKSTEPS)
