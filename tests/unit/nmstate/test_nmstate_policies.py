"""Policies and enactments over a real HTTP client: order, reasons, counts and words as upstream has them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import nmstate_seed as seed
import yaml
from nmstate_fakeapi import FakeApi, cluster, nncp

from lab.embedded.kube import Kube
from lab.embedded.model.releases import NmstateRelease
from lab.embedded.node.nmstate.apply import Outcome
from lab.embedded.node.nmstate.errors import ApplyError, ProbesFailed, invalid
from lab.embedded.node.nmstate.policies import PolicyReconciler, Requeue
from lab.embedded.node.nmstate.settings import Settings

V084 = NmstateRelease(84)
PLURAL, ENACTMENTS = "nodenetworkconfigurationpolicies", "nodenetworkconfigurationenactments"
Test = Callable[[FakeApi, Kube], Awaitable[None]]


class Host:
    """Stands for the node: records what it is given, fails as it is told, lets the test hold it."""

    def __init__(self, failures: list[ApplyError] | None = None) -> None:
        self.applied: list[dict[str, Any]] = []
        self.failures = failures or []
        self.called = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.outcome = Outcome()

    async def apply(self, document: dict[str, Any]) -> Outcome:
        self.applied.append(document)
        self.called.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return self.outcome


class Clock:
    """Time that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, 0, 0, 250000, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        await asyncio.sleep(0)


def reconciler(kube: Kube, node: str, host: Host, clock: Clock | None = None, **settings: Any) -> PolicyReconciler:
    time = clock or Clock()
    return PolicyReconciler(kube, node, host, Settings(**settings), clock=time, sleep=time.sleep)


def with_api(test: Test) -> None:
    async def body() -> None:
        api = FakeApi()
        async with api.client() as kube:
            await test(api, kube)

    asyncio.run(body())


def test_success_goes_through_unknown_and_ends_in_a_later_second() -> None:
    async def test(api: FakeApi, kube: Kube) -> None:
        cluster(api, "w1")
        api.put(PLURAL, nncp("p", desiredState=yaml.safe_load(seed.BR1_ENS3)))
        host = Host()
        assert await reconciler(kube, "w1", host).reconcile("p") is None
        enactment = api.objects[(ENACTMENTS, "w1.p")]
        assert enactment["metadata"]["ownerReferences"][0]["kind"] == "Node"
        assert enactment["metadata"]["labels"]["nmstate.io/policy"] == "p"
        assert [c["type"] for c in enactment["status"]["conditions"]] == [
            "Progressing", "Failing", "Available", "Pending", "Aborted"]  # fmt: skip
        assert api.conditions(ENACTMENTS, "w1.p")["Available"] == (
            "True", "SuccessfullyConfigured", "successfully reconciled")  # fmt: skip
        assert enactment["status"]["policyGeneration"] == 1
        assert "vlan" in enactment["status"]["desiredState"]["interfaces"][0]["bridge"]["port"][0]
        assert host.applied == [enactment["status"]["desiredState"]]
        policy = api.objects[(PLURAL, "p")]
        assert [c["type"] for c in policy["status"]["conditions"]] == [
            "Available", "Degraded", "Progressing", "Ignored"]  # fmt: skip
        assert "unavailableNodeCountMap" not in policy["status"]
        statuses = [o.get("status", {}) for p, o in api.history if p == PLURAL]
        written = [s["conditions"] for s in statuses if "conditions" in s]
        steps = [(c[0]["status"], c[0].get("reason", "")) for c in written]
        assert list(dict.fromkeys(steps)) == [
            ("Unknown", ""), ("Unknown", "ConfigurationProgressing"), ("True", "SuccessfullyConfigured")]  # fmt: skip
        assert written[-1][0]["message"] == "1/1 nodes successfully configured"
        assert written[0][0]["lastTransitionTime"] == "2026-01-01T12:00:00Z"
        assert written[-1][0]["lastTransitionTime"] == "2026-01-01T12:00:01Z"

    with_api(test)


def test_no_matching_node_is_ignored_and_an_old_enactment_goes() -> None:
    async def test(api: FakeApi, kube: Kube) -> None:
        cluster(api, "w1")
        api.put(ENACTMENTS, {"metadata": {"name": "w1.p", "labels": {"nmstate.io/policy": "p"}}})
        api.put(PLURAL, nncp("p", nodeSelector={"kubernetes.io/hostname": "nowhere"}))
        host = Host()
        await reconciler(kube, "w1", host).reconcile("p")
        assert not host.applied
        assert (ENACTMENTS, "w1.p") not in api.objects
        assert api.conditions(PLURAL, "p")["Ignored"] == ("True", "NoMatchingNode", "Policy does not match any node")
        assert api.conditions(PLURAL, "p")["Available"] == ("False", "NoMatchingNode", "")

    with_api(test)


