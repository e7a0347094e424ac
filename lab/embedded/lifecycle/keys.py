"""The keys and tokens of one lab: who its programs are, to its API server.

Made when the lab comes up, gone when it goes down; files of mode 0600, nothing printed.
"""

from __future__ import annotations

import json

from lab.embedded.apiserver.pki import Pki, create_pki, new_token, write_kubeconfig, write_private
from lab.embedded.apiserver.requests import User
from lab.embedded.lifecycle.layout import Layout
from lab.embedded.model.spec import LabSpec

MASTERS = "system:masters"
AGENT = "agent"
CONTROLLERS = "controllers"
ADMIN = "admin"


def create(layout: Layout, spec: LabSpec, server: str) -> None:
    """Make everything and write the kubeconfig of an administrator."""
    pki = create_pki(layout.pki)
    tokens = {name: new_token() for name in (ADMIN, CONTROLLERS, AGENT, *(node.name for node in spec.nodes))}
    write_private(layout.pki / "tokens.json", json.dumps(tokens).encode())
    write_kubeconfig(layout.kubeconfig, server, pki, token=tokens[ADMIN], name=f"virtlab-{spec.name}")


def token(layout: Layout, name: str) -> str:
    """The token of a program. Raises OSError when the lab was never brought up."""
    return str(json.loads((layout.pki / "tokens.json").read_text())[name])


def users(layout: Layout, spec: LabSpec) -> dict[str, User]:
    """Who each token belongs to, under upstream's names."""
    everyone = {
        ADMIN: User("kubernetes-admin", (MASTERS, "system:authenticated")),
        CONTROLLERS: User("system:serviceaccount:kubevirt:kubevirt-controller", (MASTERS, "system:authenticated")),
    }
    for node in spec.nodes:
        everyone[node.name] = User(f"system:node:{node.name}", (MASTERS, "system:nodes", "system:authenticated"))
    return {token(layout, name): user for name, user in everyone.items()}


def own_users(layout: Layout, spec: LabSpec) -> frozenset[str]:
    """The names of the lab's programs: all users but the administrator."""
    return frozenset(user.name for key, user in users(layout, spec).items() if key != token(layout, ADMIN))


def paths(layout: Layout) -> Pki:
    """The PEM files that `create` made."""
    folder = layout.pki
    return Pki(
        ca=folder / "ca.crt",
        ca_key=folder / "ca.key",
        server_cert=folder / "server.crt",
        server_key=folder / "server.key",
        client_cert=folder / "client.crt",
        client_key=folder / "client.key",
    )
