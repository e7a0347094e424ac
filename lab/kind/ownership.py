"""Is this cluster ours? A node of ours has a file of our own state folder mounted; a name alone says nothing.

It asks the container engine, which knows nodes that do not run, too. It changes nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken, UsageError
from lab.kind.cables import LABEL
from lab.kind.files import OWNER
from lab.kind.steps import Wanted

ASK_S = 30.0
ABSENT = ("no such", "no container with name")
"""In the words of Docker and Podman."""
MISSING = object()


@dataclass(frozen=True)
class There:
    """What of the cluster is there by now, all of it ours."""

    nodes: tuple[str, ...]
    switch: bool


def state_folder(name: str) -> Path:
    """Where a cluster's files are. Raises UsageError when there is no home."""
    chosen = os.environ.get("XDG_STATE_HOME", "")
    try:
        base = Path(chosen) if chosen.startswith("/") else Path.home() / ".local/state"
    except RuntimeError as error:
        raise UsageError("a home folder", str(error), advice="set HOME or XDG_STATE_HOME") from error
    return base / "virtlab" / "kind" / name


def look(wanted: Wanted) -> There:
    """Raises UsageError when a node or the switch of that name was made by somebody else."""
    found = [name for name in (wanted.control, *_workers(wanted)) if _is_ours(wanted, name)]
    return There(tuple(found), _is_our_switch(wanted))


def _workers(wanted: Wanted) -> list[str]:
    """The workers that the engine has for this cluster, however many were asked for."""
    label = f"label=io.x-k8s.kind.cluster={wanted.name}"
    said = _ask(wanted, "ps", "--all", "--filter", label, "--format", "{{.Names}}")
    return [name for name in said.split() if name != wanted.control]


def _is_ours(wanted: Wanted, name: str) -> bool:
    """Whether it is there; raises when it is not ours."""
    found = _inspect(wanted, name, "{{json .Mounts}}")
    if found is MISSING:
        return False
    sources = [mount.get("Source") for mount in found or [] if mount.get("Destination") == OWNER]
    if sources != [str(wanted.owner)]:
        raise _foreign(wanted, f"the container {name}", sources[0] if sources else "no such mark")
    return True


def _is_our_switch(wanted: Wanted) -> bool:
    name = wanted.rack.switch
    labels = _inspect(wanted, name, "{{json .Config.Labels}}")
    if labels is MISSING:
        return False
    if (labels or {}).get(LABEL) != wanted.name:
        raise _foreign(wanted, f"the container {name}", f"labels {json.dumps(labels)}")
    return True


def _foreign(wanted: Wanted, what: str, found: str) -> UsageError:
    return UsageError(
        f"a cluster {wanted.name!r} that `virtlab kind up` made from {wanted.owner}, or none of that name",
        f"{what} was made otherwise ({found})",
        wanted.engine,
        f"another --name; or, if it may go: kind delete cluster --name {wanted.name}",
    )


def _inspect(wanted: Wanted, name: str, form: str) -> Any:
    """What the engine says of a container, as JSON; MISSING when there is none."""
    result = process.run(
        (wanted.engine, "inspect", "--type", "container", "--format", form, name), deadline=Deadline.after(ASK_S)
    )
    if result.ok:
        return json.loads(result.stdout or "null")
    if any(word in result.stderr.lower() for word in ABSENT):
        return MISSING
    raise EnvironmentBroken(f"what {wanted.engine} knows of {name}", result.stderr.strip(), "this machine")


def _ask(wanted: Wanted, *argv: str) -> str:
    return process.run((wanted.engine, *argv), deadline=Deadline.after(ASK_S), check=True).stdout
