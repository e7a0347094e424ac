"""How admission says no: causes with fields, or one plain error; and the Status each becomes on the wire.

Rules: upstream pkg/util/webhooks/webhooks.go (ToAdmissionResponse, ToAdmissionResponseError). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INVALID = "FieldValueInvalid"
REQUIRED = "FieldValueRequired"
DUPLICATE = "FieldValueDuplicate"
NOT_SUPPORTED = "FieldValueNotSupported"
SHOWN = 10


@dataclass(frozen=True)
class Cause:
    """One mistake: machine reason, text, and the field's path (may be empty)."""

    reason: str
    message: str
    field: str = ""

    def wire(self) -> dict[str, str]:
        pairs = {"reason": self.reason, "message": self.message, "field": self.field}
        return {key: value for key, value in pairs.items() if value}


class Denied(Exception):
    """A refusal with its HTTP code, Status reason, text and causes."""

    def __init__(self, message: str, *, code: int = 400, reason: str = "", causes: Sequence[Cause] = ()) -> None:
        super().__init__(message)
        self.message, self.code, self.reason, self.causes = message, code, reason, tuple(causes)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = {"status": "Failure", "message": self.message, "code": self.code}
        if self.reason:
            status["reason"] = self.reason
        if self.causes:
            status["details"] = {"causes": [cause.wire() for cause in self.causes]}
        return status


def refuse(causes: Sequence[Cause]) -> None:
    """Raise Denied (422 Invalid) when there are causes; the text has the first ten."""
    if not causes:
        return
    text = ", ".join(cause.message for cause in causes[:SHOWN])
    if len(causes) > SHOWN:
        text += f", and {len(causes) - SHOWN} more validation errors"
    raise Denied(text, code=422, reason="Invalid", causes=causes)
