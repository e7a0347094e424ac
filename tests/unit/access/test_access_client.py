"""The client against a scripted API server: retries, errors as a user wants them, watching."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
from aiohttp import web
from fakeapi import FakeApi, connect, kubeconfig, pod, status
from urllib3.exceptions import SSLError

from lab.access import kinds
from lab.access.client import Client
from lab.access.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Denied,
    Forbidden,
    Invalid,
    KindMissing,
    NotFound,
    QuotaExceeded,
    ServerError,
    Throttled,
    Unauthorized,
    Unavailable,
    WebhookDown,
    api_error,
)
from lab.core.deadline import Deadline
from lab.core.errors import (
    AccessDenied,
    ApiDown,
    EnvironmentBroken,
    OperatorMissing,
    UsageError,
    WaitTimeout,
    verdict_of,
)
from lab.core.wait import Seen

POD = "/api/v1/namespaces/demo/pods/a"
PODS = "/api/v1/namespaces/demo/pods"


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as running:
        yield running


@pytest.fixture
def client(api: FakeApi, tmp_path: Path) -> Iterator[Client]:
    connected = connect(api, tmp_path)
    yield connected
    connected.close()


def test_the_token_of_the_kubeconfig_is_sent(api: FakeApi, client: Client) -> None:
    assert client.version() == "v1.30.0"
    assert api.headers[-1]["Authorization"] == "Bearer secret-token"


def test_no_kubeconfig_is_a_usage_error_with_two_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="virtlab up"):
        Client.connect()
    with pytest.raises(UsageError, match="no file"):
        Client.connect(tmp_path / "gone")


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As inside a pod of the cluster, with no kubeconfig."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "token").write_text("of-the-pod")
    (tmp_path / "ca.crt").write_bytes(Path(certifi.where()).read_bytes())
    monkeypatch.setattr("lab.access.kubeconfig.ACCOUNT", tmp_path)
    return tmp_path


def test_a_pod_is_its_service_account(account: Path) -> None:
    found = Client.connect().transport
    assert found.server == "https://192.0.2.1:443"
    assert found.headers()["authorization"].lower() == "bearer of-the-pod"


def test_a_pod_without_a_certificate_is_told(account: Path) -> None:
    (account / "ca.crt").unlink()
    with pytest.raises(UsageError, match=r"(?s)the ServiceAccount of this pod.*certification file"):
        Client.connect()


def test_an_unknown_context_lists_the_known(api: FakeApi, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)'prod'.*lab"):
        Client.connect(kubeconfig(tmp_path, api.url), "prod")


@pytest.mark.parametrize("text", ["", "just text", "{unclosed: [", "contexts: []", "contexts: 5"])
def test_a_file_that_is_no_kubeconfig_is_a_usage_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad"
    path.write_text(text)
    with pytest.raises(UsageError, match="kubeconfig") as raised:
        Client.connect(path)
    # One line each: what is shown in a run's lines is cut after a few.
    assert len(str(raised.value).splitlines()) == 4


def test_a_kubeconfig_of_bad_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_text("contexts: [a\nb: 1\n")
    with pytest.raises(UsageError) as raised:
        Client.connect(path)
    assert "found: not readable as YAML: expected ',' or ']', but got ':'" in str(raised.value)
    assert f"where: {path}, line 2" in str(raised.value)


def test_an_unreachable_api_is_named_soon_with_its_kubeconfig(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        path = kubeconfig(tmp_path, f"http://127.0.0.1:{free.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(ApiDown) as caught:
            Client.connect(path).version()
    assert time.monotonic() - start < 5
    text = str(caught.value)
    assert "127.0.0.1" in text
    assert str(path) in text
    assert "Connection refused" in text
    assert "virtlab up" in text
    assert " at 0x" not in text


def test_loopback_goes_past_a_proxy_of_the_environment(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    client = connect(api, tmp_path)
    assert client.version() == "v1.30.0"
    client.close()


def test_an_overloaded_server_is_asked_again_as_it_says(api: FakeApi, client: Client) -> None:
    def busy(request: web.Request) -> web.Response:
        answer = status(429, "TooManyRequests", "slow down")
        answer.headers["Retry-After"] = "1"
        return answer

    api.say(f"GET {POD}", busy, lambda r: web.json_response(pod("a", "1")))
    start = time.monotonic()
    assert client.get(kinds.POD, "a", "demo")["metadata"]["name"] == "a"
    assert time.monotonic() - start >= 1


def test_a_lost_connection_is_tried_again_for_a_get_and_not_for_a_create(api: FakeApi, client: Client) -> None:
    def drop(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    api.say(f"GET {POD}", drop, lambda r: web.json_response(pod("a", "1")))
    assert client.get(kinds.POD, "a", "demo")["metadata"]["name"] == "a"
    api.say(f"POST {PODS}", drop, lambda r: web.json_response(pod("a", "1")))
    with pytest.raises(ApiDown):
        client.create(pod("a", ""))


def test_a_connection_that_ends_in_the_middle_of_tls_is_lost_and_tried_again(tmp_path: Path) -> None:
    taken = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def cut() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    taken.append(connection.recv(65536))
                    connection.close()

        thread = threading.Thread(target=cut, daemon=True)
        thread.start()
        client = Client.connect(kubeconfig(tmp_path, f"https://127.0.0.1:{server.getsockname()[1]}"))
        with pytest.raises(ApiDown) as raised:
            client.version(Deadline.after(1.5))
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert len(taken) > 1
    assert "certificate" not in raised.value.advice


def test_an_expired_certificate_is_told_as_one_that_no_kubeconfig_mends(client: Client) -> None:
    cause = SSLError(
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)"
    )
    down = client.transport.api_down("list Pod", cause)
    assert down.headline.startswith("wanted an answer of the API server (list Pod); found SSLError: [SSL: CERTIFICATE")
    assert down.advice.startswith("renew the server's certificate")
    other = client.transport.api_down("list Pod", SSLError("certificate verify failed: self-signed certificate"))
    assert other.advice.endswith("fetch the kubeconfig again")


def test_a_500_of_a_subresource_is_an_answer_and_no_outage(api: FakeApi, client: Client) -> None:
    api.say("GET /x", lambda r: status(500, "InternalError", "VMI is not running"))
    with pytest.raises(ServerError, match="VMI is not running") as raised:
        client.raw("GET", "/x", wanted="guestosinfo")
    assert raised.value.headline == "wanted guestosinfo; found 500 InternalError: VMI is not running"
    assert "the log of the API server, or of the operator behind it, says why" in raised.value.advice
    assert sum(path == "/x" for _, path, _, _ in api.requests) == 1


@pytest.mark.parametrize(
    ("answer", "error", "parts"),
    [
        (status(404, "NotFound", 'pods "a" not found'), NotFound, ["get Pod demo/a", 'pods "a" not found']),
        (status(401, "Unauthorized", "Unauthorized"), Unauthorized, ["credentials"]),
        (status(403, "Forbidden", 'User "x" cannot get'), Forbidden, ['User "x" cannot get', "can-i"]),
        (status(409, "Conflict", "the object has been modified"), Conflict, ["modified"]),
        (status(409, "AlreadyExists", "already exists"), AlreadyExists, ["virtlab clean"]),
    ],
)
def test_refusals_read_as_wanted_found_where_and_what_to_try(
    api: FakeApi, client: Client, answer: web.Response, error: type[Exception], parts: list[str]
) -> None:
    api.say(f"GET {POD}", lambda r: answer)
    with pytest.raises(error) as caught:
        client.get(kinds.POD, "a", "demo")
    for part in [*parts, "Pod demo/a", client.server]:
        assert part in str(caught.value)


def test_credentials_and_rights_are_the_environments_fault(api: FakeApi, client: Client) -> None:
    api.say(f"GET {POD}", lambda r: status(403, "Forbidden", "no"))
    with pytest.raises(AccessDenied) as caught:
        client.get(kinds.POD, "a", "demo")
    assert verdict_of(caught.value) == "broken"


def test_a_webhooks_denial_names_webhook_reason_and_fields(api: FakeApi, client: Client) -> None:
    api.say(
        f"POST {PODS}",
        lambda r: status(
            422,
            "Invalid",
            'admission webhook "virtualmachine-validator.kubevirt.io" denied the request: spec is wrong',
            causes=[{"field": "spec.networks[0]", "message": "no such interface"}],
        ),
    )
    with pytest.raises(Denied) as caught:
        client.create(pod("a", ""))
    assert caught.value.webhook == "virtualmachine-validator.kubevirt.io"
    for part in ("create Pod demo/a", "spec is wrong", "spec.networks[0]: no such interface"):
        assert part in str(caught.value)
    assert verdict_of(caught.value) == "failed"


@pytest.mark.parametrize(
    ("code", "reason", "message", "kind", "advice"),
    [
        (429, "TooManyRequests", "slow down", Throttled, "overloaded"),
        (503, "ServiceUnavailable", "etcdserver: leader changed", Unavailable, "overloaded or down"),
        (504, "Timeout", "request did not complete", Unavailable, "overloaded or down"),
        (500, "InternalError", 'failed calling webhook "v.io": Post "https://x": EOF', WebhookDown, "the webhook v.io"),
        (403, "Forbidden", "pods is forbidden: exceeded quota: q, used: pods=1", QuotaExceeded, "raise the quota"),
    ],
)
def test_what_the_surroundings_cannot_is_never_the_products_fault(
    code: int, reason: str, message: str, kind: type[ApiError], advice: str
) -> None:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    error = api_error(code, body, wanted="create Pod", where="here")
    assert type(error) is kind
    assert isinstance(error, EnvironmentBroken)
    assert not isinstance(error, AccessDenied)
    assert advice in error.advice
    assert message in error.found


def test_a_server_that_calls_every_version_expired_is_not_asked_as_fast_as_it_answers(
    api: FakeApi, client: Client
) -> None:
    api.items("/api/v1/namespaces/demo/pods", [])
    api.expired = True
    with client.watch(kinds.POD, "", "demo") as watch:
        watch.take(1.0)
    asked = [query for _, path, query, _ in api.requests if path.endswith("/pods") and query.get("watch")]
    assert 2 <= len(asked) <= 11


def test_an_api_that_was_given_up_is_given_up_sooner_next_time(
    api: FakeApi, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.access.transport.RECONNECT_S", 2.0)
    monkeypatch.setattr("lab.access.transport.FIRST_CONTACT_S", 0.1)
    client.version()
    api.say("GET /version", lambda r: cut(r))
    took = []
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(ApiDown):
            client.version()
        took.append(time.monotonic() - began)
    assert took[0] >= 2.0
    assert took[1] < 2.0


def cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def test_a_schema_error_lists_what_the_message_does_not_say(api: FakeApi, client: Client) -> None:
    causes = [{"field": "spec.a", "message": "Required value"}, {"field": "spec.b", "message": "must be integer"}]
    api.say(f"POST {PODS}", lambda r: status(422, "Invalid", "Pod is invalid: spec.a: Required value", causes=causes))
    with pytest.raises(Invalid) as caught:
        client.create(pod("a", ""))
    assert str(caught.value).count("Required value") == 1
    assert "spec.b: must be integer" in str(caught.value)


def test_a_missing_kind_says_what_to_install(api: FakeApi, client: Client) -> None:
    with pytest.raises(KindMissing, match="KubeVirt") as caught:
        client.get(kinds.VM, "a", "demo")
    assert isinstance(caught.value, OperatorMissing)
    assert not client.serves(kinds.VM)
    resources = [{"name": "virtualmachines", "kind": "VirtualMachine", "namespaced": True}]
    api.say("GET /apis/kubevirt.io/v1", lambda r: web.json_response({"resources": resources}))
    assert client.serves(kinds.VM)


def test_apply_is_server_side_with_our_field_manager(api: FakeApi, client: Client) -> None:
    api.say(f"PATCH {POD}", lambda r: web.json_response(pod("a", "1")))
    client.apply(pod("a", ""), force=True, dry_run=True)
    method, _, query, _ = api.requests[-1]
    assert (method, query) == ("PATCH", {"fieldManager": "virtlab", "force": "true", "dryRun": "All"})
    assert api.headers[-1]["Content-Type"] == "application/apply-patch+yaml"


def test_modify_reads_again_after_a_conflict(api: FakeApi, client: Client) -> None:
    api.say(f"GET {POD}", lambda r: web.json_response(pod("a", "1")), lambda r: web.json_response(pod("a", "2")))
    api.say(f"PUT {POD}", lambda r: status(409, "Conflict", "modified"), lambda r: web.json_response(pod("a", "3")))
    client.modify(kinds.POD, "a", "demo", lambda obj: obj)
    sent = [json.loads(body)["metadata"]["resourceVersion"] for method, _, _, body in api.requests if method == "PUT"]
    assert sent == ["1", "2"]


def test_lists_are_read_in_pages(api: FakeApi, client: Client) -> None:
    def page(request: web.Request) -> web.Response:
        more = "continue" not in request.query
        item = {"metadata": {"name": "first" if more else "second"}}
        return web.json_response({"items": [item], "metadata": {"continue": "token"} if more else {}})

    api.say("GET /api/v1/nodes", page)
    assert [(n["kind"], n["metadata"]["name"]) for n in client.list(kinds.NODE)] == [
        ("Node", "first"),
        ("Node", "second"),
    ]


def test_a_change_reaches_the_waiter_within_100_ms(api: FakeApi, client: Client) -> None:
    api.items(PODS, [pod("a", "10")])
    fed = [0.0]

    def change() -> None:
        # Told before anybody listens, a change is nobody's: on a busy machine the watch may take its time.
        until(lambda: api.watches)
        fed[0] = time.monotonic()
        api.feed("MODIFIED", pod("a", "11", "Running"))

    threading.Thread(target=change).start()
    found = client.wait_for(kinds.POD, "a", "demo", "phase Running", phase_is("Running"), deadline=Deadline.after(10))
    assert time.monotonic() - fed[0] < 0.1
    assert found == "Running"


def phase_is(wanted: str) -> Any:
    def check(obj: kinds.Obj | None) -> Seen[str]:
        phase = obj["status"]["phase"] if obj else "absent"
        return Seen(f"phase {phase}", met=phase == wanted, value=phase)

    return check


def test_every_state_is_seen_in_turn_over_a_broken_stream(api: FakeApi, client: Client) -> None:
    api.items(PODS, [pod("a", "10")])
    with client.watch(kinds.POD, "a", "demo") as watch:
        until(lambda: api.watches)
        api.feed("MODIFIED", pod("a", "11", "Scheduling"))
        api.feed("BOOKMARK", pod("", "15"))
        first = watch.take(5)
        api.end_watches()
        until(lambda: api.requests[-1][2].get("resourceVersion") == "15")
        until(lambda: api.watches)
        api.feed("DELETED", pod("a", "16", "Running"))
        second = watch.take(5)
        assert first is not None
        assert second is not None
        assert (first.type, second.type, watch.one()) == ("MODIFIED", "DELETED", None)


def until(condition: Any, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_expired_version_is_listed_anew_with_what_vanished(api: FakeApi, client: Client) -> None:
    api.items(PODS, [pod("a", "10"), pod("b", "9")])
    with client.watch(kinds.POD, "", "demo") as watch:
        until(lambda: api.watches)
        api.items(PODS, [pod("a", "30", "Running")], "31")
        api.feed("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})
        events = [watch.take(5), watch.take(5)]
        assert [(e.type, e.obj["metadata"]["name"]) for e in events if e] == [("DELETED", "b"), ("MODIFIED", "a")]
        until(lambda: api.requests[-1][2].get("resourceVersion") == "31")


def test_a_wait_times_out_with_the_last_state_read_anew(api: FakeApi, client: Client) -> None:
    api.items(PODS, [pod("a", "10")])
    api.say(f"GET {POD}", lambda r: web.json_response(pod("a", "12", "Failed")))
    with pytest.raises(WaitTimeout, match="phase Failed") as caught:
        client.wait_for(kinds.POD, "a", "demo", "phase Running", phase_is("Running"), deadline=Deadline.after(0.5))
    assert "phase Pending" in str(caught.value)


def test_delete_waits_and_names_the_finalizer_that_holds(api: FakeApi, client: Client) -> None:
    held = pod("a", "10", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["foregroundDeletion"])
    api.items(PODS, [held])
    api.say(f"GET {POD}", lambda r: web.json_response(held))
    api.say(f"DELETE {POD}", lambda r: web.json_response(held))
    with pytest.raises(WaitTimeout, match="foregroundDeletion"):
        client.delete(kinds.POD, "a", "demo", wait=Deadline.after(0.5))
    api.say(f"DELETE {POD}", lambda r: status(404, "NotFound", "gone"))
    client.delete(kinds.POD, "a", "demo")


def test_a_watch_ends_without_leaving_its_thread(api: FakeApi, client: Client) -> None:
    api.items(PODS, [])
    with client.watch(kinds.POD, "", "demo") as watch:
        until(lambda: api.watches)
    watch._thread.join(3)
    assert not watch._thread.is_alive()
