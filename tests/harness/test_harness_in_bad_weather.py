"""Whole runs on a cluster that goes wrong in mid-run, played at the wire: broken, the cause named once, no cascade.

What the cluster does is scripted; the run, its Lease, its evidence, its clean-up and its record are the real ones.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lab.core.errors import AccessDenied, EnvironmentBroken, ProductFailure
from lab.kubevirt.vm import judge
from lab.run import Lab
from lab.target.capabilities import Capabilities
from lab.target.connect import connect
from lab.target.inventory import load
from tests.harness.smallrun import INI
from tests.unit.access.fakeapi import kubeconfig, status
from tests.unit.survey.fakecluster import GROUPS, FakeCluster

pytest_plugins = ["pytester"]
Answer = Callable[[web.Request], Any]

CONFTEST = """
    from pytest_bdd import given, then

    from lab.access import transport
    from lab.access.kinds import CONFIGMAP, NAMESPACE, POD
    from lab.core.errors import ProductFailure

    transport.RECONNECT_S, transport.FIRST_CONTACT_S = 1.0, 0.5
    pytest_plugins = ["steps.plugin", "steps.fixtures", "reports.plugin"]


    @given("a namespace of its own")
    def namespace(lab, scene):
        lab.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}})
        lab.undo.push("namespace demo", lambda d: lab.client.delete(NAMESPACE, "demo"))

    @then("the cluster is asked")
    def asked(lab):
        lab.client.list(CONFIGMAP, "demo")

    @then("a pod is made")
    def made(lab):
        lab.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "demo"}})

    @then("a check fails")
    def fails():
        raise ProductFailure("VM a to reach the gateway", "no answer", "VLAN 7")
"""
FEATURE = """
    Feature: Weather
      Scenario: One
        Given a namespace of its own
        Then {step}

      Scenario: Two
        Given a namespace of its own
        Then {step}
"""
TARGET = """
cluster: {kubeconfig: kubeconfig}
nics: {primary: eth0}
images: {default: {image: quay.io/x/y, user: u, password: p}}
"""


class Weather(FakeCluster):
    """Good until `trigger` ("GET /path") is asked for; from then on everybody gets `answer`, if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.trigger, self.answer, self.turned = "", None, False
        # Node policies are no part of these runs: the nodes' state is then neither read nor compared.
        for base in GROUPS:
            if "nmstate" in base:
                del self.answers[f"GET {base}"]
        for path in ("/api/v1/namespaces", "/apis/coordination.k8s.io/v1/namespaces/default/leases",
                     "/api/v1/namespaces/demo/pods"):  # fmt: skip
            self.say(f"POST {path}", self._echo)
        self.say("DELETE /api/v1/namespaces/demo", lambda r: web.json_response({"metadata": {"name": "demo"}}))
        self.objects("/api/v1/namespaces/demo/configmaps")
        for plural in ("virtualmachineinstancemigrations", "virtualmachines"):
            self.objects(f"/apis/kubevirt.io/v1/{plural}")
        self.objects("/apis/migrations.kubevirt.io/v1alpha1/migrationpolicies")

    async def _echo(self, request: web.Request) -> web.Response:
        return web.json_response(json.loads(self.requests[-1][3]), status=201)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.turned = self.turned or f"{request.method} {request.path}" == self.trigger
        if self.turned and self.answer is not None:
            self.requests.append((request.method, request.path, dict(request.query), await request.read()))
            found: web.StreamResponse = self.answer(request)
            return found
        return await super()._answer(request)


@pytest.fixture
def cluster() -> Iterator[Weather]:
    with Weather() as made:
        yield made


