"""`up --rbac`: what a manifest of roles must be, and the kubeconfig that comes of one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from lab.embedded.apiserver.pki import create_pki, write_private
from lab.embedded.apiserver.requests import User
from lab.embedded.apiserver.serve import ApiConfig, running
from lab.embedded.errors import StateError, UsageError
from lab.embedded.kube import Kube, KubeError
from lab.embedded.lifecycle import restricted
from lab.embedded.model.kinds import LEASE, NODE
from tests.unit.apiserver.servers import AGENT_TOKEN, TOKEN, listening


def said(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        restricted.read(path)
    return str(caught.value)


def test_what_is_no_manifest_of_roles(tmp_path: Path) -> None:
    assert "wanted a manifest of one ServiceAccount and its roles" in said(tmp_path / "none.yaml")
    other = tmp_path / "other.yaml"
    other.write_text("kind: ServiceAccount\nmetadata: {name: a}\n---\nkind: Secret\n---\n7\n")
    assert "also Secret, int" in said(other)
    assert "try: only Namespace, ServiceAccount, ClusterRole, ClusterRoleBinding, Role, RoleBinding" in said(other)
    other.write_text("kind: Namespace\nmetadata: {name: a}\n")
    assert "0 ServiceAccounts" in said(other)
    other.write_text("a: [")
    assert str(other) in said(other)


def test_the_shipped_manifest_makes_a_kubeconfig_with_its_rights_alone(tmp_path: Path) -> None:
    layout: Any = SimpleNamespace(name="x", pki=tmp_path / "pki", restricted=tmp_path / "kubeconfig.restricted")
    pki, sock = create_pki(layout.pki), listening()
    write_private(layout.pki / "tokens.json", b'{"admin": "%s"}' % TOKEN.encode())
    server = f"https://127.0.0.1:{sock.getsockname()[1]}"
    objects = restricted.read(restricted.DEFAULT)
    users = {TOKEN: User("admin", ("system:masters",))}
    config = ApiConfig(sockets=[sock], pki=pki, tokens=users, agent_token=AGENT_TOKEN)

    async def use() -> None:
        async with running(config):
            # As a command of its own does it: in another thread, with a loop of its own.
            path = await asyncio.to_thread(restricted.restrict, layout, server, objects)
            assert await asyncio.to_thread(restricted.restrict, layout, server, objects) == path
            user = yaml.safe_load(Path(path).read_text())["users"][0]["user"]
            async with Kube(server, token=user["token"], ca=pki.ca, user_agent="test") as kube:
                await kube.list(NODE)
                await kube.create(LEASE, {"metadata": {"name": "virtlab", "namespace": "default"}})
                with pytest.raises(KubeError, match=r'"system:serviceaccount:virtlab:virtlab" cannot delete'):
                    await kube.delete(NODE, "n")

    asyncio.run(use())
    assert layout.restricted.stat().st_mode & 0o777 == 0o600


def test_an_api_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.embedded.kube.client.RETRY_SECONDS", 0.0)
    layout: Any = SimpleNamespace(name="x", pki=tmp_path / "pki", restricted=tmp_path / "k")
    create_pki(layout.pki)
    write_private(layout.pki / "tokens.json", b'{"admin": "t"}')
    with pytest.raises(StateError, match="wanted a kubeconfig with the rights of a manifest: cannot connect") as caught:
        restricted.restrict(layout, "https://127.0.0.1:1", restricted.read(restricted.DEFAULT))
    assert "try: virtlab status" in str(caught.value)
