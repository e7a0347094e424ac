"""Files of people, gone wrong: target, case, record, kubeconfig, roles. Each is read, or refused; never a traceback."""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gherkin
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab.access import kubeconfig
from lab.cases import folder as cases
from lab.core.errors import UsageError
from lab.embedded.errors import UsageError as LabUsageError
from lab.embedded.lifecycle import restricted
from lab.evidence import reading
from lab.multus import attachment
from lab.target import inventory
from reports import allure, comparison, html, junit, markdown, pages
from reports.store import Store
from reports.terminal import clean
from tests import hostile
from tests.conftest import ROOT
from tests.unit.evidence import records

TARGET = inventory.load(ROOT / "targets/embedded.yaml")
CASE = {
    "name": "a case", "about": "x",
    "vms": {"vm-a": {"segment": "vlan-2024", "reaches": ["gateway"], "does-not-reach": ["vlan-1993"]}},
    "disturbances": [{"migrate": "vm-a", "to": "another"}], "longest-gap-ms": 500,
    "map": {"vlans": {500: 2024}, "networks": {"a": "b"}, "nics": {"eno1": "enp6s0f0"}},
}  # fmt: skip
KUBECONFIG = {
    "apiVersion": "v1", "kind": "Config", "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
    "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority-data": "eA=="}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}  # fmt: skip
ROLES = [
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "b"}},
    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "a"}, "rules": []},
]
DEEP = (
    "[" * 1100, "a: " + "[" * 500 + "]" * 500, "a: &a [*a]", "\x00", "\ud800", "? [a]\n: 1", "!!python/name:os.system",
    "a: 2026-99-99", "9" * 5000 + ": 1", "a: " + "9" * 5000, "- " * 3000, "<<: 1", "a: !!int x", "a: !!float x",
    "a: !!timestamp x", "=: 1",
)  # fmt: skip


def target(path: Path) -> None:
    inventory.load(path)


def case(path: Path) -> None:
    place = path.parent / "case"
    place.mkdir(exist_ok=True)
    (place / "case.yaml").write_bytes(path.read_bytes())
    for name in ("vm-a", "nad-vlan-2024", "nncp-ovs-br1-vlan-trunk"):
        (place / f"{name}.yaml").write_bytes((ROOT / f"features/localnet/manifests/{name}.yaml").read_bytes())
    made(place)


def made(place: Path) -> None:
    """The case as a folder: nothing beside it, one scenario, and a module of ours alone."""
    out = place.parent / "out"
    where = cases.write(place, TARGET, out)
    assert [path.name for path in out.iterdir()] == ["cases"]
    assert [path.name for path in (out / "cases").iterdir()] == [where.name]
    module = ast.parse((where / f"test_case_{where.name}.py").read_text())
    assert [type(part).__name__ for part in module.body] == ["Expr", "ImportFrom", "ImportFrom", "Expr"]
    feature = gherkin.Parser().parse((where / f"{where.name}.feature").read_text(encoding="utf-8"))["feature"]
    assert [list(child) for child in feature["children"]] == [["scenario"]]


def manifests(path: Path) -> None:
    place = path.parent / "manifests"
    place.mkdir(exist_ok=True)
    (place / "case.yaml").write_text(yaml.safe_dump(CASE))
    (place / "objects.yaml").write_bytes(path.read_bytes())
    made(place)


def record(path: Path) -> None:
    found = reading.load(path)
    for draw in (html.render, junit.render, markdown.render):
        draw(found).encode()
    out = path.parent / "reports"
    allure.write(found, out / "allure")
    pages.site([found], out / "site")
    compared = comparison.compare([found], [found])
    pages.comparison(compared).encode()
    assert "\x1b" not in clean(compared.sentence)
    store = Store(f"sqlite:///{out}/history.db")
    store.add(found)
    assert store.record(found.run_id).run_id == found.run_id
    assert [entry.run_id for entry in store.runs()] == [found.run_id]
    store.verdicts([found.run_id])
    store.close()
    assert sorted(p.name for p in out.iterdir()) == ["allure", "history.db", "site"]
    assert sorted(p.name for p in (out / "site").iterdir()) == ["index.html", "runs"]


def roles(path: Path) -> None:
    restricted.read(path)


READERS: dict[str, tuple[Callable[[Path], None], Any]] = {
    "target": (target, yaml.safe_load((ROOT / "targets/embedded.yaml").read_text())),
    "case": (case, CASE),
    "manifests": (manifests, {"kind": "List", "items": list(hostile.documented().values())[20:24]}),
    "kubeconfig": (lambda path: kubeconfig.load(path).close(), KUBECONFIG),
    "roles": (roles, ROLES),
}  # fmt: skip


def read(name: str, path: Path) -> None:
    """Read by its reader: a refusal names the file, and has no control characters that a terminal would obey."""
    said = ""
    try:
        READERS[name][0](path)
    except (UsageError, LabUsageError) as refusal:
        said = str(refusal)
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "config",
    [
        "[" * 5000,
        '{"plugins": 7}',
        '{"plugins": [1]}',
        '{"vlanID": "x"}',
        '{"plugins": [{"type": "bridge", "vlan": [1]}]}',
    ],
)
def test_an_attachment_whose_configuration_is_none(config: str) -> None:
    with pytest.raises(UsageError, match=r"NetworkAttachmentDefinition a, spec\.config"):
        attachment.read_attachment({"metadata": {"name": "a"}, "spec": {"config": config}})


@pytest.mark.parametrize("name", READERS)
@hostile.few(20)
@given(data=st.data())
def test_a_file_gone_wrong(name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("f") / f"{name}.yaml"
    bad = data.draw(hostile.mutated(READERS[name][1]))
    documents = bad if name == "roles" and isinstance(bad, list) else [bad]
    path.write_text(yaml.safe_dump_all(documents, allow_unicode=False))
    read(name, path)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("text", DEEP)
def test_a_file_that_could_break_its_reader(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    read(name, path)


@hostile.few(15)
@given(data=st.data())
def test_a_record_gone_wrong(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("r")
    made = records.record(folder, "passed", "failed")
    made.scenarios[1].facts.append(records.routes())
    made.finish("finished", 1)
    good = json.loads(made.path.read_text())
    # Most of a record are links of pictures: what says more is looked at as often.
    part = data.draw(st.sampled_from(["all", "pictures", "facts", "document"]))
    where = good["scenarios"][1]["facts"]
    if part == "all":
        bad = data.draw(hostile.mutated(good))
    elif part == "pictures":
        bad = good | {"pictures": data.draw(hostile.mutated(good["pictures"]))}
    elif part == "facts":
        good["scenarios"][1]["facts"], bad = data.draw(hostile.mutated(where)), good
    else:
        where[-1]["document"], bad = data.draw(hostile.mutated(where[-1]["document"])), good
    text = json.dumps(bad)
    made.path.write_text(text[: data.draw(st.sampled_from([len(text), len(text), len(text) // 2]))])
    with contextlib.suppress(UsageError):
        record(made.path)


@pytest.mark.parametrize("kind", [UsageError, LabUsageError])
def test_errors_spell_control_characters_out(kind: type[UsageError | LabUsageError]) -> None:
    said = str(kind(hostile.ESCAPES, hostile.ESCAPES, where=hostile.ESCAPES, advice=hostile.ESCAPES))
    assert not [c for c in said if c in "\x1b\x9b\x07\x08\r\u202e"]
    assert "\\x1b[2J" in said
