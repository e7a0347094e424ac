"""Whether this host can carry a lab, one line a question, each with its remedy.

It must not change the host; it downloads nothing.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab.embedded.errors import HostForbids, LabError
from lab.embedded.host.probe import Finding, namespaces, post_copy, tun
from lab.embedded.host.tools import find_tools
from lab.embedded.lifecycle.layout import cache_dir, existing

MEMORY_MIB = 3000


def examine() -> list[Finding]:
    """All findings, the most likely obstacle first."""
    return [_programs(), _namespaces(), tun(), _tools(), _memory(), post_copy(), _labs()]


def _programs() -> Finding:
    missing = [name for name in ("unshare", "nsenter") if shutil.which(name) is None]
    seen = f"not on PATH: {', '.join(missing)}" if missing else "unshare and nsenter are on PATH"
    return Finding("util-linux", not missing, seen, "install the package util-linux, or correct PATH")


def _namespaces() -> Finding:
    found = namespaces()
    if not found.good and os.geteuid() == 0:
        return Finding(found.subject, True, f"{found.seen}; not needed as root")
    return found


def _tools() -> Finding:
    try:
        tools = find_tools(cache_dir(), progress=lambda _: None, offline=True)
    except HostForbids as problem:
        return Finding("tools", False, f"{problem.where}: {problem.found}", problem.advice)
    except LabError as problem:
        can = shutil.which("apt-get") is not None
        return Finding(
            "tools", can, str(problem.found), "`virtlab up` downloads them into its cache" if can else str(problem)
        )
    return Finding("tools", True, ", ".join(f"{name} {version}" for name, version in tools.versions.items()))


def _memory() -> Finding:
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable"))
    return Finding("memory", free >= MEMORY_MIB, f"{free} MiB available", f"a lab with guests wants {MEMORY_MIB} MiB")


def _labs() -> Finding:
    up = [lab.name for lab in existing() if lab.is_up()]
    return Finding("labs", True, f"up: {', '.join(up)}" if up else "none is up")
