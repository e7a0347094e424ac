"""The documented policy against a kubernetes-nmstate that no longer serves its version: what the harness then says."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.conftest import RunningLab

pytestmark = [pytest.mark.lab]


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab of one worker that plays the newest release."""
    folder = tmp_path_factory.mktemp("newest")
    made = RunningLab({"XDG_STATE_HOME": str(folder), "VIRTLAB_NAME": f"new{os.getpid()}"}, folder)
    up = made.virtlab("up", "--workers", "1", "--nmstate", "0.86")
    assert up.returncode == 0, up.stderr
    try:
        yield made
    finally:
        made.virtlab("down", "--purge")


def test_a_version_that_is_gone_is_a_refusal_that_names_those_there_are(newest: RunningLab) -> None:
    code, record, said = newest.run("features/linux_bridge", "-k", "goes_under")
    (scenario,) = record["scenarios"]
    assert (code, scenario["verdict"]) == (1, "failed"), said
    assert 'no matches for kind "NodeNetworkConfigurationPolicy" in version "nmstate.io/v1alpha1"' in scenario["reason"]
    assert "write apiVersion: nmstate.io/v1 in its manifest" in scenario["reason"]
    assert "this cluster serves nmstate.io/v1, nmstate.io/v1beta1" in scenario["reason"]
