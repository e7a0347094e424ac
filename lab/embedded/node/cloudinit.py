"""The data a guest's cloud-init reads: files of a NoCloud or ConfigDrive volume, as KubeVirt lays them out.

Pure, apart from the secrets it is handed through a function; the image itself is made by `isofs`.
Source of the layout: KubeVirt pkg/cloud-init/cloud-init.go.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.node.isofs import iso_image
from lab.embedded.node.names import sanitize_hostname

Obj = dict[str, Any]
SecretReader = Callable[[str], Awaitable[dict[str, bytes]]]
"""Given the name of a secret in the VMI's namespace, its decoded data. Raises what the reader raises."""
SOURCES = {"cloudInitNoCloud": "cidata", "cloudInitConfigDrive": "config-2"}


@dataclass(frozen=True)
class Data:
    """What the user gave; an absent part is empty."""

    user: bytes = b""
    network: bytes = b""


def source_of(volume: Obj) -> str:
    """`cloudInitNoCloud`, `cloudInitConfigDrive`, or empty when the volume is something else."""
    return next((name for name in SOURCES if name in volume), "")


async def read(volume: Obj, secret: SecretReader) -> Data:
    """The user's data of a cloud-init volume, from wherever it was put. Raises LabError."""
    body = volume[source_of(volume)]
    user = await _part(volume["name"], body, "userData", "secretRef", ("userdata", "userData"), secret)
    network_keys = ("networkdata", "networkData")
    network = await _part(volume["name"], body, "networkData", "networkDataSecretRef", network_keys, secret)
    return Data(user, network)


async def _part(name: str, body: Obj, key: str, ref: str, wanted: tuple[str, ...], secret: SecretReader) -> bytes:
    if body.get(key):
        return str(body[key]).encode()
    if body.get(f"{key}Base64"):
        try:
            return base64.b64decode(body[f"{key}Base64"], validate=True)
        except binascii.Error as error:
            raise LabError(f"wanted base64 in {key}Base64 of volume {name}", str(error)) from error
    if body.get(ref):
        data = await secret(body[ref]["name"])
        for candidate in wanted:
            if candidate in data:
                return data[candidate]
        raise LabError(
            f"no cloud-init data-source found at volume: {name}",
            f"secret {body[ref]['name']} has keys {sorted(data)}",
            advice=f"a key {' or '.join(wanted)}",
        )
    return b""


def files(vmi: Obj, volume: Obj, data: Data, keys: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Paths and contents of the volume."""
    meta = vmi["metadata"]
    hostname = sanitize_hostname(vmi["spec"].get("hostname") or meta["name"])
    uuid = vmi["spec"]["domain"].get("firmware", {}).get("uuid") or meta["uid"]
    public = {str(index): key for index, key in enumerate(keys)}
    if source_of(volume) == "cloudInitNoCloud":
        about: Obj = {"instance-id": uuid, "local-hostname": hostname}
        if public:
            about["public-keys"] = public
        found = {"user-data": data.user, "meta-data": json.dumps(about).encode()}
        if data.network:
            found["network-config"] = data.network
        return found
    about = {"instance_id": f"{meta['name']}.{meta['namespace']}", "hostname": hostname, "uuid": uuid}
    if public:
        about["public_keys"] = public
    base = "openstack/latest"
    found = {f"{base}/meta_data.json": json.dumps(about).encode(), f"{base}/user_data": data.user}
    if data.network:
        found[f"{base}/network_data.json"] = data.network
    return found


def image(vmi: Obj, volume: Obj, data: Data, keys: tuple[str, ...] = ()) -> bytes:
    """The volume as an ISO image; equal input gives equal bytes."""
    return iso_image(SOURCES[source_of(volume)], files(vmi, volume, data, keys))
