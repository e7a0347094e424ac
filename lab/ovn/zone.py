"""One dump of a cluster router, as it was found, and who takes it. Data; nothing is read or judged here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from lab.ovn.inventory import Inventory, Sighting, vm_of_pod
from lab.ovn.nbdata import ROUTER, Marks, NbRoutes
from lab.ovn.routes import Route


@dataclass
class Zone:
    """Where a dump is from and what it says besides rows."""

    index: int
    source: str
    line: int
    pod: str = ""
    namespace: str = ""
    container: str = ""
    client: str = ""
    router: str = ROUTER
    name: str = ""
    """From a file's name or the dump itself; the inventory may know better."""
    rows: int = 0
    """Rows of the main table."""
    cut: str = ""
    """Why absent rows prove nothing here; empty for a whole dump."""
    marks: Marks = field(default_factory=Marks)
    odd: list[tuple[Route, int]] = field(default_factory=list)
    database: NbRoutes | None = None
    """What a database says besides; None for printed routes."""
    gateway: str = ""
    """A port that only gateway routers have: this is one of theirs."""
    central: bool = False
    """One database for all nodes, no interconnect."""

    @property
    def label(self) -> str:
        """How to call it when its node is not known."""
        return self.pod or self.name or f"{self.source}:{self.line}"

    def place(self, facts: Inventory) -> None:
        """Fill in from the inventory where its pod is, which commands to copy need."""
        namespace, container = facts.pod_places.get(self.pod, ("", ""))
        if namespace and not self.namespace:
            self.namespace, self.container = namespace, self.container or container
            self.client = self.client or ("oc" if namespace.startswith("openshift") else "kubectl")

    def take(self, read: NbRoutes) -> None:
        """What a database says of itself."""
        self.database = read
        self.marks = read.marks

    def note_names(self, facts: Inventory) -> None:
        """Add to the inventory what the database knows: transit addresses, subnets, and the pods it serves."""
        facts.transits.update(self.marks.nodes)
        facts.subnets.update(self.marks.subnets)
        if self.marks.own and self.pod and self.marks.ports < 2:
            facts.pod_nodes.setdefault(self.pod, self.marks.own)
        if self.database is None or self.marks.ports > 1 or not self.marks.own:
            return
        where = f"{self.source}:{self.line}"
        for name, addresses in self.database.pods:
            sighting = Sighting(name, self.marks.own, True, vm_of_pod(name.partition("/")[2]), where=where)
            for address in addresses:
                facts.add(address, sighting)


class Sink(Protocol):
    """Who takes zones."""

    def opened(self, zone: Zone) -> None:
        """A zone begins."""

    def closed(self, zone: Zone) -> None:
        """A zone ended; its rows are in the tables."""

    def note(self, where: str, text: str) -> None:
        """Something was passed over."""
