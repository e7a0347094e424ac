"""The literal manifests beside a feature, read by file name."""

from __future__ import annotations

from pathlib import Path

import yaml

from lab.access.kinds import Obj
from lab.core.errors import UsageError


class Manifests:
    """A folder of YAML files with one object each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __contains__(self, name: object) -> bool:
        return (self.folder / f"{name}.yaml").is_file()

    def __getitem__(self, name: str) -> Obj:
        """A fresh copy of the object in ``<name>.yaml``. Raises UsageError naming the files that are there."""
        path = self.folder / f"{name}.yaml"
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            have = ", ".join(sorted(p.stem for p in self.folder.glob("*.yaml"))) or "none"
            raise UsageError(f"the manifest {name}", f"there are: {have}", str(self.folder)) from error
        except yaml.YAMLError as error:
            raise UsageError("a manifest in YAML", str(error), str(path)) from error
        if not isinstance(found, dict) or "kind" not in found:
            raise UsageError("a manifest with one object", f"{type(found).__name__}", str(path))
        return found
