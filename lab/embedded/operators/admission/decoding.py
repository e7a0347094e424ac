"""Whether a body can be decoded at all, as Go asks before a mutating webhook looks at it. Pure.

A custom resource reaches these webhooks before its schema is held against it. Upstream decodes it into the kind's
struct and refuses with the decoder's text (pkg/util/webhooks/webhooks.go, ToAdmissionResponseError); here the types of
what the webhooks change are looked at.
"""

from __future__ import annotations

from typing import Any

from lab.embedded.operators.admission.causes import Denied
from lab.embedded.operators.objects import Obj

DOMAIN = (
    "domain", "domain.machine", "domain.cpu", "domain.features", "domain.firmware", "domain.memory", "domain.resources",
    "domain.resources.requests", "domain.resources.limits", "domain.devices",
)  # fmt: skip
LISTS = (
    "networks", "volumes", "domain.devices.disks", "domain.devices.interfaces", "domain.devices.filesystems",
)  # fmt: skip
BELOW = {"networks": ("multus", "pod"), "domain.devices.disks": ("disk", "cdrom", "lun")}
_NAMES: dict[type, str] = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}


def refuse_undecodable(spec: Any) -> None:
    """The spec of a VMI, or that of a VM's template; absent parts are fine. Raises Denied (400)."""
    _typed("spec", spec, dict)
    for path in DOMAIN:
        _typed(path, _at(spec, path), dict)
    for path in LISTS:
        entries = _at(spec, path)
        _typed(path, entries, list)
        for entry in entries or ():
            _typed(path, {} if entry is None else entry, dict)
            for key in ("name", "macAddress"):
                _typed(f"{path}.{key}", (entry or {}).get(key), str)
            for key in BELOW.get(path, ()):
                _typed(f"{path}.{key}", (entry or {}).get(key), dict)


def template_spec(vm: Obj) -> Any:
    """The VMI's spec within a VM. Raises Denied (400) for what is no map on the way."""
    found: Any = vm
    for key in ("spec", "template", "spec"):
        found = (found or {}).get(key)
        _typed(key, found, dict)
    return found


def _at(spec: Any, path: str) -> Any:
    found = spec
    for key in path.split("."):
        found = (found or {}).get(key)
    return found


def _typed(path: str, value: Any, wanted: type) -> None:
    if value is not None and not isinstance(value, wanted):
        kinds: dict[type, str] = {dict: "v1.VirtualMachineInstanceSpec", list: "[]v1", str: "string"}
        found = _NAMES.get(type(value), "value")
        raise Denied(f"json: cannot unmarshal {found} into Go struct field {path} of type {kinds[wanted]}")
