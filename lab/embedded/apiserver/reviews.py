"""Reviews: objects that are answered and never stored. May I, who am I, whose token is this."""

from __future__ import annotations

from typing import Any

from lab.embedded.apiserver.auth import Authenticator
from lab.embedded.apiserver.rbac import Authorizer
from lab.embedded.apiserver.requests import Attributes, Call, User

Obj = dict[str, Any]


class Reviews:
    """Answers by kind."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer

    def answer(self, call: Call, obj: Obj) -> Obj:
        """The review with its status filled in."""
        spec = obj.get("spec") or {}
        kind = call.resource.kind
        if kind == "SelfSubjectReview":
            status: Obj = {"userInfo": call.user.info()}
        elif kind == "TokenReview":
            status = self._token(str(spec.get("token", "")))
        elif kind == "SelfSubjectRulesReview":
            status = self._rules(call.user, str(spec.get("namespace", "")))
        else:
            user = call.user
            if kind != "SelfSubjectAccessReview":
                user = User(str(spec.get("user", "")), tuple(spec.get("groups") or ()))
            status = self._access(user, spec)
        return {**obj, "status": status}

    def _token(self, token: str) -> Obj:
        user = self._authenticator.user_of(token)
        if user is None:
            return {"authenticated": False, "user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": user.info()}

    def _access(self, user: User, spec: Obj) -> Obj:
        what = spec.get("resourceAttributes")
        if what is not None:
            asked = Attributes(
                verb=what.get("verb", ""),
                group=what.get("group", ""),
                resource=what.get("resource", ""),
                subresource=what.get("subresource", ""),
                namespace=what.get("namespace", ""),
                name=what.get("name", ""),
            )
        else:
            path = spec.get("nonResourceAttributes") or {}
            asked = Attributes(verb=path.get("verb", ""), path=path.get("path", "/"))
        return {"allowed": self._authorizer.allowed(user, asked)}

    def _rules(self, user: User, namespace: str) -> Obj:
        rules = list(self._authorizer.rules(user, namespace))
        return {
            "resourceRules": [rule for rule in rules if rule.get("resources")],
            "nonResourceRules": [rule for rule in rules if rule.get("nonResourceURLs")],
            "incomplete": False,
        }
