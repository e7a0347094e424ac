"""Admission of VirtualMachines: defaults and checks. Pure.

Rules: upstream mutators/vms-mutator.go and admitters/vms-admitter.go.
"""

from __future__ import annotations

import uuid

from lab.embedded.model.releases import DEFAULT_KUBEVIRT, KubevirtRelease
from lab.embedded.operators.admission.causes import INVALID, REQUIRED, Cause
from lab.embedded.operators.admission.network import Subject, network_causes
from lab.embedded.operators.admission.spec import body_causes, label_causes, spec_causes
from lab.embedded.operators.objects import Obj, dig

TEMPLATE = "spec.template.spec"
ARCHITECTURE = "amd64"
MACHINE = "q35"
RUNNING_DEPRECATED = "spec.running is deprecated, please use spec.runStrategy instead."
REQUIRED_IN_BODY = ("spec", "spec.template", TEMPLATE, f"{TEMPLATE}.domain", f"{TEMPLATE}.domain.devices")
EXCLUSIVE = (
    "Running and RunStrategy are mutually exclusive. Note that Running is deprecated, please use RunStrategy instead"
)


def default(vm: Obj, old: Obj | None = None) -> None:
    """Fill in the template what upstream's mutator fills in, in place; identities that `old` has are kept."""
    spec = dig(vm, "spec", "template", "spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("domain"), dict):
        return
    spec.setdefault("architecture", ARCHITECTURE)
    domain = spec["domain"]
    if not dig(domain, "machine", "type"):
        domain["machine"] = {**(domain.get("machine") or {}), "type": MACHINE}
    firmware = domain["firmware"] = dict(domain.get("firmware") or {})
    before = dig(old, "spec", "template", "spec", "domain", "firmware", default={})
    for identity in ("uuid", "serial"):
        firmware.setdefault(identity, before.get(identity) or str(uuid.uuid4()))


def causes(
    vm: Obj, *, kubevirt_user: bool, pod_bridge_allowed: bool = True, release: KubevirtRelease = DEFAULT_KUBEVIRT
) -> list[Cause]:
    """Every reason to refuse the VM, in upstream's order."""
    spec = vm.get("spec") or {}
    if spec.get("template") is None:
        return [Cause(REQUIRED, "missing virtual machine template.", "spec.template")]
    missing = body_causes(vm, REQUIRED_IN_BODY)
    if missing:
        return missing
    template = spec["template"]["spec"]
    found = network_causes(Subject(TEMPLATE, template, pod_bridge_allowed)) + spec_causes(TEMPLATE, template)
    if not kubevirt_user:
        found += label_causes("spec.template.metadata", dig(spec, "template", "metadata", "labels", default={}))
    return found + strategy_causes(spec, release)


def strategy_causes(spec: Obj, release: KubevirtRelease = DEFAULT_KUBEVIRT) -> list[Cause]:
    """`running` and `runStrategy`: exactly one of them, and a known one."""
    running, strategy = spec.get("running"), spec.get("runStrategy")
    if running is not None and strategy is not None:
        return [Cause(INVALID, EXCLUSIVE, "spec.running")]
    if running is None and strategy is None:
        return [Cause(REQUIRED, release.no_strategy, "spec.running")]
    if strategy is not None and strategy not in release.strategies:
        return [Cause(INVALID, f"Invalid RunStrategy ({strategy})", "spec.runStrategy")]
    return []


def warnings(vm: Obj) -> list[str]:
    return [RUNNING_DEPRECATED] if dig(vm, "spec", "running") is not None else []
