"""Admission webhooks: matching of rules, AdmissionReview v1 over HTTPS, patches, denials in upstream's words.

Upstream: apiserver `pkg/admission/plugin/webhook`. Only `clientConfig.url` is served; a `service` cannot be reached and
counts as a failed call, to which failurePolicy applies.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from dataclasses import dataclass
from typing import Any

import aiohttp

from lab.embedded.apiserver import patching
from lab.embedded.apiserver.errors import StatusError, internal, qualified
from lab.embedded.apiserver.requests import Call
from lab.embedded.apiserver.resources import Registry, Resource
from lab.embedded.apiserver.selectors import match_selector
from lab.embedded.apiserver.store import Store, new_uid

Obj = dict[str, Any]
GROUP = "admissionregistration.k8s.io"
MUTATING = (GROUP, "mutatingwebhookconfigurations")
POLICY_MARK = "virtlab.dev/admission-policy"
VALIDATING = (GROUP, "validatingwebhookconfigurations")


@dataclass(frozen=True)
class Target:
    """A webhook that matched, and the version of the resource in which it wants the objects.

    ``policy`` is set where it stands for a ValidatingAdmissionPolicy: its expressions are not evaluated here.
    """

    hook: Obj
    resource: Resource
    policy: str = ""


class Webhooks:
    """Calls the configured webhooks; implements `writes.Admission`."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def mutate(self, call: Call, operation: str, obj: Obj | None, old: Obj | None) -> Obj | None:
        """The object after all matching mutating webhooks, one after the other."""
        if obj is None:
            return None
        for target in self._targets(MUTATING, call, operation, obj, old):
            response = await self._ask(target, call, operation, obj, old)
            if response is None or not response.get("patch"):
                continue
            obj = self._patched(target, call, obj, response)
        return obj

    async def validate(self, call: Call, operation: str, obj: Obj | None, old: Obj | None) -> None:
        """Ask all matching validating webhooks at once; the first denial in order of name is raised."""
        targets = self._targets(VALIDATING, call, operation, obj, old)
        asked = [self._ask(target, call, operation, obj, old) for target in targets]
        for result in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def _patched(self, target: Target, call: Call, obj: Obj, response: Obj) -> Obj:
        name = target.hook.get("name", "")
        try:
            operations = json.loads(base64.b64decode(response["patch"]))
            patched: Obj = patching.json_patch(target.resource.present(obj), operations)
        except (ValueError, TypeError, StatusError) as error:
            why = error.message if isinstance(error, StatusError) else str(error)
            raise internal(f'failed calling webhook "{name}": cannot apply its patch: {why}') from error
        return {**patched, "apiVersion": call.resource.storage_api_version}

    def _targets(
        self, which: tuple[str, str], call: Call, operation: str, obj: Obj | None, old: Obj | None
    ) -> list[Target]:
        if call.resource.group == GROUP:
            return []
        found = []
        for configuration in self._store.list(which):
            policy = str((configuration["metadata"].get("annotations") or {}).get(POLICY_MARK, ""))
            for hook in configuration.get("webhooks") or ():
                resource = self._matching(hook, call, operation)
                if resource is not None and self._selected(hook, call, obj, old):
                    found.append(Target(hook, resource, policy))
        return found

    def _matching(self, hook: Obj, call: Call, operation: str) -> Resource | None:
        candidates = [call.resource]
        if hook.get("matchPolicy", "Equivalent") == "Equivalent":
            candidates += self._registry.versions_of(call.resource.collection)
        for rule in hook.get("rules") or ():
            for resource in candidates:
                if _rule_matches(rule, resource, call, operation):
                    return resource
        return None

    def _selected(self, hook: Obj, call: Call, obj: Obj | None, old: Obj | None) -> bool:
        labels = [(one["metadata"].get("labels") or {}) for one in (obj, old) if one is not None and "metadata" in one]
        if labels and not any(match_selector(hook.get("objectSelector"), given) for given in labels):
            return False
        selector = hook.get("namespaceSelector")
        name = call.name if call.resource.collection == ("", "namespaces") else call.namespace
        if not selector or not name:
            return True
        namespace = self._store.get(("", "namespaces"), "", name)
        return match_selector(selector, ((namespace or {}).get("metadata") or {}).get("labels") or {})

    async def _ask(self, target: Target, call: Call, operation: str, obj: Obj | None, old: Obj | None) -> Obj | None:
        """The allowing response; None when the webhook failed and may be ignored. Raises the denial."""
        hook, name = target.hook, target.hook.get("name", "")
        uid = new_uid()
        try:
            response = await self._post(hook, _review(uid, target.resource, call, operation, obj, old))
            if response.get("uid") != uid:
                raise ValueError(f"expected response.uid={uid!r}, got {response.get('uid')!r}")
        except (aiohttp.ClientError, TimeoutError, ValueError, ssl.SSLError, OSError) as error:
            why = "context deadline exceeded" if isinstance(error, TimeoutError) else str(error)
            url = hook.get("clientConfig", {}).get("url", "")
            text = f'failed calling webhook "{name}": failed to call webhook: Post "{url}": {why}'
            if hook.get("failurePolicy", "Fail") == "Ignore":
                return None
            raise internal(text) from error
        for warning in response.get("warnings") or ():
            call.warn(str(warning))
        if not response.get("allowed"):
            raise _denial(target, call, response.get("status") or {})
        return response

    async def _post(self, hook: Obj, review: Obj) -> Obj:
        config = hook.get("clientConfig") or {}
        if not config.get("url"):
            raise ValueError("clientConfig names a service, and this cluster has no service network: give a url")
        if self._session is None:
            self._session = aiohttp.ClientSession()
        timeout = aiohttp.ClientTimeout(total=hook.get("timeoutSeconds", 10))
        context = self._context(config.get("caBundle", ""))
        async with self._session.post(config["url"], json=review, ssl=context, timeout=timeout) as answer:
            raw = await answer.read()
            if answer.status != 200:
                raise ValueError(f"the server answered {answer.status}: {raw[:200].decode('utf-8', 'replace')}")
        body = json.loads(raw)
        response = body.get("response") if isinstance(body, dict) else None
        if not isinstance(response, dict):
            raise ValueError("the answer is no AdmissionReview with a response")
        return response

    def _context(self, bundle: str) -> ssl.SSLContext:
        if bundle not in self._contexts:
            if bundle:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(cadata=base64.b64decode(bundle).decode())
            else:
                context = ssl.create_default_context()
            self._contexts[bundle] = context
        return self._contexts[bundle]


