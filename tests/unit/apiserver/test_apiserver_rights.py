"""Roles, tokens of ServiceAccounts, reviews and the audit log, as a client sees them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from lab.embedded.apiserver import tokens
from lab.embedded.apiserver.audit import AuditLog
from lab.embedded.apiserver.pki import create_pki
from lab.embedded.apiserver.requests import User
from lab.embedded.apiserver.serve import ApiConfig, running
from lab.embedded.apiserver.store import Store
from lab.embedded.kube import Kube, KubeError
from lab.embedded.model.kinds import LEASE, NAMESPACE, NODE, POD, SECRET, SERVICEACCOUNT, Kind

from .servers import AGENT_TOKEN, TOKEN, listening, run

RBAC = ("rbac.authorization.k8s.io", "v1")
ROLE, BINDING = Kind(*RBAC, "roles", "Role", True), Kind(*RBAC, "rolebindings", "RoleBinding", True)
CLUSTER_ROLE = Kind(*RBAC, "clusterroles", "ClusterRole", False)
CLUSTER_BINDING = Kind(*RBAC, "clusterrolebindings", "ClusterRoleBinding", False)
ME = "system:serviceaccount:tests:someone"


async def allow(kube: Kube, name: str, *rules: dict[str, Any], namespace: str = "") -> None:
    """Give the ServiceAccount tests/someone rules, everywhere or in a namespace."""
    role, binding = (ROLE, BINDING) if namespace else (CLUSTER_ROLE, CLUSTER_BINDING)
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    await kube.patch(role, name, namespace or None, {"metadata": meta, "rules": list(rules)}, type="apply")
    reference = {"apiGroup": RBAC[0], "kind": role.kind, "name": name}
    subjects = [{"kind": "ServiceAccount", "namespace": "tests", "name": "someone"}]
    bound = {"metadata": meta, "roleRef": reference, "subjects": subjects}
    await kube.patch(binding, name, namespace or None, bound, type="apply")


async def account(kube: Kube) -> str:
    """The ServiceAccount tests/someone, and a token of it."""
    await kube.create(NAMESPACE, {"metadata": {"name": "tests"}})
    await kube.create(SERVICEACCOUNT, {"metadata": {"name": "someone", "namespace": "tests"}})
    answer = await kube.raw("POST", SERVICEACCOUNT.path("tests", "someone", "token"), body={"spec": {}})
    assert answer["kind"] == "TokenRequest"
    return str(answer["status"]["token"])


def cluster(folder: Path, test: Any, **settings: Any) -> None:
    """Run a test with (administrator's client, client of the account)."""

    async def work() -> None:
        sock, pki = listening(), create_pki(folder)
        users = {TOKEN: User("admin", ("system:masters",))}
        config = ApiConfig(sockets=[sock], pki=pki, tokens=users, agent_token=AGENT_TOKEN, **settings)
        server = f"https://127.0.0.1:{sock.getsockname()[1]}"
        async with running(config), Kube(server, token=TOKEN, ca=pki.ca, user_agent="test/1") as admin:
            token = await account(admin)
            async with Kube(server, token=token, ca=pki.ca, user_agent="someone/1") as someone:
                await test(admin, someone)

    run(work())


async def refusal(asked: Any) -> KubeError:
    with pytest.raises(KubeError) as caught:
        await asked
    return caught.value


def test_nothing_is_allowed_but_what_a_role_says(tmp_path: Path) -> None:
    async def test(admin: Kube, me: Kube) -> None:
        said = await refusal(me.list(NODE))
        assert (said.status, said.reason) == (403, "Forbidden")
        wanted = f'nodes is forbidden: User "{ME}" cannot list resource "nodes" in API group "" at the cluster scope'
        assert said.message == wanted
        await allow(admin, "nodes", {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]})
        await me.list(NODE)
        assert "cannot get resource" in (await refusal(me.get(NODE, "n"))).message
        pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
        await allow(admin, "pods", pods, namespace="tests")
        assert await me.list(POD, "tests") == []
        wanted = f'User "{ME}" cannot list resource "pods" in API group "" in the namespace "default"'
        assert wanted in (await refusal(me.list(POD, "default"))).message
        said = await refusal(me.raw("GET", POD.path("tests", "x", "log")))
        assert 'pods "x" is forbidden' in said.message
        assert 'cannot get resource "pods/log"' in said.message

    cluster(tmp_path, test)


