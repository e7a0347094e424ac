"""What admission fills in and refuses: upstream's texts, fields and order."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from operator_samples import Obj, pod, vm, vmi

from lab.embedded.kube import Informers, Kube
from lab.embedded.model.kinds import VALIDATING_WEBHOOK
from lab.embedded.model.releases import KNOWN, NmstateRelease
from lab.embedded.operators.admission import eviction, macpool, nncp, vmim
from lab.embedded.operators.admission import vm as vm_rules
from lab.embedded.operators.admission import vmi as vmi_rules
from lab.embedded.operators.admission.causes import Cause, Denied, refuse
from lab.embedded.operators.admission.handlers import Admission, Answer, Hook, Releases
from lab.embedded.operators.admission.spec import unknown_field_causes
from lab.embedded.operators.objects import clone
from lab.embedded.operators.webhooks import configurations

F = "spec.template.spec"
Change = Callable[[Obj], Any]


def denied(change: Change) -> list[tuple[str, str, str]]:
    subject = vm()
    change(subject["spec"]["template"]["spec"])
    return [(c.reason, c.message, c.field) for c in vm_rules.causes(subject, kubevirt_user=False)]


def iface(spec: Obj, index: int = 1) -> Obj:
    found: Obj = spec["domain"]["devices"]["interfaces"][index]
    return found


def append_network(**source: Any) -> Change:
    return lambda spec: spec["networks"].append({"name": "foo", **source})


def test_a_good_vm_is_admitted() -> None:
    assert denied(lambda spec: None) == []


I1 = f"{F}.domain.devices.interfaces[1]"
CASES: list[tuple[Change, str, str, str]] = [
    (append_network(multus={"networkName": "x"}), "FieldValueRequired", f"{F}.networks[2].name 'foo' not found.",
     f"{F}.networks[2].name"),
    (lambda s: iface(s).update(name="foo"), "FieldValueInvalid", f"{I1}.name 'foo' not found.", f"{I1}.name"),
    (lambda s: s["networks"].append({"name": "vlan2024", "multus": {"networkName": "x"}}), "FieldValueDuplicate",
     'Network with name "vlan2024" already exists, every network must have a unique name', f"{F}.networks[2].name"),
    (lambda s: s["domain"]["devices"]["interfaces"].append({"name": "vlan2024", "bridge": {}}), "FieldValueDuplicate",
     "Only one interface can be connected to one specific network", f"{F}.domain.devices.interfaces[2].name"),
    (lambda s: iface(s).update(masquerade={}), "FieldValueInvalid",
     "logical vlan2024 interface must have exactly one binding method or binding plugin", I1),
    (lambda s: (iface(s).pop("bridge"), iface(s).update(masquerade={})), "FieldValueInvalid",
     "Masquerade interface only implemented with pod network", f"{I1}.name"),
    (lambda s: s["networks"][1].update(pod={}), "FieldValueRequired", "should have only one network type",
     f"{F}.networks[1]"),
    (lambda s: s["networks"][1].pop("multus"), "FieldValueRequired", "should have a network type", f"{F}.networks[1]"),
    (lambda s: s["networks"][1].update(multus={"networkName": ""}), "FieldValueRequired",
     "CNI delegating plugin must have a networkName", f"{F}.networks[1]"),
    (lambda s: s["networks"][1]["multus"].update(default=True), "FieldValueInvalid",
     "Pod network cannot be defined when Multus default network is defined", f"{F}.networks"),
    (lambda s: iface(s).update(model="foo"), "FieldValueNotSupported",
     f"interface {I1}.name uses model foo that is not supported.", f"{I1}.model"),
    (lambda s: iface(s).update(macAddress="de:ad"), "FieldValueInvalid",
     f"interface {I1}.name has malformed MAC address (de:ad).", f"{I1}.macAddress"),
    (lambda s: iface(s).update(macAddress="de:ad:00:00:be:af:be:af"), "FieldValueInvalid",
     f"interface {I1}.name has too long MAC address (de:ad:00:00:be:af:be:af).", f"{I1}.macAddress"),
    (lambda s: iface(s, 0).update(macAddress="02:00:00:00:00:00"), "FieldValueInvalid",
     "The requested MAC address is reserved for the in-pod bridge. Please choose another one.",
     f"{F}.domain.devices.interfaces[0].macAddress"),
    (lambda s: iface(s).update(ports=[{"name": "a"}]), "FieldValueRequired", "Port field is mandatory.",
     f"{I1}.ports[0]"),
    (lambda s: iface(s).update(ports=[{"port": 70000}]), "FieldValueInvalid",
     "Port field must be in range 0 < x < 65536.", f"{I1}.ports[0]"),
    (lambda s: iface(s).update(ports=[{"port": 1, "protocol": "X"}]), "FieldValueInvalid",
     "Unknown protocol, only TCP or UDP allowed", f"{I1}.ports[0].protocol"),
    (lambda s: iface(s).update(state="odd"), "FieldValueInvalid",
     "logical vlan2024 interface state value is unsupported: odd", f"{I1}.state"),
    (lambda s: s["domain"]["devices"]["disks"].append({"name": "x"}), "FieldValueInvalid",
     f"{F}.domain.devices.disks[1].Name 'x' not found.", f"{F}.domain.devices.disks[1].name"),
    (lambda s: s["volumes"].append({"name": "c", "cloudInitNoCloud": {}}), "FieldValueInvalid",
     f"{F}.volumes[1].cloudInitNoCloud must have at least one userdatasource or one networkdatasource set.",
     f"{F}.volumes[1].cloudInitNoCloud"),
    (lambda s: s["volumes"].append({"name": "c", "cloudInitNoCloud": {"userData": "x" * 2049}}), "FieldValueInvalid",
     f"{F}.volumes[1].cloudInitNoCloud userdata exceeds 2048 byte limit. Should use UserDataSecretRef for larger data.",
     f"{F}.volumes[1].cloudInitNoCloud"),
    (lambda s: s["volumes"].append({"name": "c", "cloudInitNoCloud": {"userData": "x", "userDataBase64": "eA=="}}),
     "FieldValueInvalid", f"{F}.volumes[1].cloudInitNoCloud must have only one userdatasource set.",
     f"{F}.volumes[1].cloudInitNoCloud"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "reason", "message", "field"), CASES)
def test_one_mistake_one_cause(change: Change, reason: str, message: str, field: str) -> None:
    assert (reason, message, field) in denied(change)


def test_inline_limit_counts_decoded_bytes() -> None:
    text = base64.b64encode(b"x" * 2048).decode()
    assert denied(lambda s: s["volumes"].append({"name": "c", "cloudInitNoCloud": {"userDataBase64": text}})) == []


def test_several_mistakes_in_upstreams_order_in_one_message() -> None:
    causes = denied(lambda s: (iface(s).update(name="foo", model="x"), append_network(pod={})(s)))
    messages = [message for _reason, message, _field in causes]
    assert messages == [
        f"more than one interface is connected to a pod network in {F}.interfaces",
        f"{F}.networks[1].name 'vlan2024' not found.",
        f"interface {I1}.name uses model x that is not supported.",
    ]


def test_ten_causes_are_shown() -> None:
    with pytest.raises(Denied) as caught:
        refuse([Cause("FieldValueInvalid", f"m{number}", "f") for number in range(12)])
    status = caught.value.status()
    assert status["message"].endswith("m9, and 2 more validation errors")
    assert (status["code"], status["reason"], len(status["details"]["causes"])) == (422, "Invalid", 12)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "RunStrategy must be specified"),
        ({"running": True, "runStrategy": "Always"}, vm_rules.EXCLUSIVE),
        ({"runStrategy": "Sometimes"}, "Invalid RunStrategy (Sometimes)"),
    ],
)
def test_run_strategy(spec: Obj, message: str) -> None:
    assert [cause.message for cause in vm_rules.strategy_causes(spec)] == [message]


def test_vm_without_template_or_domain() -> None:
    def messages(spec: Obj) -> list[str]:
        return [c.message for c in vm_rules.causes({"metadata": {}, "spec": spec}, kubevirt_user=False)]

    assert messages({"runStrategy": "Always"}) == ["missing virtual machine template."]
    assert messages({"template": {"spec": {}}}) == [f"{F}.domain in body is required"]


def test_vm_defaults_stay_once_set() -> None:
    subject = vm()
    vm_rules.default(subject)
    first = clone(subject)
    vm_rules.default(subject)
    assert subject == first
    template = subject["spec"]["template"]["spec"]
    assert template["architecture"] == "amd64"
    assert template["domain"]["machine"] == {"type": "q35"}
    assert set(template["domain"]["firmware"]) == {"uuid", "serial"}
    assert vm_rules.warnings({"spec": {"running": True}}) == [vm_rules.RUNNING_DEPRECATED]


def test_vmi_defaults() -> None:
    subject: Obj = {
        "metadata": {"name": "x", "namespace": "demo"},
        "spec": {
            "domain": {"devices": {}, "resources": {"requests": {"memory": "64Mi"}}},
            "volumes": [{"name": "v", "containerDisk": {"image": "i"}}],
        },
        "status": {"phase": "Running"},
    }
    vmi_rules.default(subject, eviction_strategy="LiveMigrate")
    assert subject["metadata"]["finalizers"] == ["kubevirt.io/foregroundDeleteVirtualMachine"]
    assert subject["status"]["phase"] == "Pending"
    spec = subject["spec"]
    assert spec["networks"] == [{"name": "default", "pod": {}}]
    assert spec["domain"]["devices"]["interfaces"] == [{"name": "default", "masquerade": {}}]
    assert spec["domain"]["devices"]["disks"] == [{"name": "v", "disk": {"bus": "sata"}}]
    assert spec["domain"]["memory"] == {"guest": "64Mi"}
    assert spec["evictionStrategy"] == "LiveMigrate"
    assert vmi_rules.create_causes(subject, kubevirt_user=False) == []


def test_vmi_without_memory_is_refused_but_the_vm_is_not() -> None:
    subject = vmi()
    del subject["spec"]["domain"]["memory"]
    assert [c.message[:19] for c in vmi_rules.create_causes(subject, kubevirt_user=True)] == ["no memory requested"]
    owner = vm()
    del owner["spec"]["template"]["spec"]["domain"]["memory"]
    assert vm_rules.causes(owner, kubevirt_user=False) == []


def test_who_may_change_a_vmi() -> None:
    old = vmi()
    new = clone(old)
    new["spec"]["hostname"] = "x"
    assert vmi_rules.update_causes(new, old, kubevirt_user=True) == []
    assert [c.message for c in vmi_rules.update_causes(new, old, kubevirt_user=False)] == [
        "update of VMI object is restricted"
    ]
    labelled = clone(old)
    labelled["metadata"]["labels"]["kubevirt.io/nodeName"] = "other"
    assert vmi_rules.update_causes(labelled, old, kubevirt_user=False)
    changed = clone(old)
    changed["status"]["phase"] = "Failed"
    vmi_rules.keep_status(changed, old)
    assert changed == old


def vmim_of(phase: str = "", name: str = "m", vmi_name: str = "vm") -> Obj:
    meta = {"name": name, "namespace": "demo", "uid": f"uid-{name}"}
    return {"metadata": meta, "spec": {"vmiName": vmi_name}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("target", "others", "message", "code"),
    [
        (None, [], 'the VMI "demo/vm" does not exist', 400),
        (vmi(phase="Succeeded"), [], "Cannot migrate VMI in finalized state.", 400),
        (
            vmi(conditions=[{"type": "LiveMigratable", "status": "False", "reason": "R", "message": "M"}]),
            [],
            "Cannot migrate VMI, Reason: R, Message: M",
            400,
        ),
        (
            vmi(),
            [vmim_of("Running", "other"), vmim_of("Failed", "done")],
            "in-flight migration detected. Active migration job (uid-other) is currently already in progress for VMI "
            "vm.",
            400,
        ),
    ],
)
def test_migrations_that_cannot_be(target: Obj | None, others: list[Obj], message: str, code: int) -> None:
    with pytest.raises(Denied) as caught:
        vmim.check_create(vmim_of(), target, others)
    assert (caught.value.message, caught.value.code) == (message, code)


def test_migration_admission() -> None:
    vmim.check_create(vmim_of(), vmi(), [vmim_of("Succeeded", "old"), vmim_of("Running", "o", "another")])
    subject = vmim_of()
    vmim.default(subject)
    assert subject["metadata"]["labels"] == {"kubevirt.io/vmi-name": "vm"}
    assert subject["metadata"]["finalizers"] == ["kubevirt.io/migrationJobFinalize"]
    with pytest.raises(Denied, match="vmiName is missing"):
        vmim.check_create(vmim_of(vmi_name=""), None, [])
    with pytest.raises(Denied, match="update of Migration object's spec is restricted"):
        vmim.check_update(vmim_of(vmi_name="x"), vmim_of())


def nncp_of(reason: str | None = "SuccessfullyConfigured", **spec: Any) -> Obj:
    conditions = [] if reason is None else [{"type": "Available", "status": "Unknown", "reason": reason}]
    return {"metadata": {"name": "p"}, "spec": spec, "status": {"conditions": conditions}}


def refused(judge: Callable[..., None], *policies: Obj | None) -> tuple[int, str, str]:
    with pytest.raises(Denied) as caught:
        judge(*policies)
    return caught.value.code, caught.value.reason, caught.value.message


@pytest.mark.parametrize("judge", [nncp.webhook_update, nncp.validation_policy])
def test_a_policy_changes_only_when_the_nodes_are_done(judge: Callable[..., None]) -> None:
    judge(nncp_of(a=1), nncp_of(a=2))
    judge(nncp_of(a=1), nncp_of("ConfigurationProgressing", a=1))
    for reason in ("ConfigurationProgressing", "", None):
        code, word, message = refused(judge, nncp_of(a=1), nncp_of(reason, a=2))
        assert (code, word) == (403, "Forbidden")
        assert "policy p is still in progress" in message


def test_the_webhooks_name_every_mistake_in_upstreams_frame() -> None:
    old = nncp_of(None, capture={"a": "x"})
    new = nncp_of(nodeSelector={"a/b/c": "-", "-": "ok"})
    code, reason, message = refused(nncp.webhook_update, new, old)
    assert (code, reason) == (403, "Forbidden")
    assert message.startswith(
        "failed to admit NodeNetworkConfigurationPolicy p: message: policy p is still in progress. "
        'message: invalid label key: "a/b/c": a qualified name must consist of'
    )
    assert 'message: invalid label value: "-": at key: "a/b/c": a valid label must be an empty string or' in message
    assert 'message: invalid label key: "-": name part must consist of' in message
    assert message.endswith("message: invalid policy operation: capture field cannot be modified. ")
    long = {"metadata": {"name": "x" * 64}, "spec": {"nodeSelector": {"a": "-"}}}
    assert refused(nncp.webhook_create, long)[2] == (
        f"failed to admit NodeNetworkConfigurationPolicy {'x' * 64}: "
        f'message: invalid policy name: "{"x" * 64}": must be no more than 63 characters. '
    )


def test_the_admission_policy_tells_the_first_mistake() -> None:
    long = {"metadata": {"name": "x" * 64}, "spec": {"nodeSelector": {"a": "-"}}}
    rule = "must be no more than 63 characters or match label value format"
    assert refused(nncp.validation_policy, long, None) == (
        422, "Invalid", f'invalid policy name: "{"x" * 64}": {rule}')  # fmt: skip
    assert refused(nncp.validation_policy, nncp_of(nodeSelector={"a": "-"}), None) == (
        422, "Invalid", "nodeSelector values must be valid label values")  # fmt: skip
    assert refused(nncp.validation_policy, nncp_of(capture={"a": "x"}), nncp_of()) == (
        422, "Invalid", "invalid policy operation: capture field cannot be modified")  # fmt: skip


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("example.com/role", None),
        ("/role", "prefix part must be non-empty"),
        ("Example.com/role", "prefix part a lowercase RFC 1123 subdomain must consist of"),
        ("example.com/", "name part must be non-empty"),
        ("r" * 64, "name part must be no more than 63 characters"),
    ],
)
def test_keys_of_a_node_selector(key: str, problem: str | None) -> None:
    found = nncp.qualified_name_problems(key)
    assert not found if problem is None else found[0].startswith(problem)


@pytest.mark.parametrize("release", KNOWN, ids=str)
def test_which_hooks_judge_policies_depends_on_the_release(release: NmstateRelease) -> None:
    kube = Kube("https://127.0.0.1:1", token="t", ca=None, user_agent="test")
    hooks = Admission(kube, Informers(kube), lambda: None, releases=Releases(nmstate=release)).hooks()
    found = [(hook.name, hook.policy) for hook in hooks if hook.group == "nmstate.io" and not hook.mutating]
    if release.minor >= 86:
        assert found == [("nncp-validation-policy", "nncp-validation-policy")]
    else:
        names = [f"nodenetworkconfigurationpolicies-{when}-validate.nmstate.io" for when in ("create", "update")]
        assert found == [(name, "") for name in names]


def test_an_admission_policys_stand_in_is_marked_for_the_api_server(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("ca")
    hook = Hook("nncp-validation-policy", False, "nmstate.io", ("v1",), "x", ("CREATE",), _allow, policy="p")
    (kind, made), *_ = configurations([hook], "https://127.0.0.1:1", tmp_path / "ca")
    assert kind is VALIDATING_WEBHOOK
    assert made["metadata"] == {"name": "p-binding", "annotations": {"virtlab.dev/admission-policy": "p"}}
    assert made["webhooks"][0]["failurePolicy"] == "Fail"


async def _allow(request: Obj) -> Answer:
    return Answer()


def test_macs_are_fixed_stable_and_unique() -> None:
    def bare(name: str) -> Obj:
        subject = vm(name)
        del iface(subject["spec"]["template"]["spec"])["macAddress"]
        return subject

    first, again, other = bare("a"), bare("a"), bare("b")
    assert macpool.assign(first, None, set())
    macpool.assign(again, None, set())
    macpool.assign(other, None, set())
    mac = iface(first["spec"]["template"]["spec"])["macAddress"]
    assert mac.startswith("02:")
    assert iface(again["spec"]["template"]["spec"])["macAddress"] == mac
    assert iface(other["spec"]["template"]["spec"])["macAddress"] != mac
    clash = bare("a")
    macpool.assign(clash, None, {mac})
    assert iface(clash["spec"]["template"]["spec"])["macAddress"] != mac
    assert "macAddress" not in iface(first["spec"]["template"]["spec"], 0)
    update = bare("a")
    macpool.assign(update, clash, set())
    kept = iface(update["spec"]["template"]["spec"])["macAddress"]
    assert kept == iface(clash["spec"]["template"]["spec"])["macAddress"]
    assert not macpool.assign(vm(), None, set())


def test_eviction() -> None:
    launcher = pod("p", "worker-1", "Running")
    movable = vmi(conditions=[{"type": "LiveMigratable", "status": "True"}])
    verdict = eviction.judge(movable, launcher, "LiveMigrate")
    assert verdict.mark
    assert verdict.refusal is not None
    assert (verdict.refusal.code, verdict.refusal.message) == (429, 'Eviction triggered evacuation of VMI "demo/vm"')
    movable["status"]["evacuationNodeName"] = "worker-1"
    again = eviction.judge(movable, launcher, "LiveMigrate")
    assert (again.allowed, again.mark) == (False, False)
    stuck = eviction.judge(vmi(), launcher, "LiveMigrate")
    assert stuck.refusal is not None
    assert "is not live-migratable" in stuck.refusal.message
    assert eviction.judge(vmi(), launcher, "").allowed
    assert eviction.judge(vmi(), launcher, "LiveMigrateIfPossible").allowed


def test_unknown_fields() -> None:
    schema = {
        "properties": {
            "spec": {"properties": {"a": {}, "list": {"items": {"properties": {"b": {}}}}}},
            "free": {"x-kubernetes-preserve-unknown-fields": True},
        }
    }
    body = {"spec": {"a": 1, "x": 2, "list": [{"b": 1, "c": 2}]}, "free": {"y": 1}}
    assert [cause.message for cause in unknown_field_causes(body, schema)] == [
        "spec.x in body is a forbidden property",
        "spec.list.c in body is a forbidden property",
    ]
