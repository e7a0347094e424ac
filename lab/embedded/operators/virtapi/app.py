"""virt-api: the aggregated API group subresources.kubevirt.io.

It turns a person's verb into a change of an object, or into a conversation with the node where the guest runs. It
decides nothing about guests. Rules: upstream pkg/virt-api/api.go and rest/.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from lab.embedded.kube import Informers, Kube, KubeError
from lab.embedded.model.kinds import NODE, POD, VM, VMI, VMIM
from lab.embedded.operators import names
from lab.embedded.operators.objects import (
    Obj,
    dig,
    has_condition,
    labels_of,
    name_of,
    namespace_of,
    newest_first,
    phase_of,
)
from lab.embedded.operators.virtapi import lifecycle
from lab.embedded.operators.virtapi.agents import Agents
from lab.embedded.operators.virtapi.answers import Refusal, bad_request, conflict, internal, not_found
from lab.embedded.reading import json_of, whole

GROUP = "subresources.kubevirt.io"
VERSIONS = ("v1", "v1alpha3")
CONFLICT_RETRIES = 5
VM_VERBS = ("start", "stop", "restart", "migrate")
VMI_VERBS = ("pause", "unpause", "reset", "softreboot")
AGENT_READS = ("guestosinfo", "userlist", "filesystemlist")
RESOURCES = (
    *((f"virtualmachines/{verb}", True) for verb in (*VM_VERBS, "expand-spec", "portforward")),
    *(
        (f"virtualmachineinstances/{verb}", True)
        for verb in (*VMI_VERBS, "console", "vnc", "portforward", *AGENT_READS)
    ),
    ("expand-vm-spec", True),
    ("version", False),
    ("guestfs", False),
    ("healthz", False),
)


def discovery(version: str) -> Obj:
    """The APIResourceList; Go writes the unset fields too, and clients read them."""
    entries = [
        {"name": name, "singularName": "", "namespaced": namespaced, "kind": "", "verbs": None}
        for name, namespaced in RESOURCES
    ]
    group_version = f"{GROUP}/{version}"
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def version_info(version: str) -> Obj:
    return {
        "gitVersion": version,
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.24",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


@web.middleware
async def refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer refusals, also the API server's own, as Status bodies."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return refusal.response()
    except KubeError as error:
        return Refusal(error.status or 500, error.reason or "InternalError", error.message).response()


class VirtApi:
    """Handlers of the group. `version` is KubeVirt's, as in `v1.8.0`."""

    def __init__(self, kube: Kube, informers: Informers, agents: Agents, version: str) -> None:
        self.kube, self.agents, self.version = kube, agents, version
        self.pods, self.nodes = informers.get(POD), informers.get(NODE)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[refusals], client_max_size=4 * 1024 * 1024)
        app.router.add_get("/apis", self.groups)
        app.router.add_get(f"/apis/{GROUP}", self.group)
        app.router.add_get("/healthz", self.healthz)
        for version in VERSIONS:
            self._routes(app, f"/apis/{GROUP}/{version}", version)
        return app

    def _routes(self, app: web.Application, base: str, version: str) -> None:
        async def listing(_request: web.Request) -> web.Response:
            return web.json_response(discovery(version))

        vm, vmi = (f"{base}/namespaces/{{ns}}/{kind}/{{name}}" for kind in (VM.plural, VMI.plural))
        add = app.router.add_route
        add("GET", base, listing)
        add("GET", f"{base}/version", self.get_version)
        add("GET", f"{base}/healthz", self.healthz)
        add("GET", f"{base}/guestfs", self.guestfs)
        add("PUT", f"{base}/namespaces/{{ns}}/expand-vm-spec", self.expand_body)
        add("PUT", f"{vm}/{{verb:start|stop|restart}}", self.change_vm)
        add("PUT", f"{vm}/migrate", self.migrate)
        add("GET", f"{vm}/expand-spec", self.expand_vm)
        add("PUT", f"{vmi}/{{verb:{'|'.join(VMI_VERBS)}}}", self.act)
        add("GET", f"{vmi}/{{what:{'|'.join(AGENT_READS)}}}", self.ask_agent)
        add("GET", f"{vmi}/console", self.console)
        add("GET", f"{vmi}/vnc", self.vnc)
        for root in (vm, vmi):
            add("GET", f"{root}/portforward/{{port}}", self.portforward)
            add("GET", f"{root}/portforward/{{port}}/{{protocol}}", self.portforward)

    # -- about the group

    async def groups(self, _request: web.Request) -> web.Response:
        return web.json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group()]})

    async def group(self, _request: web.Request) -> web.Response:
        return web.json_response({"kind": "APIGroup", "apiVersion": "v1", **self._group()})

    def _group(self) -> Obj:
        versions = [{"groupVersion": f"{GROUP}/{version}", "version": version} for version in VERSIONS]
        return {"name": GROUP, "versions": versions, "preferredVersion": versions[0]}

    async def get_version(self, _request: web.Request) -> web.Response:
        return web.json_response(version_info(self.version))

    async def healthz(self, _request: web.Request) -> web.Response:
        await self.kube.raw("GET", "/version")
        return web.json_response({"apiserver": {"connectivity": "ok", "version": version_info(self.version)}})

    async def guestfs(self, _request: web.Request) -> web.Response:
        return web.json_response({"registry": "quay.io/kubevirt", "tag": self.version, "imagePrefix": ""})

    # -- VirtualMachine

    async def change_vm(self, request: web.Request) -> web.Response:
        verb, body = request.match_info["verb"], await _body(request)
        dry = _dry(body)
        for attempt in range(CONFLICT_RETRIES):
            vm, vmi = await self._vm(request), await self._maybe_vmi(request)
            decide = {
                "start": lambda vm=vm, vmi=vmi: lifecycle.start(vm, vmi),
                "stop": lambda vm=vm, vmi=vmi: lifecycle.stop(vm, vmi, body),
                "restart": lambda vm=vm, vmi=vmi: lifecycle.restart(vm, vmi, body),
            }
            change = decide[verb]()
            if dry:
                break
            try:
                await self._apply(vm, vmi, change)
                break
            except KubeError as error:
                if not error.conflict or attempt == CONFLICT_RETRIES - 1:
                    raise
        return web.Response(status=202)

    async def _apply(self, vm: Obj, vmi: Obj | None, change: lifecycle.Change) -> None:
        if change.grace is not None and vmi is not None:
            spec = {"spec": {"terminationGracePeriodSeconds": change.grace}}
            await self.kube.patch(VMI, name_of(vmi), namespace_of(vmi), spec)
        if change.spec:
            await self.kube.patch(VM, name_of(vm), namespace_of(vm), {"spec": change.spec})
        if change.requests is not None:
            status = {**(vm.get("status") or {}), "stateChangeRequests": change.requests}
            await self.kube.update(VM, {**vm, "status": status}, subresource="status")

    async def migrate(self, request: web.Request) -> web.Response:
        body = await _body(request)
        spec = lifecycle.migrate(await self._vm(request), await self._maybe_vmi(request), body)
        if _dry(body):
            return web.Response(status=202)
        meta = {"generateName": "kubevirt-migrate-vm-", "namespace": request.match_info["ns"]}
        try:
            await self.kube.create(VMIM, {"metadata": meta, "spec": spec})
        except KubeError as error:
            # Upstream wraps a webhook's refusal like this; a clean 4xx comes from creating the object itself.
            raise internal(error.message) from error
        return web.Response(status=202)

    async def expand_vm(self, request: web.Request) -> web.Response:
        return web.json_response(await self._vm(request))

    async def expand_body(self, request: web.Request) -> web.Response:
        vm = await _body(request)
        namespace = dig(vm, "metadata", "namespace", default="")
        if vm.get("kind") != VM.kind:
            raise bad_request(f"Object is not a valid VirtualMachine: wanted kind {VM.kind}, got {vm.get('kind')!r}")
        if namespace and namespace != request.match_info["ns"]:
            raise bad_request(f"VM namespace must be {request.match_info['ns']!r}, got {namespace!r}")
        return web.json_response(vm)

    # -- VirtualMachineInstance

    async def act(self, request: web.Request) -> web.StreamResponse:
        vmi, verb = await self._vmi(request), request.match_info["verb"]
        name = name_of(vmi)
        if phase_of(vmi) != "Running":
            raise conflict(lifecycle.VMI, name, lifecycle.NOT_RUNNING)
        paused = has_condition(vmi, "Paused")
        if verb == "pause" and paused:
            raise conflict(lifecycle.VMI, name, "VMI is already paused")
        if verb == "unpause" and not paused:
            raise conflict(lifecycle.VMI, name, "VMI is not paused")
        return await self.agents.call("PUT", vmi["status"]["nodeName"], f"/vmi/{namespace_of(vmi)}/{name}/{verb}")

    async def ask_agent(self, request: web.Request) -> web.StreamResponse:
        vmi, what = await self._vmi(request), request.match_info["what"]
        if phase_of(vmi) != "Running":
            raise internal("VMI is not running")
        if not has_condition(vmi, "AgentConnected"):
            raise internal("VMI does not have guest agent connected")
        return await self.agents.call("GET", vmi["status"]["nodeName"], f"/{what}/{namespace_of(vmi)}/{name_of(vmi)}")

    async def console(self, request: web.Request) -> web.StreamResponse:
        vmi = await self._running(request)
        if dig(vmi, "spec", "domain", "devices", "autoattachSerialConsole") is False:
            raise bad_request("No serial consoles are present.")
        path = f"/console/{namespace_of(vmi)}/{name_of(vmi)}"
        return await self.agents.relay(request, vmi["status"]["nodeName"], path)

    async def vnc(self, request: web.Request) -> web.StreamResponse:
        await self._running(request)
        raise bad_request("No graphics devices are present.")

    async def portforward(self, request: web.Request) -> web.StreamResponse:
        vmi = await self._running(request)
        port, protocol = request.match_info["port"], request.match_info.get("protocol", "tcp").lower()
        if not 0 < (whole(port) or 0) < 65536:
            raise bad_request(f"port must be in range 0 < x < 65536, got {port!r}")
        if protocol not in ("tcp", "udp"):
            raise bad_request(f"invalid port-forward protocol, wanted tcp or udp, got {protocol!r}")
        if has_condition(vmi, "Paused"):
            raise conflict(lifecycle.VMI, name_of(vmi), "VMI is paused")
        interfaces = dig(vmi, "status", "interfaces", default=[])
        if not interfaces:
            raise bad_request("no network interfaces are present")
        pod = self._own_pod()
        # Like Go's Dial with an empty host: without an address virt-api calls itself, in its own pod.
        host = str(interfaces[0].get("ipAddress") or "127.0.0.1")
        params = {"host": host, "port": port, "proto": protocol}
        path = f"/dial/{namespace_of(pod)}/{name_of(pod)}"
        return await self.agents.relay(
            request,
            str(pod["spec"]["nodeName"]),
            path,
            params=params,
            refused=lambda _status, text: internal(f"dialing VM: {text.removeprefix('dialing VM: ')}"),
            pings=True,
        )

    # -- parts

    def _own_pod(self) -> Obj:
        """The running pod on whose network virt-api stands."""
        key, _, value = names.VIRT_API_LABEL.partition("=")
        found = [
            pod
            for pod in self.pods.items.values()
            if namespace_of(pod) == names.SYSTEM_NAMESPACE and labels_of(pod).get(key) == value
        ]
        for pod in newest_first(found):
            if phase_of(pod) == "Running" and not pod["metadata"].get("deletionTimestamp"):
                return pod
        phases = {name_of(pod): phase_of(pod) for pod in found}
        raise internal(
            f"dialing VM: wanted a Running pod {names.VIRT_API_LABEL} in {names.SYSTEM_NAMESPACE}, found {phases}"
        )

    async def _vm(self, request: web.Request) -> Obj:
        name = request.match_info["name"]
        try:
            return await self.kube.get(VM, name, request.match_info["ns"])
        except KubeError as error:
            if error.not_found:
                raise not_found(lifecycle.VM, name) from error
            raise

    async def _maybe_vmi(self, request: web.Request) -> Obj | None:
        try:
            return await self.kube.get(VMI, request.match_info["name"], request.match_info["ns"])
        except KubeError as error:
            if error.not_found:
                return None
            raise

    async def _vmi(self, request: web.Request) -> Obj:
        found = await self._maybe_vmi(request)
        if found is None:
            raise not_found(lifecycle.VMI, request.match_info["name"])
        return found

    async def _running(self, request: web.Request) -> Obj:
        vmi = await self._vmi(request)
        if phase_of(vmi) == "Failed":
            raise conflict(lifecycle.VMI, name_of(vmi), "VMI is in failed status")
        if phase_of(vmi) != "Running" or not dig(vmi, "status", "nodeName"):
            raise bad_request("VMI is not running")
        return vmi


def _dry(body: Obj) -> bool:
    asked = body.get("dryRun") or []
    if not isinstance(asked, list):
        raise bad_request(f"wanted a list as dryRun, got {asked!r}")
    return "All" in asked


async def _body(request: web.Request) -> Obj:
    """The optional JSON body. Raises Refusal (400) for what is no JSON object."""
    raw = await request.read()
    if not raw.strip():
        return {}
    try:
        body = json_of(raw)
    except ValueError as error:
        raise bad_request(f"Can not unmarshal Request body to struct, error: {error}") from error
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise bad_request(f"wanted a JSON object as body, got {type(body).__name__}")
    return body
