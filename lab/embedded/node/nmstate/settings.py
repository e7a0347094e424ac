"""Times and limits of the handler, with upstream's names and defaults where upstream has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.embedded.model.releases import KNOWN, NmstateRelease

COMPONENT = "nmstate-handler"
HANDLER_NAMESPACE = "nmstate"
HANDLER_LABEL = "component=kubernetes-nmstate-handler"
POLICY_LABEL, NODE_LABEL = "nmstate.io/policy", "nmstate.io/node"
REFRESH_LABEL = "nmstate.io/force-nns-refresh"
RELATIONSHIP_LABELS = {
    "app.kubernetes.io/component": "kubernetes-nmstate-handler",
    "app.kubernetes.io/managed-by": "kubernetes-nmstate",
    "app.kubernetes.io/part-of": "kubernetes-nmstate",
}
NMSTATE_VERSION = "2.2.38"


def folder(rundir: Path) -> Path:
    """Where the handler keeps its files, in a node's ``rundir``."""
    return rundir / "nmstate"


@dataclass(frozen=True)
class Settings:
    """Seconds, except ``max_retries`` and the release that is played."""

    release: NmstateRelease = KNOWN[-1]
    max_retries: int = 5
    initial_backoff: float = 1.0
    max_backoff: float = 30.0
    probe_seconds: float = 120.0
    refresh_seconds: float = 60.0
    dhcp_seconds: float = 3.0

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ, release: NmstateRelease = KNOWN[-1]) -> Settings:
        """Read VIRTLAB_NMSTATE_* and upstream's NNCP_*; what is no number is ignored, as upstream ignores it."""
        return cls(
            release=release,
            max_retries=int(_number(env, 5, "VIRTLAB_NMSTATE_MAX_RETRIES", "NNCP_MAX_RETRIES")) or 1,
            initial_backoff=_number(env, 1.0, "NNCP_INITIAL_BACKOFF_SECONDS"),
            max_backoff=_number(env, 30.0, "NNCP_MAX_BACKOFF", "NNCP_MAX_BACKOFF_SECONDS"),
            probe_seconds=_number(env, 120.0, "VIRTLAB_NMSTATE_PROBE_SECONDS"),
            refresh_seconds=_number(env, 60.0, "VIRTLAB_NMSTATE_REFRESH_SECONDS"),
            dhcp_seconds=_number(env, 3.0, "VIRTLAB_NMSTATE_DHCP_SECONDS"),
        )

    def backoff(self, failures: int) -> float:
        """Delay before the next attempt after ``failures`` in a row: doubling, up to the limit."""
        return min(self.initial_backoff * 2.0 ** min(max(failures - 1, 0), 16), self.max_backoff)


def _number(env: Mapping[str, str], default: float, *names: str) -> float:
    for name in names:
        try:
            value = float(env[name])
        except (KeyError, ValueError):
            continue
        if value > 0:
            return value
    return default
