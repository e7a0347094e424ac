"""Discovery, representations, authentication, and answers to what is no proper request."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from .conftest import Http, vm_manifest

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def test_discovery_in_both_forms(http: Http) -> None:
    groups = {group["name"] for group in http.status("GET", "/apis")["groups"]}
    assert {"apps", "kubevirt.io", "nmstate.io", "k8s.cni.cncf.io", "coordination.k8s.io"} <= groups
    answer = http.send("GET", "/apis", headers={"Accept": AGGREGATED})
    assert answer.headers["Content-Type"] == AGGREGATED
    aggregated = {item["metadata"]["name"]: item for item in json.loads(answer.data)["items"]}
    assert groups == set(aggregated)
    names = [resource["resource"] for resource in aggregated["nmstate.io"]["versions"][0]["resources"]]
    assert "nodenetworkconfigurationpolicies" in names
    legacy = http.status("GET", "/apis/kubevirt.io/v1")["resources"]
    vm = next(resource for resource in legacy if resource["name"] == "virtualmachines")
    assert (vm["kind"], vm["shortNames"], vm["categories"]) == ("VirtualMachine", ["vm", "vms"], ["all"])
    assert "virtualmachines/status" in {resource["name"] for resource in legacy}


def test_openapi_v3(http: Http) -> None:
    index = http.status("GET", "/openapi/v3")["paths"]
    document = json.loads(http.send("GET", index["apis/kubevirt.io/v1"]["serverRelativeURL"]).data)
    kinds = {
        gvk["kind"]: schema
        for schema in document["components"]["schemas"].values()
        for gvk in schema.get("x-kubernetes-group-version-kind", ())
    }
    assert "runStrategy" in kinds["VirtualMachine"]["properties"]["spec"]["properties"]
    text = json.dumps(document)
    for reference in {word.split('"')[0] for word in text.split("#/components/schemas/")[1:]}:
        assert reference in document["components"]["schemas"]


def test_tables_carry_the_crd_columns(http: Http, own_server: Any) -> None:
    policy = {
        "apiVersion": "nmstate.io/v1",
        "kind": "NodeNetworkConfigurationPolicy",
        "metadata": {"name": "contract-columns"},
        "spec": {"desiredState": {"interfaces": [{"name": "eth1"}]}},
    }
    root = "/apis/nmstate.io/v1/nodenetworkconfigurationpolicies"
    assert http.send("POST", root, policy).status == 201
    conditions = [
        {"type": "Degraded", "status": "False"},
        {"type": "Available", "status": "True", "reason": "SuccessfullyConfigured"},
    ]
    merge = {"Content-Type": "application/merge-patch+json"}
    http.send("PATCH", f"{root}/contract-columns/status", {"status": {"conditions": conditions}}, merge)
    table = json.loads(http.send("GET", f"{root}/contract-columns", headers={"Accept": TABLE}).data)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Status", "Reason"]
    assert table["rows"][0]["cells"] == ["contract-columns", "Available", "SuccessfullyConfigured"]
    http.send("DELETE", f"{root}/contract-columns")


def test_old_versions_show_the_same_object_with_a_warning(http: Http, namespace: str) -> None:
    root = f"/apis/kubevirt.io/v1/namespaces/{namespace}/virtualmachines"
    http.send("POST", root, vm_manifest("vm"))
    answer = http.send("GET", root.replace("v1/", "v1alpha3/", 1) + "/vm")
    assert json.loads(answer.data)["apiVersion"] == "kubevirt.io/v1alpha3"
    assert "kubevirt.io/v1alpha3 is now deprecated" in answer.headers["Warning"]


def test_unknown_fields_are_warned_of(http: Http, namespace: str) -> None:
    body = vm_manifest("vm")
    body["spec"]["nonsense"] = 1
    answer = http.send("POST", f"/apis/kubevirt.io/v1/namespaces/{namespace}/virtualmachines", body)
    assert answer.status == 201
    assert answer.headers["Warning"] == '299 - "unknown field \\"spec.nonsense\\""'


def test_warnings_do_not_fill_an_answer(http: Http, namespace: str) -> None:
    """Python's http.client gives up at 100 headers."""
    body = {"metadata": {"name": "many"}, **{f"nonsense{n}": {} for n in range(300)}}
    answer = http.send("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)
    assert answer.status == 201
    assert 1 < len(answer.headers.getlist("Warning")) <= 100
    body = {"metadata": {"name": "long"}, **{f"{n}" + "x" * 3000: {} for n in range(9)}}
    answer = http.send("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)
    assert answer.status == 201
    assert sum(map(len, answer.headers.getlist("Warning"))) < 5000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":[]}',
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":7}}',
        b'{"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"a"}}',
        b'{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}',
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":.nan}}',
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":5}}',
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"\xff\xfe\x00",
        b"k8s\x00\x0a\xff\xff",
    ],
)
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
)
def test_malformed_bodies_store_nothing(http: Http, namespace: str, body: bytes, content_type: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    before = len(http.status("GET", path)["items"])
    answer = http.send("POST", path, body, {"Content-Type": content_type})
    status = json.loads(answer.data)
    assert (status["kind"], status["status"]) == ("Status", "Failure")
    assert answer.status in (400, 422), status
    assert len(http.status("GET", path)["items"]) == before


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json-patch+json", b'{"op":"add"}'),
        ("application/json-patch+json", b'[{"op":"nonsense","path":"/data"}]'),
        ("application/json-patch+json", b'[{"op":"remove","path":"/data/none"}]'),
        ("application/json-patch+json", b'[{"op":"replace","path":"","value":[]}]'),
        ("application/json-patch+json", b'[{"op":"replace","path":"/metadata","value":7}]'),
        ("application/merge-patch+json", b"[]"),
        ("application/merge-patch+json", b'{"metadata":null,"data":7}'),
        ("application/strategic-merge-patch+json", b'{"data":[1]}'),
        ("application/apply-patch+yaml", b"a: [unclosed"),
        ("application/apply-patch+yaml", b"- a"),
        ("text/plain", b"{}"),
    ],
)
def test_malformed_patches_change_nothing(http: Http, namespace: str, content_type: str, body: bytes) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    http.send("POST", path, made)
    before = http.status("GET", f"{path}/a")
    answer = http.send("PATCH", f"{path}/a", body, {"Content-Type": content_type}, fieldManager="m")
    assert answer.status in (400, 415, 422), answer.data
    assert json.loads(answer.data)["kind"] == "Status"
    assert http.status("GET", f"{path}/a") == before


