"""Longest prefix match, for some hundred networks and a million addresses."""

from __future__ import annotations

from ipaddress import ip_network

from lab.ovn.routes import number


class Lpm:
    """Longest prefix match over networks of one family or both."""

    def __init__(self) -> None:
        self._tables: dict[tuple[int, int], dict[int, str]] = {}
        self._order: dict[int, list[tuple[int, dict[int, str]]]] = {4: [], 6: []}
        self._heads: dict[str, str] = {}

    def add(self, prefix: str) -> None:
        """A network in CIDR notation."""
        network = ip_network(prefix, strict=False)
        shift = network.max_prefixlen - network.prefixlen
        key = (network.version, shift)
        if key not in self._tables:
            self._tables[key] = {}
            order = self._order[network.version]
            order.append((shift, self._tables[key]))
            order.sort(key=lambda entry: entry[0])
        self._heads.clear()
        self._tables[key][int(network.network_address) >> shift] = prefix

    @property
    def coarse(self) -> bool:
        """Whether the last byte of an IPv4 address, and the last group of an IPv6 address, decide nothing."""
        shifts = ((4, 8), (6, 16))
        return all(shift >= least for family, least in shifts for shift, _ in self._order[family])

    def find(self, value: int, family: int) -> str:
        """The narrowest network around an address given as integer, or empty."""
        for shift, table in self._order[family]:
            if (found := table.get(value >> shift)) is not None:
                return found
        return ""

    def around(self, address: str) -> str:
        """The same for an address as text, fast for many: most share all but their last part."""
        head = address[: address.rfind("." if "." in address else ":")]
        found = self._heads.get(head)
        if found is None:
            found = self.find(number(address), 6 if ":" in address else 4)
            if self.coarse:
                self._heads[head] = found
        return found
