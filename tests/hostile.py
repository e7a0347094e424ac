"""Hostile input for tests: values, mutations of good documents, and how many of them a test tries.

In `make test` each series is small and always the same; VIRTLAB_FUZZ=long (`make bench`) tries TIMES as many, others
each time. An example that fails is printed by hypothesis so that it can be typed in as a test of its own.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FEATURES = Path(__file__).resolve().parent.parent / "features"
LONG = os.environ.get("VIRTLAB_FUZZ") == "long"
TIMES = 25
"""All series together fit a nightly hour, beside other work."""
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b1m\x1bP0;1|17/ab\x1b\\\u202e\r\x08"
TEXTS = (
    "", " ", ".", "..", "../../../../tmp/virtlab-escaped", "/tmp/virtlab-escaped", "a/b", "a\\b", "-", "--help", "²",
    "٣", "a\x00b", "a\nb", "a\tb", "\u2028", "é" * 300, "a" * 64, "a" * 5000, "A B", "$(id)", "`id`", "{{7*7}}", "%n%s",
    "'", "null", "true", "1e999", "0x10", "10.0.0.0/33", "::1", "fe80::1%eth0", "9" * 5000, "1.5Gi", "-1", "1E1000000",
    "\ud800", '"', "--5", "\ufeff", ESCAPES,
)  # fmt: skip
NUMBERS = (0, -1, 1, 4095, 4096, 65536, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308)


def few(examples: int) -> settings:
    """Settings of a series of so many examples, TIMES as many in the long profile."""
    return settings(
        max_examples=examples * (TIMES if LONG else 1),
        derandomize=not LONG,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def documented() -> dict[str, dict[str, Any]]:
    """The objects of the documented manifests, one of each kind and shape, by feature, file and name."""
    found = {}
    for path in sorted(FEATURES.glob("*/manifests/*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            found[f"{path.parent.parent.name}/{path.stem}/{document['metadata'].get('name', '')}"] = document
    return found


def deep(levels: int, *, lists: bool = False) -> Any:
    """A value within so many others."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if lists else {"a": value}
    return value


texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=20))
scalars = st.one_of(st.none(), st.booleans(), st.sampled_from(NUMBERS), texts)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(texts, scalars, max_size=3),
    st.sampled_from([[], {}, [None], [[]], [{}], {"": {}}, deep(30), deep(190), deep(30, lists=True)]),
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of each part of a document."""
    if path:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


@st.composite
def mutated(draw: st.DrawFn, document: Any, most: int = 3) -> Any:
    """A good document with up to *most* parts replaced, removed, doubled or added to by something hostile."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, most))):
        known = list(places(made))
        if not known:
            break
        *above, last = draw(st.sampled_from(known))
        parent = made
        for key in above:
            parent = parent[key]
        how = draw(st.sampled_from(("replace", "replace", "remove", "double", "add")))
        if how == "replace":
            parent[last] = copy.deepcopy(draw(values))
        elif how == "remove":
            del parent[last]
        elif how == "double":
            _double(parent, last)
        elif isinstance(parent, dict):
            parent[draw(texts)] = copy.deepcopy(draw(values))
        else:
            parent.append(copy.deepcopy(draw(values)))
    return made


@st.composite
def garbled(draw: st.DrawFn, text: str, most: int = 4) -> str:
    """A good text in which up to *most* places, numbers above all, are replaced by something hostile, or cut away."""
    for _ in range(draw(st.integers(1, most))):
        numbers = [match.span() for match in re.finditer(r"\d+", text)] or [(0, 0)]
        anywhere = st.tuples(st.integers(0, len(text)), st.integers(0, 30)).map(lambda at: (at[0], sum(at)))
        began, ended = draw(st.one_of(st.sampled_from(numbers), anywhere))
        text = text[:began] + draw(st.one_of(texts, st.just(text[:ended]), st.just(""))) + text[ended:]
    return text


def _double(parent: Any, last: Any) -> None:
    if isinstance(parent, list):
        parent.append(copy.deepcopy(parent[last]))
    else:
        parent[f"{last}x"] = copy.deepcopy(parent[last])
