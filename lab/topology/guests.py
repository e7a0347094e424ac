"""Asking guests that are there already: a shell with a login that somebody names, and a ping to the outside from each.

For VMs that no run of virtlab made, such as nodes of a hosted cluster: no key of ours is in them.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lab.access.client import Client
from lab.access.kinds import Obj
from lab.core.deadline import Deadline
from lab.core.errors import LabError, UsageError
from lab.guest.console import ConsoleShell
from lab.guest.keys import HostKeys, RunKey
from lab.guest.reach import SSH_PORT, Way, open_shell, pod_network
from lab.guest.ssh import SshShell
from lab.probes.observation import Outcome
from lab.probes.ping import ping
from lab.topology.placement import Answer, HostedNode, Placement

AT_ONCE = 16
GUEST_S = 60.0
"""Seconds for one guest, its login included."""
COUNT = 3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}")


@dataclass(frozen=True)
class Login:
    """A user of the guests and its password; never shown."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"<Login {self.user}>"


def ping_from_each(client: Client, placement: Placement, login: Login, to: str, *, deadline: Deadline) -> None:
    """Let every VM that runs ping *to*, a name or an address; each gets its answer.

    Raises UsageError for what is neither a name nor an address. What goes wrong in one guest is that guest's answer.
    """
    if not _NAME.fullmatch(to):
        raise UsageError("a host name or an address to ping", repr(to), "--ping", "for example --ping www.example.org")
    running = [vm for vm in placement.vms if vm.status in ("Ready", "NotReady")]
    if not running:
        raise UsageError("a VM that runs, to ping from", "there is none", client.server, "virtlab show placement")
    keys = HostKeys()

    def one(vm: HostedNode) -> Answer:
        vmi = placement.instances[vm.namespace, vm.name]
        return _ask(client, vmi, login, keys, to, deadline.sub(GUEST_S))

    with ThreadPoolExecutor(min(AT_ONCE, len(running))) as pool:
        for vm, answer in zip(running, pool.map(one, running), strict=True):
            vm.ping = answer


def _ask(client: Client, vmi: Obj, login: Login, keys: HostKeys, to: str, deadline: Deadline) -> Answer:
    try:
        shell, way = open_shell(_ways(client, vmi, login, keys), deadline=deadline)
    except LabError as error:
        return Answer(to, Outcome.INCONCLUSIVE.value, f"no shell in the guest: {error.found.splitlines()[0]}")
    try:
        seen = ping(shell, to, count=COUNT, deadline=deadline)
        return Answer(to, seen.outcome.value, seen.detail, way.name)
    except LabError as error:
        return Answer(to, Outcome.INCONCLUSIVE.value, error.headline, way.name)
    finally:
        shell.close()


def _ways(client: Client, vmi: Obj, login: Login, keys: HostKeys) -> list[Way]:
    """By port-forward, which KubeVirt dials on the VM's own node and so needs no route; else the serial console."""
    name, namespace = str(vmi["metadata"]["name"]), str(vmi["metadata"]["namespace"])
    ways = []
    if pod_network(vmi):
        ssh = SshShell(
            lambda deadline: client.port_forward(name, namespace, SSH_PORT, deadline=deadline),
            login.user,
            RunKey.generate(),
            name=f"{namespace}/{name}",
            via="port-forward",
            host_keys=keys,
            password=login.password,
        )
        ways.append(Way("ssh", "SSH by port-forward", "the guest is on the pod network", ssh))
    console = ConsoleShell(
        lambda deadline: client.console(name, namespace, deadline=deadline),
        login.user,
        login.password,
        name=f"{namespace}/{name}",
    )
    return [*ways, Way("console", "the serial console", "it needs no network", console)]
