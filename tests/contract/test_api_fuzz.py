"""Hostile requests to the API server: what its OpenAPI allows and forbids, manifests gone wrong, options, broken HTTP.

Whatever comes, the answer is a Status that is not the server's own failure, it comes in time, and the server lives on.
The fixture of the server reads its log for tracebacks in the end.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import hostile

from .conftest import Http

DEADLINE_S = 5.0
UNDECLARED = "failed to create typed patch object"
"""Upstream's own words for an unknown field in an apply, which it gives with 500."""
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
PLURALS = {
    "NetworkAttachmentDefinition": "network-attachment-definitions",
    "NodeNetworkConfigurationPolicy": "nodenetworkconfigurationpolicies",
}
MIGRATION = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachineInstanceMigration",
    "metadata": {"generateName": "move-"},
    "spec": {"vmiName": "vm-a"},
}
MANIFESTS = [*hostile.documented().values(), MIGRATION]
for manifest in MANIFESTS:
    manifest["metadata"].pop("namespace", None)


@pytest.fixture(scope="module")
def place(http: Http) -> Iterator[str]:
    """A namespace for the module."""
    name = "hostile"
    http.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    http.send("DELETE", f"/api/v1/namespaces/{name}")


def judged(http: Http, method: str, path: str, body: Any = None, **headers: str) -> int:
    """The code of an answer that is proper: in time, JSON, and no failure of the server's own."""
    answer = http.pool.request(
        method, http.host + path, body=body, headers={**http.token(), **headers}, retries=False, timeout=DEADLINE_S
    )
    said = answer.data.decode()
    assert answer.status not in (500, 502, 503) or UNDECLARED in said, f"{method} {path[:200]}: {said[:500]}"
    # What is no HTTP never reaches the server's own code; all else is answered by a Status.
    if answer.status >= 400 and answer.headers["Content-Type"] != "text/plain; charset=utf-8":
        assert method == "HEAD" or json.loads(said)["kind"] == "Status"
    return answer.status


def collection(document: dict[str, Any], namespace: str) -> str:
    version, kind = document["apiVersion"], document["kind"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    scope = "" if kind == "NodeNetworkConfigurationPolicy" else f"/namespaces/{namespace}"
    return f"{root}{scope}/{PLURALS.get(kind, kind.lower() + 's')}"


@hostile.few(60)
@given(data=st.data())
def test_manifests_gone_wrong(http: Http, place: str, data: st.DataObject) -> None:
    """Created, shown as a table, patched in every way, and deleted again."""
    good = data.draw(st.sampled_from(MANIFESTS))
    bad = data.draw(hostile.mutated(good))
    path = collection(good, place)
    text = json.dumps(bad).encode()
    judged(http, "POST", path, text, **{"Content-Type": "application/json"})
    name = good["metadata"].get("name", "none")
    judged(http, "POST", path, json.dumps(good).encode(), **{"Content-Type": "application/json"})
    how = data.draw(st.sampled_from(PATCHES))
    judged(http, "PATCH", f"{path}/{name}?fieldManager=m&force=true", text, **{"Content-Type": how})
    part = data.draw(st.sampled_from(["", "/status"]))
    judged(http, "PUT", f"{path}/{name}{part}", text, **{"Content-Type": "application/json"})
    judged(http, "GET", path, Accept=TABLE)
    judged(http, "DELETE", path)


@hostile.few(30)
@given(data=st.data())
def test_json_patches_gone_wrong(http: Http, place: str, data: st.DataObject) -> None:
    good = data.draw(st.sampled_from(MANIFESTS[:-1]))
    path = collection(good, place)
    judged(http, "POST", path, json.dumps(good).encode(), **{"Content-Type": "application/json"})
    where = st.one_of(
        st.sampled_from(["/" + "/".join(map(str, found)) for found in hostile.places(good)]), hostile.texts
    )
    operation = st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", 1]), "path": where},
        optional={"value": hostile.values, "from": where},
    )
    patch = json.dumps(data.draw(st.lists(operation, min_size=1, max_size=3))).encode()
    judged(http, "PATCH", f"{path}/{good['metadata']['name']}", patch, **{"Content-Type": PATCHES[0]})
    judged(http, "DELETE", path)


POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
OPERATIONS = {
    ("POST", "/api/v1/namespaces/hostile/pods/p/binding"): {"target": {"kind": "Node", "name": "n"}},
    ("POST", "/api/v1/namespaces/hostile/pods/p/eviction"): {
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "hostile"},
        "deleteOptions": {"gracePeriodSeconds": 0, "preconditions": {"uid": "x"}, "dryRun": ["All"]},
    },
    ("DELETE", "/api/v1/namespaces/hostile/pods/p"): {
        "gracePeriodSeconds": 1, "propagationPolicy": "Background", "preconditions": {"uid": "x"}, "dryRun": ["All"],
    },
    ("PUT", "/api/v1/namespaces/hostile/finalize"): {
        "metadata": {"name": "hostile"}, "spec": {"finalizers": ["kubernetes"]},
    },
    ("PUT", "/api/v1/namespaces/hostile/pods/p/ephemeralcontainers"): {
        **POD, "spec": {**POD["spec"], "ephemeralContainers": [{"name": "d", "image": "i"}]},
    },
    ("PATCH", "/api/v1/namespaces/hostile/pods/p/status"): {
        "status": {
            "phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "c", "ready": True, "state": {"running": {"startedAt": "x"}}}],
        },
    },
    ("POST", "/api/v1/namespaces/hostile/serviceaccounts/s/token"): {
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"audiences": ["a"], "expirationSeconds": 600, "boundObjectRef": {"kind": "Pod", "name": "p"}},
    },
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"): {
        "spec": {"resourceAttributes": {"verb": "get", "group": "", "resource": "pods", "namespace": "a", "name": "b"}},
    },
    ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"): {
        "spec": {"user": "u", "groups": ["g"], "nonResourceAttributes": {"verb": "get", "path": "/x"}},
    },
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"): {"spec": {"namespace": "a"}},
    ("POST", "/apis/authentication.k8s.io/v1/tokenreviews"): {"spec": {"token": "a.b.c", "audiences": ["x"]}},
    ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles"): {
        "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["a"]}],
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
    },
    ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"): {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "hostile"}],
    },
    ("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"): {
        "metadata": {"name": "things.x.y"},
        "spec": {
            "group": "x.y", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing", "singular": "thing"},
            "versions": [{
                "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a[?(@.b=='c')].d"}],
                "selectableFields": [{"jsonPath": ".spec.a"}],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {"spec": {"type": "object", "properties": {
                        "a": {"type": "string", "pattern": "^a+$", "maxLength": 3, "default": "a", "enum": ["a", "b"]},
                        "n": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                              "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
                    }}},
                }},
            }],
        },
    },
    ("POST", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"): {
        "metadata": {"name": "w"},
        "webhooks": [{
            "name": "w.x.y", "clientConfig": {"url": "https://127.0.0.1:1/x", "caBundle": "eA=="},
            "sideEffects": "None", "failurePolicy": "Ignore", "timeoutSeconds": 1, "admissionReviewVersions": ["v1"],
            "rules": [{"apiGroups": ["x.y"], "apiVersions": ["v1"], "resources": ["things"], "operations": ["CREATE"]}],
            "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
        }],
    },
    ("POST", "/apis/apiregistration.k8s.io/v1/apiservices"): {
        "metadata": {"name": "v1.q.w"},
        "spec": {"group": "q.w", "version": "v1", "service": {"name": "s", "namespace": "n"}},
    },
}  # fmt: skip
GONE = (
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/r",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/b",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.x.y",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/w",
    "/apis/apiregistration.k8s.io/v1/apiservices/v1.q.w",
    "/api/v1/namespaces/hostile/pods/p",
)


@hostile.few(40)
@given(data=st.data())
def test_operations_gone_wrong(http: Http, place: str, data: st.DataObject) -> None:
    """What decides what the server itself does: after it, everything is still listed and a thing of it still made."""
    http.send("POST", f"/api/v1/namespaces/{place}/pods", POD)
    http.send("POST", f"/api/v1/namespaces/{place}/serviceaccounts", {"metadata": {"name": "s"}})
    (method, path), good = data.draw(st.sampled_from(list(OPERATIONS.items())))
    bad = json.dumps(data.draw(hostile.mutated(good))).encode()
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    judged(http, method, path, bad, **{"Content-Type": kind})
    for listed in ("/apis", "/api/v1/pods", "/openapi/v3/apis/x.y/v1", "/apis/x.y/v1/things", "/apis/x.y/v1"):
        judged(http, "GET", listed, Accept=TABLE)
    thing = {"apiVersion": "x.y/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"a": "a" * 30 + "!"}}
    things = "/apis/x.y/v1/namespaces/default/things"
    judged(http, "POST", things, json.dumps(thing).encode(), **{"Content-Type": "application/json"})
    for gone in GONE:
        judged(http, "DELETE", gone)


OPTIONS = (
    "labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch", "timeoutSeconds",
    "sendInitialEvents", "allowWatchBookmarks", "dryRun", "fieldManager", "fieldValidation", "force",
    "propagationPolicy", "gracePeriodSeconds", "orphanDependents", "includeObject", "pretty",
)  # fmt: skip


@hostile.few(150)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "NONSENSE"]),
    parts=st.lists(
        st.one_of(st.sampled_from(["api", "apis", "v1", "namespaces", "default", "pods", "nodes"]), hostile.texts),
        max_size=6,
    ),
    query=st.dictionaries(st.sampled_from(OPTIONS), hostile.texts, max_size=3),
    body=st.one_of(st.binary(max_size=40), st.just(b"{}")),
    kind=st.sampled_from(["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", *PATCHES]),
)  # fmt: skip
def test_any_path_and_options(
    http: Http, method: str, parts: list[str], query: dict[str, str], body: bytes, kind: str
) -> None:
    path = "/" + "/".join(quote(part[:300].encode("utf-8", "replace"), safe="") for part in parts)
    judged(http, method, f"{path}?{_encoded(query)}", body, **{"Content-Type": kind})


