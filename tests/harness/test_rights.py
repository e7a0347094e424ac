"""`deploy/rbac.yaml` allows what a whole run asks for, and nothing that nobody asks for.

The requests were recorded at the API of a lab, of a whole run under exactly these roles and of every other command
(`tests/bench/bench_rights.py`); what the harness sends in tests is looked at in each of them that has a lab.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab.access.client import Client
from lab.access.kinds import NAMESPACE, NNCP
from lab.core.names import RUN_LABEL
from lab.embedded.lifecycle import restricted
from tests import wire
from tests.conftest import RunningLab, lab_up

RULES = wire.rules()
UNSEEN = {
    wire.Request("create", "", "pods", "exec", "*"): "API servers from 1.35 on ask for it when a websocket is opened",
    wire.Request("get", "subresources.kubevirt.io", "virtualmachineinstances", "portforward", "*"): (
        "SSH to a guest on the pod network; scenarios of ours log in over other networks and the console"
    ),
}
"""Requests that no lab of ours makes, with the reason why they are allowed."""
ASKED = wire.recorded() | set(UNSEEN)


def test_everything_that_is_asked_for_is_allowed() -> None:
    assert len(wire.recorded()) > 50
    assert wire.refused(ASKED, RULES) == []


@pytest.mark.parametrize("number", range(len(RULES)))
def test_a_rule_less_is_a_request_less(number: int) -> None:
    """Each group, resource and verb of each rule taken away alone, the whole rule included."""
    rule, others = RULES[number], [*RULES[:number], *RULES[number + 1 :]]
    assert wire.refused(ASKED, others), f"{rule} is of no use"
    for what, rest in rule.smaller():
        assert wire.refused(ASKED, [*others, *([rest] if rest else [])]), f"{what} of {rule} is of no use"


def test_the_check_sees_a_rule_that_is_of_no_use() -> None:
    idle = wire.Rule("", {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})
    assert wire.refused(ASKED, RULES) == []
    assert wire.refused([wire.Request("get", "", "secrets", "", "*", "")], [*RULES, idle]) == []
    assert wire.refused([wire.Request("get", "", "secrets", "", "*", "")], RULES) == ["get secrets in *"]
    [(what, rest), *_] = wire.Rule("", {**idle.rule, "verbs": ["get", "list"], "apiGroups": ["", "x"]}).smaller()
    assert what == "apiGroup ''"
    assert rest is not None
    assert not rest.allows(wire.Request("get", "", "secrets"))


def test_nothing_is_allowed_as_a_whole() -> None:
    for rule in RULES:
        assert "*" not in [*rule.rule["apiGroups"], *rule.rule["resources"], *rule.rule["verbs"]]
        assert "secrets" not in rule.rule["resources"]


@pytest.fixture(scope="module")
def lab_without(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab of one worker whose kubeconfig may not change node policies."""
    folder = tmp_path_factory.mktemp("rights")
    objects = list(yaml.safe_load_all(restricted.DEFAULT.read_text()))
    [role] = [obj for obj in objects if obj["kind"] == "ClusterRole"]
    [rule] = [rule for rule in role["rules"] if "nodenetworkconfigurationpolicies" in rule["resources"]]
    rule["verbs"].remove("patch")
    (folder / "less.yaml").write_text(yaml.safe_dump_all(objects))
    words = ("--workers", "1", "--nmstate", "0.83", "--rbac", str(folder / "less.yaml"))
    with lab_up(folder, *words) as made:
        yield made


@pytest.mark.lab
def test_a_verb_that_is_missing_is_named_and_breaks_the_environment(lab_without: RunningLab) -> None:
    code, record, said = lab_without.run("features/linux_bridge", "-k", "goes_under")
    [scenario] = record["scenarios"]
    assert (code, scenario["verdict"]) == (10, "broken"), said
    wanted = (
        'User "system:serviceaccount:virtlab:virtlab" cannot patch resource "nodenetworkconfigurationpolicies" in API '
        'group "nmstate.io" at the cluster scope'
    )
    assert wanted in scenario["reason"]
    client = Client.connect(Path(lab_without.virtlab("kubeconfig", "--admin").stdout.split()[-1]))
    assert client.list(NNCP, labels=RUN_LABEL) == client.list(NAMESPACE, labels=RUN_LABEL) == []
