"""API refusals as our errors: told apart by Status.reason and webhook wording, said as a person needs it.

    ApiError                (LabError)
     ├─ NotFound · AlreadyExists · Conflict · Expired · BadRequest · ServerError
     ├─ Unauthorized · Forbidden          (also AccessDenied: the environment)
     ├─ Throttled · Unavailable · WebhookDown · QuotaExceeded     (the environment)
     ├─ KindMissing                       (also OperatorMissing: the environment)
     └─ Rejected                          the platform refuses the object: verdict "failed"
         ├─ Invalid                       by its schema
         └─ Denied                        by an admission webhook or policy

Pure: from what an answer holds to an exception. Connection losses are `ApiDown` (lab.core.errors), raised by transport.
"""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar

from lab.core.errors import AccessDenied, EnvironmentBroken, LabError, OperatorMissing, Verdict

_WEBHOOK = re.compile(
    r'admission webhook "(?P<name>[^"]+)" denied the request(?:: | without explanation)?(?P<why>.*)', re.S
)
_POLICY = re.compile(r"ValidatingAdmissionPolicy '(?P<name>[^']+)'.*? denied request: (?P<why>.*)", re.S)

_UNASKED = re.compile(r'failed calling webhook "(?P<name>[^"]+)": (?P<why>.*)', re.S)
"""kube-apiserver, when a webhook with failurePolicy Fail cannot be asked (k8s.io/apiserver .../webhook/errors)."""
_QUOTA = "exceeded quota:"
"""The admission plugin ResourceQuota (k8s.io/apiserver .../resourcequota/controller.go)."""


class ApiError(LabError):
    """An answer that is no success. `status` HTTP code, `reason` and `message` of the Status, `causes` as
    (field, message)."""

    def __init__(
        self,
        wanted: str,
        where: str,
        *,
        status: int = 0,
        reason: str = "",
        message: str = "",
        causes: tuple[tuple[str, str], ...] = (),
        found: str = "",
        advice: str = "",
    ) -> None:
        super().__init__(wanted, found or f"{status} {reason}: {message}".strip(), where, advice)
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = causes


class NotFound(ApiError):
    """The object is not there."""


class AlreadyExists(ApiError):
    """The name is in use."""


class Conflict(ApiError):
    """Somebody else changed the object, or owns a field that an apply wants."""


class Expired(ApiError):
    """A watch or list asked for a version that is gone."""


class BadRequest(ApiError):
    """The server cannot make sense of the request, or the object is not in a state for it."""


class ServerError(ApiError):
    """The server failed by itself (5xx)."""


class Unavailable(ServerError, EnvironmentBroken):
    """Nobody behind the API answers (502 to 504), still after the retries."""


class WebhookDown(ServerError, EnvironmentBroken):
    """An admission webhook that has to be asked does not answer: nothing of its kinds can be made or changed."""


class Throttled(ApiError, EnvironmentBroken):
    """Too many requests (429), still after the retries."""


class QuotaExceeded(ApiError, EnvironmentBroken):
    """A ResourceQuota is used up (403 as for missing rights, and yet something else)."""


class Unauthorized(ApiError, AccessDenied):
    """The credentials are not accepted."""


class Forbidden(ApiError, AccessDenied):
    """The credentials are good, the rights are missing."""


class KindMissing(ApiError, OperatorMissing):
    """The cluster serves no such kind."""


class Rejected(ApiError):
    """The platform refuses this object."""

    verdict: ClassVar[Verdict] = "failed"


class Invalid(Rejected):
    """Refused by the schema of its kind."""


class Denied(Rejected):
    """Refused by an admission webhook or policy; `webhook` names it."""

    webhook: str = ""


_BY_REASON: dict[str, tuple[type[ApiError], str]] = {
    "NotFound": (NotFound, "check name and namespace"),
    "AlreadyExists": (
        AlreadyExists,
        "another name, or remove the old object (virtlab clean removes leftovers of runs)",
    ),
    "Conflict": (Conflict, "read the object again and repeat; for an apply, force takes over the fields"),
    "Expired": (Expired, "list again and watch from there"),
    "Gone": (Expired, "list again and watch from there"),
    "Invalid": (Invalid, "correct the fields named above"),
    "BadRequest": (BadRequest, ""),
    "Unauthorized": (Unauthorized, "log in again, or correct the credentials of the kubeconfig's user"),
    "Forbidden": (Forbidden, "ask the cluster's owner for this right (kubectl auth can-i shows what is granted)"),
    "TooManyRequests": (Throttled, "the API server is overloaded: try later"),
}
_FAILED = "who serves this failed by itself: the log of the API server, or of the operator behind it, says why"
_BY_STATUS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
}


def parse_status(body: bytes | str) -> dict[str, Any]:
    """The Status object of an answer; a body that is none becomes one with that text as message."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    return data if isinstance(data, dict) else {"message": " ".join(text.split())[:500]}


def api_error(code: int, body: bytes | str | dict[str, Any], *, wanted: str, where: str) -> ApiError:
    """The exception for an HTTP answer (or a watch's ERROR event) with `code` and a Status body."""
    data = body if isinstance(body, dict) else parse_status(body)
    code = code or int(data.get("code") or 0)
    message = str(data.get("message") or "")
    reason = str(data.get("reason") or _BY_STATUS.get(code, ""))
    causes = _causes(data)
    if match := _WEBHOOK.search(message) or _POLICY.search(message):
        found = f"refused by {match['name']}: {match['why'].strip() or 'no reason given'}" + _list(causes)
        denied = Denied(
            wanted,
            where,
            status=code,
            reason=reason,
            message=message,
            causes=causes,
            found=found,
            advice="correct the object; the component that owns this check explains its rule",
        )
        denied.webhook = match["name"]
        return denied
    if environment := _environment(code, message):
        kind, advice = environment
        found = f"{code} {reason}: {message}".replace(" :", ":")
        return kind(
            wanted, where, status=code, reason=reason, message=message, causes=causes, found=found, advice=advice
        )
    kind, advice = _BY_REASON.get(reason) or _BY_REASON.get(_BY_STATUS.get(code, ""), (ServerError, _FAILED))
    found = f"{code} {reason}: {message}".replace(" :", ":") + _list(causes, message)
    return kind(wanted, where, status=code, reason=reason, message=message, causes=causes, found=found, advice=advice)


def _environment(code: int, message: str) -> tuple[type[ApiError], str] | None:
    """What the text tells apart, where code and reason are those of something else."""
    if match := _UNASKED.search(message):
        return WebhookDown, f"the component that owns the webhook {match['name']} is down: look at its pods"
    if _QUOTA in message:
        return QuotaExceeded, "raise the quota, or free what uses it (kubectl describe quota)"
    if code in (502, 503, 504):
        return Unavailable, "the API server or what it stands on is overloaded or down: look at it, try later"
    return None


def _causes(data: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    details = data.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return tuple(
        (str(cause.get("field") or ""), str(cause.get("message") or cause.get("reason") or ""))
        for cause in causes or []
        if isinstance(cause, dict)
    )


def _list(causes: tuple[tuple[str, str], ...], already: str = "") -> str:
    """One line per cause that the message does not say already."""
    lines = [
        f"\n  {field or '(object)'}: {text}" for field, text in causes if text not in already or field not in already
    ]
    return "".join(lines)
