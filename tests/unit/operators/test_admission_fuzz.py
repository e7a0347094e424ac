"""VMs gone wrong, before their schema is held against them: each is changed, or refused as undecodable."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.embedded.operators.admission import decoding, macpool, vm, vmi
from lab.embedded.operators.admission.causes import Denied
from tests import hostile

VMS = [document for document in hostile.documented().values() if document["kind"] == "VirtualMachine"]


def admitted(obj: dict[str, Any]) -> None:
    """What the mutating webhooks do with a VM, and with the VMI that it would have."""
    spec = decoding.template_spec(obj)
    decoding.refuse_undecodable(spec)
    alone = {"metadata": {"name": "x"}, "spec": copy.deepcopy(spec)}
    vm.default(obj, None)
    macpool.assign(obj, None, set())
    vmi.default(alone)


@hostile.few(200)
@given(data=st.data())
def test_a_vm_gone_wrong(data: st.DataObject) -> None:
    bad = data.draw(hostile.mutated({"spec": data.draw(st.sampled_from(VMS))["spec"]}))
    with contextlib.suppress(Denied):
        admitted({"metadata": {"name": "x"}, **bad})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"volumes": "x"}, "cannot unmarshal string into Go struct field volumes"),
        ({"networks": [7]}, "cannot unmarshal number into Go struct field networks"),
        ({"networks": [{"name": []}]}, "cannot unmarshal array into Go struct field networks.name"),
        ({"domain": {"devices": {"disks": [{"name": "a", "disk": 1}]}}}, "field domain.devices.disks.disk"),
        ({"domain": {"cpu": True}}, "cannot unmarshal bool into Go struct field domain.cpu"),
    ],
)
def test_the_part_that_cannot_be_decoded_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(Denied, match=said) as caught:
        decoding.refuse_undecodable({"domain": {}, **change})
    assert caught.value.code == 400


def test_entries_without_a_name_are_left_to_the_schema() -> None:
    spec = {
        "domain": {"devices": {"disks": [None], "interfaces": [{}]}},
        "volumes": [{}],
        "networks": [{"multus": {}}, None],
    }
    admitted({"metadata": {"name": "x"}, "spec": {"template": {"spec": spec}}})
