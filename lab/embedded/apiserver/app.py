"""The aiohttp application: one handler that authenticates, routes and answers; every failure becomes a Status.

All behaviour is in the rooms it calls; this one only knows methods, media types and HTTP codes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from lab.embedded.apiserver import answers, deletes, discovery, errors, incoming, openapi, requests, routing
from lab.embedded.apiserver.audit import AuditLog
from lab.embedded.apiserver.auth import Authenticator
from lab.embedded.apiserver.errors import StatusError
from lab.embedded.apiserver.podops import PodOperations
from lab.embedded.apiserver.proxying import Proxy, is_websocket
from lab.embedded.apiserver.rbac import Authorizer
from lab.embedded.apiserver.requests import Attributes, Call, User
from lab.embedded.apiserver.resources import Registry
from lab.embedded.apiserver.reviews import Reviews
from lab.embedded.apiserver.routing import Route, named
from lab.embedded.apiserver.schema import clone
from lab.embedded.apiserver.store import Store
from lab.embedded.apiserver.tokens import TokenIssuer
from lab.embedded.apiserver.watching import ListOptions, Watch, list_page
from lab.embedded.apiserver.writes import Writer

Obj = dict[str, Any]
log = logging.getLogger(__name__)

PATCH_TYPES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
POD_STREAMS = ("exec", "attach", "portforward", "log")
OPERATIONS = {
    "token": ("TokenRequest", "AuthenticationV1TokenRequest"),
    "binding": ("Binding", "V1Binding"),
    "eviction": ("Eviction", "V1Eviction"),
}
HEALTH = ("healthz", "livez", "readyz")


@dataclass
class Parts:
    """The rooms that the application puts together."""

    store: Store
    registry: Registry
    authenticator: Authenticator
    authorizer: Authorizer
    writer: Writer
    deleter: deletes.Deleter
    pods: PodOperations
    proxy: Proxy
    reviews: Reviews
    openapi: openapi.OpenApi
    version: Obj
    tokens: TokenIssuer
    audit: AuditLog
    address: str = ""


class ApiApp:
    """Request handling over `Parts`."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts

    def application(self, *middlewares: Middleware) -> web.Application:
        """What is served; *middlewares* see each request before anything else does."""
        app = web.Application(client_max_size=requests.MAX_BODY, middlewares=middlewares)
        app.router.add_route("*", "/{tail:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; never raises but for cancellation."""
        answer = await self._answer(request)
        self._p.audit.ended(request, answer.status)
        return answer

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        warnings: list[str] = []
        try:
            return await self._dispatch(request, warnings)
        except StatusError as error:
            return answers.refusal(error, warnings)
        except web.HTTPRequestEntityTooLarge:
            return answers.refusal(errors.too_large(requests.MAX_BODY))
        except (HttpProcessingError, web.RequestPayloadError) as error:
            return answers.refusal(errors.bad_request(f"the body cannot be read: {error}"))
        except ConnectionError:
            return web.Response(status=499)
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            text = f"{type(error).__name__} in the API server while it served {request.method} {request.path}"
            return answers.refusal(errors.internal(text))

    async def _dispatch(self, request: web.Request, warnings: list[str]) -> web.StreamResponse:
        user = self._p.authenticator.authenticate(request)
        AuditLog.of(request).user = user
        parts = routing.split(request.rel_url.raw_path)
        route = routing.parse(parts) if parts and parts[0] in ("api", "apis") else None
        if route is None:
            self._allow(request, user, Attributes("get", path=request.path))
            return await self._document(request, parts)
        backend = self._p.proxy.backends().get((route.group, route.version))
        if backend is not None and not self._p.registry.resources(route.group, route.version):
            asked = route.attributes(request.method) if route.plural else Attributes("get", path=request.path)
            self._allow(request, user, asked, stream=is_websocket(request))
            return await self._p.proxy.forward(request, user, backend)
        if not route.plural:
            self._allow(request, user, Attributes("get", path=request.path))
            if not self._p.registry.resources(route.group, route.version):
                raise errors.no_route()
            return answers.respond(discovery.resource_list(self._p.registry, route.group, route.version))
        return await self._resource(request, user, route, warnings)

    def _allow(self, request: web.Request, user: User, asked: Attributes, *, stream: bool = False) -> None:
        """Raises 403; what was asked for goes to the audit log either way."""
        AuditLog.of(request).asked = asked
        self._p.authorizer.check(user, asked)
        if stream:
            self._p.audit.started(request)

    # Documents

    async def _document(self, request: web.Request, parts: list[str]) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed() if parts else errors.no_route()
        accept = request.headers.get("Accept", "")
        head = parts[0] if parts else ""
        if not parts:
            paths = [
                "/api",
                "/api/v1",
                "/apis",
                *(f"/{name}" for name in HEALTH),
                "/openapi/v2",
                "/openapi/v3",
                "/version",
            ]
            return answers.respond({"paths": paths})
        if parts == ["version"]:
            return answers.respond(self._p.version)
        if head in HEALTH:
            return web.Response(text="ok", content_type="text/plain")
        if head in ("api", "apis"):
            return await self._discovery(parts, accept)
        if parts[:2] == ["openapi", "v2"]:
            if "protobuf" in accept and "application/json" not in accept:
                body = openapi.version2_protobuf()
                kind = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
                return web.Response(body=body, headers={"Content-Type": kind})
            return answers.respond(openapi.version2())
        if parts[:2] == ["openapi", "v3"]:
            if len(parts) == 2:
                return answers.respond(self._p.openapi.index())
            document = self._p.openapi.document("/".join(parts[2:]))
            if document is not None:
                return web.Response(body=document, content_type="application/json")
        raise errors.no_route()

    async def _discovery(self, parts: list[str], accept: str) -> web.StreamResponse:
        registry, proxy = self._p.registry, self._p.proxy
        remote: dict[str, list[str]] = {}
        for group, version in proxy.backends():
            remote.setdefault(group, []).append(version)
        if len(parts) == 2:
            group = parts[1]
            if group not in registry.groups() and group not in remote:
                raise errors.no_route()
            return answers.respond(discovery.group_of(registry, group, remote.get(group)))
        form = discovery.wants_aggregated(accept)
        if form:
            lists = await proxy.discover() if parts[0] == "apis" else {}
            body = discovery.aggregated(registry, parts[0] == "api", lists, form)
            return web.Response(
                body=answers.encode(body), headers={"Content-Type": discovery.AGGREGATED[form], "Vary": "Accept"}
            )
        if parts[0] == "api":
            return answers.respond(discovery.api_versions(self._p.address))
        return answers.respond(discovery.group_list(registry, remote))

    # Resources

    async def _resource(
        self, request: web.Request, user: User, route: Route, warnings: list[str]
    ) -> web.StreamResponse:
        resource = self._p.registry.find(route.group, route.version, route.plural)
        if resource is None or route.rest or (route.namespace and not resource.namespaced):
            raise errors.no_route()
        query = request.query
        watching = query.get("watch", "false").lower() in ("1", "true", "t")
        asked = route.attributes(request.method, watch=watching, only=named(query.get("fieldSelector", "")))
        self._allow(request, user, asked, stream=watching or is_websocket(request))
        call = Call(user, resource, route.namespace, route.name, route.subresource, warnings=warnings)
        requests.read_options(call, query, request.headers.get("User-Agent", ""))
        if route.subresource:
            if not resource.has(route.subresource):
                raise errors.no_route()
            if route.subresource not in ("status", "ephemeralcontainers", "finalize"):
                return await self._operation(request, call)
        if resource.namespaced and not route.namespace and (route.name or request.method == "POST"):
            raise errors.method_not_allowed() if resource.create_only is False else errors.no_route()
        form = answers.negotiate(request.headers.get("Accept", ""))
        handlers = {"GET": self._get, "HEAD": self._get, "PUT": self._put, "PATCH": self._patch, "DELETE": self._delete}
        if not route.name:
            handlers = {"GET": self._list, "HEAD": self._list, "POST": self._create, "DELETE": self._delete_all}
        if resource.create_only:
            handlers = {"POST": self._create}
        if (route.subresource and request.method == "DELETE") or request.method not in handlers:
            raise errors.method_not_allowed()
        return await handlers[request.method](request, call, form)

    async def _operation(self, request: web.Request, call: Call) -> web.StreamResponse:
        """pods/<operation>, serviceaccounts/token"""
        if call.subresource in POD_STREAMS:
            if request.method not in ("GET", "POST"):
                raise errors.method_not_allowed()
            return await self._p.pods.stream(request, call)
        if request.method != "POST":
            raise errors.method_not_allowed()
        kind, model = OPERATIONS[call.subresource]
        body = incoming.well_typed(kind, model, await self._body(request))
        if call.subresource == "token":
            return answers.respond(self._p.tokens.answer(self._p.writer.find(call), body), 201)
        if call.subresource == "binding":
            return answers.respond(self._p.pods.bind(call, body), 201)
        return answers.respond(await self._p.pods.evict(call, body), 201, warnings=call.warnings)

    async def _body(self, request: web.Request) -> Any:
        body = requests.parse(await request.read(), request.headers.get("Content-Type", ""))
        self._p.audit.keep(request, body)
        return body

    async def _get(self, request: web.Request, call: Call, form: answers.Form) -> web.StreamResponse:
        call.warn(call.resource.warning)
        body = answers.shown(call.resource, self._p.writer.find(call), form, _include(request))
        return answers.respond(body, warnings=call.warnings, form=form)

    async def _list(self, request: web.Request, call: Call, form: answers.Form) -> web.StreamResponse:
        call.warn(call.resource.warning)
        options = ListOptions.read(request.query)
        if options.watch:
            show = answers.watch_form(call.resource, form, _include(request))
            watch = Watch(self._p.store, call.resource, call.namespace, options, show)
            return await answers.stream_watch(request, call, watch)
        objects, meta = list_page(self._p.store, call.resource, call.namespace, options)
        body = answers.shown_list(call.resource, objects, meta, form, _include(request))
        return answers.respond(body, warnings=call.warnings, form=form)

    async def _create(self, request: web.Request, call: Call, form: answers.Form) -> web.StreamResponse:
        obj = requests.expect_object(await self._body(request), call.resource)
        if call.resource.create_only:
            incoming.well_typed(call.resource.kind, call.resource.definition, obj)
            return answers.respond(self._p.reviews.answer(call, obj), 201)
        stored = await self._p.writer.create(call, obj)
        body = answers.shown(call.resource, stored, form, _include(request))
        return answers.respond(body, 201, warnings=call.warnings, form=form)

    async def _put(self, request: web.Request, call: Call, form: answers.Form) -> web.StreamResponse:
        obj = requests.expect_object(await self._body(request), call.resource)
        if call.subresource == "finalize":
            incoming.well_typed("Namespace", "V1Namespace", obj)
            stored = self._finalize(call, obj)
        else:
            stored = await self._p.writer.update(call, obj)
        body = answers.shown(call.resource, stored, form, _include(request))
        return answers.respond(body, warnings=call.warnings, form=form)

    def _finalize(self, call: Call, obj: Obj) -> Obj:
        old = self._p.writer.find(call)
        new: Obj = clone(old)
        new["spec"] = {"finalizers": list((obj.get("spec") or {}).get("finalizers") or ())}
        return self._p.store.put(call.resource.collection, new)

    async def _patch(self, request: web.Request, call: Call, form: answers.Form) -> web.StreamResponse:
        kind = PATCH_TYPES.get(requests.media_type(request.headers.get("Content-Type", "")))
        if kind is None:
            raise errors.unsupported_media(list(PATCH_TYPES))
        if kind == "apply" and not self._p.writer.exists(call):
            # Applying what is not there makes it (apiserver pkg/endpoints/handlers/patch.go, withAuthorization).
            self._p.authorizer.check(call.user, call.attributes("create"))
        stored, created = await self._p.writer.patch(call, kind, await self._body(request))
        body = answers.shown(call.resource, stored, form, _include(request))
        return answers.respond(body, 201 if created else 200, warnings=call.warnings, form=form)

    async def _delete(self, request: web.Request, call: Call, form: answers.Form) -> web.StreamResponse:
        options = await self._delete_options(request)
        body, code = await self._p.deleter.delete(call, options)
        if body.get("kind") != "Status":
            body = answers.shown(call.resource, body, form, _include(request))
        return answers.respond(body, code, warnings=call.warnings, form=form)

    async def _delete_all(self, request: web.Request, call: Call, form: answers.Form) -> web.StreamResponse:
        options = await self._delete_options(request)
        objects, meta = list_page(self._p.store, call.resource, call.namespace, ListOptions.read(request.query))
        for obj in objects:
            one = Call(call.user, call.resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            one.dry_run = call.dry_run
            try:
                await self._p.deleter.delete(one, options)
            except StatusError as refusal:
                if refusal.code != 404:
                    raise
        body = answers.shown_list(call.resource, objects, meta, form, _include(request))
        return answers.respond(body, warnings=call.warnings, form=form)

    async def _delete_options(self, request: web.Request) -> Obj:
        raw = await request.read() if request.can_read_body else b""
        body = requests.parse(raw, request.headers.get("Content-Type", "")) if raw.strip() else None
        return deletes.read_options(body, dict(request.query))


def _include(request: web.Request) -> str:
    return request.query.get("includeObject", "Metadata")
