"""A scenario's namespace with its attachments: made when the first thing goes there, gone with all that is in it.

It knows no VM: what lives there is the scene's.
"""

from __future__ import annotations

from lab.access.kinds import NAMESPACE
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken
from lab.core.names import RUN_LABEL, owned, unique
from lab.multus import attachment
from lab.topology.ground import namespace
from lab.topology.manifests import Manifests
from lab.topology.site import Site

GONE_S = 120.0


class Home:
    """``name`` is the namespace's, its own unless the scenario wants another."""

    def __init__(self, site: Site, manifests: Manifests, title: str) -> None:
        self.name = unique(title, 40)
        self._site = site
        self._manifests = manifests
        self._networks: set[str] = set()
        self._made = False

    def make(self) -> None:
        """The namespace, if it is not there yet."""
        client, run = self._site.client, self._site.run_id
        if not self._made:
            mine = self.name
            self._site.undo.push(f"namespace {mine}", lambda d: client.delete(NAMESPACE, mine, wait=d))
            client.create(namespace(mine, run))
            self._made = True

    def network(self, name: str) -> None:
        """The attachment of the manifest ``nad-<name>`` in it."""
        self.make()
        if name not in self._networks:
            nad = attachment.adapted(self._manifests[f"nad-{name}"], namespace=self.name)
            self._site.client.create(owned(nad, self._site.run_id))
            self._networks.add(name)

    def rename(self, name: str) -> None:
        """Have it called so, before anything is in it.

        Raises EnvironmentBroken when a namespace of that name is there and no run of virtlab made it.
        """
        client = self._site.client
        found = client.find(NAMESPACE, name)
        if found is not None and RUN_LABEL not in (found["metadata"].get("labels") or {}):
            raise EnvironmentBroken(
                f"the name {name} for a namespace of this run",
                "a namespace of that name exists, and no run of virtlab made it",
                client.server,
                "remove it, or leave this scenario out",
            )
        if found is not None:
            client.delete(NAMESPACE, name, wait=Deadline.after(GONE_S))
        self.name = name

    def leave(self) -> None:
        """Ask for its removal; the end of it is waited for at the end of the run."""
        if self._made:
            self._site.client.delete(NAMESPACE, self.name)
