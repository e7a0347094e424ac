"""A case on disk as a feature folder of its own, below the checkout's output: pytest then runs it like any other."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml

from lab.access.kinds import Obj
from lab.cases import gherkin, objects
from lab.cases.document import Case, load
from lab.core.errors import UsageError
from lab.target.inventory import Target
from lab.topology.manifests import Manifests

MODULE = '''"""A case, made from the manifests of a customer; made anew each time."""

from pathlib import Path

from pytest_bdd import scenarios

scenarios(str(Path(__file__).with_name("{name}.feature")))
'''
FEATURES = Path(__file__).resolve().parents[2] / "features"
WITNESSES = {"resident": "localnet", "pod": "pod_network"}
"""Pods of virtlab's own, by the feature that has their manifest: every segment and every zone has some."""


def text(folder: Path, target: Target) -> str:
    """The feature of a case. Raises UsageError."""
    return _made(folder, target)[1]


def write(folder: Path, target: Target, out: Path) -> Path:
    """Makes ``out/cases/<name>/`` anew from the case in *folder*; returns it. Raises UsageError."""
    case, words, found = _made(folder, target)
    name = slug(folder.resolve().name)
    place = out / "cases" / name
    if place.exists():
        shutil.rmtree(place)
    manifests = place / "manifests"
    manifests.mkdir(parents=True)
    (place / f"{name}.feature").write_text(words, encoding="utf-8")
    (place / f"test_case_{name}.py").write_text(MODULE.format(name=name), encoding="utf-8")
    named = {f"nncp-{n}": o for n, o in found.policies.items()} | {f"nad-{n}": o for n, o in found.nads.items()}
    for stem, body in (named | {n: found.vms[n] for n in (looks.vm for looks in case.vms)} | _witnesses()).items():
        (manifests / f"{stem}.yaml").write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return place


def _made(folder: Path, target: Target) -> tuple[Case, str, objects.Objects]:
    case = load(folder)
    for looks in case.vms:
        if looks.vm in WITNESSES:
            raise UsageError(f"another name for the VM {looks.vm}", "virtlab has a manifest of that name", str(folder))
    found = objects.fit(objects.read(case.manifests), case)
    words = gherkin.feature(case, found, gherkin.seats(case, found, target))
    return case, words, found


def _witnesses() -> dict[str, Obj]:
    return {name: Manifests(FEATURES / feature / "manifests")[name] for name, feature in WITNESSES.items()}


def slug(name: str) -> str:
    """A folder's name as one that a module may have."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "case"
