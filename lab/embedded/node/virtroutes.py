"""HTTP entry points of the guests of one node: serial console, guest agent, pause.

Errors before an upgrade are Status bodies with the codes and texts of virt-api's own answers; the API
server's aggregated layer passes them on.
"""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web

from lab.embedded.errors import LabError
from lab.embedded.kube import Informer
from lab.embedded.node.guest import Guest

log = logging.getLogger(__name__)
Obj = dict[str, Any]


def refusal(code: int, reason: str, message: str) -> web.Response:
    """An HTTP answer with a Status body."""
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return web.json_response({**body, "message": message, "reason": reason, "code": code}, status=code)


class VirtRoutes:
    """Handlers over the live guests of a node."""

    def __init__(self, vmis: Informer, guests: dict[str, Guest]) -> None:
        self.vmis, self.guests = vmis, guests

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/console/{ns}/{vmi}", self.console),
            web.get("/guestosinfo/{ns}/{vmi}", self.guest_os),
            web.get("/userlist/{ns}/{vmi}", self.users),
            web.get("/filesystemlist/{ns}/{vmi}", self.filesystems),
            web.put("/vmi/{ns}/{vmi}/{action:pause|unpause|reset|softreboot}", self.act),
        ]

    def _guest(self, request: web.Request) -> Guest | web.Response:
        ns, name = request.match_info["ns"], request.match_info["vmi"]
        vmi = self.vmis.items.get(f"{ns}/{name}")
        if vmi is None:
            text = f'virtualmachineinstance.kubevirt.io "{name}" not found'
            return refusal(404, "NotFound", text)
        guest = self.guests.get(vmi["metadata"]["uid"])
        if guest is None or guest.status is not None or guest.role != "owner":
            return refusal(400, "BadRequest", "VMI is not running")
        return guest

    async def console(self, request: web.Request) -> web.StreamResponse:
        guest = self._guest(request)
        if isinstance(guest, web.Response):
            return guest
        if guest.console is None:
            return refusal(400, "BadRequest", "No serial consoles are present.")
        return await guest.console.serve(request)

    async def guest_os(self, request: web.Request) -> web.StreamResponse:
        return await self._ask(request, "everything")

    async def users(self, request: web.Request) -> web.StreamResponse:
        return await self._ask(request, "users")

    async def filesystems(self, request: web.Request) -> web.StreamResponse:
        return await self._ask(request, "filesystems")

    async def _ask(self, request: web.Request, what: str) -> web.StreamResponse:
        guest = self._guest(request)
        if isinstance(guest, web.Response):
            return refusal(500, "InternalError", "VMI is not running") if guest.status == 400 else guest
        if not guest.view.connected:
            return refusal(500, "InternalError", "VMI does not have guest agent connected")
        try:
            answer = await getattr(guest.view, what)()
        except LabError as error:
            return refusal(500, "InternalError", str(error))
        return web.json_response(answer if isinstance(answer, dict) else {"items": answer})

    async def act(self, request: web.Request) -> web.StreamResponse:
        guest = self._guest(request)
        if isinstance(guest, web.Response):
            return guest
        action = request.match_info["action"]
        if action in ("pause", "unpause") and guest.paused == (action == "pause"):
            name = request.match_info["vmi"]
            text = f'Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io "{name}": VMI is '
            return refusal(409, "Conflict", text + ("already paused" if guest.paused else "not paused"))
        try:
            if action == "softreboot":
                if not guest.view.connected:
                    return refusal(500, "InternalError", "VMI does not have guest agent connected")
                await guest.view.agent.tell("guest-shutdown", {"mode": "reboot"})
            else:
                await guest.qemu.command({"pause": "stop", "unpause": "cont", "reset": "system_reset"}[action])
        except LabError as error:
            return refusal(500, "InternalError", str(error))
        return web.Response(status=200)
