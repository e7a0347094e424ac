"""The admission webhook server: AdmissionReview over HTTPS, and the configurations that point the API server to it.

Transport only: what is admitted is decided in `admission`. A handler that breaks answers 500, which the API server
turns into a refusal or ignores, as the hook's failurePolicy says; it is never taken for a yes.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonpatch
from aiohttp import web

from lab.embedded.kube import Kube, KubeError
from lab.embedded.model.kinds import MUTATING_WEBHOOK, VALIDATING_WEBHOOK, Kind
from lab.embedded.operators.admission.causes import Denied
from lab.embedded.operators.admission.handlers import Hook
from lab.embedded.operators.objects import Obj, clone
from lab.embedded.reading import json_of

log = logging.getLogger("virtlab.webhooks")


def application(hooks: Sequence[Hook]) -> web.Application:
    """One POST route per hook."""
    app = web.Application(client_max_size=8 * 1024 * 1024)
    for hook in hooks:
        app.router.add_post(hook.path, _endpoint(hook))
    return app


def _endpoint(hook: Hook) -> Any:
    async def endpoint(request: web.Request) -> web.Response:
        try:
            review = json_of(await request.read())
            wanted: Obj = review["request"]
            uid = str(wanted["uid"])
        except (ValueError, KeyError, TypeError) as error:
            return web.Response(status=400, text=f"wanted an AdmissionReview with request.uid, got: {error}")
        answer = {"uid": uid, **await review_one(hook, wanted)}
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
        return web.json_response(body)

    return endpoint


async def review_one(hook: Hook, request: Obj) -> Obj:
    """The `response` part of a review, without its uid."""
    before = clone(request.get("object") or {}) if hook.mutating else {}
    try:
        answer = await hook.handler(request)
    except Denied as refusal:
        return {"allowed": False, "status": refusal.status()}
    response: Obj = {"allowed": True}
    if answer.warnings:
        response["warnings"] = answer.warnings
    if hook.mutating and answer.obj is not None and answer.obj != before:
        patch = jsonpatch.make_patch(before, answer.obj).to_string().encode()
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}
    return response


def configurations(hooks: Sequence[Hook], url: str, ca: Path) -> list[tuple[Kind, Obj]]:
    """The webhook configuration objects: one per program that would serve them upstream."""
    bundle = base64.b64encode(ca.read_bytes()).decode()
    made: dict[tuple[str, Kind], list[Obj]] = {}
    for hook in hooks:
        kind = MUTATING_WEBHOOK if hook.mutating else VALIDATING_WEBHOOK
        made.setdefault((_configuration_name(hook), kind), []).append(_webhook(hook, url, bundle))
    policies = {_configuration_name(hook): hook.policy for hook in hooks if hook.policy}
    return [
        (kind, {"metadata": {"name": name, **_policy_mark(policies.get(name, ""))}, "webhooks": entries})
        for (name, kind), entries in made.items()
    ]


def _policy_mark(policy: str) -> Obj:
    """What tells this lab's API server that a webhook stands for a ValidatingAdmissionPolicy."""
    return {"annotations": {"virtlab.dev/admission-policy": policy}} if policy else {}


def _configuration_name(hook: Hook) -> str:
    if hook.policy:
        return f"{hook.policy}-binding"
    if hook.name.endswith("kubemacpool.io"):
        return "kubemacpool-mutator"
    if hook.name.endswith("nmstate.io"):
        return "nmstate"
    return "virt-api-mutator" if hook.mutating else "virt-api-validator"


def _webhook(hook: Hook, url: str, bundle: str) -> Obj:
    return {
        "name": hook.name,
        "clientConfig": {"url": url + hook.path, "caBundle": bundle},
        "rules": [
            {
                "apiGroups": [hook.group],
                "apiVersions": list(hook.versions),
                "resources": [hook.resource],
                "operations": list(hook.operations),
                "scope": "*",
            }
        ],
        "failurePolicy": "Ignore" if hook.ignore_failure else "Fail",
        "matchPolicy": "Equivalent",
        "sideEffects": "NoneOnDryRun",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 10,
    }


async def register(kube: Kube, kind: Kind, obj: Obj) -> None:
    """Create the object, or bring the present one to the same content."""
    try:
        await kube.create(kind, obj)
    except KubeError as error:
        if not error.already_exists:
            raise
        change = {key: value for key, value in obj.items() if key != "metadata"}
        meta = {key: value for key, value in obj["metadata"].items() if key in ("labels", "annotations")}
        body = {**change, **({"metadata": meta} if meta else {})}
        await kube.patch(kind, obj["metadata"]["name"], obj["metadata"].get("namespace"), body)
        log.debug("%s %s was there and was updated", kind.kind, obj["metadata"]["name"])