def test_names_hold_for_lists_of_one_and_applying_needs_create_for_what_is_not_there(tmp_path: Path) -> None:
    async def test(admin: Kube, me: Kube) -> None:
        verbs = ["get", "list", "watch", "patch"]
        rule = {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["mine"],
            "verbs": verbs,
        }
        await allow(admin, "leases", rule, namespace="tests")
        assert await me.list(LEASE, "tests", fields="metadata.name=mine") == []
        assert (await refusal(me.list(LEASE, "tests"))).status == 403
        assert (await refusal(me.list(LEASE, "tests", fields="metadata.name=other"))).status == 403
        wanted: dict[str, Any] = {"metadata": {"name": "mine", "namespace": "tests"}, "spec": {"holderIdentity": "me"}}
        said = await refusal(me.patch(LEASE, "mine", "tests", wanted, type="apply"))
        assert (
            'cannot create resource "leases" in API group "coordination.k8s.io" in the namespace "tests"'
            in said.message
        )
        await admin.create(LEASE, {"metadata": {"name": "mine", "namespace": "tests"}})
        found = await me.patch(LEASE, "mine", "tests", wanted, type="apply")
        assert found["spec"]["holderIdentity"] == "me"

    cluster(tmp_path, test)


def test_reviews_say_what_is_so(tmp_path: Path) -> None:
    async def may(me: Kube, **asked: str) -> bool:
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = await me.raw("POST", path, body={**review, "spec": {"resourceAttributes": asked}})
        return bool(answer["status"]["allowed"])

    async def test(admin: Kube, me: Kube) -> None:
        rule = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}
        await allow(admin, "exec", rule, namespace="tests")
        assert await may(me, verb="get", resource="pods", subresource="exec", namespace="tests")
        assert not await may(me, verb="create", resource="pods", subresource="exec", namespace="tests")
        assert not await may(me, verb="get", resource="pods", namespace="tests")
        assert not await may(me, verb="get", resource="pods", subresource="exec", namespace="default")
        assert await may(admin, verb="delete", resource="nodes")
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
        told = (await me.raw("POST", path, body={**review, "spec": {"namespace": "tests"}}))["status"]
        assert rule in told["resourceRules"]
        assert any("/openapi/*" in entry["nonResourceURLs"] for entry in told["nonResourceRules"])
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        who = (await me.raw("POST", path, body=body))["status"]["userInfo"]
        groups = ["system:serviceaccounts", "system:serviceaccounts:tests", "system:authenticated"]
        assert (who["username"], who["groups"]) == (ME, groups)

    cluster(tmp_path, test)


def test_a_token_ends_with_its_account(tmp_path: Path) -> None:
    async def test(admin: Kube, me: Kube) -> None:
        said = await refusal(me.list(NODE))
        assert said.status == 403
        await admin.delete(SERVICEACCOUNT, "someone", "tests")
        assert (await refusal(me.list(NODE))).status == 401
        await admin.create(SERVICEACCOUNT, {"metadata": {"name": "someone", "namespace": "tests"}})
        assert (await refusal(me.list(NODE))).status == 401
        path = SERVICEACCOUNT.path("tests", "someone", "token")
        said = await refusal(admin.raw("POST", path, body={"spec": {"expirationSeconds": 60}}))
        assert (
            "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes" in said.message
        )
        assert (await refusal(admin.raw("POST", SERVICEACCOUNT.path("tests", "x", "token"), body={}))).status == 404

    cluster(tmp_path, test)


