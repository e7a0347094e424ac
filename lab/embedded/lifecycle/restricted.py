"""A kubeconfig of somebody who may do only what a manifest of roles says, as on a cluster whose owner is careful.

What a person would do with kubectl, in the same order: apply the manifest, ask for a token of its ServiceAccount. It
must not know what the roles are for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lab.embedded.apiserver.pki import write_kubeconfig
from lab.embedded.errors import StateError, UsageError
from lab.embedded.kube import Kube, KubeError
from lab.embedded.lifecycle import keys
from lab.embedded.lifecycle.layout import Layout
from lab.embedded.model.kinds import NAMESPACE, SERVICEACCOUNT, Kind

Obj = dict[str, Any]
DEFAULT = Path(__file__).parents[3] / "deploy" / "rbac.yaml"
TOKEN_S = 24 * 3600
_RBAC = ("rbac.authorization.k8s.io", "v1")
KINDS: Mapping[str, Kind] = {
    "Namespace": NAMESPACE,
    "ServiceAccount": SERVICEACCOUNT,
    "ClusterRole": Kind(*_RBAC, "clusterroles", "ClusterRole", False),
    "ClusterRoleBinding": Kind(*_RBAC, "clusterrolebindings", "ClusterRoleBinding", False),
    "Role": Kind(*_RBAC, "roles", "Role", True),
    "RoleBinding": Kind(*_RBAC, "rolebindings", "RoleBinding", True),
}


def read(path: Path) -> list[Obj]:
    """The objects of a manifest. Raises UsageError for what is no manifest of one ServiceAccount and its roles."""
    wanted = "wanted a manifest of one ServiceAccount and its roles"
    try:
        found = [obj for obj in yaml.safe_load_all(path.read_text(encoding="utf-8")) if obj]
    except (OSError, ValueError, AttributeError, RecursionError, yaml.YAMLError) as error:
        # PyYAML lets errors of its constructors through: a wrong number, a wrong date, brackets within brackets.
        raise UsageError(wanted, " ".join(str(error).split()), where=str(path)) from error
    kinds = [str(obj.get("kind")) if isinstance(obj, dict) else type(obj).__name__ for obj in found]
    if others := sorted(set(kinds) - set(KINDS)):
        raise UsageError(wanted, f"also {', '.join(others)}", where=str(path), advice=f"only {', '.join(KINDS)}")
    if kinds.count("ServiceAccount") != 1:
        raise UsageError(wanted, f"{kinds.count('ServiceAccount')} ServiceAccounts", where=str(path))
    return found


def restrict(layout: Layout, server: str, objects: Sequence[Obj]) -> str:
    """Make the objects and a kubeconfig of their ServiceAccount; returns its path. Raises StateError."""
    try:
        token = asyncio.run(_token(layout, server, objects))
    except KubeError as error:
        raise StateError(
            "wanted a kubeconfig with the rights of a manifest", error.message, where=server, advice="virtlab status"
        ) from error
    write_kubeconfig(layout.restricted, server, keys.paths(layout), token=token, name=f"virtlab-{layout.name}")
    return str(layout.restricted)


async def _token(layout: Layout, server: str, objects: Sequence[Obj]) -> str:
    admin, ca = keys.token(layout, keys.ADMIN), layout.pki / "ca.crt"
    async with Kube(server, token=admin, ca=ca, user_agent="virtlab-up") as kube:
        for obj in objects:
            meta = obj["metadata"]
            await kube.patch(KINDS[obj["kind"]], meta["name"], meta.get("namespace"), obj, type="apply")
        account = next(obj for obj in objects if obj["kind"] == "ServiceAccount")["metadata"]
        path = SERVICEACCOUNT.path(account.get("namespace", "default"), account["name"], "token")
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        answer = await kube.raw("POST", path, body={**asked, "spec": {"expirationSeconds": TOKEN_S}})
    return str(answer["status"]["token"])
