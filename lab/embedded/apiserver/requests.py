"""A request after routing: who asks, for what, with which options; and reading of bodies.

A body is checked for everything that JSON permits and the store could not carry (NaN, endless nesting) before use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from lab.embedded.apiserver import protobuf
from lab.embedded.apiserver.errors import StatusError, bad_request, unsupported_media
from lab.embedded.apiserver.resources import Resource
from lab.embedded.apiserver.schema import go_value

Obj = dict[str, Any]
MAX_BODY = 3 * 1024 * 1024
MAX_DEPTH = 200
ALIASING = 10
"""Values that a YAML document may have, written out, by bytes of it (gopkg.in/yaml.v3 refuses from about there on)."""
JSON = "application/json"
YAML = "application/yaml"
_YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class User:
    """The caller as authentication found it."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""

    def info(self) -> Obj:
        """authentication.k8s.io/v1 UserInfo."""
        info: Obj = {"username": self.name, "groups": list(self.groups)}
        return {**info, "uid": self.uid} if self.uid else info


@dataclass(frozen=True)
class Attributes:
    """What is asked for: a resource request, or a path when `path` is set."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


@dataclass
class Call:
    """One request on one resource. `warnings` collects the texts of Warning headers."""

    user: User
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    warnings: list[str] = field(default_factory=list)

    def attributes(self, verb: str) -> Attributes:
        """What an authorizer is asked for another verb on the same thing."""
        kind = self.resource
        return Attributes(verb, kind.group, kind.plural, self.subresource, self.namespace, self.name)

    def warn(self, text: str) -> None:
        if text and text not in self.warnings:
            self.warnings.append(text)


def read_options(call: Call, query: Mapping[str, str], user_agent: str) -> None:
    """Take fieldManager, dryRun, fieldValidation and force from the query. Raises 400 or 422 for wrong values."""
    call.manager = query.get("fieldManager") or user_agent.partition("/")[0][:128] or "unknown"
    dry_run = query.get("dryRun")
    if dry_run not in (None, "", "All"):
        raise _bad_option("dryRun", dry_run, ["All"])
    call.dry_run = dry_run == "All"
    validation = query.get("fieldValidation") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        raise _bad_option("fieldValidation", validation, ["Ignore", "Strict", "Warn"])
    call.validation = validation
    call.force = query.get("force") in ("true", "1")


def _bad_option(name: str, value: str | None, allowed: list[str]) -> StatusError:
    names = ", ".join(go_value(item) for item in allowed)
    text = f"{name}: Unsupported value: {go_value(value)}: supported values: {names}"
    return StatusError(422, "Invalid", f'PatchOptions.meta.k8s.io "" is invalid: {text}')


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _no_constant(text: str) -> Any:
    raise ValueError(f"invalid character '{text[0]}' looking for beginning of value")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"json: cannot unmarshal number {text[:40]} into Go value of type float64")
    return number


def parse(raw: bytes, content_type: str) -> Any:
    """JSON (or YAML, where the type says so) to Python; 400 for what is neither, 415 for another type."""
    kind = media_type(content_type) or JSON
    if kind == protobuf.MEDIA_TYPE:
        return protobuf.decode(raw)
    if kind not in (JSON, YAML, "application/x-www-form-urlencoded", "text/plain") and not kind.endswith(
        ("+json", "+yaml")
    ):
        raise unsupported_media([JSON, YAML])
    try:
        if kind == YAML or kind.endswith("+yaml"):
            value = _from_yaml(raw)
        else:
            value = json.loads(raw, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        text = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        raise bad_request(
            "the object provided is unrecognized (must be of a known kind): couldn't get version/kind; "
            f"json parse error: {text}"
        ) from error
    if b"\\u" in raw and (b"\\ud" in raw.lower()):
        value = _whole_text(value)
    if _depth(value) > MAX_DEPTH:
        raise bad_request(f"the object provided is nested deeper than {MAX_DEPTH} levels")
    return value


def _whole_text(value: Any) -> Any:
    """Replace lone surrogates, which JSON can spell and UTF-8 cannot, as Go does."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_whole_text(key): _whole_text(item) for key, item in value.items()}
    return [_whole_text(item) for item in value] if isinstance(value, list) else value


def _from_yaml(raw: bytes) -> Any:
    # Most apply-patch bodies are JSON, which the YAML reader takes fifty times as long to read.
    try:
        return json.loads(raw, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        _refuse_deep_yaml(raw)
        loaded = yaml.load(raw, Loader=_YAML)  # noqa: S506
        _refuse_excessive_aliases(loaded, ALIASING * len(raw))
        return json.loads(json.dumps(loaded, default=_yaml_scalar, allow_nan=False))


def _refuse_deep_yaml(raw: bytes) -> None:
    """PyYAML in C goes down one call per level: some kilobytes of brackets would end the whole server."""
    level = 0
    for event in yaml.parse(raw, Loader=_YAML):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > MAX_DEPTH:
            raise ValueError("yaml: exceeded max depth")


def _refuse_excessive_aliases(value: Any, most: int) -> None:
    """A few lines of aliases of aliases are billions of values once written out, and one of itself is endless."""
    waiting, count = [value], 0
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict | list):
            count += len(part)
            if count > most:
                raise ValueError("yaml: document contains excessive aliasing")
            waiting.extend(part.values() if isinstance(part, dict) else part)


def _yaml_scalar(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _depth(value: Any) -> int:
    level, deepest = [value], 0
    while level:
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        deepest += 1
        if deepest > MAX_DEPTH:
            break
    return deepest


def expect_object(value: Any, resource: Resource) -> Obj:
    """Check apiVersion and kind of a body against the endpoint's and make sure that metadata is a map. Raises 400."""
    if not isinstance(value, dict):
        raise bad_request(
            f"{resource.kind} in version {go_value(resource.version)} cannot be handled as a {resource.kind}: "
            "json: cannot unmarshal into Go value of type map[string]interface {}"
        )
    kind, api_version = value.get("kind"), value.get("apiVersion")
    if not resource.builtin and not (kind and api_version):
        missing = "Kind" if not kind else "apiVersion"
        raise bad_request(f"Object '{missing}' is missing in '{json.dumps(value)[:200]}'")
    if api_version not in (None, "", resource.api_version):
        raise bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    if kind not in (None, "", resource.kind):
        raise bad_request(
            f"{kind} in version {go_value(resource.version)} cannot be handled as a {resource.kind}: converting "
            f"({resource.version}.{kind}) to ({resource.version}.{resource.kind}): unknown conversion"
        )
    value["apiVersion"], value["kind"] = resource.api_version, resource.kind
    if value.get("metadata") is None:
        value["metadata"] = {}
    if not isinstance(value["metadata"], dict):
        raise bad_request(
            f"{resource.kind} in version {go_value(resource.version)} cannot be handled as a {resource.kind}: json: "
            "cannot unmarshal into Go struct field .metadata of type v1.ObjectMeta"
        )
    return value
