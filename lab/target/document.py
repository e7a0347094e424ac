"""Reading a YAML file strictly, with file, line and key in every complaint.

It knows nothing of targets; `inventory` says what is wanted where.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import yaml

from lab.core.errors import UsageError

T = TypeVar("T")


class Section:
    """One mapping of the file; each read takes a key, and `end()` complains about what nobody took."""

    def __init__(self, path: Path, node: yaml.Node, key: str = "") -> None:
        self.path = path
        self.key = key
        self.line = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            raise _error(path, node, key, "a mapping (key: value lines)", _seen(node))
        self._nodes: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            name = str(key_node.value)
            if name in self._nodes:
                raise _error(path, key_node, self._full(name), "each key once", "it is there twice")
            self._nodes[name] = value
        self._taken: list[str] = []

    def _full(self, key: str) -> str:
        return f"{self.key}.{key}" if self.key else key

    def _node(self, key: str) -> yaml.Node | None:
        self._taken.append(key)
        node = self._nodes.get(key)
        return None if node is None or node.tag == "tag:yaml.org,2002:null" else node

    def has(self, key: str) -> bool:
        """Whether the key is there with a value; does not take it."""
        node = self._nodes.get(key)
        return node is not None and node.tag != "tag:yaml.org,2002:null"

    def _required(self, key: str, what: str) -> yaml.Node:
        node = self._node(key)
        if node is None:
            close = difflib.get_close_matches(key, list(self._nodes), 1)
            hint = f"the key {key!r} is absent" + (f"; is {close[0]!r} meant to be it?" if close else "")
            raise UsageError(f"{self._full(key)}: {what}", hint, f"{self.path}, line {self.line}", "add it")
        return node

    def text(self, key: str, default: str | None = None) -> str:
        """A string; required when there is no default."""
        node = self._node(key) if default is not None else self._required(key, "a string")
        return default or "" if node is None else self._scalar(node, key, "a string")

    def number(self, key: str, default: int | None = None, *, low: int = 0, high: int = 2**31) -> int:
        """An integer within low..high."""
        what = f"an integer from {low} to {high}"
        node = self._node(key) if default is not None else self._required(key, what)
        if node is None:
            return default or 0
        text = self._scalar(node, key, what)
        if not text.lstrip("-").isdigit() or not low <= int(text) <= high:
            raise _error(self.path, node, self._full(key), what, repr(text))
        return int(text)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        node = self._node(key)
        if node is None:
            return default
        if node.tag != "tag:yaml.org,2002:bool":
            raise _error(self.path, node, self._full(key), "true or false", _seen(node))
        return str(node.value).lower() in ("true", "yes", "on")

    def texts(self, key: str, default: Sequence[str] | None = None, what: str = "a list of strings") -> tuple[str, ...]:
        """A list of strings."""
        node = self._node(key) if default is not None else self._required(key, what)
        if node is None:
            return tuple(default or ())
        if not isinstance(node, yaml.SequenceNode):
            raise _error(self.path, node, self._full(key), what, _seen(node))
        return tuple(self._scalar(item, f"{key}[{n}]", "a string") for n, item in enumerate(node.value))

    def argv(self, key: str) -> tuple[str, ...]:
        """A command as a list of words, never a shell line; () when absent."""
        what = "a command as a list, such as [ssh, lab-host, --]; no shell reads it"
        words = self.texts(key, (), what)
        if self.has(key) and not words:
            raise _error(self.path, self._nodes[key], self._full(key), what, "an empty list")
        return words

    def parsed(self, key: str, what: str, parse: Callable[[str], T]) -> T:
        """A required string through `parse`; its ValueError becomes the complaint."""
        node = self._required(key, what)
        text = self._scalar(node, key, what)
        try:
            return parse(text)
        except ValueError as error:
            raise _error(self.path, node, self._full(key), what, f"{text!r} ({error})") from error

    def address(self, key: str) -> str:
        """An IP address."""
        return str(self.parsed(key, "an IP address", ipaddress.ip_address))

    def section(self, key: str) -> Section | None:
        """A mapping below; None when absent."""
        node = self._node(key)
        return None if node is None else Section(self.path, node, self._full(key))

    def required_section(self, key: str) -> Section:
        return Section(self.path, self._required(key, "a mapping"), self._full(key))

    def named(self, key: str) -> dict[str, Section]:
        """A mapping of name -> mapping; empty when absent."""
        below = self.section(key)
        if below is None:
            return {}
        names = list(below._nodes)
        return {name: below.required_section(name) for name in names}

    def sections(self, key: str) -> tuple[Section, ...]:
        """A list of mappings; empty when absent."""
        node = self._node(key)
        if node is None:
            return ()
        if not isinstance(node, yaml.SequenceNode):
            raise _error(self.path, node, self._full(key), "a list", _seen(node))
        return tuple(Section(self.path, item, f"{self._full(key)}[{n}]") for n, item in enumerate(node.value))

    def keys(self) -> tuple[str, ...]:
        return tuple(self._nodes)

    def end(self) -> None:
        """Complains about the first key that nobody asked for."""
        for key, node in self._nodes.items():
            if key not in self._taken:
                close = difflib.get_close_matches(key, self._taken, 1)
                known = ", ".join(dict.fromkeys(self._taken))
                advice = f"did you mean {close[0]!r}?" if close else "remove it"
                raise _error(self.path, node, self._full(key), f"one of the keys {known}", f"{key!r}", advice)

    def complain(self, key: str, wanted: str, found: str, advice: str = "") -> UsageError:
        """An error about a key whose meaning, not whose form, is wrong."""
        node = self._nodes.get(key)
        line = node.start_mark.line + 1 if node else self.line
        return UsageError(f"{self._full(key)}: {wanted}", found, f"{self.path}, line {line}", advice or "correct it")

    def _scalar(self, node: yaml.Node, key: str, what: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise _error(self.path, node, self._full(key), what, _seen(node))
        return str(node.value)


def read(path: Path) -> Section:
    """The file's top mapping. Raises UsageError with file and line."""
    try:
        text = path.read_text()
    except OSError as error:
        raise UsageError("a target file", error.strerror or str(error), str(path), _there(path)) from error
    except UnicodeDecodeError as error:
        raise UsageError("a target file", f"it is no UTF-8 text: {error}", str(path)) from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UsageError("a target file in YAML", problem, f"{path}{line}", "correct the syntax there") from error
    if node is None:
        raise UsageError("a target file", "it is empty", str(path), _there(path))
    return Section(path, node)


def _there(path: Path) -> str:
    """What else lies beside a file that is not there."""
    try:
        others = sorted(p.name for p in path.parent.glob("*.yaml"))
    except OSError:
        others = []
    return f"there are: {', '.join(others)}" if others else "targets/embedded.yaml is the one for the embedded lab"


def _seen(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return repr(node.value)


def _error(path: Path, node: yaml.Node, key: str, wanted: str, found: str, advice: str = "correct it") -> UsageError:
    subject = f"{key}: " if key else ""
    return UsageError(f"{subject}{wanted}", found, f"{path}, line {node.start_mark.line + 1}", advice)
