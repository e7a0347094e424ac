"""Who calls (bearer token or client certificate) and what they may do (RBAC objects; system:masters may do all)."""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from lab.embedded.apiserver.errors import StatusError, qualified, unauthorized
from lab.embedded.apiserver.requests import User
from lab.embedded.apiserver.store import Store

Obj = dict[str, Any]
AUTHENTICATED = "system:authenticated"
MASTERS = "system:masters"
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

    def __init__(self, tokens: Mapping[str, User]) -> None:
        self._tokens = {token.encode(): user for token, user in tokens.items()}

    def user_of(self, token: str) -> User | None:
        """The user of a bearer token."""
        given = token.encode()
        found = None
        for known, user in self._tokens.items():
            if hmac.compare_digest(known, given):
                found = User(user.name, tuple(dict.fromkeys((*user.groups, AUTHENTICATED))), user.uid)
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


@dataclass(frozen=True)
class Attributes:
    """What is asked for: a resource request, or a path when `path` is set."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authorizer:
    """RBAC over the stored roles and bindings."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allowed(self, user: User, asked: Attributes) -> bool:
        if MASTERS in user.groups:
            return True
        if (
            asked.path
            and asked.verb == "get"
            and asked.path.startswith(("/api", "/openapi", "/version", "/healthz", "/livez", "/readyz"))
        ):
            return True
        if asked.group in ("authorization.k8s.io", "authentication.k8s.io") and asked.resource.startswith("self"):
            return True
        return any(_rule_allows(rule, asked) for rule in self.rules(user, asked.namespace))

    def rules(self, user: User, namespace: str) -> Iterable[Obj]:
        """All rules that hold for a user in a namespace (cluster-wide ones when it is empty)."""
        group = "rbac.authorization.k8s.io"
        bindings = list(self._store.list((group, "clusterrolebindings")))
        if namespace:
            bindings += self._store.list((group, "rolebindings"), namespace)
        for binding in bindings:
            if not any(_is_subject(user, subject, namespace) for subject in binding.get("subjects") or ()):
                continue
            reference = binding.get("roleRef", {})
            if reference.get("kind") == "ClusterRole":
                role = self._store.get((group, "clusterroles"), "", reference.get("name", ""))
            else:
                role = self._store.get((group, "roles"), namespace, reference.get("name", ""))
            yield from (role or {}).get("rules") or ()

    def check(self, user: User, asked: Attributes) -> None:
        """Raises 403 with upstream's text."""
        if self.allowed(user, asked):
            return
        if asked.path:
            text = f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"'
            raise StatusError(403, "Forbidden", text)
        what = asked.resource + (f"/{asked.subresource}" if asked.subresource else "")
        subject = qualified(asked.resource, asked.group) + (f' "{asked.name}"' if asked.name else "")
        where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        text = (
            f'{subject} is forbidden: User "{user.name}" cannot {asked.verb} resource "{what}" in API group '
            f'"{asked.group}" {where}'
        )
        details = {"name": asked.name, "group": asked.group, "kind": asked.resource}
        raise StatusError(403, "Forbidden", text, {key: value for key, value in details.items() if value})


def _is_subject(user: User, subject: Obj, namespace: str) -> bool:
    kind, name = subject.get("kind"), subject.get("name")
    if kind == "ServiceAccount":
        return user.name == f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}"
    return user.name == name if kind == "User" else kind == "Group" and name in user.groups


def _rule_allows(rule: Obj, asked: Attributes) -> bool:
    def has(key: str, *values: str) -> bool:
        known = rule.get(key) or ()
        return "*" in known or any(value in known for value in values)

    if not has("verbs", asked.verb):
        return False
    if asked.path:
        urls = rule.get("nonResourceURLs") or ()
        return any(u == asked.path or (u.endswith("*") and asked.path.startswith(u[:-1])) for u in urls)
    what = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    wild = f"*/{asked.subresource}" if asked.subresource else what
    if not has("apiGroups", asked.group) or not has("resources", what, wild):
        return False
    names = rule.get("resourceNames") or ()
    return not names or asked.name in names
