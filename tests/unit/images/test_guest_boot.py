"""The guest with the documented Fedora VM's user data: booted in a private namespace from a NoCloud disk, logged into
by the password of the documented hash, asked by its agent."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from guestfiles import FEDORA_KEY, FEDORA_USER_DATA

from lab.embedded.host.tools import find_tools
from lab.embedded.images.build import build_guest
from lab.embedded.lifecycle.layout import cache_dir
from lab.embedded.node.isofs import iso_image

USER_DATA = FEDORA_USER_DATA.replace("runcmd:\n", "runcmd:\n  - [sh, -c, \"echo 'it ran' > /tmp/ran\"]\n")
NETWORK = "version: 2\nethernets:\n  enp1s0:\n    addresses: [192.168.24.100/24]\n    gateway4: 192.168.24.1\n"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    work = tmp_path_factory.mktemp("guest")
    tools = find_tools(cache_dir(), progress=print)
    image = build_guest(tools, cache_dir(), progress=print)
    files = {
        "user-data": USER_DATA.encode(),
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
    assert "cloud-init: not supported here: packages (httpd)" in seen["boot"]


def test_what_it_could_not_do_is_there_for_the_host_to_read(seen: Any) -> None:
    assert "not supported here: packages (httpd)\r\n" in seen["said"]
    assert "runcmd ended with status 127, see /var/log/cloud-init-output.log\r\n" in seen["said"]
    assert "systemctl: not found" in seen["output"]


def test_the_user_logs_in_by_password_and_has_sudo_and_the_key(seen: Any) -> None:
    assert "coe wheel virtlab-sudo" in seen["id"]
    assert FEDORA_KEY in seen["keys"]
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
    assert [user["user"] for user in seen["guest-get-users"]] == ["coe"]


def test_the_power_button_turns_it_off(seen: Any) -> None:
    assert seen["exit"] == 0
