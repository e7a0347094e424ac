"""The logs of a node's own programs, as the containers of its system pods have them.

Those programs run without their pods: OVN's daemons write files of their own, the agent's components speak through
`logging`. Here is which container shows which of them. What is nobody's container (the kubelet) stays in the agent's
own log alone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from lab.embedded.kube.told import LOGGER
from lab.embedded.node.containers import LogFile

OVN = Path("/run/ovn")
DAEMONS = {
    "nb-ovsdb": "ovnnb_db.log",
    "sb-ovsdb": "ovnsb_db.log",
    "ovn-northd": "ovn-northd.log",
    "ovn-controller": "ovn-controller.log",
}
"""Container -> file in OVN's run folder."""
_GUESTS = ("virthandler", "guest", "handover", "migration", "qemu", "console", "agentview", "vmireport", "virtroutes")
_NETWORKS = ("ovnkube", "ovnzone", "podnetwork", "zone", "vmzone", "vmroutes", "cni", "bridgeplugin")
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "virt-handler": (f"{LOGGER}.VirtualMachineInstance", *(f"lab.embedded.node.{name}" for name in _GUESTS)),
    "nmstate-handler": (
        f"{LOGGER}.NodeNetworkConfigurationPolicy",
        f"{LOGGER}.NodeNetworkConfigurationEnactment",
        "lab.embedded.node.nmstate",
    ),
    "ovnkube-controller": tuple(f"lab.embedded.node.{name}" for name in _NETWORKS),
}
"""Container -> the loggers whose words it shows."""


def path_of(rundir: Path, container: str) -> Path:
    """The log of a container that stands for a program of the node."""
    daemon = DAEMONS.get(container)
    return OVN / daemon if daemon else rundir / "logs" / f"{container}.log"


class ComponentLogs(logging.Handler):
    """Writes what the agent's components log into the files of their containers."""

    def __init__(self, rundir: Path) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(levelname).1s %(name)s: %(message)s"))
        self._files = {
            logger: LogFile(path_of(rundir, container)) for container, names in COMPONENTS.items() for logger in names
        }

    def emit(self, record: logging.LogRecord) -> None:
        """Lines of a traceback become lines of the log."""
        file = self._file(record.name)
        if file is not None:
            for line in self.format(record).splitlines():
                file.write("stderr", line.encode())

    def _file(self, name: str) -> LogFile | None:
        while name:
            if name in self._files:
                return self._files[name]
            name = name.rpartition(".")[0]
        return None
