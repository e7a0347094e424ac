"""Who calls: a bearer token of the lab, of a ServiceAccount, or a client certificate. What they may do is `rbac`."""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Mapping

from aiohttp import web

from lab.embedded.apiserver.errors import unauthorized
from lab.embedded.apiserver.requests import User
from lab.embedded.apiserver.tokens import TokenIssuer

AUTHENTICATED = "system:authenticated"
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
OPEN_PATHS = frozenset(["/healthz", "/livez", "/readyz", "/version"])


def server_context(cert: str, key: str, client_ca: str) -> ssl.SSLContext:
    """TLS of the server; a client certificate is asked for, not demanded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


class Authenticator:
    """Finds the user of a request; tokens are compared in constant time."""

    def __init__(self, tokens: Mapping[str, User], issuer: TokenIssuer | None = None) -> None:
        self._tokens = {token.encode(): user for token, user in tokens.items()}
        self._issuer = issuer

    def user_of(self, token: str) -> User | None:
        """The user of a bearer token."""
        given = token.encode("utf-8", "surrogateescape")
        found = None
        for known, user in self._tokens.items():
            if hmac.compare_digest(known, given):
                found = User(user.name, tuple(dict.fromkeys((*user.groups, AUTHENTICATED))), user.uid)
        if found is None and self._issuer is not None:
            found = self._issuer.user_of(token)
        return found

    def authenticate(self, request: web.BaseRequest) -> User:
        """Raises 401; paths that tell of health and version are open to everybody, as upstream's default roles are."""
        header = request.headers.get("Authorization", "")
        scheme, _, token = header.partition(" ")
        if not header:
            token = _websocket_token(request)
            scheme = "bearer" if token else ""
        if scheme.lower() == "bearer" and token.strip():
            user = self.user_of(token.strip())
            if user is None:
                raise unauthorized()
            return user
        user = _certificate_user(request)
        if user is not None:
            return user
        if request.path in OPEN_PATHS and not header:
            return ANONYMOUS
        raise unauthorized()


def _websocket_token(request: web.BaseRequest) -> str:
    import base64
    import binascii

    prefix = "base64url.bearer.authorization.k8s.io."
    for word in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        if word.strip().startswith(prefix):
            text = word.strip().removeprefix(prefix)
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            except (binascii.Error, ValueError):
                return ""
    return ""


def _certificate_user(request: web.BaseRequest) -> User | None:
    if request.transport is None:
        return None
    certificate = request.transport.get_extra_info("peercert")
    if not certificate:
        return None
    pairs = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for key, value in pairs if key == "commonName"]
    groups = [value for key, value in pairs if key == "organizationName"]
    return User(names[0], (*groups, AUTHENTICATED)) if names else None
