"""The programs that `kind up` needs, and whether they will do. Asks them for their versions, and starts nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken, LabError, UsageError
from lab.kind.versions import Versions

ASK_S = 30.0
ENGINES = ("docker", "podman")
FROM = {
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
    "helm": "https://helm.sh/docs/intro/install/",
    "git": "your distribution's package git",
    "docker": "https://docs.docker.com/engine/install/, or Podman: https://podman.io/docs/installation",
    "podman": "https://podman.io/docs/installation",
}
WATCHERS = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH_WATCHERS = 512
UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")


def engine(asked: str) -> str:
    """The container engine: the one that was asked for, else the first that is installed, else Docker by name."""
    return asked or next((name for name in ENGINES if shutil.which(name)), ENGINES[0])


def require(names: Sequence[str], versions: Versions) -> None:
    """Raises UsageError that names all that is missing, and where it comes from."""
    sources = {**FROM, "kind": f"{versions.kind_from} (release {versions.kind})"}
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        raise UsageError(
            f"the programs {', '.join(names)} on PATH",
            f"no {', no '.join(missing)}",
            "this machine",
            "install " + "; ".join(f"{name}: {sources[name]}" for name in missing),
        )


def check_kind(versions: Versions) -> str:
    """A remark on a kind that is newer than the pinned one, or "". Raises UsageError for an older one."""
    said = _ask("kind", "version").strip()
    found = re.search(r"v?(\d+)\.(\d+)\.(\d+)", said)
    wanted = tuple(int(part) for part in versions.kind.split("."))
    have = tuple(int(part) for part in found.groups()) if found else ()
    if not have or have[:2] < wanted[:2]:
        raise UsageError(
            f"kind {versions.kind}, which the node image is made for",
            said or "no version",
            shutil.which("kind") or "kind",
            f"install it from {versions.kind_from}",
        )
    newer = have[:2] > wanted[:2]
    return f"kind is {said.split()[0]}; the node image is made for {versions.kind}" if newer else ""


def check_engine(name: str) -> None:
    """Raises EnvironmentBroken when the engine does not answer, with its own words."""
    try:
        result = process.run((name, "info"), deadline=Deadline.after(ASK_S))
    except LabError as error:
        raise EnvironmentBroken(f"the container engine {name} to answer", error.headline, "this machine") from error
    if not result.ok:
        last = [line.strip() for line in result.stderr.splitlines() if line.strip()][-1:]
        raise EnvironmentBroken(
            f"the container engine {name} to answer",
            f"`{name} info` ended with {result.exit_code}: {''.join(last) or 'it said nothing'}",
            "this machine",
            f"start it, or be of the group that may use it; `{name} info` must work",
        )


def remarks() -> list[str]:
    """What of this host is known to hinder clusters of several nodes."""
    found = []
    try:
        instances = int(WATCHERS.read_text())
    except (OSError, ValueError):
        instances = ENOUGH_WATCHERS
    if instances < ENOUGH_WATCHERS:
        found.append(
            f"fs.inotify.max_user_instances is {instances}; pods fail with 'too many open files' below "
            f"{ENOUGH_WATCHERS}: sysctl fs.inotify.max_user_instances={ENOUGH_WATCHERS}"
        )
    if not UNIFIED.exists():
        found.append("this host has cgroup v1; Kubernetes 1.35 and later need v2")
    return found


def _ask(*argv: str) -> str:
    return process.run(argv, deadline=Deadline.after(ASK_S)).stdout
