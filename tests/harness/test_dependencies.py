"""What the project declares is what it uses, and the lock has nothing that nobody asked for."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Used by what it adds to pytest, without an import: the option --alluredir.
PLUGINS = {"allure-pytest"}


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def imported() -> set[str]:
    """Distributions that the project's own modules import."""
    modules: set[str] = set()
    for folder in ("lab", "steps", "reports"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    modules.update(alias.name.split(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules.add(node.module.split(".")[0])
    known = packages_distributions()
    # `qemu` is a namespace package: its distribution is told by hand.
    return {name_of(dist) for module in modules for dist in known.get(module, ())} | (
        {"qemu.qmp"} if "qemu" in modules else set()
    )


def test_each_dependency_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {name_of(entry) for entry in project["dependencies"]} - PLUGINS - imported() == set()


def test_each_locked_package_is_there_for_another_that_is_locked() -> None:
    blocks = re.split(r"(?m)^(?=[a-z0-9][\w.-]*==)", (ROOT / ".ci/requirements.lock").read_text())[1:]
    reasons = {block.split("==")[0]: set(re.findall(r"(?m)^    #(?: via|  ) +(\S+)", block)) for block in blocks}
    assert reasons
    assert all(vias and vias <= {*reasons, "virtlab"} for vias in reasons.values()), reasons
