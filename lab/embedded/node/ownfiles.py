"""What a node has for itself of the host's /etc, /var and /sys, where the kernel allows it.

Made once, before anything of the node runs: what is mounted later would not be seen by pods that are there already.
It must not write to the host's disk.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lab.embedded.host.mounts import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, mount, own_folder

PROFILES = Path("/etc/NetworkManager")
STATE = Path("/var/lib/NetworkManager")
SCRATCH = Path("/run/virtlab/own")


def prepare(keep: Sequence[Path]) -> None:
    """Mount them; what is refused is told on stderr, and whoever needs it says so. ``keep`` stays the host's.

    ``/sys`` is mounted anew, to show the node's own links, and read-only: NetworkManager takes a writable one as the
    sign that udev will tell it about each link, which never happens in a namespace.
    """
    for folder in (PROFILES, STATE):
        try:
            own_folder(folder, SCRATCH / folder.parent.name, keep)
        except OSError as error:
            _tell(f"no {folder} of the node's own: {error}")
    try:
        mount("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY)
    except OSError as error:
        _tell(f"no /sys of the node's own: {error}")


def overlaid() -> list[Path]:
    """The folders of the host that the node writes into without the host seeing it."""
    above = (folder.parent for folder in (PROFILES, STATE))
    return [path for path in above if (SCRATCH / path.name / "upper").is_dir()]


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