def run(pytester: pytest.Pytester, cluster: Weather, step: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    pytester.makeconftest(textwrap.dedent(CONFTEST))
    pytester.path.joinpath("weather.feature").write_text(textwrap.dedent(FEATURE.format(step=step)))
    pytester.makepyfile(test_weather="from pytest_bdd import scenarios\nscenarios('weather.feature')\n")
    pytester.makeini(INI)
    kubeconfig(pytester.path, cluster.url)
    (pytester.path / "mine.yaml").write_text(TARGET)
    words = ["-p", "no:cacheprovider", "--target=mine.yaml", "--run-id=r1", "--evidence-budget=2"]
    result = pytester.runpytest_subprocess(*words)
    return result, json.loads((pytester.path / "out" / "r1" / "run.json").read_text())


ASKED, POD = "GET /api/v1/namespaces/demo/configmaps", "POST /api/v1/namespaces/demo/pods"


def gone(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def storm(request: web.Request) -> web.Response:
    found = status(429, "TooManyRequests", "too many")
    found.headers["Retry-After"] = "60"
    return found


def quota(request: web.Request) -> web.Response:
    return status(403, "Forbidden", 'pods "p" is forbidden: exceeded quota: few, requested: pods=1, limited: pods=1')


EXPIRED, API_DOWN, STORM, QUOTA = (
    ("the cluster is asked", ASKED, lambda r: status(401, "Unauthorized", "Unauthorized"), True, "401 Unauthorized"),
    ("the cluster is asked", ASKED, gone, True, "ProtocolError"),
    ("the cluster is asked", ASKED, storm, False, "429 TooManyRequests: too many"),
    ("a pod is made", POD, quota, False, "exceeded quota: few"),
)


@pytest.mark.parametrize(
    ("step", "route", "answer", "all_of_it", "cause"),
    [EXPIRED, API_DOWN, STORM, QUOTA],
    ids=["expired token", "API down", "storm of 429", "quota"],
)
def test_the_run_is_broken_with_the_cause_named_once(
    pytester: pytest.Pytester, cluster: Weather, step: str, route: str, answer: Answer, all_of_it: bool, cause: str
) -> None:
    if all_of_it:
        cluster.trigger, cluster.answer = route, answer
    else:
        cluster.say(route, answer)
    result, record = run(pytester, cluster, step)
    assert result.ret == 10
    assert [s["verdict"] for s in record["scenarios"]] == ["broken", "skipped"]
    assert cause in record["scenarios"][0]["reason"]
    assert record["scenarios"][1]["reason"].startswith("not run, since the environment broke: wanted: ")
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert record["scenarios"][0]["evidence"] == "evidence/01"
    if all_of_it:
        # What could not be removed is named, with one cause and the command.
        assert record["leftovers"][-1] == "remove it with: virtlab clean --target mine.yaml"
        assert len(record["leftovers"]) == 2
        assert "namespace demo" in record["leftovers"][0]
        assert record["phases"]["clean-up"] < 10
    else:
        assert record["leftovers"] == []
        assert ("DELETE", "/api/v1/namespaces/demo") in [request[:2] for request in cluster.requests]


def test_a_worker_that_is_lost_in_mid_run_is_the_environment_and_not_the_product(
    pytester: pytest.Pytester, cluster: Weather
) -> None:
    def lose(request: web.Request) -> Any:
        ready = {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}
        cluster.nodes[1]["status"]["conditions"] = [ready | {"lastTransitionTime": "2026-01-01T00:00:00Z"}]
        return cluster._echo(request)

    cluster.say("POST /api/v1/namespaces", lose)
    result, record = run(pytester, cluster, "a check fails")
    assert result.ret == 10
    assert [s["verdict"] for s in record["scenarios"]] == ["broken", "skipped"]
    reason = record["scenarios"][0]["reason"]
    assert "w2 is not Ready since 2026-01-01T00:00:00Z: Kubelet stopped posting node status." in reason
    assert "Then: wanted VM a to reach the gateway; found no answer" in reason


def test_only_a_lost_worker_explains_a_failure(cluster: Weather, tmp_path: Path) -> None:
    kubeconfig(tmp_path, cluster.url)
    (tmp_path / "mine.yaml").write_text(TARGET)
    lab = Lab(load(tmp_path / "mine.yaml"), "r1", tmp_path)
    failure = ProductFailure("an answer", "none")
    lab.client = connect(lab.target)
    lab.capabilities = Capabilities(lab.target, ("w1", "w2"), {})
    assert lab.explained(failure) is failure
    cluster.nodes[0]["status"]["conditions"][0]["status"] = "False"
    assert isinstance(lab.explained(failure), EnvironmentBroken)
    denied = AccessDenied("to list nodes", "forbidden")
    assert lab.explained(denied) is denied
    lab.capabilities = Capabilities(lab.target, ("w2",), {})
    assert lab.explained(failure) is failure


@pytest.mark.parametrize(
    ("warning", "message", "advice"),
    [
        ('Failed: Failed to pull image "quay.io/x/y": not found', "", "registry-mirrors"),
        ("", 'failed to create pod: pods "v" is forbidden: exceeded quota: few', "kubectl describe quota"),
        ("", 'Internal error occurred: failed calling webhook "x": timeout', "owns the webhook"),
    ],
)
def test_a_vm_that_gets_no_pod_for_no_fault_of_the_product_is_broken_at_once(
    warning: str, message: str, advice: str
) -> None:
    failed = {"type": "Synchronized", "status": "False", "reason": "FailedCreate", "message": message}
    conditions = [failed] if message else []
    vmi = {"metadata": {"name": "a"}, "status": {"phase": "Scheduling", "conditions": conditions}}
    with pytest.raises(EnvironmentBroken) as raised:
        judge(vmi, warning, 1.0)
    assert (message or warning) in raised.value.found
    assert advice in raised.value.advice
