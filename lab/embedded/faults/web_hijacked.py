"""Fabric: what a VLAN asks its gateway over HTTP is answered by somebody else, with an error of the server (503)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lab.embedded.faults.hijack import Hijacked

# argv: port.
ANSWER = """
import http.server, sys
class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(503)
http.server.HTTPServer(("", int(sys.argv[1])), Refusing).serve_forever()
"""


class WebHijacked(Hijacked):
    """A server that can answer, and does not serve."""

    name = "web-hijacked"
    summary = "HTTP to the gateway of a VLAN is answered by somebody else, with status 503"
    port = 8503

    def server(self) -> Sequence[str]:
        return (sys.executable, "-I", "-c", ANSWER, str(self.port))