@hostile.few(30)
@given(query=st.dictionaries(st.sampled_from(OPTIONS), hostile.texts, min_size=1, max_size=3), watch=st.booleans())
def test_options_of_lists(http: Http, query: dict[str, str], watch: bool) -> None:
    asked = {**query, "watch": "1", "timeoutSeconds": "1"} if watch and "timeoutSeconds" not in query else query
    for path in ("/api/v1/pods", "/apis/kubevirt.io/v1/virtualmachines", "/apis/nmstate.io/v1/nodenetworkstates"):
        judged(http, "GET", f"{path}?{_encoded({**asked, 'resourceVersion': 'x'} if watch else asked)}")


def _encoded(query: dict[str, str]) -> str:
    return urlencode({key: value[:2000].encode("utf-8", "replace") for key, value in query.items()})


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/pods?fieldSelector=" + "+" * 6000 + "x",
        "/api/v1/pods?labelSelector=" + "a" * 6000 + "!",
        "/api/v1/pods?labelSelector=" + "a+" * 3000 + "!",
        "/api/v1/pods?labelSelector=" + "," * 6000,
        "/api/v1/pods?limit=" + quote("²"),
        "/api/v1/pods?limit=--5",
        "/api/v1/pods?limit=-5",
        "/api/v1/pods?labelSelector=a%3E" + "9" * 5000,
        "/api/v1/namespaces?limit=-500",
        "/api/v1/pods?limit=" + "9" * 5000,
        "/api/v1/pods?timeoutSeconds=" + "9" * 400,
        "/api/v1/pods?resourceVersion=" + quote("²"),
        "/api/v1/pods?resourceVersion=" + "9" * 5000,
        "/api/v1/pods?watch=1&resourceVersion=" + quote("²"),
        "/api/v1/namespaces/kube-system/pods?continue=" + "W" * 6000,
    ],
)
def test_options_that_could_break_or_hang_a_reader(http: Http, path: str) -> None:
    assert judged(http, "GET", path) in (200, 400, 422, 504)


BOMB = "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)
])  # fmt: skip


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (BOMB.encode(), "application/yaml"),
        (b"a: &a [*a]", "application/yaml"),
        (b"[" * 100_000, "application/json"),
        (b"[" * 100_000, "application/yaml"),
        (b'{"a":' * 3000 + b"1" + b"}" * 3000, "application/json"),
        (b'{"a":' + b"9" * 5000 + b"}", "application/json"),
        (b"a: " + b"9" * 5000, "application/yaml"),
        (b"!!python/object/apply:os.system ['true']", "application/yaml"),
        (b"? [a]\n: 1", "application/yaml"),
        (b"? {a: b}\n: 1", "application/yaml"),
        (b"1: 2", "application/yaml"),
        (b"2026-13-45: 1", "application/yaml"),
        (b"a: 2026-99-99T00:00:00Z", "application/yaml"),
        (b"k8s\x00" + b"\x12\xff\xff\xff\xff\x7f", "application/vnd.kubernetes.protobuf"),
    ],
)
def test_bodies_that_could_break_or_hang_a_reader(http: Http, body: bytes, kind: str) -> None:
    for path in ("/api/v1/namespaces", "/apis/nmstate.io/v1/nodenetworkconfigurationpolicies"):
        assert judged(http, "POST", path, body, **{"Content-Type": kind}) in (400, 413, 415, 422)
    apply = {"Content-Type": "application/apply-patch+yaml"}
    assert judged(http, "PATCH", "/api/v1/namespaces/default?fieldManager=m", body, **apply) in (400, 422, 500)


def test_a_patch_that_copies_the_whole_into_itself_is_refused(http: Http, place: str) -> None:
    path = f"/api/v1/namespaces/{place}/configmaps"
    http.send("POST", path, {"metadata": {"name": "bomb"}, "data": {"k": "v"}})
    copies = [{"op": "copy", "from": "", "path": f"/data/{n}"} for n in range(40)]
    answer = http.send("PATCH", f"{path}/bomb", copies, {"Content-Type": PATCHES[0]})
    assert answer.status == 413
    assert "accumulated size increase of copy" in answer.data.decode()


