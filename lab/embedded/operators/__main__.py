"""`python -m lab.embedded.operators`: the operators against any API server, for development.

Tokens come from the environment (VIRTLAB_TOKEN, VIRTLAB_AGENT_TOKEN), never from the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
from pathlib import Path

from lab.embedded.model.releases import KUBEVIRT, kubevirt_release
from lab.embedded.operators.main import Config, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.embedded.operators", description=__doc__)
    parser.add_argument("--server", required=True, help="https://host:port of the API server")
    parser.add_argument("--ca", type=Path, required=True, help="CA of the API server and of --cert")
    parser.add_argument("--cert", type=Path, required=True, help="serving certificate for webhooks and virt-api")
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--kubevirt", default=KUBEVIRT)
    parser.add_argument("--no-mac-pool", action="store_true", help="give secondary interfaces no fixed MAC")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    config = Config(
        server=args.server,
        ca=args.ca,
        token=os.environ["VIRTLAB_TOKEN"],
        agent_token=os.environ.get("VIRTLAB_AGENT_TOKEN", ""),
        cert=args.cert,
        key=args.key,
        kubevirt=kubevirt_release(args.kubevirt),
        mac_pool=not args.no_mac_pool,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(config))


if __name__ == "__main__":
    main()
