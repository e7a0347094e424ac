"""Tokens of ServiceAccounts: made on request, signed by this server, good until they expire or the account is gone.

A JWT as upstream's, so that clients can read its claims. Nothing is stored: the signature and the claims say all.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from lab.embedded.apiserver.errors import Cause, invalid
from lab.embedded.apiserver.requests import User
from lab.embedded.apiserver.store import Store, stamp

Obj = dict[str, Any]
ACCOUNTS = ("", "serviceaccounts")
ISSUER = "https://kubernetes.default.svc.cluster.local"
PREFIX = "system:serviceaccount:"
LEAST_S, DEFAULT_S, MOST_S = 600, 3600, 1 << 32
"""Of a token's life; upstream: pkg/apis/authentication/validation."""
_HALF = 32


class TokenIssuer:
    """Signs with a key of this process's own: a server that starts anew makes earlier tokens void."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())

    def answer(self, account: Obj, request: Obj) -> Obj:
        """A TokenRequest with its status. Raises 422 for a life that is too short or too long."""
        spec = request.get("spec") or {}
        seconds = spec.get("expirationSeconds")
        seconds = DEFAULT_S if seconds is None else seconds
        if not isinstance(seconds, int) or not LEAST_S <= seconds <= MOST_S:
            why = "may not specify a duration less than 10 minutes" if seconds else "must be a whole number of seconds"
            cause = Cause("FieldValueInvalid", f"Invalid value: {seconds}: {why}", "spec.expirationSeconds")
            raise invalid("authentication.k8s.io", "TokenRequest", "", [cause])
        audiences = spec.get("audiences") or [ISSUER]
        now = int(self._clock())
        claims = _claims(account, audiences, now, seconds)
        meta = {key: account["metadata"][key] for key in ("name", "namespace")} | {"creationTimestamp": stamp(now)}
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": meta,
            "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
            "status": {"token": self._signed(claims), "expirationTimestamp": stamp(now + seconds)},
        }

    def user_of(self, token: str) -> User | None:
        """The account of a token; None when it is no token of ours, has expired, or its account is gone."""
        claims = self._verified(token)
        if claims is None or not claims["nbf"] <= self._clock() < claims["exp"] or ISSUER not in claims["aud"]:
            return None
        said = claims["kubernetes.io"]
        namespace, name, uid = said["namespace"], said["serviceaccount"]["name"], said["serviceaccount"]["uid"]
        account = self._store.get(ACCOUNTS, namespace, name)
        if account is None or account["metadata"]["uid"] != uid:
            return None
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return User(f"{PREFIX}{namespace}:{name}", groups, uid)

    def _signed(self, claims: Obj) -> str:
        body = f"{_part({'alg': 'ES256', 'typ': 'JWT'})}.{_part(claims)}"
        r, s = decode_dss_signature(self._key.sign(body.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{body}.{_encoded(r.to_bytes(_HALF, 'big') + s.to_bytes(_HALF, 'big'))}"

    def _verified(self, token: str) -> Obj | None:
        body, _, signature = token.rpartition(".")
        try:
            raw = _decoded(signature)
            r, s = (int.from_bytes(half, "big") for half in (raw[:_HALF], raw[_HALF:]))
            self._key.public_key().verify(encode_dss_signature(r, s), body.encode(), ec.ECDSA(hashes.SHA256()))
        except (ValueError, InvalidSignature):
            return None
        claims: Obj = json.loads(_decoded(body.partition(".")[2]))
        return claims


def _claims(account: Obj, audiences: list[str], now: int, seconds: int) -> Obj:
    meta = account["metadata"]
    namespace, name = meta["namespace"], meta["name"]
    return {
        "aud": audiences,
        "exp": now + seconds,
        "iat": now,
        "iss": ISSUER,
        "jti": secrets.token_hex(16),
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": meta["uid"]}},
        "nbf": now,
        "sub": f"{PREFIX}{namespace}:{name}",
    }


def _part(value: Obj) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
