"""A record read back: whole, of an older schema, cut off, or of a run that was killed; each said for what it is.

What is no record, or says what it must not, is refused with the place in it. Nothing is guessed: of a file that was cut
off, only scenarios that are whole are taken, and the record says so.
"""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from lab.core.errors import UsageError
from lab.evidence.record import SCHEMA, RunRecord, ScenarioRecord, StepRecord

FILE = "run.json"
OLDEST = 1
CUT = "cut off"
DIGITS = 18
"""Of a number: more are no count of anything, and no time."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of the record (draft 2020-12), as it lies beside this module."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("run.schema.json").read_text(encoding="utf-8"))
    return found


def find(name: Path, out: Path = Path("out")) -> Path:
    """The record that a person means: a run.json, a run's folder, a run's id, or ``latest``.

    Raises UsageError with the runs that there are.
    """
    if name.is_file():
        return name
    for folder in (name, out / name):
        if (folder / FILE).is_file():
            return folder / FILE
    runs = sorted(out.glob(f"*/{FILE}"), key=lambda path: path.stat().st_mtime)
    if str(name) == "latest" and runs:
        return runs[-1]
    known = ", ".join(path.parent.name for path in runs[-5:]) or "none"
    raise UsageError(f"the record of a run at {name}", f"no such file or folder; last runs in {out}: {known}")


def load(path: Path) -> RunRecord:
    """Read a record.

    Raises UsageError: the file cannot be read, is no record, is of a newer schema, or breaks the schema at a place that
    is named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the record of a run in {path}",
            f"no text at byte {error.start}",
            advice="nothing of it can be read: run it again",
        ) from error
    except OSError as error:
        raise UsageError(f"the record of a run in {path}", error.strerror or str(error)) from error
    return parse(text, path)


def parse(text: str, path: Path) -> RunRecord:
    """The same from text; *path* is where it came from. Raises as :func:`load`."""
    try:
        body = _json(text)
    except ValueError as error:
        body = _salvaged(text, path, error)
    record = _record(_checked(_upgraded(body, path), path), path)
    record.state = _state(record)
    return record


def _json(text: str) -> Any:
    """What any program would read the same. Raises ValueError, also for what Python alone takes or falls over."""
    try:
        body = json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=_number)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if _SURROGATE.search(text):
        # Half a character can be written as an escape, but in no file and no terminal.
        body = json.loads(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
    return body


def _integer(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _number(text: str) -> float:
    if not abs(number := float(text)) < 10**DIGITS:
        raise ValueError(f"the number {text[:40]}")
    return number


def _salvaged(text: str, path: Path, error: ValueError) -> dict[str, Any]:
    """What is whole of a record that was cut off: one key a line, then one scenario a line."""
    head, mark, rest = text.partition('"scenarios": [\n')
    cut = f"it ends after {len(text)} characters, in the middle ({error})"
    try:
        body = _json(head.rstrip().rstrip(",") + "}")
    except ValueError:
        body = None
    if not mark or not isinstance(body, dict):
        raise UsageError(
            f"the record of a run in {path}", cut, advice="nothing of it can be read: run it again"
        ) from error
    scenarios = []
    for line in rest.splitlines():
        try:
            scenarios.append(_json(line.rstrip(",")))
        except ValueError:
            break
    return {**body, "state": CUT, "broken": body.get("broken") or f"the record is cut off: {cut}"} | {
        "scenarios": scenarios
    }


def _upgraded(body: Any, path: Path) -> dict[str, Any]:
    """The document in the present schema; what an older one did not say stays empty."""
    found = body.get("schema") if isinstance(body, dict) else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise UsageError(
            f"the record of a run in {path}", "a document without a schema number", advice="docs/record.md"
        )
    if found > SCHEMA:
        raise UsageError(
            f"a record of schema {OLDEST} to {SCHEMA} in {path}",
            f"schema {found}, which a newer virtlab wrote",
            advice="read it with that version, or a later one",
        )
    if found < OLDEST:
        raise UsageError(f"a record of schema {OLDEST} to {SCHEMA} in {path}", f"schema {found}")
    # Schema 1 had no facts, pictures, versions and process: all of them may be missing.
    return {**body, "schema": SCHEMA}


def _checked(body: dict[str, Any], path: Path) -> dict[str, Any]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(schema()).iter_errors(body))
    if error is not None:
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path).lstrip(".")
        raise UsageError(f"a record as docs/record.md describes it in {path}", error.message[:300], where or "its top")
    return body


def _record(body: dict[str, Any], path: Path) -> RunRecord:
    scenarios = [
        _made(ScenarioRecord, {**s, "steps": [_made(StepRecord, step) for step in s["steps"]]})
        for s in body["scenarios"]
    ]
    made: RunRecord = _made(RunRecord, {"process": {}, **body, "folder": path.parent, "scenarios": scenarios})
    return made


def _made(kind: type[Any], values: dict[str, Any]) -> Any:
    """Fields that this version does not know are passed over: they may be added without a new schema."""
    return kind(**{f.name: values[f.name] for f in fields(kind) if f.name in values})


def _state(record: RunRecord) -> str:
    """``killed`` for a record that says ``running`` and whose process is gone."""
    if record.state != "running":
        return record.state
    pid, host = record.process.get("pid"), record.process.get("host")
    if host != socket.gethostname() or not isinstance(pid, int):
        return record.state
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "killed"
    except PermissionError:
        return record.state
    return record.state
