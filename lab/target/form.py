"""The form of a target file: the published JSON Schema, and each breach of it with file, line, key and what is meant.

`target.schema.json` is the only place that knows keys and their types; what a value means is for `inventory`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from lab.core.errors import UsageError

SCHEMA = Path(__file__).with_name("target.schema.json")
Place = tuple[str | int, ...]
DEEPEST = 12
"""No key lies deeper than 6; an alias within what it stands for would have no end."""


class Mistakes(UsageError):
    """Everything that is wrong with a file, in its order; said as one error."""

    def __init__(self, problems: list[UsageError]) -> None:
        first = problems[0]
        super().__init__(first.wanted, first.found, first.where, first.advice)
        self.problems = problems

    def __str__(self) -> str:
        return "\n\n".join(str(problem) for problem in self.problems)


@cache
def schema(path: Path = SCHEMA) -> dict[str, Any]:
    """The published schema, or another of its kind. A `title` says what is wanted, a `description` what it is for."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def check(path: Path, top: yaml.Node, rules: Path = SCHEMA) -> None:
    """Hold a file against a schema. Raises UsageError, or Mistakes when there are several."""
    reader = _Reader(path)
    data = reader.read(top, ())
    breaches = Draft202012Validator(schema(rules)).iter_errors(data)
    found = {place: problem for breach in breaches for place, problem in reader.say(breach)}
    problems = [*reader.twice, *(found[place] for place in sorted(found, key=reader.line))]
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise Mistakes(problems)


def seen(node: yaml.Node) -> str:
    """What stands there, for the `found` of a complaint."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list" if node.value else "an empty list"
    return "nothing" if node.tag.endswith(":null") else repr(node.value)


class _Reader:
    """From nodes to the data that the schema is held against, remembering where each value stood."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._nodes: dict[Place, yaml.Node] = {}
        self._keys: dict[Place, yaml.Node] = {}
        self.twice: list[UsageError] = []

    def read(self, node: yaml.Node, place: Place) -> Any:
        self._nodes[place] = node
        if len(place) > DEEPEST:
            raise self._error(place[:1], "a file of few levels", f"it is nested more than {DEEPEST} deep", "", node)
        if isinstance(node, yaml.MappingNode):
            return {key: self.read(value, (*place, key)) for key, value in self._pairs(node, place)}
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*place, number)) for number, item in enumerate(node.value)]
        kind = node.tag.rpartition(":")[2]
        if kind == "int" and re.fullmatch(r"-?[0-9]{1,18}", node.value):
            return int(node.value)
        # Anything else that YAML has a type for (a date, a float) was meant as it was typed.
        return {"null": None, "bool": str(node.value).lower() in ("true", "yes", "on")}.get(kind, str(node.value))

    def _pairs(self, node: yaml.MappingNode, place: Place) -> Iterator[tuple[str, yaml.Node]]:
        for key_node, value in node.value:
            key = str(key_node.value)
            if (*place, key) in self._keys:
                self.twice.append(self._error((*place, key), "each key once", "it is there twice", "", key_node))
                continue
            self._keys[*place, key] = key_node
            yield key, value

    def line(self, place: Place) -> int:
        node = self._keys.get(place) or self._nodes.get(place) or self._nodes[place[:-1]]
        return int(node.start_mark.line) + 1

    def say(self, breach: ValidationError) -> Iterator[tuple[Place, UsageError]]:
        """(place, complaint) for each thing that one breach of the schema stands for."""
        place = tuple(breach.absolute_path)
        rules: Mapping[str, Any] = breach.schema  # type: ignore[assignment]
        if breach.validator == "additionalProperties":
            yield from self._unknown(place, list(rules["properties"]), breach.instance)
        elif breach.validator == "required":
            yield from self._absent(place, rules, breach.instance)
        else:
            node = self._nodes[place]
            yield place, self._error(place, str(rules.get("title", breach.message)), seen(node), "correct it", node)

    def _unknown(self, place: Place, known: list[str], instance: Any) -> Iterator[tuple[Place, UsageError]]:
        for key in [key for key in instance if key not in known]:
            close = difflib.get_close_matches(key, known, 1)
            advice = f"did you mean {close[0]!r}?" if close else "remove it"
            yield (*place, key), self._error((*place, key), f"one of the keys {', '.join(known)}", repr(key), advice)

    def _absent(self, place: Place, rules: Mapping[str, Any], instance: Any) -> Iterator[tuple[Place, UsageError]]:
        for key in [key for key in rules["required"] if key not in instance]:
            known = rules.get("properties", {})
            if difflib.get_close_matches(key, [have for have in instance if have not in known], 1):
                # Told already, as a key that is misspelt.
                continue
            what = known.get(key, {}).get("title", "a value")
            yield (
                (*place, key),
                self._error((*place, key), what, f"the key {key!r} is absent", "add it", self._nodes[place]),
            )

    def _error(self, place: Place, wanted: str, found: str, advice: str, node: yaml.Node | None = None) -> UsageError:
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        line = node.start_mark.line + 1 if node is not None else self.line(place)
        return UsageError(
            f"{key}: {wanted}".removeprefix(": "), found, f"{self._path}, line {line}", advice or "correct it"
        )
