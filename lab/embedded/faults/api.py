"""API: what ails a server in the field, met by every client alike, the lab's own operators and nodes too.

The server itself does it (`apiserver.trouble`); here it is told so, and read back that it took it in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.embedded.apiserver.trouble import FILE, PIDFILE, TAKEN
from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.site import Site
from lab.embedded.faults.waiting import comes_true

TELL = """
printf '%s' "$1" > "$2.new" && mv "$2.new" "$2" && kill -HUP "$(cat "$3")"
"""


class ApiTrouble:
    """One setting of the API server with one number."""

    layer = "api"

    def __init__(self, name: str, summary: str, key: str, what: str, most: int) -> None:
        self.name, self.summary, self._key, self._most = name, summary, key, most
        self.parameters: Mapping[str, str] = {key: f"{what}, 1 to {most}"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        text = arguments[self._key]
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= self._most):
            raise UsageError(f"wanted {self._key} from 1 to {self._most}", repr(text), advice=f"{self._key}=10")
        await self._tell(site, {**await self._settings(site), self.name: int(text)})
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        settings = await self._settings(site)
        settings.pop(self.name, None)
        await self._tell(site, settings)

    async def _settings(self, site: Site) -> dict[str, int]:
        return dict(json.loads(await self._read(site, str(FILE))))

    async def _tell(self, site: Site, settings: Mapping[str, int]) -> None:
        text = json.dumps(settings, sort_keys=True)
        await site.switch(["sh", "-c", TELL, "sh", text, str(FILE), str(PIDFILE)])

        async def taken() -> bool:
            return await self._read(site, str(TAKEN)) == text

        if not await comes_true(taken):
            has = await self._read(site, str(TAKEN))
            raise FaultError(f"wanted the API server to take {text}", f"it has {has}", advice="logs/apiserver.log")

    async def _read(self, site: Site, path: str) -> str:
        return (await site.switch(["sh", "-c", 'cat "$1" 2>/dev/null || echo "{}"', "sh", path])).strip()


API_FAULTS = (
    ApiTrouble("api-latency", "the API server takes its time over every request", "ms", "milliseconds", 10_000),
    ApiTrouble("api-429", "the API server refuses requests as too many, to be tried again in 1 s", "share",
               "of the requests, in percent", 100),
    ApiTrouble("api-500", "the API server fails at requests", "share", "of the requests, in percent", 100),
    ApiTrouble("watch-dropped", "the API server cuts every watch off in the middle", "seconds",
               "how long one lasts", 600),
    ApiTrouble("watch-410", "the API server has forgotten the versions that watches go on from", "share",
               "of such watches, in percent", 100),
    ApiTrouble("stale-reads", "the API server answers reads with what it knew before", "seconds", "how old at most",
               600),
    ApiTrouble("clock-skew", "the API server's clock is ahead of everybody's", "seconds", "by how much", 86_400),
    ApiTrouble("certificate-expired", "the API server's certificate has expired", "days", "how long ago", 3650),
)  # fmt: skip
