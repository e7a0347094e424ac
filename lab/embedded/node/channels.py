"""The remote command protocol of the kubelet over a websocket: framing and the final Status, nothing that runs.

`v4.channel.k8s.io` and `v5.channel.k8s.io`: binary messages whose first byte is the channel; v5 adds a close
signal (255, channel), which is how an end of stdin is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.embedded.reading import json_of

Obj = dict[str, Any]
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


@dataclass(frozen=True)
class Input:
    """One message of the client: data for a channel, or that a channel is closed."""

    channel: int
    data: bytes = b""
    closed: bool = False


def decode(message: bytes, protocol: str) -> Input | None:
    """A client's message; None for an empty one or a channel that does not exist."""
    if not message:
        return None
    channel, data = message[0], message[1:]
    if channel == CLOSE and protocol.startswith("v5"):
        return Input(data[0], closed=True) if data else None
    if channel not in (STDIN, RESIZE):
        return None
    return Input(channel, data)


def resize_of(data: bytes) -> tuple[int, int] | None:
    """Columns and rows of a resize message ``{"Width":..,"Height":..}``; None when it is malformed."""
    try:
        size = json_of(data)
        width, height = int(size["Width"]), int(size["Height"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    return (width, height) if 0 < width < 65536 and 0 < height < 65536 else None


def exit_status(code: int, argv: list[str]) -> Obj:
    """The Status of a command that ended, as the kubelet sends it on the error channel."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: error executing command {argv}, exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure(message: str) -> Obj:
    """The Status of a command that could not be run."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


def encode(channel: int, data: bytes) -> bytes:
    """A message for the client."""
    return bytes((channel,)) + data
