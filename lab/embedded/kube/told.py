"""What a process decided about objects, for its log: the events it records, the phase and conditions that it writes.

Everything that a controller or an agent decides is told to the API; here it is told to the log as well, by object, so
that `kubectl logs` of an operator shows what it made of each. Only what changed since the last time is said, and
nothing of a spec: secrets stand there. It must not talk to a server; `client` does.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

from lab.embedded.model.kinds import Kind

Obj = dict[str, Any]
LOGGER = "virtlab.api"
"""Loggers are called after kinds: ``virtlab.api.VirtualMachineInstance``."""
REMEMBERED = 4096
MESSAGE = 300
QUIET = frozenset({"Node", "Lease", "NodeNetworkState", "APIService", "CustomResourceDefinition"})
"""Kinds whose status is a heartbeat, a reading or a registration, and no decision."""


def event(body: Obj) -> None:
    """An event that is recorded."""
    about = body["involvedObject"]
    key = "/".join(part for part in (about.get("namespace", ""), about.get("name", "")) if part)
    level = logging.WARNING if body["type"] == "Warning" else logging.INFO
    said = f"{body['reason']}: {body['message']}"
    logging.getLogger(f"{LOGGER}.{about.get('kind', '')}").log(
        level, "%s: %s (event of %s)", key, said, body["reportingComponent"]
    )


class States:
    """The state of each object as this process wrote it last."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], dict[str, str]] = OrderedDict()

    def wrote(self, kind: Kind, namespace: str | None, name: str, body: Any) -> None:
        """A write of an object or of its status went well."""
        status = body.get("status") if isinstance(body, dict) and kind.kind not in QUIET else None
        if not isinstance(status, dict):
            return
        key = "/".join(part for part in (namespace or "", name) if part)
        known = self._known.pop((kind.kind, key), {})
        now = _state(status)
        self._known[kind.kind, key] = known | now
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        if said := "; ".join(f"{what} {text}" for what, text in now.items() if known.get(what) != text):
            logging.getLogger(f"{LOGGER}.{kind.kind}").info("%s: %s", key, said)


def _state(status: Obj) -> dict[str, str]:
    found = {"phase": str(status["phase"])} if status.get("phase") else {}
    for condition in status.get("conditions") or []:
        if isinstance(condition, dict) and "type" in condition and "status" in condition:
            why = ": ".join(str(condition[key]) for key in ("reason", "message") if condition.get(key))
            found[str(condition["type"])] = f"{condition['status']} ({why[:MESSAGE]})" if why else condition["status"]
    return found
