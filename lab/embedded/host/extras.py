"""Programs that only some uses of a lab need, fetched when somebody asks for them: NetworkManager and its bus.

What the host lacks gets a starter of the program's name in one folder of the cache, which is on the PATH of every lab
from the start: labs that are up find it at once, and one that never needs it carries nothing of it.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.embedded.errors import ToolError, UsageError
from lab.embedded.host import roots, tools
from lab.embedded.host.needs import GROUPS, Need

STARTER = """\
#!/bin/sh
LD_LIBRARY_PATH={libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}} exec {program} "$@"
"""


def groups() -> list[str]:
    """Names of what can be asked for."""
    return [name for name in GROUPS if name != "core"]


def fetch(cache: Path, group: str, *, progress: tools.Progress, offline: bool = False) -> dict[str, Path]:
    """Have the programs of a group; where each is. Blocks; a few ms when they are there.

    Raises UsageError (no such group), ToolError (neither present nor to be had)."""
    if group not in groups():
        raise UsageError("wanted tools that can be fetched", repr(group), advice=f"one of {', '.join(groups())}")
    needs = GROUPS[group]
    decided = tools.facts(cache, needs)
    stamp = tools.stamp_of(cache, group, decided)
    if not _still_there(cache, stamp, decided, needs):
        with tools.locked(cache, progress):
            root, present = tools.locate(cache, needs, progress, offline, kernel=False)
            if root is not None:
                _write_starters(cache / tools.EXTRAS, root, [need for need in needs if need.program not in present])
                fresh = stamp.with_suffix(".tmp")
                fresh.write_text(json.dumps({"facts": decided, "root": root.name}))
                fresh.replace(stamp)
                roots.sweep(cache, root)
    path = tools.search_path(cache)
    return {need.program: Path(shutil.which(need.program, path=path) or "") for need in needs}


def unpacked(cache: Path, packages: Sequence[str], *, progress: tools.Progress) -> Path:
    """The root of these packages, with what they need and this host lacks; nothing of it gets on a lab's PATH.

    Blocks; a few ms when it is there. Raises ToolError: not to be had."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ToolError("Debian's or Ubuntu's package client", "no apt-get and dpkg-deb on this host")
    decided = {**tools.facts(cache, ()), "packages": sorted(packages)}
    stamp = tools.stamp_of(cache, packages[0], decided)
    with tools.locked(cache, progress):
        try:
            root = cache / str(json.loads(stamp.read_text())["root"])
            if roots.intact(root):
                tools.in_use(stamp)
                return root
        except (OSError, ValueError, KeyError, TypeError):
            pass
        progress(f"tools: fetching {', '.join(packages)}")
        root = tools.fetch_root(cache, packages, progress)
        stamp.write_text(json.dumps({"facts": decided, "root": root.name}))
        return root


def _still_there(cache: Path, stamp: Path, decided: Mapping[str, Any], needs: Sequence[Need]) -> bool:
    """Whether what was fetched before is as it was."""
    try:
        record = json.loads(stamp.read_text())
        if record["facts"] != decided or not roots.intact(cache / record["root"]):
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    tools.in_use(stamp)
    return all(shutil.which(need.program, path=tools.search_path(cache)) for need in needs)


def _write_starters(folder: Path, root: Path, needs: Sequence[Need]) -> None:
    env = tools.environment(root)
    folder.mkdir(exist_ok=True)
    for need in needs:
        program = shutil.which(need.program, path=env["PATH"])
        libraries = ":".join(part for part in env["LD_LIBRARY_PATH"].split(":") if roots.within(root.parent, part))
        text = STARTER.format(libraries=shlex.quote(libraries), program=shlex.quote(str(program)))
        fresh = folder / f".{need.program}.new"
        fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.replace(folder / need.program)
