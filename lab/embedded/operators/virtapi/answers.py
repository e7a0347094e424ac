"""virt-api's answers: Status bodies with upstream's codes and wording. Pure.

Rules: upstream pkg/virt-api/rest (lifecycle.go, subresource.go) and apimachinery's api/errors constructors.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from lab.embedded.operators.objects import Obj


class Refusal(Exception):
    """A request that is answered with a Status."""

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    def response(self) -> web.Response:
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            body["details"] = self.details
        return web.json_response(body, status=self.code)


def not_found(resource: str, name: str) -> Refusal:
    """`resource` is singular: virtualmachine, virtualmachineinstance."""
    details = {"name": name, "group": "kubevirt.io", "kind": resource}
    return Refusal(404, "NotFound", f'{resource}.kubevirt.io "{name}" not found', details)


def conflict(resource: str, name: str, why: str) -> Refusal:
    details = {"name": name, "group": "kubevirt.io", "kind": resource}
    text = f'Operation cannot be fulfilled on {resource}.kubevirt.io "{name}": {why}'
    return Refusal(409, "Conflict", text, details)


def bad_request(text: str) -> Refusal:
    return Refusal(400, "BadRequest", text)


def internal(text: str) -> Refusal:
    details = {"causes": [{"message": text}]}
    return Refusal(500, "InternalError", f"Internal error occurred: {text}", details)