def test_wrong_and_missing_tokens(http: Http) -> None:
    for token in ("Bearer wrong", "Bearer ", "Basic eDp5"):
        answer = http.send("GET", "/api/v1/namespaces", headers={"authorization": token})
        status = json.loads(answer.data)
        assert (answer.status, status["reason"], status["code"]) == (401, "Unauthorized", 401)


def test_paths_that_lead_nowhere(http: Http, namespace: str) -> None:
    for path in (
        "/nonsense",
        "/api/v2",
        "/apis/no.such.group",
        "/apis/no.such.group/v1/things",
        "/api/v1/nonsense",
        f"/api/v1/namespaces/{namespace}/configmaps/a/nonsense",
        f"/api/v1/namespaces/{namespace}/configmaps/a/b/c/d",
    ):
        answer = http.send("GET", path)
        assert answer.status == 404, path
        assert json.loads(answer.data)["reason"] == "NotFound"
    assert http.send("POST", f"/api/v1/namespaces/{namespace}", {}).status == 405


@pytest.mark.parametrize(
    "query",
    [
        {"labelSelector": "a in (b"},
        {"fieldSelector": "spec.nonsense=1"},
        {"limit": "many"},
        {"continue": "nonsense"},
        {"watch": "1", "resourceVersion": "x"},
    ],
)
def test_wrong_list_options(http: Http, namespace: str, query: dict[str, str]) -> None:
    answer = http.send("GET", f"/api/v1/namespaces/{namespace}/pods", **query)
    assert answer.status in (400, 422)
    assert json.loads(answer.data)["kind"] == "Status"


def test_reviews(api: client.ApiClient) -> None:
    spec = {"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": "default"}}
    review = client.AuthorizationV1Api(api).create_self_subject_access_review({"spec": spec})
    assert review.status.allowed is True
    who = client.AuthenticationV1Api(api).create_self_subject_review({})
    assert "system:authenticated" in who.status.user_info.groups


def test_rbac_for_a_user_without_rights(own_server: Any, api: client.ApiClient, namespace: str) -> None:
    nobody = config.new_client_from_config(str(own_server / "kubeconfig.nobody"))
    core = client.CoreV1Api(nobody)
    with pytest.raises(client.exceptions.ApiException) as caught:
        core.list_namespaced_pod(namespace)
    assert json.loads(caught.value.body)["message"] == (
        f'pods is forbidden: User "nobody" cannot list resource "pods" in API group "" in the namespace "{namespace}"'
    )
    rbac = client.RbacAuthorizationV1Api(api)
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    rbac.create_namespaced_role(namespace, {"metadata": {"name": "r"}, "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}
    rbac.create_namespaced_role_binding(
        namespace, {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]}
    )
    assert core.list_namespaced_pod(namespace).items == []
    nobody.close()


def test_client_certificate(own_server: Any) -> None:
    path = own_server / "kubeconfig.cert"
    assert "client-certificate-data" in yaml.safe_load(path.read_text())["users"][0]["user"]
    assert path.stat().st_mode & 0o777 == 0o600
    api = config.new_client_from_config(str(path))
    assert client.CoreV1Api(api).list_namespace().items
    api.close()
