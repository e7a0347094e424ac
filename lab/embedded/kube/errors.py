"""The one error of the client, made from the `Status` body that the server answers with."""

from __future__ import annotations

import json
from typing import Any


class KubeError(Exception):
    """An API request that was refused, or that never reached the server.

    `status` is the HTTP code, 0 when there was no answer at all; `reason` is the machine field of the Status
    (`NotFound`, `AlreadyExists`, `Conflict`, `Expired`, `Invalid`, ...; `Unreachable` when there was no answer);
    `body` is the whole Status.
    """

    def __init__(self, status: int, reason: str, message: str, body: dict[str, Any] | None = None) -> None:
        super().__init__(f"{message} ({reason or 'no reason'}, HTTP {status})" if status else message)
        self.status = status
        self.reason = reason
        self.message = message
        self.body: dict[str, Any] = body or {}

    @classmethod
    def from_answer(cls, status: int, raw: bytes) -> KubeError:
        """Read a Status from an answer; a body that is none (a proxy's page) is quoted, cut to 500 characters."""
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            text = raw[:500].decode("utf-8", "replace")
            return cls(status, "", f"the server answered without a Status: {text!r}")
        return cls(status, str(body.get("reason", "")), str(body.get("message", "")), body)

    @classmethod
    def from_status(cls, body: dict[str, Any]) -> KubeError:
        """Read the Status object of an ERROR watch event."""
        return cls(int(body.get("code", 0)), str(body.get("reason", "")), str(body.get("message", "")), body)

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        return self.status == 409 and self.reason == "Conflict"

    @property
    def already_exists(self) -> bool:
        return self.status == 409 and self.reason == "AlreadyExists"