BROKEN_HTTP = (
    b"\r\n\r\n",
    b"\x16\x03\x01\x00\xff",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA\x00b: \xff\r\n\r\n",
    b"GET /\xff\xfe%zz%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\nx",
    b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
    b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xe9\xff\r\n\r\n",
    b"PATCH /api/v1/namespaces/default HTTP/1.1\r\nHost: x\r\nUser-Agent: \xff\xfe/1\r\n"
    b"Content-Type: application/merge-patch+json\r\nContent-Length: 33\r\n\r\n"
    b'{"metadata":{"labels":{"a":"b"}}}',
    b"GET /api/v1/pods?" + b"%" * 4000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


@pytest.mark.parametrize("authorized", [False, True])
def test_broken_http_is_answered_or_cut_off(http: Http, own_server: Path, authorized: bool) -> None:
    token = f"Authorization: {http.token()['authorization']}\r\n".encode()
    for sent in BROKEN_HTTP:
        text = sent.replace(b"Host: x\r\n", b"Host: x\r\n" + token) if authorized else sent
        got = _exchange(http, text)
        assert b" 500 " not in got.split(b"\r\n")[0], (sent[:100], got[:300])
        assert b"Traceback" not in got
    assert judged(http, "GET", "/version") == 200
    assert "Traceback" not in (own_server / "log").read_text()


def _exchange(http: Http, sent: bytes) -> bytes:
    """The first that comes back for bytes after which nothing more is sent; nothing when the server waits for more."""
    to = urlsplit(http.host)
    context = ssl.create_default_context(cafile=http.ca)
    with (
        socket.create_connection((to.hostname or "", to.port or 0), timeout=DEADLINE_S) as plain,
        context.wrap_socket(plain, server_hostname=to.hostname) as wrapped,
    ):
        wrapped.sendall(sent)
        wrapped.settimeout(0.3)
        try:
            return wrapped.recv(4096)
        except OSError:
            return b""


GROUPS, MOST_OF_OTHERS = ["apis/nmstate.io/v1"], 4
"""All groups are served by the same code: of those with hundreds of operations each is tried less often."""
if hostile.LONG:
    GROUPS += ["apis/k8s.cni.cncf.io/v1", "api/v1", "apis/kubevirt.io/v1"]
SMALL = {"apis/nmstate.io/v1": "" if hostile.LONG else "policies", "api/v1": "configmaps|services|persistentvolumes"}
"""Paths of a group whose bodies are made in bearable time: of a pod's schema each one takes seconds."""


@pytest.mark.parametrize("group", GROUPS)
def test_what_the_openapi_document_allows_and_forbids(http: Http, group: str) -> None:
    """Each operation of a group, made by schemathesis from the server's document: by its rules, and against them."""
    import schemathesis

    document = http.status("GET", f"/openapi/v3/{group}")
    for component in document["components"]["schemas"].values():
        for gvk in component.get("x-kubernetes-group-version-kind", ()):
            said = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
            # A body of another kind is refused at the door: the values behind it would never be looked at.
            component["properties"] |= {"kind": {"enum": [gvk["kind"]]}, "apiVersion": {"enum": [said]}}
            component["required"] = sorted({*component.get("required", ()), "kind", "apiVersion"})
    api = schemathesis.openapi.from_dict(document)
    api.config.update(base_url=http.host)
    if paths := SMALL.get(group):
        api = api.include(path_regex=paths)
    for found in api.get_all_operations():
        operation = found.ok()
        for mode in schemathesis.GenerationMode:
            if mode.is_negative and operation.method.upper() == "GET" and not operation.query:
                continue
            _tried(http, operation.as_strategy(generation_mode=mode), MOST_OF_OTHERS if group != GROUPS[0] else 0)


def _tried(http: Http, cases: Any, most: int) -> None:
    series = hostile.few(1)

    @(settings(series, max_examples=most) if most else series)
    @given(case=cases)
    def one(case: Any) -> None:
        path = {key: quote(str(value), safe="") for key, value in (case.path_parameters or {}).items()}
        query = {**(case.query or {}), "timeoutSeconds": "1"}
        sent = case.as_transport_kwargs()
        body = json.dumps(sent["json"]).encode() if "json" in sent else sent.get("data")
        judged(
            http,
            case.operation.method.upper(),
            f"{case.operation.path.format(**path)}?{urlencode(query, doseq=True)}",
            body if isinstance(body, bytes) else None,
            **{"Content-Type": case.media_type or "application/json"},
        )

    one()
