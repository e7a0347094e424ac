"""A scripted guest agent on a real socket."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lab.embedded.node.guestagent import GuestAgent


def play(
    folder: Path, answer: Callable[[dict[str, Any]], bytes], body: Callable[[GuestAgent], Awaitable[None]]
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            message = json.loads(line.lstrip(b"\xff"))
            if message["execute"] == "guest-sync-delimited":
                stale = b'{"return": "left by somebody else"}\n'
                writer.write(stale + b"\xff" + json.dumps({"return": message["arguments"]["id"]}).encode() + b"\n")
            else:
                writer.write(answer(message))
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_unix_server(handle, str(folder / "a"))
        agent = GuestAgent(folder / "a")
        try:
            async with asyncio.timeout(10):
                await body(agent)
        finally:
            await agent.close()
            server.close()

    asyncio.run(scene())
