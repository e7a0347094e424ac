"""Boots the guest once in the namespaces this is started in, talks to it, and prints what was seen as JSON.

Run by test_guest_boot.py through unshare: python bootguest.py WORKFOLDER KERNEL INITRD ISO
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ADDRESS = "192.168.24.100"
OFF = "csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,romfile="
DEADLINE = 60.0


def argv(work: Path, kernel: str, initrd: str, iso: str) -> list[str]:
    data = [part for folder in os.environ["VIRTLAB_QEMU_DATA"].split(":") if folder for part in ("-L", folder)]
    return [
        *("qemu-system-x86_64", *data, "-accel", "tcg,tb-size=64", "-cpu", "max", "-M", "pc", "-m", "128"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-kernel", kernel, "-initrd", initrd),
        *("-append", "console=ttyS0 quiet panic=1 cryptomgr.notests"),
        *("-chardev", f"socket,id=serial,path={work}/serial,server=on,wait=off,logfile={work}/console"),
        *("-serial", "chardev:serial", "-qmp", f"unix:{work}/qmp,server=on,wait=off"),
        *("-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={work}/agent,server=on,wait=off"),
        *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
        *("-drive", f"file={iso},if=none,id=cidata,format=raw,readonly=on", "-device", "virtio-blk-pci,drive=cidata"),
        *("-netdev", "tap,id=n0,ifname=tap1,script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=n0,mac=02:00:00:20:24:64,{OFF}"),
    ]


def connect(path: Path, deadline: float) -> socket.socket:
    while True:
        try:
            channel = socket.socket(socket.AF_UNIX)
            channel.connect(str(path))
            return channel
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Console:
    def __init__(self, channel: socket.socket, deadline: float) -> None:
        self.channel, self.deadline, self.text = channel, deadline, ""

    def expect(self, pattern: str) -> str:
        while not (match := re.search(pattern, self.text)):
            self.channel.settimeout(max(0.1, self.deadline - time.monotonic()))
            self.text += self.channel.recv(4096).decode(errors="replace")
        seen, self.text = self.text[: match.end()], self.text[match.end() :]
        return seen

    def send(self, line: str) -> None:
        self.channel.sendall(line.encode() + b"\n")


def converse(console: Console) -> dict[str, str]:
    boot = console.expect(r"red login: ")
    console.send("coe")
    console.expect("Password: ")
    console.send("redhat")
    console.expect(r"\]\$ ")
    console.send("stty -echo")
    console.expect(r"\]\$ ")
    seen = {"boot": boot}
    for name, command in {
        "id": "id -nG",
        "keys": "cat .ssh/authorized_keys",
        "sudo": "sudo -n id -u; sudo -u nobody id -un",
        "ping": "ping -c 3 -i 0.01 192.168.24.1",
        "route": "ip route",
        "runcmd": "cloud-init status --wait; cat /tmp/ran",
        "said": "cat /run/virtlab/cloud-init-said",
        "output": "cat /var/log/cloud-init-output.log",
        "shadow": "cat /etc/shadow",
    }.items():
        console.send(f"{command}; echo END-$?")
        seen[name] = console.expect(r"END-\d+")
    return seen


def ask(agent: Any, command: str) -> Any:
    agent.write(json.dumps({"execute": command}) + "\n")
    agent.flush()
    return json.loads(agent.readline())["return"]


def main(work: Path, kernel: str, initrd: str, iso: str) -> None:
    for line in (
        "link set lo up",
        "tuntap add dev tap1 mode tap",
        "link set tap1 up",
        "addr add 192.168.24.1/24 dev tap1",
    ):
        subprocess.run(["ip", *line.split()], check=True)
    begun = time.monotonic()
    deadline = begun + DEADLINE
    with subprocess.Popen(argv(work, kernel, initrd, iso)) as qemu:
        try:
            seen: dict[str, Any] = dict(converse(Console(connect(work / "serial", deadline), deadline)))
            with socket.create_connection((ADDRESS, 22), timeout=5) as ssh:
                seen["ssh"] = ssh.recv(64).decode(errors="replace").splitlines()[0]
            channel = connect(work / "agent", deadline)
            channel.settimeout(10)
            agent = channel.makefile("rw")
            for command in (
                "guest-network-get-interfaces",
                "guest-get-osinfo",
                "guest-get-host-name",
                "guest-get-users",
            ):
                seen[command] = ask(agent, command)
            qmp = connect(work / "qmp", deadline)
            qmp.sendall(b'{"execute":"qmp_capabilities"}{"execute":"system_powerdown"}')
            seen["exit"] = qemu.wait(20)
        finally:
            qemu.kill()
    seen["seconds"] = time.monotonic() - begun
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:5])
