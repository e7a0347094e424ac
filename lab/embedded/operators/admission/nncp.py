"""Admission of NodeNetworkConfigurationPolicies. Pure.

Rules: kubernetes-nmstate's webhooks up to v0.85 (pkg/webhook/nodenetworkconfigurationpolicy); later versions say the
same by a ValidatingAdmissionPolicy.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from lab.embedded.operators.admission.causes import Denied
from lab.embedded.operators.objects import Obj, condition, dig, name_of

TIMESTAMP = "nmstate.io/webhook-mutating-timestamp"
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
LABEL_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def default(policy: Obj, old: Obj | None) -> None:
    """Note the moment of a new wish, in place."""
    if old is None or old.get("spec") != policy.get("spec"):
        annotations = policy["metadata"].get("annotations") or {}
        policy["metadata"]["annotations"] = {**annotations, TIMESTAMP: str(time.time_ns())}


def check_create(policy: Obj) -> None:
    """Raises Denied: the name becomes a label value of the enactments."""
    name = name_of(policy) if policy["metadata"].get("name") else ""
    problems = label_value_problems(name)
    if problems:
        _deny(name, [f"invalid policy name: {name!r}: {problem}" for problem in problems])
    _selector(policy, name)


def check_update(policy: Obj, old: Obj) -> None:
    """Raises Denied: a wish is not changed while nodes still work on the last one."""
    name = name_of(policy)
    if policy.get("spec") == old.get("spec"):
        return
    reason = (condition(old, "Available") or {}).get("reason") or ""
    messages = []
    if reason in ("", "ConfigurationProgressing"):
        messages.append(f"policy {name} is still in progress")
    if dig(policy, "spec", "capture") != dig(old, "spec", "capture"):
        messages.append("invalid policy operation: capture field cannot be modified")
    if messages:
        _deny(name, messages)
    _selector(policy, name)


def label_value_problems(text: str) -> list[str]:
    problems = []
    if len(text) > 63:
        problems.append("must be no more than 63 characters")
    if not LABEL_VALUE.fullmatch(text):
        problems.append(LABEL_RULE)
    return problems


def _selector(policy: Obj, name: str) -> None:
    selector = dig(policy, "spec", "nodeSelector", default={})
    if any(label_value_problems(str(value)) for value in selector.values()):
        _deny(name, ["nodeSelector values must be valid label values"])


def _deny(name: str, messages: Sequence[str]) -> None:
    text = "".join(f"message: {message}. " for message in messages)
    raise Denied(f"failed to admit NodeNetworkConfigurationPolicy {name}: {text}", code=403, reason="Forbidden")
