"""Files of the cloud-init volumes, from every source a user may name."""

import asyncio
import base64
import json
from typing import Any

import pytest

from lab.embedded.errors import LabError
from lab.embedded.node import cloudinit
from lab.embedded.node.cloudinit import Data

VMI: dict[str, Any] = {
    "metadata": {"name": "vm.x", "namespace": "demo", "uid": "u-1"},
    "spec": {"domain": {"firmware": {"uuid": "f-1"}}},
}


async def secret(name: str) -> dict[str, bytes]:
    return {"good": {"userdata": b"#secret", "networkData": b"version: 2"}, "bad": {"other": b""}}[name]


def read(body: dict[str, Any], kind: str = "cloudInitNoCloud") -> Data:
    return asyncio.run(cloudinit.read({"name": "ci", kind: body}, secret))


def test_sources() -> None:
    assert read({"userData": "#a"}) == Data(b"#a")
    assert read({"userDataBase64": base64.b64encode(b"#b").decode(), "networkData": "n"}) == Data(b"#b", b"n")
    assert read({"secretRef": {"name": "good"}, "networkDataSecretRef": {"name": "good"}}) == Data(
        b"#secret", b"version: 2"
    )


def test_a_secret_without_the_key_names_the_keys_it_has() -> None:
    with pytest.raises(LabError, match=r"secret bad has keys \['other'\]"):
        read({"secretRef": {"name": "bad"}})


def test_bad_base64() -> None:
    with pytest.raises(LabError, match="wanted base64 in userDataBase64 of volume ci"):
        read({"userDataBase64": "!!"})


def test_no_cloud() -> None:
    files = cloudinit.files(VMI, {"name": "ci", "cloudInitNoCloud": {}}, Data(b"#u", b"n"), ("ssh-ed25519 A",))
    assert files["user-data"] == b"#u"
    assert files["network-config"] == b"n"
    assert json.loads(files["meta-data"]) == {
        "instance-id": "f-1",
        "local-hostname": "vm",
        "public-keys": {"0": "ssh-ed25519 A"},
    }
    assert "network-config" not in cloudinit.files(VMI, {"name": "ci", "cloudInitNoCloud": {}}, Data())


def test_config_drive() -> None:
    files = cloudinit.files(VMI, {"name": "ci", "cloudInitConfigDrive": {}}, Data(b"#u"))
    assert set(files) == {"openstack/latest/meta_data.json", "openstack/latest/user_data"}
    about = json.loads(files["openstack/latest/meta_data.json"])
    assert (about["instance_id"], about["uuid"], about["hostname"]) == ("vm.x.demo", "f-1", "vm")


def test_same_bytes_on_both_nodes() -> None:
    volume = {"name": "ci", "cloudInitNoCloud": {}}
    assert cloudinit.image(VMI, volume, Data(b"#u")) == cloudinit.image(VMI, volume, Data(b"#u"))
