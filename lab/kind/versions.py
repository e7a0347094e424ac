"""The one file of versions and images, ``deploy/kind/versions.yaml``. Reading only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.core.errors import UsageError

FOLDER = Path(__file__).parents[2] / "deploy" / "kind"
FILE = FOLDER / "versions.yaml"


@dataclass(frozen=True)
class Part:
    """A component: its version, the manifests in the order in which they are applied, the images that it pulls."""

    name: str
    version: str
    manifests: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chart:
    """Where OVN-Kubernetes' Helm chart is: a folder of a repository at a commit."""

    repository: str
    commit: str
    folder: str


@dataclass(frozen=True)
class Versions:
    """`node` is kind's node image by digest; `plugins` the URL of the CNI plugins with {arch} in it."""

    kind: str
    kind_from: str
    node: str
    plugins: str
    chart: Chart
    parts: Mapping[str, Part]
    guests: tuple[str, ...]

    @property
    def images(self) -> list[str]:
        """Everything that a mirror must have, in the order of the file."""
        return [self.node, *(image for part in self.parts.values() for image in part.images), *self.guests]


def load(file: Path = FILE) -> Versions:
    """Raises UsageError: no such file, or a key is missing."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError("the versions of a kind cluster", str(error), str(file), "run from a checkout") from error
    try:
        ovn = content["ovn-kubernetes"]
        return Versions(
            str(content["kind"]["version"]),
            str(content["kind"]["from"]),
            str(content["node"]["image"]),
            str(content["node"]["cni-plugins"]),
            Chart(str(ovn["repository"]), str(ovn["commit"]), str(ovn["chart"])),
            {name: _part(name, part) for name, part in content.items() if "version" in part and name != "kind"},
            _texts(content["guests"].get("images")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError("the versions of a kind cluster", f"no {error}", str(file), "see its own comments") from error


def _part(name: str, content: Mapping[str, Any]) -> Part:
    return Part(name, str(content["version"]), _texts(content.get("manifests")), _texts(content.get("images")))


def _texts(listed: Sequence[Any] | None) -> tuple[str, ...]:
    return tuple(str(item) for item in listed or ())
