"""JSON and YAML among other text, cut into objects as the lines go by: a list is never held as a whole.

``oc get -o json`` and ``-o yaml`` print lists item by item on lines of their own, and so does a must-gather; each item
is parsed alone and only when its kind is one the audit knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import yaml

from lab.ovn.lines import printable
from lab.ovn.yamltext import parse_yaml

ITEM_LIMIT = 16 << 20
"""Characters of one object, or of a JSON document that has no items on lines of their own."""
KINDS = ("Pod", "Node", "VirtualMachineInstance", "VirtualMachineInstanceMigration")
_KIND = re.compile(r'^ *"kind": ?"(\w+)",?\s*$', re.M)
_YAML_KEY = re.compile(r"[A-Za-z][\w.-]*:(\s|$)")
_ITEMS = re.compile(r'^\s*"items": \[\s*$')

Take = Callable[[Any, str, int], None]
"""Gets a document, the kind that its list or file name gives it, and the number of its first line."""
Note = Callable[[int, str], None]


class Documents:
    """Feed it lines; it answers whether it took each. Whole documents and items of lists go to *take*."""

    def __init__(self, take: Take, note: Note) -> None:
        self._take = take
        self._note = note
        self.begin("")

    def begin(self, hint: str) -> None:
        """Another source; *hint* is the kind of objects that its name stands for."""
        self._hint = hint
        self._mode = ""
        self._reset()

    def _reset(self) -> None:
        self._lines: list[str] = []
        self._size = 0
        self._start = 0
        self._indent = -1
        self._dropped = False

    @property
    def open(self) -> bool:
        """Whether a document has begun and not ended."""
        return bool(self._mode)

    def feed(self, line: str, number: int) -> bool:
        """One line; False when it is no part of a document."""
        if not self._mode:
            return self._begins(line, number)
        if self._mode == "yaml":
            return self._yaml(line, number)
        self._json(line, number)
        return True

    def end(self, number: int) -> None:
        """The text ended."""
        if self._mode == "yaml":
            self._emit_yaml()
        elif self._mode:
            self._note(number, "JSON that ends before its closing brace: read up to there")
        self._mode = ""
        self._reset()

    def _begins(self, line: str, number: int) -> bool:
        if line in ("{", "["):
            self._mode = "json"
            self._add(line, number)
        elif line.startswith(("apiVersion:", "kind: ")):
            self._mode = "yaml"
            self._yaml(line, number)
        elif line.startswith(('{"', '[{"', '{ "')):
            self._parse_json(line, number)
        else:
            return False
        return True

    def _add(self, line: str, number: int) -> None:
        if not self._lines and not self._dropped:
            self._start = number
        self._size += len(line) + 1
        if self._size > ITEM_LIMIT:
            if not self._dropped:
                self._note(self._start, f"an object of more than {ITEM_LIMIT >> 20} MiB: not read")
            self._dropped = True
            self._lines = []
        else:
            self._lines.append(line)

    def _json(self, line: str, number: int) -> None:
        if self._mode == "json" and _ITEMS.match(line):
            self._mode = "items"
            self._reset()
        elif self._mode == "items":
            self._json_item(line, number)
        else:
            self._add(line, number)
            if line in ("}", "]"):
                self._mode = ""
                text, dropped, start = "\n".join(self._lines), self._dropped, self._start
                self._reset()
                if not dropped:
                    self._parse_json(text, start)

    def _json_item(self, line: str, number: int) -> None:
        bare = line.strip()
        if bare == "{" and self._indent < 0:
            self._indent = len(line) - len(line.lstrip())
        if line in ("}", "]"):
            self._mode = ""
            self._reset()
        elif self._indent >= 0:
            self._add(line, number)
            if bare in ("}", "},") and len(line) - len(line.lstrip()) == self._indent:
                text, dropped, start = "\n".join(self._lines).rstrip(","), self._dropped, self._start
                self._reset()
                if not dropped and self._wanted(text):
                    self._parse_json(text, start)

    @staticmethod
    def _wanted(text: str) -> bool:
        """Whether an item may be of a kind that matters; one without a kind of its own is what its list says."""
        inner = text.partition("\n")[2]
        indent = len(inner) - len(inner.lstrip(" "))
        kinds = [m[1] for m in _KIND.finditer(text) if len(m[0]) - len(m[0].lstrip(" ")) == indent]
        return not kinds or any(kind in KINDS for kind in kinds)

    def _parse_json(self, text: str, number: int) -> None:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            self._note(number, f"no JSON: {printable(str(error))}")
            return
        self._take(document, self._hint, number)

    def _yaml(self, line: str, number: int) -> bool:
        """A list's items begin with a dash below ``items:``; anything at the left margin that is no key ends it all."""
        bare = line.lstrip()
        indent = len(line) - len(bare)
        if indent == 0 and bare and not _YAML_KEY.match(bare) and not bare.startswith(("- ", "---", "#")):
            self.end(number)
            return False
        if bare.startswith("---") and indent == 0:
            self._emit_yaml()
        elif bare.startswith("- ") and self._indent in (-2, indent):
            if self._indent == -2:
                self._reset()
            self._emit_yaml()
            self._indent = indent
            self._add(" " * (indent + 2) + bare[2:], number)
        elif self._indent >= 0 and bare and indent <= self._indent:
            self._emit_yaml()
            self._indent = -3
        elif line.startswith("items:") and self._indent == -1:
            self._reset()
            self._indent = -2
        elif self._indent != -3:
            self._add(line, number)
        return True

    def _emit_yaml(self) -> None:
        lines, start, dropped, indent = self._lines, self._start, self._dropped, self._indent
        self._reset()
        if indent >= 0:
            self._indent = indent
        if dropped or not any(line.strip() for line in lines):
            return
        text = "\n".join(lines)
        margin = " " * (indent + 2 if indent >= 0 else 0)
        found = re.search(rf"^{margin}kind: (\w+)\s*$", text, re.M)
        if (found[1] if found else self._hint) not in KINDS:
            return
        try:
            document = parse_yaml(text)
        except (yaml.YAMLError, ValueError) as error:
            problem = getattr(error, "problem", None) or str(error)
            self._note(start, f"no YAML: {printable(str(problem))}")
            return
        self._take(document, self._hint, start)
