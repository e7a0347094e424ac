"""Reading a target file: its YAML, and typed reads of what has the right form (`form`), with the line in complaints.

It knows nothing of targets; `inventory` says what a value must mean.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import yaml

from lab.core.errors import UsageError
from lab.core.yamls import reading
from lab.target import form

T = TypeVar("T")
NULL = "tag:yaml.org,2002:null"


class Section:
    """One mapping of the file. Its form is the schema's: reads do not check types again."""

    def __init__(self, path: Path, node: yaml.Node, key: str = "") -> None:
        self.path = path
        self.key = key
        self.line = node.start_mark.line + 1
        self._nodes: dict[str, yaml.Node] = {str(name.value): value for name, value in node.value}

    def _full(self, key: str) -> str:
        return f"{self.key}.{key}" if self.key else key

    def _node(self, key: str) -> yaml.Node | None:
        node = self._nodes.get(key)
        return None if node is None or node.tag == NULL else node

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return self._node(key) is not None

    def text(self, key: str, default: str = "") -> str:
        """A string, as it was typed."""
        node = self._node(key)
        return default if node is None else str(node.value)

    def number(self, key: str, default: int = 0) -> int:
        """An integer."""
        node = self._node(key)
        return default if node is None else int(node.value)

    def flag(self, key: str, default: bool = False) -> bool:
        """true or false."""
        node = self._node(key)
        return default if node is None else str(node.value).lower() in ("true", "yes", "on")

    def texts(self, key: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """A list of strings, such as the words of a command."""
        node = self._node(key)
        return tuple(default) if node is None else tuple(str(item.value) for item in node.value)

    def parsed(self, key: str, what: str, parse: Callable[[str], T]) -> T:
        """A string through `parse`; its ValueError becomes the complaint."""
        text = self.text(key)
        try:
            return parse(text)
        except ValueError as error:
            raise self.complain(key, what, f"{text!r} ({error})") from error

    def address(self, key: str) -> str:
        """An IP address."""
        return str(self.parsed(key, "an IP address", ipaddress.ip_address))

    def section(self, key: str) -> Section | None:
        """A mapping below; None when absent."""
        node = self._node(key)
        return None if node is None else Section(self.path, node, self._full(key))

    def required_section(self, key: str) -> Section:
        """A mapping below that the schema requires."""
        return Section(self.path, self._nodes[key], self._full(key))

    def named(self, key: str) -> dict[str, Section]:
        """A mapping of name -> mapping; empty when absent."""
        below = self.section(key)
        return {name: below.required_section(name) for name in below.keys()} if below else {}  # noqa: SIM118

    def sections(self, key: str) -> tuple[Section, ...]:
        """A list of mappings; empty when absent."""
        node = self._node(key)
        items = node.value if node is not None else ()
        return tuple(Section(self.path, item, f"{self._full(key)}[{n}]") for n, item in enumerate(items))

    def keys(self) -> tuple[str, ...]:
        return tuple(self._nodes)

    def complain(self, key: str, wanted: str, found: str, advice: str = "") -> UsageError:
        """An error about a key whose meaning, not whose form, is wrong."""
        node = self._nodes.get(key)
        line = node.start_mark.line + 1 if node else self.line
        return UsageError(f"{self._full(key)}: {wanted}", found, f"{self.path}, line {line}", advice or "correct it")


def read(path: Path, what: str = "a target file", rules: Path = form.SCHEMA) -> Section:
    """The file's top mapping, of the right form; *what* is the file, in words. Raises UsageError with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(what, error.strerror or str(error), str(path), _there(path)) from error
    except UnicodeDecodeError as error:
        raise UsageError(what, f"it is no UTF-8 text: {error}", str(path), _there(path)) from error
    try:
        node = reading(lambda: yaml.compose(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise _no_yaml(path, text, what, error) from error
    if node is None:
        raise UsageError(what, "it is empty", str(path), _there(path))
    form.check(path, node, rules)
    return Section(path, node)


def _no_yaml(path: Path, text: str, what: str, error: yaml.YAMLError) -> UsageError:
    mark = getattr(error, "problem_mark", None)
    said = [getattr(error, "context", None), getattr(error, "problem", None)]
    problem = ", ".join(part for part in said if part) or " ".join(str(error).split())
    if mark is None:
        return UsageError(f"{what} in YAML", problem, str(path), "correct the syntax there")
    lines = text.splitlines()
    # The parser may stop behind the line whose indentation is a tab.
    tabs = [n for n in range(mark.line, max(-1, mark.line - 2), -1) if n < len(lines) and "\t" in _indent(lines[n])]
    if tabs:
        found = "a tab in the indentation"
        return UsageError(f"{what} in YAML", found, f"{path}, line {tabs[0] + 1}", "indent with spaces")
    return UsageError(f"{what} in YAML", problem, f"{path}, line {mark.line + 1}", "correct the syntax there")


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _there(path: Path) -> str:
    """What else lies beside a file that is not there."""
    try:
        others = sorted(p.name for p in path.parent.glob("*.yaml"))
    except OSError:
        others = []
    return f"there are: {', '.join(others)}" if others else "virtlab target init -o FILE writes one from a cluster"
