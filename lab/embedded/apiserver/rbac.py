"""What callers may do: RBAC over the stored roles and bindings, and the roles that every cluster starts with.

Reading only. system:masters may do all, as upstream's authorizer of privileged groups has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lab.embedded.apiserver.errors import StatusError, qualified
from lab.embedded.apiserver.requests import Attributes, User
from lab.embedded.apiserver.store import Store

Obj = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"
_HEALTH = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_HEALTH]
_SELF = {
    "authorization.k8s.io": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    "authentication.k8s.io": ["selfsubjectreviews"],
}
# Upstream: plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go.
_DEFAULTS: dict[str, tuple[list[Obj], list[str]]] = {
    "cluster-admin": (
        [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}],
        [MASTERS],
    ),
    "system:basic-user": (
        [{"apiGroups": [group], "resources": kinds, "verbs": ["create"]} for group, kinds in _SELF.items()],
        ["system:authenticated"],
    ),
    "system:discovery": ([{"nonResourceURLs": _DISCOVERY, "verbs": ["get"]}], ["system:authenticated"]),
    "system:public-info-viewer": (
        [{"nonResourceURLs": _HEALTH, "verbs": ["get"]}],
        ["system:authenticated", "system:unauthenticated"],
    ),
}


def default_roles() -> Iterator[Obj]:
    """The ClusterRoles of a fresh cluster that matter to a client, each with its binding."""
    for name, (rules, groups) in _DEFAULTS.items():
        meta = {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
        yield {"apiVersion": f"{GROUP}/v1", "kind": "ClusterRole", "metadata": {**meta}, "rules": rules}
        yield {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {**meta},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": group} for group in groups],
        }


class Authorizer:
    """RBAC over the stored roles and bindings."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allowed(self, user: User, asked: Attributes) -> bool:
        if MASTERS in user.groups:
            return True
        return any(rule_allows(rule, asked) for rule in self.rules(user, asked.namespace))

    def rules(self, user: User, namespace: str) -> Iterable[Obj]:
        """All rules that hold for a user in a namespace (cluster-wide ones when it is empty)."""
        bindings = list(self._store.list((GROUP, "clusterrolebindings")))
        if namespace:
            bindings += self._store.list((GROUP, "rolebindings"), namespace)
        for binding in bindings:
            home = binding["metadata"].get("namespace", "")
            if not any(_is_subject(user, subject, home) for subject in binding.get("subjects") or ()):
                continue
            reference = binding.get("roleRef", {})
            if reference.get("kind") == "ClusterRole":
                role = self._store.get((GROUP, "clusterroles"), "", reference.get("name", ""))
            else:
                role = self._store.get((GROUP, "roles"), namespace, reference.get("name", ""))
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


def _is_subject(user: User, subject: Obj, home: str) -> bool:
    kind, name = subject.get("kind"), subject.get("name")
    if kind == "ServiceAccount":
        return user.name == f"system:serviceaccount:{subject.get('namespace') or home}:{name}"
    return user.name == name if kind == "User" else kind == "Group" and name in user.groups


def rule_allows(rule: Obj, asked: Attributes) -> bool:
    """Whether one rule of a role allows something (plugin/pkg/auth/authorizer/rbac/rbac.go, RuleAllows)."""

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
