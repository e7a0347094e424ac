"""Taking evidence: small tasks side by side within one budget, the most telling first.

One that fails, or is not done in time, is listed in ``index.txt`` with its reason and keeps no other from its end.
What is written went through the redactor. It never raises: evidence must not change what a run says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from lab.core import trace
from lab.core.errors import LabError
from lab.evidence.record import write_atomically
from lab.evidence.redact import Redactor

BUDGET_S = 30.0
TOGETHER = 16


@dataclass(frozen=True)
class Task:
    """``read`` returns the text that goes into ``file``; or several, by their names in the folder ``file``.

    Bytes (a capture) are written as they are: who reads them takes care that no secret is in.

    A ``database`` has a schema whose own words look like secrets, and sums over its lines: only known secrets, and
    those of a form of their own, are hidden there.
    """

    file: str
    read: Callable[[], str | Mapping[str, str | bytes]]
    database: bool = False


def run_tasks(
    tasks: Iterable[Task],
    folder: Path,
    seconds: float,
    redactor: Redactor | None = None,
    files: list[str] | None = None,
) -> list[str]:
    """Run all for at most so many seconds and write the index; returns what could not be taken, one line each.

    The names of what was written are added to *files*.
    """
    began, redactor = time.monotonic(), redactor or Redactor()
    pool = ThreadPoolExecutor(TOGETHER, "evidence")
    try:
        futures: dict[Future[list[str]], Task] = {pool.submit(_one, t, folder, redactor): t for t in tasks}
        done, late = wait(futures, timeout=seconds)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    failed = [f"{futures[f].file}: {_reason(error)}" for f in done if (error := f.exception()) is not None]
    failed += [f"{futures[f].file}: not done within {seconds:g} s" for f in late]
    failed = sorted(redactor.text(line) for line in failed)
    taken = sorted(name for f in done if f.exception() is None for name in f.result())
    lines = [f"taken in {time.monotonic() - began:.1f} s", *taken]
    lines += ["", "could not be taken:", *failed] if failed else []
    try:
        write_atomically(folder / "index.txt", "\n".join(lines) + "\n")
    except OSError as error:
        failed.append(f"index.txt: {error.strerror}")
    if files is not None:
        files += ["index.txt", *taken]
    trace.note("evidence", f"{len(taken)} files in {folder}" + (f", {len(failed)} failed" if failed else ""))
    return failed


def _one(task: Task, folder: Path, redactor: Redactor) -> list[str]:
    """The files written. Empty ones are left out: they say nothing."""
    read = task.read()
    parts: Mapping[str, str | bytes] = {"": read} if isinstance(read, str) else read
    written = {f"{task.file}/{name}".rstrip("/"): part for name, part in parts.items() if part.strip()}
    for name, part in written.items():
        text = part if isinstance(part, bytes) else redactor.text(part, pairs=not task.database)
        write_atomically(folder / name, text)
    return sorted(written)


def _reason(error: BaseException) -> str:
    return error.headline if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
