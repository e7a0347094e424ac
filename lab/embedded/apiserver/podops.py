"""Subresources of pods that do something: binding, eviction, exec, attach, log, portforward."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from lab.embedded.apiserver import errors
from lab.embedded.apiserver.deletes import Deleter, check_preconditions
from lab.embedded.apiserver.proxying import Proxy, is_websocket
from lab.embedded.apiserver.requests import Call
from lab.embedded.apiserver.schema import clone
from lab.embedded.apiserver.store import now
from lab.embedded.apiserver.writes import Writer
from lab.embedded.reading import whole

Obj = dict[str, Any]
SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class PodOperations:
    """Handlers of pods/<subresource>; each gets a routed call."""

    def __init__(self, writer: Writer, deleter: Deleter, proxy: Proxy) -> None:
        self._writer = writer
        self._deleter = deleter
        self._proxy = proxy

    def bind(self, call: Call, binding: Obj) -> Obj:
        """pods/binding: give an unscheduled pod its node."""
        pod = self._writer.find(call)
        target = (binding.get("target") or {}).get("name")
        if not target:
            cause = errors.Cause("FieldValueRequired", "Required value", "target.name")
            raise errors.invalid("", "Binding", call.name, [cause])
        if pod["metadata"].get("deletionTimestamp"):
            why = f"pod {call.name} is being deleted, cannot be assigned to a host"
            raise errors.conflict("", "pods/binding", call.name, why)
        assigned = pod["spec"].get("nodeName")
        if assigned:
            why = f'pod {call.name} is already assigned to node "{assigned}"'
            raise errors.conflict("", "pods/binding", call.name, why)
        new = clone(pod)
        new["spec"]["nodeName"] = target
        conditions = [c for c in new.setdefault("status", {}).get("conditions") or () if c["type"] != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now()}
        new["status"]["conditions"] = [*conditions, scheduled]
        if not call.dry_run:
            self._writer.store.put(call.resource.collection, new)
        return SUCCESS

    async def evict(self, call: Call, eviction: Obj) -> Obj:
        """policy/v1 Eviction: admission may hold it up (429); otherwise the pod is deleted."""
        pod = self._writer.find(call)
        options = eviction.get("deleteOptions") or {}
        check_preconditions(call, pod, options)
        if options.get("dryRun") == ["All"]:
            call.dry_run = True
        await self._writer.admission.validate(call, "CREATE", eviction, None)
        below = Call(call.user, call.resource, call.namespace, call.name, dry_run=call.dry_run)
        await self._deleter.delete(below, options)
        return SUCCESS

    async def stream(self, request: web.Request, call: Call) -> web.StreamResponse:
        """exec, attach and log, answered by the agent of the pod's node."""
        pod = self._writer.find(call)
        query = request.query
        if call.subresource == "portforward":
            text = "pods/portforward is not served here: use kubectl exec, or the portforward subresource of a VM"
            raise errors.StatusError(501, "NotImplemented", text)
        container = _container(pod, query.get("container", ""))
        place = "/".join(quote(part, safe="") for part in (call.namespace, call.name, container))
        passed = urlencode([(key, value) for key, value in query.items() if key != "container"])
        if call.subresource == "log":
            _check_log_options(call, query)
            return await self._proxy.to_agent(request, pod, f"/logs/{place}", passed)
        if not is_websocket(request):
            raise errors.bad_request("Upgrade request required: exec and attach are served over websocket only")
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            why = f"cannot exec into a container in a completed pod; current phase is {pod['status']['phase']}"
            raise errors.internal(why)
        return await self._proxy.to_agent(request, pod, f"/{call.subresource}/{place}", passed)


def _container(pod: Obj, asked: str) -> str:
    spec, name = pod.get("spec", {}), pod["metadata"]["name"]
    plain = [container["name"] for container in spec.get("containers") or ()]
    others = [c["name"] for key in ("initContainers", "ephemeralContainers") for c in spec.get(key) or ()]
    if asked:
        if asked not in plain + others:
            raise errors.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    default = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if default in plain:
        return str(default)
    if len(plain) == 1:
        return str(plain[0])
    names = " ".join(plain)
    raise errors.bad_request(f"a container name must be specified for pod {name}, choose one of: [{names}]")


def _check_log_options(call: Call, query: Any) -> None:
    for key in ("tailLines", "sinceSeconds", "limitBytes"):
        text = query.get(key)
        if text is not None and whole(text) is None:
            cause = errors.Cause(
                "FieldValueInvalid", f'Invalid value: "{text}": must be greater than or equal to 0', key
            )
            raise errors.invalid("", "PodLogOptions", call.name, [cause])
