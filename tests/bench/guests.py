"""Guests in the lab and the same bare, timed by the same probe."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.core.deadline import Deadline
from lab.core.names import ownership
from lab.guest.outside import OutsideShell
from lab.kubevirt import manifest, vm
from lab.topology.scene import GuestVm, Scene
from tests.bench.bareguest import FDS, probe

VLAN = 2024
WAIT_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


def qemu_argv(name: str) -> list[str]:
    """The command line of the running guest whose QEMU's name has *name* in it."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().split("\0")[:-1]
        except OSError:
            continue
        if words and "qemu-system" in words[0] and any(name in word for word in words[1:3]):
            return words
    raise LookupError(f"wanted a running QEMU of {name}, found none")


@dataclass(frozen=True)
class Bare:
    """A guest of the lab to be started bare: its own command line, with sockets and cloud-init image put in place."""

    argv: list[str]
    address: str
    gateway: str
    mac: str
    tap: str

    @classmethod
    def like(cls, guest: GuestVm, gateway: str, folder: Path) -> Bare:
        """The twin of a guest that runs in the lab now."""
        words = qemu_argv(f"{guest.namespace}_{guest.name}")
        fds = dict(zip(("monitor", "serial0", "channel0"), FDS, strict=True))
        argv, tap = [], ""
        for word in words:
            if match := re.match(r"socket,id=(\w+),fd=\d+", word):
                word = re.sub(r"fd=\d+", f"fd={fds[match[1]]}", word)
            if match := re.search(r"file\.filename=(.*)", word):
                copied = shutil.copy(match[1], folder)
                word = word.replace(match[1], str(copied))
            if match := re.search(r"ifname=([^,]+)", word):
                tap = match[1]
            argv.append(word)
        return cls(argv, guest.address, gateway, guest.mac, tap)

    def seconds(self, env: Mapping[str, str]) -> float:
        """From QEMU's start to an SSH answer, in namespaces of its own."""
        unshare = ["unshare", "-Urnmpf", "--mount-proc", "--kill-child"]
        done = subprocess.run(
            [*unshare, sys.executable, "-m", "tests.bench.bareguest"],
            input=json.dumps(vars(self)), env=env, cwd=ROOT, capture_output=True, text=True, timeout=90, check=True,
        )  # fmt: skip
        return float(done.stdout.split()[-1])


class Applied:
    """Guests applied in a scene whose policy and network are there and forward."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.client = scene.site.client
        self.gateway = OutsideShell(scene.site.target.outside_host(f"gateway-{VLAN}"))

    def outside(self, argv: Sequence[str]) -> str:
        """What a command on the gateway prints."""
        done = self.gateway.run(argv, deadline=Deadline.after(WAIT_S))
        assert done.ok, done
        return done.stdout

    def know(self, guest: GuestVm) -> None:
        """Tell the gateway the guest's MAC: ARP would be asked once a second only. The bare gateway knows it, too."""
        device = json.loads(self.outside(["ip", "-j", "route", "get", guest.address]))[0]["dev"]
        entry = ["lladdr", guest.mac, "dev", device, "nud", "permanent"]
        self.outside(["ip", "neigh", "replace", guest.address, *entry])

    def seconds(self, twin: GuestVm, name: str) -> float:
        """From the apply of a VM to an SSH answer; it has the twin's address and is gone afterwards."""
        site, image = self.scene.site, self.scene.site.target.image()
        document = self.scene.manifests["vm-a"]
        document["metadata"]["name"] = name
        changes = manifest.Changes(
            namespace=self.scene.namespace,
            labels=ownership(site.run_id),
            image=image.image,
            addresses=[f"{twin.address}/24"],
            mac=twin.mac,
            user=image.user,
            password=image.password,
            public_key=site.access.key.public_line,
            memory_mib=image.memory_mib,
        )
        body = manifest.adapted(document, changes)
        with self.gateway.start(probe(twin.address)) as asking:
            try:
                # The way into the gateway's namespace is a Python program that takes its time to start.
                self.outside(["true"])
                began = time.monotonic()
                vm.start(self.client, body)
                assert asking.wait(WAIT_S) == 0
                return time.monotonic() - began
            finally:
                asking.kill()
                vm.remove(self.client, self.scene.namespace, name, wait=Deadline.after(WAIT_S))
