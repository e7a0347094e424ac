"""What is up, read back: the lock for the lab, the API for its nodes, the kernel for its memory.

It must not change anything, and must answer also when a lab is half dead.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.kube import Kube, KubeError
from lab.embedded.lifecycle import keys
from lab.embedded.lifecycle.layout import Layout, existing
from lab.embedded.model.kinds import NODE


def status(names: list[str]) -> list[dict[str, Any]]:
    """One entry a lab: name, state (up|down|broken), nodes, memory in MiB, faults."""
    labs = [Layout(name) for name in names] if names else existing()
    return [_one(lab) for lab in labs]


def _one(layout: Layout) -> dict[str, Any]:
    if not layout.is_up():
        known = ", ".join(lab.name for lab in existing()) or "none"
        unknown = {} if layout.lock.exists() else {"problem": f"there is no lab of that name; known: {known}"}
        return {"name": layout.name, "state": "down", **unknown}
    facts = layout.read_facts()
    entry: dict[str, Any] = {
        "name": layout.name,
        "state": "up" if "seconds" in facts else "starting",
        "kubeconfig": facts.get("kubeconfig"),
        "api": f"https://127.0.0.1:{facts.get('port')}",
        "workers": facts.get("workers"),
        "nmstate": facts.get("nmstate"),
        "kubevirt": facts.get("kubevirt"),
        "uptime_seconds": round(time.time() - float(facts.get("started", time.time()))),
        "faults": sorted(path.stem for path in (layout.root / "faults").glob("*.json")),
    }
    if "pid" in facts:
        try:
            entry["nodes"] = asyncio.run(_nodes(layout, entry["api"]))
        except (LabError, KubeError, OSError, TimeoutError) as problem:
            entry.update(state="broken", problem=str(problem))
        entry["resident_mib"] = round(resident(int(facts["pid"])) / 2**20)
    return entry


async def _nodes(layout: Layout, server: str) -> dict[str, str]:
    token = keys.token(layout, keys.ADMIN)
    async with Kube(server, token=token, ca=layout.pki / "ca.crt", user_agent="virtlab-status") as kube:
        async with asyncio.timeout(5):
            found = await kube.list(NODE)
    return {node["metadata"]["name"]: _ready(node) for node in found}


def _ready(node: dict[str, Any]) -> str:
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            return "Ready" if condition["status"] == "True" else "NotReady"
    return "Unknown"


def resident(pid: int) -> int:
    """Bytes of memory all descendants of ``pid`` hold, shared pages counted once for each share (PSS)."""
    total, todo = 0, [pid]
    while todo:
        current = todo.pop()
        try:
            rollup = Path(f"/proc/{current}/smaps_rollup").read_text()
            children = Path(f"/proc/{current}/task/{current}/children").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
        todo += [int(child) for child in children.split()]
    return total
