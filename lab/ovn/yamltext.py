"""YAML of unknown origin to dicts, lists and text, without recursion, tags, anchors or merge keys.

PyYAML's own composer goes down one call per level: a few hundred kilobytes of brackets end the whole process in C.
Kubernetes writes none of what is refused here.
"""

from __future__ import annotations

from typing import Any

import yaml

DEPTH = 100
_PARSER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_PLAIN = {"": None, "~": None, "null": None, "true": True, "false": False}
_NO_KEY = object()


def parse_yaml(text: str) -> Any:
    """The first document. Numbers stay text. Raises ValueError and yaml.YAMLError."""
    root: list[Any] = []
    stack: list[Any] = [root]
    keys: list[Any] = [_NO_KEY]
    for event in yaml.parse(text, Loader=_PARSER):
        if isinstance(event, yaml.DocumentEndEvent):
            break
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("an alias, which Kubernetes does not write")
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
            keys.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        value = _value(event)
        if isinstance(stack[-1], list):
            stack[-1].append(value)
        elif keys[-1] is _NO_KEY:
            if isinstance(value, dict | list):
                raise ValueError("a key that is no text")
            keys[-1] = value
            continue
        else:
            stack[-1][keys[-1]] = value
            keys[-1] = _NO_KEY
        if isinstance(value, dict | list):
            if len(stack) > DEPTH:
                raise ValueError(f"more than {DEPTH} levels")
            stack.append(value)
            keys.append(_NO_KEY)
    return root[0] if root else None


def _value(event: Any) -> Any:
    if isinstance(event, yaml.MappingStartEvent):
        return {}
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    return _PLAIN.get(event.value, event.value) if event.style in (None, "") else event.value
