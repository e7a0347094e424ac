"""JSON and YAML cut into objects as lines go by, as far as they are well meant and when they are not."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab.ovn import documents as documents_module
from lab.ovn.documents import Documents
from lab.ovn.yamltext import parse_yaml

PODS: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p{n}", "labels": {"a": "b: c"}},
        "spec": {"x": [{"k": n}]},
    }
    for n in range(3)
]
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"text": "kind: Pod\n- x\n"}}


def cut(text: str, hint: str = "") -> tuple[list[Any], list[str], list[str]]:
    """(documents, notes, lines that were no part of any)."""
    taken: list[Any] = []
    notes: list[str] = []
    scanner = Documents(lambda document, kind, line: taken.append((document, kind, line)), lambda n, t: notes.append(t))
    scanner.begin(hint)
    lines = text.split("\n")
    left = [line for number, line in enumerate(lines, 1) if not scanner.feed(line, number)]
    scanner.end(len(lines))
    return taken, notes, left


def names(taken: list[Any]) -> list[str]:
    return [document["metadata"]["name"] for document, _, _ in taken]


@pytest.mark.parametrize("indent", [1, 2, 4])
def test_a_json_list_comes_item_by_item(indent: int) -> None:
    text = json.dumps({"apiVersion": "v1", "items": [*PODS, OTHER], "kind": "List"}, indent=indent)
    taken, notes, left = cut(f"$ oc get pods -o json\n{text}\n$ echo\n")
    assert names(taken) == ["p0", "p1", "p2"]
    assert taken[0][0] == PODS[0]
    assert text.split("\n")[taken[1][2] - 2].strip() == "{"
    assert not notes
    assert left == ["$ oc get pods -o json", "$ echo", ""]


@pytest.mark.parametrize("inspected", [True, False])
def test_a_yaml_list_comes_item_by_item(inspected: bool) -> None:
    listed = {"apiVersion": "v1", "items": [*PODS, OTHER], "kind": "PodList", "metadata": {"resourceVersion": "1"}}
    text = ("---\n" if inspected else "") + yaml.safe_dump(listed, sort_keys=True)
    taken, notes, left = cut(f"{text}$ echo\n")
    assert names(taken) == ["p0", "p1", "p2"]
    assert taken[2][0]["spec"]["x"][0]["k"] == "2"
    assert not notes
    assert [line for line in left if line and line != "---"] == ["$ echo"]


def test_yaml_documents_one_after_the_other_and_kinds_from_a_files_name() -> None:
    taken, _, _ = cut("---\n".join(yaml.safe_dump(pod) for pod in PODS))
    assert names(taken) == ["p0", "p1", "p2"]
    bare = [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]
    text = yaml.safe_dump({"apiVersion": "v1", "items": bare})
    assert not cut(text)[0]
    taken, _, _ = cut(text, "Pod")
    assert [(document["metadata"]["name"], kind) for document, kind, _ in taken] == [("a", "Pod"), ("b", "Pod")]


def test_one_item_that_makes_no_sense_is_said_and_the_others_count() -> None:
    text = yaml.safe_dump({"apiVersion": "v1", "items": PODS, "kind": "List"}).replace("name: p1", "name: *p1")
    taken, notes, _ = cut(text)
    assert names(taken) == ["p0", "p2"]
    assert "alias" in notes[0]


def test_json_that_is_cut_is_read_up_to_there() -> None:
    text = json.dumps({"items": PODS, "kind": "List"}, indent=4)
    taken, notes, _ = cut(text[: len(text) * 2 // 3])
    assert names(taken) == ["p0", "p1"]
    assert "ends before its closing brace" in notes[0]


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_an_object_too_large_is_dropped_as_it_goes_by(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_module, "ITEM_LIMIT", 2000)
    big = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "big"}, "spec": {"x": ["y" * 50] * 100}}
    listed = {"apiVersion": "v1", "items": [PODS[0], big, PODS[2]], "kind": "List"}
    taken, notes, _ = cut(json.dumps(listed, indent=4) if form == "json" else yaml.safe_dump(listed))
    assert names(taken) == ["p0", "p2"]
    assert len(notes) == 1
    assert "not read" in notes[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: " + "[" * 300_000, "levels"),
        ("- " * 300_000, "levels"),
        ("a: &x [1]\nb: *x\n", "alias"),
        ("a: &x {k: 1}\nb:\n  <<: *x\n", "alias"),
        ("? [a]\n: b\n", "key"),
    ],
)
def test_yaml_that_could_grow_or_recurse_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_yaml(text)


def test_tags_make_nothing() -> None:
    assert parse_yaml("a: !!python/object/apply:os.system ['true']\n") == {"a": ["true"]}


leaves = st.one_of(st.text(max_size=20), st.booleans(), st.none())
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=4)),
)


@given(trees)
def test_what_kubernetes_writes_is_read_as_it_was(tree: Any) -> None:
    assert parse_yaml(yaml.safe_dump(tree, default_flow_style=False)) == tree
