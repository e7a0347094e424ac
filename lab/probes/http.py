"""One HTTP request, by curl, any wget or any nc: that a status line comes back is what counts, not which one."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.observation import Observation, Outcome, started
from lab.probes.toolbox import Toolbox

_STATUS = re.compile(r"^\s*HTTP/\d(?:\.\d)? (\d{3})", re.M)
_CURL_STATUS = re.compile(r"^(\d{3}) [\d.]+$", re.M)
_SILENT = (
    "timed out",
    "connection refused",
    "could not resolve",
    "bad address",
    "no route to host",
    "unreachable",
    "can't connect",
    "couldn't connect",
    "failed to connect",
)


# $1: host, $2: port, $3: path, $4: seconds.
BY_NC = r"""printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$3" "$1" | nc -w "$4" "$1" "$2" | head -n 20"""
CRASHED = 128
OK = "status 200"
"""The detail of an answer as it should be."""


def http_command(tools: Toolbox, url: str, *, wait_s: int = 3) -> list[str]:
    """The argv of a request whose answer's body is thrown away. Raises ToolMissing naming curl, wget and nc."""
    tool = tools.first("an HTTP request", "curl", "wget", "nc")
    if tool == "curl":
        shown = "%{http_code} %{time_total}\\n"
        return ["curl", "-sS", "-o", "/dev/null", "-m", str(wait_s), "-w", shown, url]
    if tool == "nc":
        return nc_command(url, wait_s=wait_s)
    return ["wget", "-S", "-O", "/dev/null", "-T", str(wait_s), url]


def nc_command(url: str, *, wait_s: int = 3) -> list[str]:
    """The argv of a request by any nc: the first lines of what comes back."""
    parts = urlsplit(url)
    path = parts.path or "/"
    return ["sh", "-c", BY_NC, "sh", parts.hostname or "", str(parts.port or 80), path, str(wait_s)]


def read_http(result: CommandResult, source: str, url: str) -> Observation:
    """Pure, but raises ProbeNotStarted for exit status 126 and 127."""
    started(result, result.argv[0] if result.argv else "curl")
    found = _STATUS.findall(result.output) or [s for s in _CURL_STATUS.findall(result.stdout) if s != "000"]
    if found:
        return Observation("http", source, url, Outcome.REACHED, f"status {found[-1]}", result)
    said = result.output.strip().lower()
    if any(word in said for word in _SILENT):
        line = next(line for line in said.splitlines() if any(word in line for word in _SILENT))
        return Observation("http", source, url, Outcome.NOT_REACHED, line, result)
    detail = f"no status line, exit status {result.exit_code}: {said[-200:]!r}"
    return Observation("http", source, url, Outcome.INCONCLUSIVE, detail, result)


def http(shell: Shell, tools: Toolbox, url: str, *, wait_s: int = 3, deadline: Deadline) -> Observation:
    """Raises ToolMissing, ProbeNotStarted, GuestUnreachable."""
    argv = http_command(tools, url, wait_s=wait_s)
    with trace.span("probe", shell.place, f"http {url}", limit=deadline.remaining()) as span:
        try:
            result = shell.run(argv, deadline=deadline)
            if not 0 <= result.exit_code <= CRASHED and argv[0] == "wget" and tools.nc:
                # Debian's busybox is linked statically, and dies looking up the port of http.
                trace.note(shell.place, f"its wget died with exit status {result.exit_code}: nc stands in")
                result = shell.run(nc_command(url, wait_s=wait_s), deadline=deadline)
            seen = read_http(result, shell.place, url)
        except EnvironmentTimeout as error:
            detail = f"no end of {argv[0]} within {error.elapsed:.0f} s"
            seen = Observation("http", shell.place, url, Outcome.INCONCLUSIVE, detail, None)
        span.observed(str(seen))
        return seen
