"""The guest itself: booted in a private namespace from a NoCloud disk, logged into by password, asked by its agent."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.embedded.host.tools import find_tools
from lab.embedded.images.build import build_guest
from lab.embedded.lifecycle.layout import cache_dir
from lab.embedded.node.isofs import iso_image

USER_DATA = """\
#cloud-config
users:
- name: fedora
  passwd: HASH
  lock_passwd: false
  sudo: ALL=(ALL) NOPASSWD:ALL
packages: [tcpdump]
runcmd:
- [sh, -c, "echo 'it ran' > /tmp/ran"]
"""
NETWORK = "version: 2\nethernets:\n  enp1s0:\n    addresses: [192.168.24.100/24]\n    gateway4: 192.168.24.1\n"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    work = tmp_path_factory.mktemp("guest")
    tools = find_tools(cache_dir(), progress=print)
    image = build_guest(tools, cache_dir(), progress=print)
    password = subprocess.run(
        [tools.path("busybox"), "mkpasswd", "-m", "sha512", "secret"], capture_output=True, text=True, check=True
    ).stdout.strip()
    files = {
        "user-data": USER_DATA.replace("HASH", password).encode(),
        "meta-data": json.dumps({"instance-id": "i", "local-hostname": "red"}).encode(),
        "network-config": NETWORK.encode(),
    }
    (work / "cidata.iso").write_bytes(iso_image("cidata", files))
    script = Path(__file__).parent / "bootguest.py"
    done = subprocess.run(
        ["unshare", "-Urnmpf", "--mount-proc", "--kill-child", sys.executable, script, work, image.kernel, image.initrd,
         work / "cidata.iso"],
        env={**os.environ, **tools.env}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    console = work / "console"
    assert done.returncode == 0, done.stderr + (
        console.read_text(errors="replace") if console.exists() else "no console"
    )
    return json.loads(done.stdout.splitlines()[-1])


pytestmark = pytest.mark.lab


def test_it_says_that_it_is_up_and_what_it_does_not_do(seen: Any) -> None:
    assert "virtlab-guest: ready in " in seen["boot"]
    assert "cloud-init: not supported here: packages" in seen["boot"]


def test_the_user_logs_in_by_password_and_has_sudo(seen: Any) -> None:
    assert "fedora" in seen["id"]
    assert "0\r\nnobody\r\n" in seen["sudo"]
    assert "Permission denied" in seen["shadow"]


def test_a_user_may_ping_fast(seen: Any) -> None:
    assert "3 packets transmitted, 3 packets received" in seen["ping"]


def test_the_network_is_as_the_data_have_it(seen: Any) -> None:
    assert "default via 192.168.24.1 dev enp1s0" in seen["route"]
    assert seen["ssh"].startswith("SSH-2.0-dropbear")


def test_runcmd_ran(seen: Any) -> None:
    assert "status: done" in seen["runcmd"]
    assert "it ran" in seen["runcmd"]


def test_the_real_agent_answers(seen: Any) -> None:
    nic = next(nic for nic in seen["guest-network-get-interfaces"] if nic["name"] == "enp1s0")
    assert nic["hardware-address"] == "02:00:00:20:24:64"
    assert "192.168.24.100" in [address["ip-address"] for address in nic["ip-addresses"]]
    assert seen["guest-get-host-name"] == {"host-name": "red"}
    assert seen["guest-get-osinfo"]["id"] == "virtlab"
    assert [user["user"] for user in seen["guest-get-users"]] == ["fedora"]


def test_the_power_button_turns_it_off(seen: Any) -> None:
    assert seen["exit"] == 0
