"""The links of a node that no scenario may touch: its own network hangs on them.

The target names them. This room refuses; it must not change a policy so that it would pass.
"""

from __future__ import annotations

from lab.access.kinds import Obj
from lab.core.errors import UsageError
from lab.nmstate import manifest as policies
from lab.target.inventory import Target


def leave_alone(policy: Obj, target: Target) -> None:
    """Refuse a policy that names a protected link, before anything is made. Raises UsageError."""
    if hurt := sorted(name for name in policies.touched(policy) if target.nics.forbidden(name)):
        raise UsageError(
            f"the policy {policy['metadata']['name']} to leave the nodes' own network alone",
            f"it names {', '.join(hurt)}, which the target protects",
            str(target.source),
            "correct nics.bonds, or nics.primary and nics.protected, there",
        )
