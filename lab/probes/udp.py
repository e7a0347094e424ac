"""One UDP datagram and the word that comes back: a host that has nobody listening on the port says so, and is reached.

Made of any traceroute that starts at the last hop, since busybox' nc knows no UDP. A host that says nothing of a closed
port (a firewall) looks like one that is not there: not reached says no more than that nothing came back.
"""

from __future__ import annotations

import re

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout, ToolMissing
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.observation import Observation, Outcome, started
from lab.probes.toolbox import Toolbox

_HOP, _TRIES = 30, 3
_LINE = re.compile(rf"^\s*{_HOP}\s+(?P<rest>\S.*)$", re.M)
_ANSWER = re.compile(r"(?P<peer>[0-9a-fA-F:.]{3,})(?: \(\S+\))?\s+(?P<ms>\d+\.\d+) ms(?: (?P<mark>![A-Z0-9]*))?")
_REFUSALS = ("network is unreachable", "network unreachable", "no route to host", "host is unreachable")


def udp_command(tools: Toolbox, host: str) -> list[str]:
    """The argv of three datagrams to ports that nobody uses. Raises ToolMissing."""
    if "traceroute" not in tools.has:
        raise ToolMissing("a traceroute for a UDP datagram", "none", tools.place, "an image that has traceroute")
    words = ["traceroute", "-n", "-q", str(_TRIES), "-w", "1", "-f", str(_HOP), "-m", str(_HOP), host]
    words = ["traceroute", "-6", *words[1:]] if ":" in host else words
    # busybox opens a raw socket for it, which is root's.
    return ["sudo", "-n", *words] if "sudo" in tools.has else words


def read_udp(result: CommandResult, source: str, host: str) -> Observation:
    """Pure, but raises ProbeNotStarted for exit status 126 and 127."""
    started(result, "traceroute")

    def seen(outcome: Outcome, detail: str) -> Observation:
        return Observation("udp", source, host, outcome, detail, result)

    line = _LINE.search(result.stdout)
    if line is None:
        if any(word in result.output.lower() for word in _REFUSALS):
            return seen(Outcome.NOT_REACHED, result.output.strip().splitlines()[-1])
        return seen(Outcome.INCONCLUSIVE, f"cannot make sense of traceroute: {result.output[-200:]!r}")
    answer = _ANSWER.search(line["rest"])
    if answer is None:
        silent = set(line["rest"].split()) == {"*"}
        return seen(Outcome.NOT_REACHED if silent else Outcome.INCONCLUSIVE, line["rest"].strip()[:200])
    if answer["peer"] != host:
        return seen(Outcome.NOT_REACHED, f"{answer['peer']} says: {answer['mark'] or 'the way ends there'}")
    return seen(Outcome.REACHED, f"it says that the port is closed, after {answer['ms']} ms")


def udp(shell: Shell, tools: Toolbox, host: str, *, deadline: Deadline) -> Observation:
    """Raises ToolMissing, ProbeNotStarted, GuestUnreachable."""
    argv = udp_command(tools, host)
    with trace.span("probe", shell.place, f"udp {host}", limit=deadline.remaining()) as span:
        try:
            seen = read_udp(shell.run(argv, deadline=deadline), shell.place, host)
        except EnvironmentTimeout as error:
            detail = f"no end of traceroute within {error.elapsed:.0f} s"
            seen = Observation("udp", shell.place, host, Outcome.INCONCLUSIVE, detail, None)
        span.observed(str(seen))
        return seen