def _rule_matches(rule: Obj, resource: Resource, call: Call, operation: str) -> bool:
    def has(key: str, value: str) -> bool:
        known = rule.get(key) or ()
        return "*" in known or value in known

    if not (has("operations", operation) and has("apiGroups", resource.group) and has("apiVersions", resource.version)):
        return False
    scope = rule.get("scope", "*")
    if scope != "*" and (scope == "Namespaced") != resource.namespaced:
        return False
    sub = call.subresource
    wanted = {f"{resource.plural}/{sub}", f"{resource.plural}/*", f"*/{sub}"} if sub else {resource.plural, "*"}
    return bool(wanted & set(rule.get("resources") or ())) or "*/*" in (rule.get("resources") or ())


def _review(uid: str, resource: Resource, call: Call, operation: str, obj: Obj | None, old: Obj | None) -> Obj:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    place = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    asked_kind = {**kind, "version": call.resource.version}
    options = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}[operation]
    request: Obj = {
        "uid": uid,
        "kind": kind,
        "resource": place,
        "requestKind": asked_kind,
        "requestResource": {**place, "version": call.resource.version},
        "name": call.name,
        "operation": operation,
        "userInfo": call.user.info(),
        "object": None if obj is None else _shown(resource, obj),
        "oldObject": None if old is None else _shown(resource, old),
        "dryRun": call.dry_run,
        "options": {"kind": options, "apiVersion": "meta.k8s.io/v1"},
    }
    if call.namespace:
        request["namespace"] = call.namespace
    if call.subresource:
        request["subResource"] = request["requestSubResource"] = call.subresource
        if obj is not None and obj.get("kind") not in (None, resource.kind):
            group, _, version = obj.get("apiVersion", "").rpartition("/")
            request["kind"] = request["requestKind"] = {"group": group, "version": version, "kind": obj["kind"]}
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def _shown(resource: Resource, obj: Obj) -> Obj:
    return obj if obj.get("kind") not in (None, resource.kind) else resource.present(obj)


def _denial(target: Target, call: Call, status: Obj) -> StatusError:
    denied = f'admission webhook "{target.hook.get("name", "")}" denied the request'
    if target.policy:
        # apiserver pkg/admission/plugin/policy/validating: a Forbidden error with the reason and code put in.
        kind = qualified(call.resource.plural, call.resource.group)
        denied = (
            f"{kind} \"{call.name}\" is forbidden: ValidatingAdmissionPolicy '{target.policy}' with binding "
            f"'{target.policy}-binding' denied request"
        )
    code = int(status.get("code") or 0)
    if status.get("message"):
        text = f"{denied}: {status['message']}"
    elif status.get("reason"):
        text = f"{denied}: {status['reason']}"
    else:
        text = f"{denied} without explanation"
    return StatusError(code if code >= 400 else 400, status.get("reason", ""), text, status.get("details") or {})
