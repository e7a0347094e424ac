"""`python -m lab.embedded.apiserver --dir DIR [--port 0]`: the server alone, for tests and for trying manifests.

Keys, tokens and the kubeconfig go to DIR; the kubeconfig's path is printed once requests are answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
import sys
from pathlib import Path

from lab.embedded.apiserver.pki import create_pki, new_token, write_kubeconfig
from lab.embedded.apiserver.requests import User
from lab.embedded.apiserver.serve import ApiConfig, serve


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(256)
    listening.setblocking(False)
    return listening


async def _run(folder: Path, port: int) -> None:
    listening = _listen(port)
    pki = create_pki(folder)
    admin, guest = new_token(), new_token()
    server = f"https://127.0.0.1:{listening.getsockname()[1]}"
    write_kubeconfig(folder / "kubeconfig", server, pki, token=admin)
    write_kubeconfig(folder / "kubeconfig.cert", server, pki)
    write_kubeconfig(folder / "kubeconfig.nobody", server, pki, token=guest)
    tokens = {admin: User("kubernetes-admin", ("system:masters",)), guest: User("nobody")}
    config = ApiConfig(sockets=[listening], pki=pki, tokens=tokens, agent_token=new_token())
    ready = asyncio.Event()
    task = asyncio.create_task(serve(config, ready=ready))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    if ready.is_set():
        sys.stdout.write(f"{folder / 'kubeconfig'}\n")
        sys.stdout.flush()
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.embedded.apiserver", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="folder for keys and the kubeconfig")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    asyncio.run(_run(options.dir.absolute(), options.port))


if __name__ == "__main__":
    main()
