"""What a release of KubeVirt is to a client, by its number; and releases that are none."""

from __future__ import annotations

import pytest

from lab.embedded.errors import UsageError
from lab.embedded.model.releases import KUBEVIRTS, KubevirtRelease
from lab.embedded.model.spec import LabSpec
from lab.embedded.node import vmistatus
from lab.embedded.operators.admission import vm
from lab.embedded.operators.vm import render_vmi


def test_a_release_that_there_is_not() -> None:
    with pytest.raises(UsageError) as caught:
        LabSpec(kubevirt="1.2")
    text = str(caught.value)
    assert "wanted a release of KubeVirt that the lab can play: '1.2' (--kubevirt)" in text
    assert "try: one of 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9; without --kubevirt it is 1.8" in text


@pytest.mark.parametrize("played", KUBEVIRTS, ids=str)
def test_texts_conditions_and_annotations(played: KubevirtRelease) -> None:
    [cause] = vm.strategy_causes({}, played)
    assert (cause.message == "RunStrategy must be specified") == (played.minor >= 4)
    receiver = vm.strategy_causes({"runStrategy": "WaitAsReceiver"}, played)
    assert [c.message for c in receiver] == ([] if played.minor >= 6 else ["Invalid RunStrategy (WaitAsReceiver)"])
    interface = {"name": "default", "bridge": {}}
    domain = {"devices": {"interfaces": [interface]}}
    vmi = {"metadata": {}, "spec": {"domain": domain, "networks": [{"name": "default", "pod": {}}]}}
    message = vmistatus.live_migratable(vmi, [], played)["message"]
    assert ("bridge with kubevirt.io/allow-pod-bridge-network-live-migration" in message) == (played.minor <= 7)
    made = render_vmi({"metadata": {"name": "a", "namespace": "b", "uid": "u"}, "spec": {}}, played)
    annotated = "kubevirt.io/pci-topology-version" in made["metadata"]["annotations"]
    assert annotated == (played.minor >= 8)
    assert played.version == f"v1.{played.minor}.0"
    assert played.migration_defaults == ({"maxDowntimeMs": 900} if played.minor == 9 else {})
