"""Names and marks of ownership: what this run made can be told from everything else, also after it was killed.

Pure; it must not talk to a cluster.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

RUN_LABEL = "virtlab.dev/run"
PART_LABEL = "virtlab.dev/part"
"""Which worker of a run in several made it: `--run ID` finds all of a run by one label, and each part by both."""
MANAGED_LABEL = "app.kubernetes.io/managed-by"
MANAGED_VALUE = "virtlab"
_NOT_DNS = re.compile(r"[^a-z0-9-]+")


def new_run_id() -> str:
    """Sortable by time and safe as a label value and name part: `20260822-101502-x7k2`."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + "-" + _letters(4)


def _letters(count: int) -> str:
    return "".join(secrets.choice("bcdfghjkmnpqrstvwxz23456789") for _ in range(count))


def dns_label(text: str, limit: int = 63) -> str:
    """Any text as an RFC 1123 label (lower case letters, digits, dashes; starts and ends alphanumeric)."""
    label = _NOT_DNS.sub("-", text.lower()).strip("-")
    return label[:limit].strip("-") or "x"


def unique(prefix: str, limit: int = 63) -> str:
    """A name that no former run used: the prefix and five random letters, within `limit`."""
    return f"{dns_label(prefix, limit - 6)}-{_letters(5)}"


def part_of(run_id: str, number: int) -> str:
    """The id of one part of a run that several workers share; no run id of its own has a dot in it."""
    return f"{run_id}.{number}"


def covers(run_id: str, owner: str) -> bool:
    """Whether what *owner* (a run, or a part of one) made is that run's; every owner's, without id."""
    return not run_id or owner == run_id or owner.startswith(f"{run_id}.")


def ownership(run_id: str) -> dict[str, str]:
    """The labels that every object of a run, or of a part of one, carries."""
    run, _, part = run_id.partition(".")
    return {RUN_LABEL: run, MANAGED_LABEL: MANAGED_VALUE} | ({PART_LABEL: part} if part else {})


def selector(run_id: str = "") -> str:
    """A label selector for what a run, a part of one, or (without id) any run made."""
    run, _, part = run_id.partition(".")
    return ",".join([f"{RUN_LABEL}={run}" if run else RUN_LABEL, *([f"{PART_LABEL}={part}"] if part else [])])


def owned(obj: dict[str, Any], run_id: str) -> dict[str, Any]:
    """A copy of a manifest with the ownership labels added."""
    meta = dict(obj.get("metadata") or {})
    meta["labels"] = {**(meta.get("labels") or {}), **ownership(run_id)}
    return {**obj, "metadata": meta}
