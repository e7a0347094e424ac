"""Watches: order, resumption from a version, selectors, bookmarks, expiry, speed."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

from .conftest import Http


def make(core: client.CoreV1Api, namespace: str, name: str, **labels: str) -> Any:
    return core.create_namespaced_config_map(namespace, {"metadata": {"name": name, "labels": labels}})


def raw_watch(http: Http, path: str, **query: str) -> list[dict[str, Any]]:
    """Every event of one watch of a second, read to its end."""
    answer = http.send("GET", path, watch="1", timeoutSeconds="1", **query)
    return [json.loads(line) for line in answer.data.splitlines()]


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


def test_events_come_in_order_from_a_version(core: client.CoreV1Api, namespace: str) -> None:
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    make(core, namespace, "a")
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "v"}})
    core.delete_namespaced_config_map("a", namespace)
    stream = watch.Watch()
    seen = []
    for event in stream.stream(core.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=5):
        seen.append((event["type"], int(event["object"].metadata.resource_version)))
        if event["type"] == "DELETED":
            stream.stop()
    assert [kind for kind, _version in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert seen == sorted(seen, key=lambda pair: pair[1])


def test_without_a_version_the_present_objects_come_first(core: client.CoreV1Api, namespace: str) -> None:
    make(core, namespace, "a", app="x")
    stream = watch.Watch()
    query = {"label_selector": "app=x", "timeout_seconds": 1}
    seen = [event["type"] for event in stream.stream(core.list_namespaced_config_map, namespace, **query)]
    assert seen == ["ADDED"]


def test_a_selector_turns_changes_into_additions_and_deletions(core: client.CoreV1Api, namespace: str) -> None:
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    make(core, namespace, "a", app="x")
    for labels in ({"app": "y"}, {"app": "x"}, {"app": "x", "b": "c"}):
        core.patch_namespaced_config_map("a", namespace, {"metadata": {"labels": labels}})
    stream = watch.Watch()
    query = {"label_selector": "app=x", "timeout_seconds": 1, "resource_version": start}
    seen = [event["type"] for event in stream.stream(core.list_namespaced_config_map, namespace, **query)]
    assert seen == ["ADDED", "DELETED", "ADDED", "MODIFIED"]


def test_bookmarks_and_initial_events(http: Http, core: client.CoreV1Api, namespace: str) -> None:
    make(core, namespace, "a", app="x")
    query = {"labelSelector": "app=x", "allowWatchBookmarks": "true", "sendInitialEvents": "true"}
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    events = raw_watch(http, path, resourceVersionMatch="NotOlderThan", **query)
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_too_old_a_version_expires(own_server: Any, core: client.CoreV1Api, namespace: str) -> None:
    make(core, namespace, "a")
    start = core.read_namespaced_config_map("a", namespace).metadata.resource_version
    for index in range(1010):
        core.patch_namespaced_config_map("a", namespace, {"data": {"k": str(index)}})
    with pytest.raises(ApiException) as caught:
        list(watch.Watch().stream(core.list_namespaced_config_map, namespace, resource_version=start))
    assert caught.value.status == 410


def test_a_change_arrives_within_20_ms(core: client.CoreV1Api, namespace: str) -> None:
    make(core, namespace, "a", app="x")
    arrived: list[float] = []
    ready = threading.Event()
    stream = watch.Watch()

    def follow() -> None:
        query = {"field_selector": "metadata.name=a", "timeout_seconds": 10}
        for _event in stream.stream(core.list_namespaced_config_map, namespace, **query):
            arrived.append(time.monotonic())
            ready.set()
            if len(arrived) == 21:
                return

    thread = threading.Thread(target=follow)
    thread.start()
    assert ready.wait(5)
    delays = []
    for index in range(20):
        core.patch_namespaced_config_map("a", namespace, {"data": {"k": str(index)}})
        # The server answers the writer after it has told the watchers.
        delays.append(time.monotonic())
        while len(arrived) < index + 2 and time.monotonic() < delays[-1] + 5:
            time.sleep(0.0005)
    stream.stop()
    thread.join(5)
    late = sorted(arrived[index + 1] - delays[index] for index in range(20))
    assert late[10] < 0.02, f"median {late[10] * 1000:.1f} ms"


def test_a_watch_ends_at_its_time(http: Http, namespace: str) -> None:
    begun = time.monotonic()
    raw_watch(http, f"/api/v1/namespaces/{namespace}/configmaps", resourceVersion="0")
    assert 0.9 < time.monotonic() - begun < 3
