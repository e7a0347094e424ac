"""Reading of protobuf bodies, which typed Go clients (`kubectl create configmap`, `auth whoami`, `drain`) send.

Only decoding: answers are JSON, which those clients accept. Field numbers are data (`schemas/protobuf.json`).
"""

from __future__ import annotations

import base64
import functools
import json
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.embedded.apiserver.errors import bad_request

Obj = dict[str, Any]
MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAX_DEPTH = 100
_EMBEDDED = frozenset(
    {"ephemeralContainerCommon", "handler", "localObjectReference", "persistentVolumeSource", "volumeSource"}
)
"""Messages that Go embeds (`json:",inline"` in api/core/v1/types.go): in JSON their fields stand in the one around."""


@functools.cache
def _table() -> Obj:
    loaded: Obj = json.loads((Path(__file__).parent / "schemas" / "protobuf.json").read_text())
    return loaded


def decode(raw: bytes) -> Obj:
    """An object from the `k8s\\0` envelope. Raises 400 for another body or a kind that is not known here."""
    if not raw.startswith(MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = _message(raw[len(MAGIC) :], "runtime.Unknown", 0)
        meta = envelope.get("typeMeta") or {}
        api_version, kind = meta.get("apiVersion", ""), meta.get("kind", "")
        root = (
            "apis.meta.v1.DeleteOptions" if kind == "DeleteOptions" else _table()["roots"].get(f"{api_version}/{kind}")
        )
        if root is None:
            raise bad_request(f'no kind "{kind}" is registered for version "{api_version}" in protobuf: send JSON')
        body = _message(base64.b64decode(envelope.get("raw", "")), root, 0)
    except (IndexError, ValueError, struct.error, UnicodeDecodeError) as error:
        raise bad_request(f"the protobuf body cannot be read: {error}") from error
    return {"apiVersion": api_version, "kind": kind, **body}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint is longer than ten bytes")


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    found: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        value: int | bytes
        if wire == 0:
            value, at = _varint(data, at)
        elif wire == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("a field is longer than the message")
            value, at = data[at : at + size], at + size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {wire} is not used by Kubernetes")
        found.append((tag >> 3, value))
    return found


def _message(data: bytes, kind: str, depth: int) -> Obj:
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested deeper than {_MAX_DEPTH} messages")
    known = _table()["messages"].get(kind, {})
    result: Obj = {}
    for number, raw in _fields(data):
        field = known.get(str(number))
        if field is None:
            continue
        name, of, label = field
        if label == "map":
            key, value = _map_entry(raw, of, depth)
            result.setdefault(name, {})[key] = value
            continue
        value = _value(raw, of, depth)
        if label == "repeated":
            result.setdefault(name, []).append(value)
        elif name in _EMBEDDED and isinstance(value, dict):
            result.update(value)
        elif value not in ("", None):
            # Go writes plain strings even when they are empty, and its JSON leaves them out.
            result[name] = value
    return result


def _map_entry(raw: int | bytes, of: str, depth: int) -> tuple[str, Any]:
    entry: dict[int, int | bytes] = dict(_fields(raw)) if isinstance(raw, bytes) else {}
    key = entry.get(1, b"")
    text = key.decode() if isinstance(key, bytes) else str(key)
    return text, _value(entry.get(2, b""), of, depth)


def _value(raw: int | bytes, of: str, depth: int) -> Any:
    if isinstance(raw, int):
        if of == "bool":
            return raw != 0
        return raw - (1 << 64) if raw >= 1 << 63 else raw
    if of == "string":
        return raw.decode()
    if of == "bytes":
        return base64.b64encode(raw).decode()
    if of == "double":
        return struct.unpack("<d", raw)[0]
    return _special(of, _message(raw, of, depth + 1))


def _special(of: str, body: Obj) -> Any:
    """Messages whose JSON form is no object."""
    name = of.rpartition(".")[2]
    if name in ("Time", "MicroTime") and "meta.v1" in of:
        if not body.get("seconds") and not body.get("nanos"):
            return None
        moment = datetime.fromtimestamp(body.get("seconds", 0), UTC)
        if name == "Time":
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{body.get('nanos', 0) // 1000:06}Z"
    if name == "Quantity":
        return body.get("string", "0")
    if name == "IntOrString":
        return body.get("strVal", "") if body.get("type") == 1 else body.get("intVal", 0)
    if name in ("FieldsV1", "RawExtension"):
        text = body.get("Raw") or body.get("raw") or ""
        return json.loads(base64.b64decode(text)) if text else None
    if name in ("ExtraValue", "Verbs"):
        return body.get("items", [])
    return body
