"""From a target to a client of its cluster. One that cannot be reached is an error, never a skip."""

from __future__ import annotations

from pathlib import Path

from lab.access.client import Client
from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken, UsageError
from lab.target.inventory import Target

_COMMAND_S = 20.0


def kubeconfig_of(target: Target) -> Path | None:
    """The kubeconfig file of a target; None when the target names none (then kubectl's default holds).

    Raises EnvironmentBroken when the command that prints it fails, UsageError when it prints no file's path.
    """
    cluster = target.cluster
    if not cluster.kubeconfig_command:
        return cluster.kubeconfig
    command = " ".join(cluster.kubeconfig_command)
    result = process.run(cluster.kubeconfig_command, deadline=Deadline.after(_COMMAND_S))
    up = f"start the lab: {' '.join(target.lab.up)}" if target.lab.up else f"run {command} by hand"
    if not result.ok:
        raise EnvironmentBroken(
            f"the kubeconfig of the lab of target {target.name!r}",
            result.stderr.strip() or result.stdout.strip() or f"exit status {result.exit_code}",
            command,
            up,
        )
    lines = result.stdout.strip().splitlines()
    path = Path(lines[-1].strip()) if lines else None
    if path is None or not path.is_file():
        raise UsageError(
            f"{command} to print the path of a kubeconfig", repr(result.stdout[-200:]), str(target.source), up
        )
    return path


def check_kubeconfig(target: Target) -> None:
    """Whether a run would have credentials, as far as files tell: asks nobody. Raises UsageError.

    A lab that the run may start itself need have none yet.
    """
    if not target.cluster.kubeconfig_command and not target.lab.up:
        Client.connect(target.cluster.kubeconfig, target.cluster.context, target.cluster.proxy)


def connect(target: Target) -> Client:
    """A client of the target's cluster that has answered once. Raises as kubeconfig_of, ApiDown, AccessDenied."""
    client = Client.connect(kubeconfig_of(target), target.cluster.context, target.cluster.proxy)
    client.version()
    return client
