"""One DNS question, by dig or any nslookup. A server that says no has answered: it is reached."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.observation import Observation, Outcome, started
from lab.probes.toolbox import Toolbox

_SILENT = ("timed out", "no servers could be reached", "connection refused", "network unreachable", "host unreachable")
_STATUS = re.compile(r"status: ([A-Z]+)")
_REFUSED = re.compile(r"(?:can't find|can't resolve) \S+: ?(\S+)", re.I)
_ANSWER = re.compile(r"^\S+\s+\d+\s+IN\s+(?:A|AAAA)\s+(\S+)$", re.M)
_LOOKED_UP = re.compile(r"^(?:Address(?: \d+)?:\s*|\S+ has address )(?P<address>[0-9a-fA-F.:]+)(?P<rest>.*)$", re.M)


@dataclass(frozen=True)
class DnsObservation(Observation):
    """`code` is what the server said (NOERROR, NXDOMAIN, ...; "" nothing), `addresses` what it answered."""

    code: str = ""
    addresses: tuple[str, ...] = ()


def dns_command(tools: Toolbox, name: str, server: str, *, kind: str = "a", wait_s: int = 2) -> list[str]:
    """The argv of one question to one server. Raises ToolMissing naming dig and nslookup."""
    if tools.first("a DNS question", "dig", "nslookup") == "dig":
        return ["dig", f"@{server}", name, kind, f"+time={wait_s}", "+tries=1", "+noall", "+comments", "+answer"]
    return ["nslookup", f"-type={kind}", name, server]


def read_dns(result: CommandResult, source: str, name: str, server: str) -> DnsObservation:
    """Pure, but raises ProbeNotStarted for exit status 126 and 127."""
    started(result, result.argv[0] if result.argv else "nslookup")
    target, said = f"{name} at {server}", result.output

    def seen(outcome: Outcome, detail: str, code: str = "", addresses: tuple[str, ...] = ()) -> DnsObservation:
        return DnsObservation("dns", source, target, outcome, detail, result, code, addresses)

    if found := _STATUS.search(said):
        addresses = tuple(_ANSWER.findall(said))
        return seen(Outcome.REACHED, f"{found[1]} {' '.join(addresses)}".strip(), found[1], addresses)
    if any(word in said.lower() for word in _SILENT):
        return seen(Outcome.NOT_REACHED, next(w for w in _SILENT if w in said.lower()))
    if found := _REFUSED.search(said):
        return seen(Outcome.REACHED, f"it says {found[1]}", found[1].upper())
    # Before the answer, nslookup prints the server's own address with its port (#53, :53).
    _, _, answer = said.partition("Name:")
    if addresses := tuple(m["address"] for m in _LOOKED_UP.finditer(answer)):
        return seen(Outcome.REACHED, f"NOERROR {' '.join(addresses)}", "NOERROR", addresses)
    return seen(Outcome.INCONCLUSIVE, f"cannot make sense of it (exit status {result.exit_code}): {said[-200:]!r}")


def dns(shell: Shell, tools: Toolbox, name: str, server: str, *, kind: str = "a", deadline: Deadline) -> DnsObservation:
    """Raises ToolMissing, ProbeNotStarted, GuestUnreachable."""
    argv = dns_command(tools, name, server, kind=kind)
    with trace.span("probe", shell.place, f"dns {name} at {server}", limit=deadline.remaining()) as span:
        try:
            seen = read_dns(shell.run(argv, deadline=deadline), shell.place, name, server)
        except EnvironmentTimeout as error:
            detail = f"no end of {argv[0]} within {error.elapsed:.0f} s"
            seen = DnsObservation("dns", shell.place, f"{name} at {server}", Outcome.INCONCLUSIVE, detail, None)
        span.observed(str(seen))
        return seen
