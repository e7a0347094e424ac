"""Ways to a guest for faults: its QEMU, and a shell in it by the guest agent, as `virsh qemu-agent-command` gives one.

No network is needed, so that a guest whose network is broken can be mended.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.site import Runner, Site
from lab.embedded.host.command import CommandFailed

VM: Mapping[str, str] = {"vm": "the VM, namespace/name"}
NIC = "nic=$(ls /sys/class/net | grep '^e' | head -n 1)"
"""A line of shell that finds a guest's first NIC."""
ADDRESSES = NIC + "; ip -o -4 addr show dev $nic | while read -r n i f a rest; do echo $a; done"
ROUTES = "ip route | grep '^default' || true"
PUT_BACK = f"{NIC}; ip -4 addr flush dev $nic; for one in $saved; do ip addr add $one dev $nic; done"
NAME = re.compile(r"[a-z0-9.-]+/[a-z0-9.-]+")
FIND = r"""
for file in /run/virtlab/guests/*/qemu.pid; do
  [ -e "$file" ] || continue
  read -r pid < "$file" || [ -n "$pid" ]
  if tr '\0' '\n' < "/proc/$pid/cmdline" 2>/dev/null | grep -q "^guest=$1,"; then echo "$pid ${file%/qemu.pid}"; fi
done
"""
# argv: socket, script. Prints what the script printed; its exit status is ours.
AGENT = """
import base64, json, secrets, socket, sys, time
end = socket.socket(socket.AF_UNIX)
end.settimeout(20)
end.connect(sys.argv[1])
lines = end.makefile("rb")
def ask(command, **arguments):
    end.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\\n")
    answer = json.loads(lines.readline())
    if "return" not in answer:
        sys.exit(f"{command}: {answer}")
    return answer["return"]
token = secrets.randbelow(2**31)
sync = {"execute": "guest-sync-delimited", "arguments": {"id": token}}
# The first byte resets the agent's parser; the answer to this begins with it, whatever an earlier client left unread.
# Whose question it answers says the number: one of an earlier client may have waited in the guest until now.
end.sendall(b"\\xff" + json.dumps(sync).encode() + b"\\n")
while True:
    line = lines.readline()
    if not line:
        sys.exit("the connection ended before the agent answered")
    before, mark, answer = line.rpartition(b"\\xff")
    if mark and json.loads(answer).get("return") == token:
        break
run = ["-c", sys.argv[2]]
pid = ask("guest-exec", path="/bin/sh", arg=run, **{"capture-output": True})["pid"]
while not (done := ask("guest-exec-status", pid=pid))["exited"]:
    time.sleep(0.05)
for part, to in (("out-data", sys.stdout), ("err-data", sys.stderr)):
    to.write(base64.b64decode(done.get(part, "")).decode(errors="replace"))
sys.exit(done.get("exitcode", 1))
"""


@dataclass(frozen=True)
class Guest:
    """A running guest: its node, that node's runner, QEMU's process there and the folder with its sockets."""

    node: str
    run: Runner
    pid: str
    folder: str

    async def shell(self, script: str) -> str:
        """What a script, run by root in the guest, prints. Raises CommandFailed with what it said."""
        return await self.run([sys.executable, "-I", "-c", AGENT, f"{self.folder}/agent.sock", script])


async def find(site: Site, vm: str) -> Guest | None:
    """The guest of a VM, the one that runs longest while there are two. Raises UsageError for what is no VM's name."""
    if not NAME.fullmatch(vm):
        raise UsageError("wanted a VM as namespace/name", repr(vm), advice="vm=default/vm-a")
    for node in site.nodes:
        run = site.node(node)
        said = await run(["sh", "-c", FIND, "sh", vm.replace("/", "_")])
        for line in said.splitlines():
            pid, _, folder = line.partition(" ")
            return Guest(node, run, pid, folder)
    return None


async def existing(site: Site, arguments: Mapping[str, str]) -> Guest:
    """The guest of the VM among the arguments. Raises FaultError when no node has it."""
    if found := await find(site, arguments["vm"]):
        return found
    raise FaultError(f"wanted the VM {arguments['vm']} running", "no node has its QEMU", advice="kubectl get vmi -A")


class InGuest:
    """A fault that root makes in a guest, and mends there if the guest still runs.

    ``breaking`` and ``mending`` are scripts; ``looking`` prints something when it is broken, and nothing when not.
    """

    name = ""
    layer = "guest"
    parameters: Mapping[str, str] = VM
    saving = "true"
    """Prints what mending needs; mending finds it in $saved."""

    def breaking(self, arguments: Mapping[str, str]) -> str:
        raise NotImplementedError

    def mending(self, arguments: Mapping[str, str]) -> str:
        raise NotImplementedError

    def looking(self, arguments: Mapping[str, str]) -> str:
        raise NotImplementedError

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        guest = await existing(site, arguments)
        saved = await guest.shell(self.saving)
        await guest.shell(self.breaking(arguments))
        if not (await guest.shell(self.looking(arguments))).strip():
            raise FaultError(f"wanted {arguments['vm']} with {self.name}", "the guest shows nothing of it")
        return {"saved": saved}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        guest = await find(site, arguments["vm"])
        if guest is None:
            return
        try:
            await guest.shell(f"saved={json.dumps(saved['saved'].strip())}\n{self.mending(arguments)}")
            left = (await guest.shell(self.looking(arguments))).strip()
        except CommandFailed:
            if await find(site, arguments["vm"]) is None:
                return
            raise
        if left:
            raise FaultError(f"wanted {arguments['vm']} without {self.name}", f"the guest shows {left!r}")
