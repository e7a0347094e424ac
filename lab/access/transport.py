"""HTTP to the API server: one request function with credentials, deadline, retries of what is transient, our errors.

It uses the connection pool and the credential hooks of the `kubernetes` package (exec plugins, OIDC refresh), but not
its generated (de)serialisation: objects stay the dicts that came over the wire.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import tenacity
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from lab.access.errors import ApiError, api_error
from lab.access.kubeconfig import tls_context
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import ApiDown
from lab.core.numerals import whole

T = TypeVar("T")
CALL_S = 30.0
FIRST_CONTACT_S = 2.0
RECONNECT_S = 15.0
_IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "PATCH"}


class _Transient(Exception):
    """Worth another try after `delay` seconds; `final` is what to raise when there is none."""

    def __init__(self, final: Exception, delay: float) -> None:
        super().__init__(str(final))
        self.final = final
        self.delay = delay


@dataclass(frozen=True)
class _Call:
    """One request; `wanted` and `where` word its error; `read_s` > 0 makes the answer a stream with that patience."""

    method: str
    path: str
    wanted: str
    where: str
    params: Mapping[str, str] | None = None
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"
    read_s: float = 0.0


class Transport:
    """One API server. `server` is its URL, `kubeconfig` the file it was read from (for messages)."""

    def __init__(self, api_client: Any, kubeconfig: Path | None = None, *, user_agent: str = "virtlab") -> None:
        self._api = api_client
        self._pool = api_client.rest_client.pool_manager
        self.configuration = api_client.configuration
        self.server = str(self.configuration.host)
        # Remembered: the package writes its own choice into the configuration whenever it refreshes credentials.
        self.proxy = str(self.configuration.proxy or "")
        self.kubeconfig = kubeconfig
        self._user_agent = user_agent
        self._reached = False

    def close(self) -> None:
        """Ends the pooled connections; a later request opens new ones."""
        self._pool.clear()

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The TLS settings for connections that the pool does not make. Made once: reading certificates takes long."""
        return tls_context(self.configuration)

    def headers(self) -> dict[str, str]:
        """Credentials and user agent for one request, refreshed by the package's hook when they expire."""
        headers: dict[str, str] = {"User-Agent": self._user_agent}
        self._api.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
        return headers

    def request(
        self,
        method: str,
        path: str,
        *,
        wanted: str,
        where: str = "",
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        deadline: Deadline | None = None,
    ) -> bytes:
        """The body of a success. `wanted` and `where` word the error ("create VirtualMachine", "demo/a").

        Retried until the deadline (30 s when None): lost connections (of a POST only when nothing was sent), 429,
        502-504 of what may be repeated, any 5xx with Retry-After. Raises ApiError and its kin, ApiDown.
        """
        deadline = deadline or Deadline.after(CALL_S)
        call = _Call(method, path, wanted, where, params, body, content_type, accept)
        response = self.retried(lambda: self._once(call, deadline), deadline)
        return bytes(response.data)

    def head(self, path: str, *, wanted: str, deadline: Deadline | None = None) -> Mapping[str, str]:
        """The headers of the answer to a GET. Raises as request."""
        deadline = deadline or Deadline.after(CALL_S)
        call = _Call("GET", path, wanted, "", accept="*/*")
        return dict(self.retried(lambda: self._once(call, deadline), deadline).headers)

    def stream(
        self, path: str, *, wanted: str, where: str = "", params: Mapping[str, str], deadline: Deadline, read_s: float
    ) -> urllib3.HTTPResponse:
        """An open GET whose body arrives bit by bit; `read_s` is the longest silence taken. Close it after use."""
        call = _Call("GET", path, wanted, where, params, read_s=read_s)
        return self.retried(lambda: self._once(call, deadline), deadline)

    def retried(self, call: Callable[[], T], deadline: Deadline) -> T:
        """What *call* returns, tried again until the deadline while it raises what :meth:`again` made."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Transient),
            stop=lambda state: _delay(state) >= deadline.remaining(),
            wait=lambda state: min(_delay(state), deadline.remaining()),
            before_sleep=self._tell,
            reraise=True,
        )
        patience = Deadline.after(RECONNECT_S if self._reached else FIRST_CONTACT_S)
        try:
            found: T = retrying(self._patient, call, patience)
            return found
        except _Transient as error:
            raise error.final from error.final.__cause__

    def _patient(self, call: Callable[[], T], patience: Deadline) -> T:
        """An API that never answered is given up sooner than one that did: a wrong address is no outage."""
        try:
            answer = call()
        except _Transient as error:
            if isinstance(error.final, ApiDown) and patience.expired:
                # Told once; whoever asks next, to clean up say, is not to wait as long again.
                self._reached = False
                raise error.final from error.final.__cause__
            raise
        self._reached = True
        return answer

    def _tell(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        trace.note(self.server, f"trying again: {error}".splitlines()[0], what="retry")

    def _once(self, call: _Call, deadline: Deadline) -> urllib3.HTTPResponse:
        headers = {**self.headers(), "Accept": call.accept}
        data = None
        if call.body is not None:
            headers["Content-Type"] = call.content_type
            data = json.dumps(call.body).encode()
        left = max(0.1, deadline.remaining())
        try:
            response: urllib3.HTTPResponse = self._pool.request(
                call.method,
                self.server + call.path + (f"?{urlencode(call.params)}" if call.params else ""),
                headers=headers,
                body=data,
                preload_content=not call.read_s,
                retries=False,
                timeout=urllib3.Timeout(connect=min(left, 10.0), read=call.read_s or left),
            )
        except HTTPError as error:
            raise self._down(error, call.method, call.wanted) from error
        if response.status < 400:
            return response
        content = response.data
        response.release_conn()
        where = f"{call.where + ', ' if call.where else ''}{self.server} ({call.method} {call.path})"
        failure = api_error(response.status, content, wanted=call.wanted, where=where)
        raise self.again(failure, call.method, response.headers.get("Retry-After", "")) from None

    def _down(self, error: HTTPError, method: str, wanted: str) -> Exception:
        """A lost connection: worth another try when nothing was sent, or repeating does no harm."""
        cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        down = self.api_down(wanted, cause)
        down.__cause__ = error
        unsent = isinstance(cause, NewConnectionError | ConnectTimeoutError)
        if isinstance(cause, SSLError) and not _cut_off(cause):
            return down
        lost = isinstance(cause, ProtocolError | ReadTimeoutError | SSLError)
        if unsent or (lost and method in _IDEMPOTENT):
            return _Transient(down, 0.25)
        return down

    def api_down(self, wanted: str, cause: Exception) -> ApiDown:
        """The error for a connection that failed for `cause`."""
        source = f"from kubeconfig {self.kubeconfig}" if self.kubeconfig else "from the kubeconfig"
        if isinstance(cause, SSLError) and "certificate has expired" in str(cause):
            advice = "renew the server's certificate, or set the clock right: a new kubeconfig changes nothing"
        elif isinstance(cause, SSLError) and not _cut_off(cause):
            advice = "the server's certificate is not the one this kubeconfig expects: fetch the kubeconfig again"
        else:
            advice = "is the cluster up? for an embedded lab: virtlab status, virtlab up; else kubectl cluster-info"
        found = f"{type(cause).__name__}: {_short(cause)}"
        return ApiDown(f"an answer of the API server ({wanted})", found, f"{self.server} ({source})", advice)

    def again(self, error: ApiError, method: str, retry_after: str) -> Exception:
        """What to raise for an error answer: the same, or that it is transient.

        A 500 without Retry-After is not: KubeVirt's subresources use it for "VMI is not running"."""
        if error.status == 429 or (error.status >= 500 and retry_after):
            return _Transient(error, _seconds(retry_after))
        if error.status in (502, 503, 504) and method in _IDEMPOTENT:
            return _Transient(error, 0.5)
        return error


def _cut_off(error: SSLError) -> bool:
    """Whether TLS only says that the connection was lost: nothing is wrong with a certificate then."""
    return any(isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError) for inner in (error.__cause__, *error.args))


def _delay(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    delay = error.delay if isinstance(error, _Transient) else 0.0
    return delay * min(4, state.attempt_number) if delay < 1 else delay


def _seconds(retry_after: str) -> float:
    seconds = whole(retry_after)
    return 1.0 if seconds is None else float(seconds)


def _short(cause: Exception) -> str:
    """urllib3 words as `<Object at 0x..>: Failed to ...: [Errno 111] Connection refused`: the tail says it."""
    return str(cause).rpartition(">: ")[2] or type(cause).__name__
