"""Unpacked roots in the cache: named after what was unpacked, listed file by file, left alone while a lab uses them.

A root appears by one rename and is never changed, renamed or replaced afterwards: labs run programs from it, and other
configurations of this host may name it too. One that was damaged is taken away only when nobody uses it; else its
successor gets a name beside it. All but `intact` and `used` are called under the cache's lock.
This room must not know what is in a root.
"""

import contextlib
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from lab.embedded.errors import LabError
from lab.embedded.host import folders

VARIABLE = "VIRTLAB_TOOLS_ROOT"
_LIST = ".virtlab-files.json"
_DELETED = " (deleted)"
_STAMP_KEEP = 30 * 86400.0


def seal(root: Path) -> None:
    """Write down which files a root has, before it gets its name."""
    files = {str(path.relative_to(root)): path.lstat().st_size for path in root.rglob("*") if path.is_file()}
    (root / _LIST).write_text(json.dumps(files))


def intact(root: Path) -> bool:
    """Whether every file that was unpacked is still there, as long as it was. Stats only."""
    prefix = f"{root}/"
    try:
        files = json.loads((root / _LIST).read_text())
        return all(os.lstat(prefix + name).st_size == size for name, size in files.items())
    except (OSError, ValueError, AttributeError):
        return False


def find(cache: Path, digest: str) -> Path | None:
    """An intact root of that content, if there is one."""
    return next(filter(intact, sorted(cache.glob(f"root-{digest}*"))), None)


def settle(made: Path, cache: Path, digest: str) -> Path:
    """Give a sealed root its name in the cache: the first one that no root in use has."""
    busy = used(cache)
    for root in _names(cache, digest):
        if root.exists() and root.name not in busy:
            shutil.rmtree(root)
        if not root.exists():
            return made.rename(root)
    raise AssertionError("names do not end")


def _names(cache: Path, digest: str) -> Iterator[Path]:
    yield cache / f"root-{digest}"
    yield from (cache / f"root-{digest}-{number}" for number in itertools.count(2))


def within(cache: Path, path: str) -> str:
    """The name of the root that a path lies in, as another process may tell it; empty for any other path."""
    path = path.removesuffix(_DELETED)
    for base in {str(cache), os.path.realpath(cache)}:
        if path.startswith(f"{base}/root-"):
            return path[len(base) + 1 :].split("/")[0]
    return ""


def used(cache: Path) -> set[str]:
    """Names of the roots that a process runs from or was told to, or that a lab of this user was started with."""
    paths = list(_of_processes())
    with contextlib.suppress(LabError):  # no home, so no labs
        paths.extend(_of_labs(folders.labs()))
    return {name for path in paths if (name := within(cache, path))}


def _of_processes() -> Iterator[str]:
    mark = f"{VARIABLE}=".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile, or another user's
            yield str((process / "exe").readlink())
            # A lab whose programs are the host's own still takes its kernel from the root.
            for entry in (process / "environ").read_bytes().split(b"\0"):
                if entry.startswith(mark):
                    yield os.fsdecode(entry[len(mark) :])


def _of_labs(labs: Path) -> Iterator[str]:
    for facts in labs.glob("*/lab.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            yield str(json.loads(facts.read_text())["env"][VARIABLE])


def sweep(cache: Path, keep: Path) -> None:
    """Remove what killed runs left, stamps long out of use, and roots that no stamp names and nobody uses."""
    named = {keep.name}
    for stamp in cache.glob("tools-*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if stamp.stat().st_mtime < time.time() - _STAMP_KEEP:
                stamp.unlink()
            else:
                named.add(json.loads(stamp.read_text())["root"])
    old = [path for path in cache.glob("root-*") if path.name not in named]
    busy = used(cache) if old else set()
    for path in (*cache.glob(".new-*"), *(path for path in old if path.name not in busy)):
        shutil.rmtree(path, ignore_errors=True)
