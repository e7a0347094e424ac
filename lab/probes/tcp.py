"""A TCP connection, tried with nc: connected, refused (the host answers: it is reached), or silence."""

from __future__ import annotations

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.observation import Observation, Outcome, started

REFUSED = ("connection refused",)
SILENT = ("timed out", "no route to host", "network is unreachable", "host is unreachable", "timeout")


def tcp_command(host: str, port: int, *, wait_s: int = 3) -> list[str]:
    """Connects and ends at once; stdin must be empty. Understood by busybox' and OpenBSD's nc."""
    return ["nc", "-w", str(wait_s), host, str(port)]


def read_tcp(result: CommandResult, source: str, host: str, port: int) -> Observation:
    """Pure, but raises ProbeNotStarted for exit status 126 and 127.

    nc ends with 0 when it connected; why it did not is in its words, and none of the known words is inconclusive
    (busybox is silent about a refusal unless -v is compiled in).
    """
    started(result, "nc")
    target = f"{host}:{port}"
    said = result.output.strip().lower()
    if result.ok:
        return Observation("tcp", source, target, Outcome.REACHED, "connected", result)
    if any(word in said for word in REFUSED):
        detail = "refused: the host answers, nobody listens on the port"
        return Observation("tcp", source, target, Outcome.NOT_REACHED, detail, result)
    if any(word in said for word in SILENT):
        return Observation("tcp", source, target, Outcome.NOT_REACHED, said.splitlines()[-1], result)
    detail = f"nc ended with {result.exit_code} and said {said[-200:]!r}"
    return Observation("tcp", source, target, Outcome.INCONCLUSIVE, detail, result)


def tcp(shell: Shell, host: str, port: int, *, wait_s: int = 3, deadline: Deadline) -> Observation:
    """Raises ProbeNotStarted (no nc there), GuestUnreachable."""
    argv = ["sh", "-c", 'exec "$@" </dev/null', "sh", *tcp_command(host, port, wait_s=wait_s)]
    with trace.span("probe", shell.place, f"tcp {host}:{port}", limit=deadline.remaining()) as span:
        try:
            seen = read_tcp(shell.run(argv, deadline=deadline), shell.place, host, port)
        except EnvironmentTimeout as error:
            detail = f"no end of nc within {error.elapsed:.0f} s"
            seen = Observation("tcp", shell.place, f"{host}:{port}", Outcome.INCONCLUSIVE, detail, None)
        span.observed(str(seen))
        return seen
