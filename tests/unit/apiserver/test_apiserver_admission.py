"""Admission webhooks over real HTTPS: what is sent, patches, denials, failures, warnings."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lab.embedded.kube import KubeError
from lab.embedded.model.kinds import CONFIGMAP, MUTATING_WEBHOOK, POD, VALIDATING_WEBHOOK

from .servers import cluster, peer, review_answer, run, webhook


def config_map(name: str = "a") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "data": {"k": "v"}}


def test_a_patch_changes_the_object_before_it_is_stored(tmp_path: Path) -> None:
    reviews: list[dict[str, Any]] = []

    async def handler(request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        reviews.append(asked)
        patch = [{"op": "add", "path": "/data/added", "value": "yes"}]
        encoded = base64.b64encode(json.dumps(patch).encode()).decode()
        return review_answer(asked["uid"], allowed=True, patchType="JSONPatch", patch=encoded)

    async def case() -> None:
        async with cluster(tmp_path) as (kube, pki), peer(handler, pki) as (url, _port):
            await kube.create(MUTATING_WEBHOOK, webhook("MutatingWebhookConfiguration", url, pki, ["configmaps"]))
            made = await kube.create(CONFIGMAP, config_map())
            assert made["data"] == {"k": "v", "added": "yes"}
            assert (await kube.get(CONFIGMAP, "a", "default"))["data"] == made["data"]

    run(case())
    assert len(reviews) == 1
    asked = reviews[0]
    assert (asked["operation"], asked["name"], asked["namespace"]) == ("CREATE", "a", "default")
    assert asked["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert asked["resource"]["resource"] == "configmaps"
    assert asked["userInfo"]["username"] == "admin"
    assert asked["oldObject"] is None


def test_a_denial_of_an_admission_policys_stand_in_reads_as_upstreams(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        uid = (await request.json())["request"]["uid"]
        return review_answer(uid, allowed=False, status={"code": 422, "reason": "Invalid", "message": "not so"})

    async def case() -> None:
        async with cluster(tmp_path) as (kube, pki), peer(handler, pki) as (url, _port):
            hook = webhook("ValidatingWebhookConfiguration", url, pki, ["configmaps"])
            hook["metadata"]["annotations"] = {"virtlab.dev/admission-policy": "rule"}
            await kube.create(VALIDATING_WEBHOOK, hook)
            with pytest.raises(KubeError) as caught:
                await kube.create(CONFIGMAP, config_map())
            assert (caught.value.status, caught.value.reason) == (422, "Invalid")
            assert str(caught.value.message) == (
                "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'rule' with binding 'rule-binding' "
                "denied request: not so"
            )

    run(case())


def test_a_denial_has_the_webhooks_words_and_causes(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        uid = (await request.json())["request"]["uid"]
        causes = [{"reason": "FieldValueRequired", "message": "m", "field": "data.x"}]
        status = {"code": 422, "reason": "Invalid", "message": "not so", "details": {"causes": causes}}
        return review_answer(uid, allowed=False, status=status)

    async def case() -> None:
        async with cluster(tmp_path) as (kube, pki), peer(handler, pki) as (url, _port):
            hook = webhook("ValidatingWebhookConfiguration", url, pki, ["configmaps"])
            await kube.create(VALIDATING_WEBHOOK, hook)
            with pytest.raises(KubeError) as caught:
                await kube.create(CONFIGMAP, config_map())
            error = caught.value
            assert (error.status, error.reason) == (422, "Invalid")
            assert error.message == 'admission webhook "hook.virtlab.dev" denied the request: not so'
            assert error.body["details"]["causes"][0]["field"] == "data.x"
            assert [item["metadata"]["name"] for item in await kube.list(CONFIGMAP, "default")] == ["kube-root-ca.crt"]

    run(case())


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
def test_a_webhook_that_cannot_be_reached(tmp_path: Path, policy: str) -> None:
    async def case() -> None:
        async with cluster(tmp_path) as (kube, pki):
            url = "https://127.0.0.1:1/none"
            hook = webhook("ValidatingWebhookConfiguration", url, pki, ["configmaps"], failurePolicy=policy)
            await kube.create(VALIDATING_WEBHOOK, hook)
            if policy == "Ignore":
                await kube.create(CONFIGMAP, config_map())
                return
            with pytest.raises(KubeError) as caught:
                await kube.create(CONFIGMAP, config_map())
            assert caught.value.status == 500
            assert caught.value.message.startswith(
                'Internal error occurred: failed calling webhook "hook.virtlab.dev": failed to call webhook: Post '
                f'"{url}": '
            )

    run(case())


def test_an_eviction_may_be_held_up(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        assert (asked["subResource"], asked["kind"]["kind"]) == ("eviction", "Eviction")
        status = {"code": 429, "reason": "TooManyRequests", "message": "Eviction triggered evacuation of VMI"}
        return review_answer(asked["uid"], allowed=False, status=status)

    async def case() -> None:
        async with cluster(tmp_path) as (kube, pki), peer(handler, pki) as (url, _port):
            await kube.create(
                VALIDATING_WEBHOOK, webhook("ValidatingWebhookConfiguration", url, pki, ["pods/eviction"])
            )
            spec = {"containers": [{"name": "c", "image": "i"}]}
            await kube.create(POD, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
            eviction = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": "p", "namespace": "default"},
            }
            with pytest.raises(KubeError) as caught:
                await kube.raw("POST", POD.path("default", "p", "eviction"), body=eviction)
            assert caught.value.status == 429
            assert await kube.get(POD, "p", "default")

    run(case())
