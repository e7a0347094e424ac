"""What the built-in guest could not do of its cloud-init data: its own words, fetched through its agent.

The guest writes them to a file once everything was tried (images/guest/late); before that, and in a guest that is not
the lab's, there is no such file.  It must not judge them: they are for a person.
"""

from __future__ import annotations

import base64
import contextlib
from typing import Any

from lab.embedded.node.guestagent import AgentRefused, GuestAgent

PATH = "/run/virtlab/cloud-init-said"
MOST_BYTES = 4096
MOST_LINES = 12
LINE_LENGTH = 200


async def fetch(agent: GuestAgent) -> list[str] | None:
    """The guest's words, a line each; None when there are none yet. Raises AgentSilent."""
    try:
        handle = await agent.ask("guest-file-open", {"path": PATH, "mode": "r"})
    except AgentRefused:
        return None
    try:
        return lines(await agent.ask("guest-file-read", {"handle": handle, "count": MOST_BYTES}))
    except AgentRefused:
        return None
    finally:
        with contextlib.suppress(AgentRefused):
            await agent.ask("guest-file-close", {"handle": handle})


def lines(answer: Any) -> list[str]:
    """The lines in an answer of guest-file-read; what a guest says is cut, and stripped of what cannot be printed."""
    text = answer.get("buf-b64") if isinstance(answer, dict) else None
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        return []
    found = [line for line in data[:MOST_BYTES].decode(errors="replace").splitlines() if line.strip()]
    said = ["".join(c if c.isprintable() else "?" for c in line)[:LINE_LENGTH] for line in found[:MOST_LINES]]
    left = len(found) - len(said)
    return [*said, f"and {left} more, see the console"] if left else said
