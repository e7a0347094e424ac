"""Why a pod gets no network, in the words that reach its events; and the one check that every plugin makes."""

from __future__ import annotations

NAME_LENGTH = 15


class CniError(Exception):
    """Why a sandbox cannot be made; ``reason`` is that of an extra pod event, when there is one."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def interface_name(name: str) -> str:
    """The name, when it can be an interface's. Raises CniError in libcni's words (pkg/utils)."""
    if not name:
        raise CniError("interface name is empty")
    if len(name.encode(errors="replace")) > NAME_LENGTH:
        raise CniError("interface name is too long; interface name should be less than 16 characters")
    if name in (".", ".."):
        raise CniError("interface name is . or ..")
    # Beyond upstream: what cannot be printed, or begins an option, would come back in messages and on command lines.
    if name.startswith("-") or any(c in "/:" or c.isspace() or not c.isprintable() for c in name):
        raise CniError("interface name contains / or : or whitespace characters")
    return name