def test_deleted_policy_takes_its_enactment_and_leaves_the_node() -> None:
    async def test(api: FakeApi, kube: Kube) -> None:
        cluster(api, "w1")
        api.put(PLURAL, nncp("p"))
        host = Host()
        work = reconciler(kube, "w1", host)
        await work.reconcile("p")
        api.remove(PLURAL, "p")
        await work.reconcile("p")
        assert (ENACTMENTS, "w1.p") not in api.objects
        assert len(host.applied) == 1

    with_api(test)


def test_failure_is_retried_five_times_and_says_what_nmstate_said() -> None:
    async def test(api: FakeApi, kube: Kube) -> None:
        cluster(api, "w1")
        api.put(PLURAL, nncp("p"))
        host = Host([invalid("Controller interface bond1 is holding unknown port x")] * 5)
        work = reconciler(kube, "w1", host)
        assert isinstance(await work.reconcile("p"), Requeue)
        between = api.conditions(ENACTMENTS, "w1.p")
        assert between["Failing"] == between["Progressing"] == (
            "True", "Retrying",
            "failed to reconcile NodeNetworkConfigurationPolicy on node w1. Retrying 2/5")  # fmt: skip
        assert api.conditions(PLURAL, "p")["Degraded"][0] == "True", "upstream flaps to Degraded between retries"
        for _ in range(3):
            assert isinstance(await work.reconcile("p"), Requeue)
        assert await work.reconcile("p") is None
        assert api.conditions(ENACTMENTS, "w1.p")["Failing"] == (
            "True", "FailedToConfigure",
            'error reconciling NodeNetworkConfigurationPolicy on node w1 at desired state apply: "",\n , '
            "NmstateError: InvalidArgument: Controller interface bond1 is holding unknown port x\n"
            ": failed to execute nmstatectl apply --no-commit --timeout 480: exit status 1")  # fmt: skip
        assert api.conditions(PLURAL, "p")["Degraded"] == ("True", "FailedToConfigure", "1/1 nodes failed to configure")
        assert api.objects[(ENACTMENTS, "w1.p")]["status"]["retryCount"] == {"1": 5}
        assert api.events[-1]["message"] == 'reconciliation of enactment "w1.p" has failed after 5 retries'
        await work.reconcile("p")
        assert len(host.applied) == 5, "an exhausted generation is not applied again"

    with_api(test)


def test_failed_probe_keeps_upstreams_words() -> None:
    async def test(api: FakeApi, kube: Kube) -> None:
        cluster(api, "w1")
        api.put(PLURAL, nncp("p"))
        host = Host([ProbesFailed("rolling back desired state configuration: failed runnig probes")])
        await reconciler(kube, "w1", host, max_retries=1).reconcile("p")
        message = api.conditions(ENACTMENTS, "w1.p")["Failing"][2]
        assert message.endswith('at desired state apply: "",\n rolling back desired state configuration: '
                                "failed runnig probes")  # fmt: skip

    with_api(test)


def test_a_new_generation_starts_afresh() -> None:
    async def test(api: FakeApi, kube: Kube) -> None:
        cluster(api, "w1")
        api.put(PLURAL, nncp("p"))
        clock, host = Clock(), Host([invalid("no")])
        work = reconciler(kube, "w1", host, clock, max_retries=1)
        await work.reconcile("p")
        policy = {**api.objects[(PLURAL, "p")], "spec": {"desiredState": {"interfaces": [{"name": "a"}]}}}
        policy["metadata"] = dict(policy["metadata"])
        api.put(PLURAL, policy)
        await clock.sleep(5)
        await work.reconcile("p")
        status = api.objects[(ENACTMENTS, "w1.p")]["status"]
        assert status["policyGeneration"] == 2
        assert api.conditions(ENACTMENTS, "w1.p")["Available"][0] == "True"
        assert api.conditions(PLURAL, "p")["Available"][0] == "True"

    with_api(test)


