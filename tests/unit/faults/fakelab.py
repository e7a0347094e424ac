"""A lab of fakes as faults see it: what tests of faults have in common. Each test file plays its own places."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Generic, TypeVar

from lab.embedded.faults.catalogue import Active
from lab.embedded.faults.site import Runner, Site

P = TypeVar("P", bound=Runner)


class Faults:
    """The faults of a lab, set and healed in the words of the command."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.site = site
        self.active = Active(folder / "faults")

    def set(self, *words: str) -> dict[str, Any]:
        """Raises as Active.set."""
        return asyncio.run(self.active.set(self.site, words[0], words[1:]))

    def heal(self, *words: str) -> list[dict[str, Any]]:
        """One fault, or all. Raises as Active.heal."""
        return asyncio.run(self.active.heal(self.site, words[0] if words else None, words[1:]))


class OnePlace(Faults, Generic[P]):
    """A lab whose switch, nodes and hosts are one and the same fake."""

    def __init__(
        self, folder: Path, place: P, nodes: tuple[str, ...] = ("worker-1",), hosts: tuple[str, ...] = ()
    ) -> None:
        super().__init__(folder, Site(place, lambda _: place, lambda _: place, nodes, hosts))
        self.place = place
