"""The simple JSONPath of printer columns: fields, quoted fields, indexes, `[*]` and `[?(@.x=="y")]` filters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

Step = Callable[[list[Any]], list[Any]]
_TOKEN = re.compile(
    r"""\.(?P<name>(?:\\.|[^.\[\]\\])+)
      | \[\s*'(?P<quoted>[^']*)'\s*\]
      | \[\s*(?P<index>-?\d+)\s*\]
      | (?P<all>\[\*\]|\.\*)
      | \[\?\(\s*@(?P<path>[^=!<>]*?)\s*(?P<op>==|!=)\s*(?P<value>"[^"]*"|'[^']*'|[^)]*?)\s*\)\]""",
    re.VERBOSE,
)


def compile_path(path: str) -> Callable[[Any], list[Any]]:
    """A function from a value to all matches. ValueError for what is no such path."""
    text = path.strip().removeprefix("{").removesuffix("}")
    if text and text[0] not in ".[":
        text = f".{text}"
    steps: list[Step] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"cannot read JSONPath {path!r} from character {position}: {text[position:]!r}")
        steps.append(_step(match))
        position = match.end()

    def run(value: Any) -> list[Any]:
        found = [value]
        for step in steps:
            found = step(found)
        return found

    return run


def _step(match: re.Match[str]) -> Step:
    if match["all"]:
        return lambda values: [item for value in values for item in _items(value)]
    if match["index"] is not None:
        index = int(match["index"])
        return lambda values: [v[index] for v in values if isinstance(v, list) and -len(v) <= index < len(v)]
    if match["op"] is not None:
        return _filter(match["path"], match["op"] == "==", match["value"])
    name = match["quoted"] if match["quoted"] is not None else re.sub(r"\\(.)", r"\1", match["name"])
    return lambda values: [value[name] for value in values if isinstance(value, dict) and name in value]


def _filter(path: str, equal: bool, literal: str) -> Step:
    inner = compile_path(path)
    wanted: Any = literal[1:-1] if literal[:1] in "\"'" else json.loads(literal)

    def keep(values: list[Any]) -> list[Any]:
        items = [item for value in values for item in _items(value)]
        return [item for item in items if bool(inner(item) and inner(item)[0] == wanted) == equal]

    return keep


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
