"""Encoding of answers: the representation that the client accepts, Status bodies, warnings, streams of watch events."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web

from lab.embedded.apiserver import tables
from lab.embedded.apiserver.errors import StatusError, not_acceptable
from lab.embedded.apiserver.requests import Call
from lab.embedded.apiserver.resources import Resource
from lab.embedded.apiserver.watching import Watch

Obj = dict[str, Any]
JSON_TYPE = "application/json"


@dataclass(frozen=True)
class Form:
    """What the client accepts: `transform` is empty, `Table` or `PartialObjectMetadata`."""

    transform: str = ""
    yaml: bool = False


def negotiate(accept: str) -> Form:
    """The first acceptable type that can be served. Raises 406."""
    for entry in accept.split(",") if accept else ("*/*",):
        words = [word.strip() for word in entry.split(";")]
        options = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        if words[0] not in (JSON_TYPE, "*/*", "application/*", "application/yaml"):
            continue
        transform = options.get("as", "").removesuffix("List")
        if transform and (transform not in ("Table", "PartialObjectMetadata") or options.get("v") != "v1"):
            continue
        return Form(transform, words[0] == "application/yaml")
    raise not_acceptable("application/json, application/yaml")


def encode(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def respond(
    body: Any,
    status: int = 200,
    *,
    warnings: list[str] | None = None,
    headers: dict[str, str] | None = None,
    form: Form | None = None,
) -> web.Response:
    """A JSON (or YAML) answer with its Warning headers."""
    if form is not None and form.yaml:
        response = web.Response(status=status, body=yaml.safe_dump(body).encode(), content_type="application/yaml")
    else:
        response = web.Response(status=status, body=encode(body) + b"\n", content_type=JSON_TYPE)
    response.headers["Cache-Control"] = "no-cache, private"
    for key, value in (headers or {}).items():
        response.headers[key] = value
    add_warnings(response, warnings or [])
    return response


WARNING_RUNES, MOST_WARNINGS = 4096, 64
"""Of one answer: the first is upstream's, and Python's clients read no answer of more than 100 headers."""


def add_warnings(response: web.StreamResponse, warnings: list[str]) -> None:
    left = WARNING_RUNES
    for text in warnings[:MOST_WARNINGS]:
        clean = "".join(char if char.isprintable() else " " for char in text)[:left]
        left -= len(clean)
        if not clean:
            break
        quoted = clean.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')


def refusal(error: StatusError, warnings: list[str] | None = None) -> web.Response:
    """The Status of an error."""
    headers = dict(error.headers)
    if error.code == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="kubernetes"'
    seconds = error.details.get("retryAfterSeconds")
    if seconds:
        headers["Retry-After"] = str(seconds)
    return respond(error.body(), error.code, warnings=warnings, headers=headers)


def shown(resource: Resource, obj: Obj, form: Form, include: str) -> Any:
    """One stored object as the client wants it."""
    body = resource.present(obj)
    if form.transform == "Table":
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return tables.to_table(_stored(resource), [body], meta, include)
    return tables.partial(body) if form.transform else body


def _stored(resource: Resource) -> Resource:
    return resource


def shown_list(resource: Resource, objects: list[Obj], meta: Obj, form: Form, include: str) -> Any:
    """A list body in the wanted form."""
    bodies = [resource.present(obj) for obj in objects]
    if form.transform == "Table":
        return tables.to_table(resource, bodies, meta, include)
    if form.transform:
        kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
        return {
            "kind": kind,
            "apiVersion": version,
            "metadata": meta,
            "items": [tables.partial(body) for body in bodies],
        }
    if resource.builtin:
        # Go leaves kind and apiVersion out of the items of a typed list.
        bodies = [{k: v for k, v in body.items() if k not in ("kind", "apiVersion")} for body in bodies]
    return {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": meta, "items": bodies}


def watch_form(resource: Resource, form: Form, include: str) -> Callable[[Obj], Any] | None:
    """How a watch shows its objects; None for plain ones, whose lines are shared between watchers."""
    if form.transform == "Table":
        return lambda body: tables.to_table(
            resource, [body], {"resourceVersion": body["metadata"].get("resourceVersion", "")}, include
        )
    return tables.partial if form.transform else None


async def stream_watch(request: web.Request, call: Call, watch: Watch) -> web.StreamResponse:
    """Write events until the time is up or the client goes away."""
    response = web.StreamResponse(headers={"Content-Type": JSON_TYPE, "Cache-Control": "no-cache, private"})
    add_warnings(response, call.warnings)
    response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        async for chunk in watch.lines():
            await response.write(chunk)
        await response.write_eof()
    except (ConnectionError, RuntimeError):
        # The client has gone; there is nobody to tell.
        with contextlib.suppress(Exception):
            response.force_close()
    finally:
        watch.close()
    return response
