"""What NetworkManager makes of a kind node's NICs with the files of its image: the real one, in private namespaces."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from lab.embedded.errors import LabError
from lab.embedded.host import extras
from lab.embedded.lifecycle.layout import cache_dir
from lab.kind.cables import NICS
from lab.kind.versions import FOLDER
from tests.conftest import ROOT

UNSHARE = [
    "unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
]  # fmt: skip
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow send_type="*"/><allow receive_type="*"/></policy></busconfig>
"""
WORLD = """
mount -t tmpfs tmpfs /run; mkdir -p /run/dbus /run/nm/conf.d
mount -t tmpfs tmpfs /var/lib
mount -t sysfs sysfs /sys
ip link set lo up
for nic in eth0 $NICS 9a8b7c6d_3; do
    ip link add dev $nic type veth peer name p.$nic; ip link set p.$nic up; ip link set $nic up
done
ip address add 10.9.0.2/24 dev eth0
# As systemd does it for ReadOnlyPaths and ReadWritePaths.
for path in $READ_ONLY; do mount --bind $path $path; mount -o remount,bind,ro $path; done
for path in $READ_WRITE; do mount --bind /sys/devices/virtual /sys/devices/virtual
    mount -o remount,bind,rw $path; done
printf %s "$BUS" >/run/bus.conf
cp "$CONFIGURATION" /run/nm/conf.d/
printf '[main]\nauth-polkit=false\n[keyfile]\npath=/run/nm/profiles\n[connectivity]\nenabled=false\n' >/run/nm/nm.conf
dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile 2>/dev/null &
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done
NetworkManager --debug --config /run/nm/nm.conf --config-dir /run/nm/conf.d --system-config-dir /run/nm/none \\
    --intern-config /run/nm/intern --state-file /run/nm/state --pid-file /run/nm/pid >/run/nm/log 2>&1 &
until nmcli -t -f RUNNING general >/dev/null 2>&1; do sleep 0.1; done
nm-online --quiet --wait-for-startup --timeout=3 || :
nmcli -t -f DEVICE,STATE device
nmcli connection add type bridge con-name br ifname br1 stp no ipv4.method disabled ipv6.method disabled
nmcli connection add type ethernet con-name port ifname eth1 master br1 && nmcli -w 10 connection up port
ip -o link show master br1
grep Read-only /run/nm/log || :
"""


def world(read_only: str, read_write: str) -> str:
    env = {
        **os.environ, "NICS": " ".join(NICS), "BUS": BUS, "READ_ONLY": read_only, "READ_WRITE": read_write,
        "CONFIGURATION": str(FOLDER / "node" / "networkmanager.conf"),
    }  # fmt: skip
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", WORLD], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout + done.stderr


@pytest.fixture
def networkmanager() -> None:
    """Where the lab has it from."""
    try:
        extras.fetch(cache_dir(), "networkmanager", progress=lambda line: print(line, file=sys.stderr))
    except LabError as error:
        pytest.skip(f"NetworkManager is neither on this host nor to be had: {error}")


def paths(option: str) -> str:
    found = re.search(rf"^{option}=(.*)$", (FOLDER / "node" / "sys.conf").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def test_it_manages_the_spare_nics_and_no_other_and_can_make_one_a_port(networkmanager: None) -> None:
    said = world(paths("ReadOnlyPaths"), paths("ReadWritePaths"))
    states = dict(re.findall(r"^([\w.]+):(.+)$", said, re.MULTILINE))
    assert {nic: states[nic] for nic in NICS} == dict.fromkeys(NICS, "disconnected"), said
    assert (states["eth0"], states["9a8b7c6d_3"]) == ("unmanaged", "unmanaged")
    assert re.search(r"eth1@.* master br1 ", said), said
    assert "Read-only file system" not in said


def test_with_a_writable_sys_it_would_wait_for_udev_for_ever(networkmanager: None) -> None:
    """Why the image has sys.conf."""
    states = dict(re.findall(r"^(eth\d):(.+)$", world("", ""), re.MULTILINE))
    assert set(states.values()) == {"unmanaged"}
