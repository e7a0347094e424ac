"""The harness on the oldest and on the newest releases that a lab plays: what is new is used where it is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lab.access.kinds import KUBEVIRT, VMIM
from lab.topology.scene import Scene
from tests.conftest import RunningLab, lab_up
from tests.opened import traffic_scene

pytestmark = [pytest.mark.lab]


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab of two workers, so that a migration has one place to go to."""
    words = ("--workers", "2", "--kubevirt", "1.3", "--nmstate", "0.83")
    with lab_up(tmp_path_factory.mktemp("oldest"), *words) as made:
        yield made


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """The same with the newest releases."""
    words = ("--workers", "2", "--kubevirt", "1.9", "--nmstate", "0.86")
    with lab_up(tmp_path_factory.mktemp("newest"), *words) as made:
        yield made


def moved(scene: Scene) -> tuple[dict[str, Any], dict[str, Any], str]:
    """(VMI, migration, KubeVirt's version) of a VM that reaches its gateway before and after it is sent elsewhere."""
    client, vlan = scene.site.client, scene.site.target.vlan(2024)
    assert scene.ping_gateway("vm-a", vlan).seen.reached
    to = scene.unvisited("vm-a")
    assert scene.migrate("vm-a", to).target == to
    assert scene.ping_gateway("vm-a", vlan).seen.reached
    [migration] = client.list(VMIM, scene.namespace)
    [kubevirt] = client.list(KUBEVIRT)
    return scene.vmi("vm-a"), migration, kubevirt["status"]["observedKubeVirtVersion"]


def test_the_oldest_releases(oldest: RunningLab) -> None:
    with traffic_scene(oldest, "oldest") as scene:
        vmi, migration, version = moved(scene)
    assert version == "v1.3.0"
    assert "addedNodeSelector" not in migration["spec"]
    [interface] = vmi["status"]["interfaces"]
    assert interface["ipAddress"]
    assert not {"podInterfaceName", "linkState"} & interface.keys()
    assert "StorageLiveMigratable" not in [c["type"] for c in vmi["status"]["conditions"]]
    assert "maxDowntimeMs" not in vmi["status"]["migrationState"]["migrationConfiguration"]


def test_the_newest_releases(newest: RunningLab) -> None:
    with traffic_scene(newest, "newest") as scene:
        vmi, migration, version = moved(scene)
    assert version == "v1.9.0"
    assert migration["spec"]["addedNodeSelector"]
    [interface] = vmi["status"]["interfaces"]
    assert (interface["linkState"], interface["podInterfaceName"][:3]) == ("up", "pod")
    assert "StorageLiveMigratable" in [c["type"] for c in vmi["status"]["conditions"]]
    assert vmi["status"]["migrationState"]["migrationConfiguration"]["maxDowntimeMs"] == 900


def test_a_version_that_is_gone_is_a_refusal_that_names_those_there_are(newest: RunningLab) -> None:
    code, record, said = newest.run("features/linux_bridge", "-k", "goes_under")
    (scenario,) = record["scenarios"]
    assert (code, scenario["verdict"]) == (1, "failed"), said
    assert 'no matches for kind "NodeNetworkConfigurationPolicy" in version "nmstate.io/v1alpha1"' in scenario["reason"]
    assert "write apiVersion: nmstate.io/v1 in its manifest" in scenario["reason"]
    assert "this cluster serves nmstate.io/v1, nmstate.io/v1beta1" in scenario["reason"]