def test_max_unavailable_makes_the_others_wait_and_a_failure_aborts_them() -> None:
    async def test(api: FakeApi, kube: Kube) -> None:
        cluster(api, "w1", "w2")
        api.put(PLURAL, nncp("p", maxUnavailable=1))
        first, second = Host([invalid("no")]), Host()
        first.gate = asyncio.Event()
        one = asyncio.create_task(reconciler(kube, "w1", first, max_retries=1).reconcile("p"))
        async with asyncio.timeout(5):
            await first.called.wait()
        assert api.objects[(PLURAL, "p")]["status"]["unavailableNodeCountMap"] == {"1": 1}
        work = reconciler(kube, "w2", second)
        assert isinstance(await work.reconcile("p"), Requeue)
        assert api.conditions(ENACTMENTS, "w2.p")["Pending"] == (
            "True", "MaxUnavailableLimitReached", "Waiting for progressing nodes to finish")  # fmt: skip
        assert api.conditions(PLURAL, "p")["Progressing"][2] == "Policy is progressing 0/2 nodes finished"
        first.gate.set()
        await one
        assert await work.reconcile("p") is None
        assert api.conditions(ENACTMENTS, "w2.p")["Aborted"] == (
            "True", "ConfigurationAborted", 'reconciliation of enactment "w2.p" has aborted')  # fmt: skip
        assert api.conditions(PLURAL, "p")["Degraded"][2] == (
            "1/2 nodes failed to configure, 1 nodes aborted configuration")  # fmt: skip
        assert not second.applied

    with_api(test)


def test_three_handlers_at_once_agree_in_spite_of_conflicts() -> None:
    async def test(api: FakeApi, kube: Kube) -> None:
        nodes = ("w1", "w2", "w3")
        cluster(api, *nodes)
        api.put(PLURAL, nncp("p", maxUnavailable="100%"))

        async def until_done(node: str) -> None:
            work = reconciler(kube, node, Host())
            for _ in range(1000):
                if await work.reconcile("p") is None:
                    return

        async with asyncio.timeout(20):
            await asyncio.gather(*(until_done(node) for node in nodes))
        assert api.conditions(PLURAL, "p")["Available"] == (
            "True", "SuccessfullyConfigured", "3/3 nodes successfully configured")  # fmt: skip
        assert api.conflicts, "the handlers were meant to race"

    with_api(test)


def test_before_0_85_the_first_failure_is_final_and_aborts_who_waits() -> None:
    async def test(api: FakeApi, kube: Kube) -> None:
        cluster(api, "w1", "w2")
        api.put(PLURAL, nncp("p", maxUnavailable=1))
        first, second = Host([invalid("no")]), Host()
        first.gate = asyncio.Event()
        one = asyncio.create_task(reconciler(kube, "w1", first, release=V084).reconcile("p"))
        async with asyncio.timeout(5):
            await first.called.wait()
        assert api.objects[(PLURAL, "p")]["status"]["unavailableNodeCount"] == 1
        work = reconciler(kube, "w2", second, release=V084)
        assert await work.reconcile("p") == Requeue(pending=True)
        assert api.conditions(ENACTMENTS, "w2.p")["Pending"][0] == "True"
        first.gate.set()
        assert await one is None
        assert api.conditions(ENACTMENTS, "w1.p")["Failing"][:2] == ("True", "FailedToConfigure")
        assert "retryCount" not in api.objects[(ENACTMENTS, "w1.p")]["status"]
        assert api.objects[(PLURAL, "p")]["status"]["unavailableNodeCount"] == 0
        assert [e["message"] for e in api.events] == [api.conditions(ENACTMENTS, "w1.p")["Failing"][2]]
        assert await work.reconcile("p") is None
        assert api.conditions(ENACTMENTS, "w2.p")["Aborted"] == (
            "True", "ConfigurationAborted", "policy has failing enactments, aborting")  # fmt: skip
        assert api.conditions(PLURAL, "p")["Degraded"] == (
            "True", "FailedToConfigure", "1/2 nodes failed to configure, 1 nodes aborted configuration")  # fmt: skip
        assert not second.applied

    with_api(test)


def test_before_0_85_a_node_that_failed_alone_tries_again_when_it_is_asked() -> None:
    async def test(api: FakeApi, kube: Kube) -> None:
        cluster(api, "w1")
        api.put(PLURAL, nncp("p"))
        host = Host([invalid("no")])
        work = reconciler(kube, "w1", host, release=V084)
        assert await work.reconcile("p") is None
        assert await work.reconcile("p") is None
        assert api.conditions(ENACTMENTS, "w1.p")["Available"][0] == "True"
        assert api.conditions(PLURAL, "p")["Available"][0] == "True"

    with_api(test)


def test_what_could_not_be_set_is_said() -> None:
    async def test(api: FakeApi, kube: Kube) -> None:
        cluster(api, "w1")
        api.put(PLURAL, nncp("p"))
        host = Host()
        host.outcome = Outcome(not_set=("br1: VLAN filtering of ens3 is not set",))
        await reconciler(kube, "w1", host).reconcile("p")
        notes = api.objects[(ENACTMENTS, "w1.p")]["metadata"]["annotations"]
        assert notes == {"virtlab.dev/not-set": "br1: VLAN filtering of ens3 is not set"}
        assert [e["reason"] for e in api.events] == ["NotSet"]

    with_api(test)