def test_a_token_expires_and_cannot_be_changed() -> None:
    now = [1_700_000_000.0]
    store = Store()
    issuer = tokens.TokenIssuer(store, lambda: now[0])
    meta = {"name": "someone", "namespace": "tests", "uid": "u1"}
    store.put(tokens.ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": dict(meta)})
    answer = issuer.answer({"metadata": meta}, {"spec": {"expirationSeconds": 600}})
    token = answer["status"]["token"]
    assert answer["status"]["expirationTimestamp"] == "2023-11-14T22:23:20Z"
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert (claims["sub"], claims["exp"] - claims["iat"]) == (ME, 600)
    found = issuer.user_of(token)
    assert found is not None
    assert found.name == ME
    claims["sub"] = claims["kubernetes.io"]["serviceaccount"]["name"] = "admin"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    for other in (
        f"{head}.{forged}.{signature}",
        f"{head}.{body}.AAAA",
        f"{head}.{body}",
        "x",
        ".",
        "..",
        "\u00e4.\u00e4",
    ):
        assert issuer.user_of(other) is None
    assert tokens.TokenIssuer(store, lambda: now[0]).user_of(token) is None
    other = issuer.answer({"metadata": meta}, {"spec": {"audiences": ["vault"]}})["status"]["token"]
    assert issuer.user_of(other) is None
    now[0] += 600
    assert issuer.user_of(token) is None


def test_the_audit_log_tells_who_asked_for_what(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"

    async def test(admin: Kube, me: Kube) -> None:
        await admin.create(SECRET, {"metadata": {"name": "s", "namespace": "tests"}, "stringData": {"p": "hidden"}})
        await admin.create(
            POD, {"metadata": {"name": "p", "namespace": "tests"}, "spec": {"containers": [{"name": "c"}]}}
        )
        await refusal(me.list(NODE))
        async for kind, _ in admin.watch(POD, "tests", "1"):
            assert kind == "ADDED"
            break

    cluster(tmp_path / "pki", test, audit=log, unaudited={"nobody"})
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert log.stat().st_mode & 0o777 == 0o600
    assert "hidden" not in log.read_text()
    pod = next(e for e in told if e.get("objectRef", {}).get("resource") == "pods")
    assert (pod["verb"], pod["level"], pod["responseStatus"]["code"]) == ("create", "Request", 201)
    assert pod["requestObject"]["spec"] == {"containers": [{"name": "c"}]}
    secret = next(e for e in told if e.get("objectRef", {}).get("resource") == "secrets")
    assert secret["level"] == "Metadata"
    assert "requestObject" not in secret
    mine = next(e for e in told if e["user"]["username"] == ME)
    assert (mine["verb"], mine["objectRef"], mine["responseStatus"]) == ("list", {"resource": "nodes"}, {"code": 403})
    assert mine["annotations"]["authorization.k8s.io/decision"] == "forbid"
    watch = next(e for e in told if e["verb"] == "watch")
    assert (watch["stage"], watch["userAgent"]) == ("ResponseStarted", "test/1")
    names = {e["objectRef"]["name"] for e in told if e.get("objectRef", {}).get("subresource") == "token"}
    assert names == {"someone"}


def test_users_that_the_audit_log_leaves_out_and_a_log_that_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "audit.log"

    async def test(admin: Kube, me: Kube) -> None:
        await refusal(me.list(NODE))

    cluster(tmp_path / "pki", test, audit=log, unaudited={"admin"})
    [told] = log.read_text().splitlines()
    assert json.loads(told)["user"]["username"] == ME
    monkeypatch.setattr("lab.embedded.apiserver.audit.MOST_BYTES", 10)
    audit = AuditLog(log)
    for number in range(3):
        audit._write(f"line {number} of the log\n".encode())
    assert log.read_text() == "line 2 of the log\n"
    assert (tmp_path / "audit.log.1").read_text() == "line 1 of the log\n"
