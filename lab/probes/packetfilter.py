"""What a place's own packet filter does with a protocol and a port: the rules that drop it, refuse it or lead it away.

By `nft list ruleset`, which also has what iptables of today made (iptables-nft(8)). A rule without protocol and port is
left out: whom it meets cannot be told from its words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.guest.shell import Shell

ARGV = ("sh", "-c", "nft list ruleset 2>/dev/null; true")
DOES = {"drop": "drops", "reject": "refuses", "redirect": "leads away", "dnat": "leads away"}
_OPENED = re.compile(r"^\s*(table|chain) (.+) \{$")
_VERDICT = re.compile(r"\b(drop|reject|redirect|dnat)\b")
_PORT = re.compile(r"\b(tcp|udp) [ds]port (\{[^}]*\}|\S+)")
_PROTO = re.compile(r"\b(?:meta l4proto|ip protocol|ip6 nexthdr) (\{[^}]*\}|\S+)")


@dataclass(frozen=True)
class Rule:
    """One rule: in which table and chain, in nft's words; ``does`` in a person's."""

    table: str
    chain: str
    text: str
    does: str

    def __str__(self) -> str:
        return f"`{self.text}` in chain {self.chain} of table {self.table}"


def rules_for(text: str, proto: str, port: int) -> tuple[Rule, ...]:
    """The rules of a listing that say something of a protocol (tcp, udp), and of its port if that is not 0."""
    table = chain = ""
    found = []
    for line in text.splitlines():
        if opened := _OPENED.match(line):
            table, chain = (opened[2], "") if opened[1] == "table" else (table, opened[2])
        elif (verdict := _VERDICT.search(line)) and _meets(line, proto, port):
            found.append(Rule(table, chain, line.strip(), DOES[verdict[1]]))
    return tuple(found)


def _meets(line: str, proto: str, port: int) -> bool:
    if said := _PORT.findall(line):
        return any(kind == proto and (not port or _within(port, spec)) for kind, spec in said)
    named = _PROTO.search(line)
    return bool(named) and proto in _words(named[1] if named else "")


def _words(spec: str) -> list[str]:
    return spec.strip("{} ").replace(",", " ").split()


def _within(port: int, spec: str) -> bool:
    for word in _words(spec):
        first, _, last = word.partition("-")
        if first.isdigit() and (last or first).isdigit() and int(first) <= port <= int(last or first):
            return True
    return False


def look(shell: Shell, proto: str, port: int, deadline: Deadline) -> tuple[Rule, ...]:
    """Those of a place, as far as it can be asked: a host may refuse it, and many have no nft."""
    try:
        return rules_for(shell.run(ARGV, deadline=deadline).stdout, proto, port)
    except LabError:
        return ()
