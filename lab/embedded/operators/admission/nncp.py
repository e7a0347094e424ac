"""Admission of NodeNetworkConfigurationPolicies. Pure.

Rules: kubernetes-nmstate's webhooks up to v0.85 (pkg/webhook/nodenetworkconfigurationpolicy/validation.go), which name
every mistake; from v0.86 its ValidatingAdmissionPolicy (deploy/handler/operator.yaml), of which the first is told.
"""

from __future__ import annotations

import json
import re
import time

from lab.embedded.operators.admission.causes import Denied
from lab.embedded.operators.objects import Obj, condition, dig, name_of

TIMESTAMP = "nmstate.io/webhook-mutating-timestamp"
ADMISSION_POLICY = "nncp-validation-policy"
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
LABEL_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
NAME_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
NAME_PART_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def default(policy: Obj, old: Obj | None) -> None:
    """Note the moment of a new wish, in place."""
    if old is None or old.get("spec") != policy.get("spec"):
        annotations = policy["metadata"].get("annotations") or {}
        policy["metadata"]["annotations"] = {**annotations, TIMESTAMP: str(time.time_ns())}


def webhook_create(policy: Obj) -> None:
    """What the create webhook asks. Raises Denied: the name becomes a label value of the enactments."""
    name = _name(policy)
    _deny(name, [f"invalid policy name: {json.dumps(name)}: {'; '.join(problems)}"
                 for problems in [label_value_problems(name)] if problems])  # fmt: skip


def webhook_update(policy: Obj, old: Obj) -> None:
    """What the update webhook asks of a changed wish. Raises Denied."""
    name = name_of(policy)
    if policy.get("spec") == old.get("spec"):
        return
    messages = [f"policy {name} is still in progress"] * _in_progress(old)
    for key, value in dig(policy, "spec", "nodeSelector", default={}).items():
        if problems := qualified_name_problems(key):
            messages.append(f"invalid label key: {json.dumps(key)}: {'; '.join(problems)}")
        if problems := label_value_problems(str(value)):
            messages.append(
                f"invalid label value: {json.dumps(value)}: at key: {json.dumps(key)}: {'; '.join(problems)}"
            )
    messages += [CAPTURE] * _capture_changed(policy, old)
    _deny(name, messages)


CAPTURE = "invalid policy operation: capture field cannot be modified"


def validation_policy(policy: Obj, old: Obj | None) -> None:
    """What the ValidatingAdmissionPolicy asks, ``old`` being None for a new policy. Raises Denied."""
    name = _name(policy)
    if old is None and name and label_value_problems(name):
        rule = "must be no more than 63 characters or match label value format"
        raise _invalid(f"invalid policy name: {json.dumps(name)}: {rule}")
    changed = old is not None and policy.get("spec") != old.get("spec")
    if changed and _in_progress(old or {}):
        raise Denied(f"policy {name} is still in progress", code=403, reason="Forbidden")
    if changed and _capture_changed(policy, old or {}):
        raise _invalid(CAPTURE)
    selector = dig(policy, "spec", "nodeSelector", default={})
    if any(label_value_problems(str(value)) for value in selector.values()):
        raise _invalid("nodeSelector values must be valid label values")


def _name(policy: Obj) -> str:
    return name_of(policy) if policy["metadata"].get("name") else ""


def _in_progress(old: Obj) -> bool:
    """A wish is not changed while nodes still work on the last one."""
    reason = (condition(old, "Available") or {}).get("reason") or ""
    return reason in ("", "ConfigurationProgressing")


def _capture_changed(policy: Obj, old: Obj) -> bool:
    return bool(dig(policy, "spec", "capture") != dig(old, "spec", "capture"))


def label_value_problems(text: str) -> list[str]:
    """apimachinery's IsValidLabelValue."""
    problems = []
    if len(text) > 63:
        problems.append("must be no more than 63 characters")
    if not LABEL_VALUE.fullmatch(text):
        problems.append(LABEL_RULE)
    return problems


def qualified_name_problems(text: str) -> list[str]:
    """apimachinery's IsQualifiedName: a name, with a DNS subdomain and a slash before it if need be."""
    prefix, slash, name = text.rpartition("/")
    problems = []
    if "/" in prefix:
        return [
            f"a qualified name {NAME_PART_RULE} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')"
        ]
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash and not SUBDOMAIN.fullmatch(prefix):
        problems.append(f"prefix part {SUBDOMAIN_RULE}")
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > 63:
        problems.append("name part must be no more than 63 characters")
    if not NAME_PART.fullmatch(name):
        problems.append(f"name part {NAME_PART_RULE}")
    return problems


def _invalid(text: str) -> Denied:
    return Denied(text, code=422, reason="Invalid")


def _deny(name: str, messages: list[str]) -> None:
    if messages:
        text = "".join(f"message: {message}. " for message in messages)
        raise Denied(f"failed to admit NodeNetworkConfigurationPolicy {name}: {text}", code=403, reason="Forbidden")
