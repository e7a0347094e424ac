"""Runs of our plugins on a feature of two scenarios, in a process of their own; the cluster is played by a fake."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# As in pyproject.toml: the plugin of schemathesis alone takes as long to load as all else.
INI = f"[pytest]\naddopts = --strict-markers -p no:schemathesis\nfilterwarnings = error\npythonpath = {ROOT}\n"
CONFTEST = """
    from types import SimpleNamespace

    import pytest
    from pytest_bdd import given, then

    from lab.core import trace
    from lab.core.deadline import Deadline
    from lab.core.errors import ApiDown, ClusterBusy, Inconclusive, ProductFailure, UsageError
    from lab.core.wait import Periodic, Seen, wait_until

    pytest_plugins = ["steps.plugin", "reports.plugin", "steps.fixtures"]


    class FakeCapabilities:
        facts = {"kubernetes": "v1.33.0"}

        def unmet(self, needs):
            return [f"needs {n}, found 2" for n in needs if n == "workers>=9"]

        def brief(self):
            return ["2 workers; nmstate, ovn", "not there: faults (no command)"]


    class FakeLab:
        holder = "r1 here 1"

        def __init__(self, target, run_id, folder):
            self.phases, self.capabilities, self.site = {}, FakeCapabilities(), None
            self.target = target

        def still_alone(self):
            if TAKEN:
                raise ClusterBusy("to go on as the only run on this cluster", "the lease was taken from this run")

        def open(self, *, takeover=False, part=None):
            if part and not part.holder:
                part.tell("started")
            if OPEN_FAILS:
                raise ApiDown("an answer of the API server", "connection refused", "https://127.0.0.1:1", "virtlab up")

        def fault_each_policy(self, specs):
            pass

        def clean_part(self, run_id, *, faults):
            return [f"namespace of {run_id}"]

        def sources(self):
            from lab.evidence.collect import Sources

            def refuse(kind, namespace=None, labels="", deadline=None):
                raise ApiDown("an answer of the API server", "connection refused", "https://127.0.0.1:1")

            return Sources(SimpleNamespace(list=refuse), self.target, ["worker-1"]) if OPEN_FAILS else None

        def feature(self, name):
            return SimpleNamespace(close=lambda: None)

        def scene(self, site, title, manifests, *, disruptive=False, fault=""):
            return SimpleNamespace(title=title, close=lambda: None)

        def explained(self, error, scene=None):
            return ProductFailure("a VM to go on", f"one of {scene.title} ended") if scene else error

        def versions(self):
            return {"OVN": "24.03.1"}

        def close(self, *, keep):
            print("closed")
            return ["namespace demo: held by a finalizer"] if keep else []


    OPEN_FAILS = False
    TAKEN = []


    def pytest_configure():
        from steps import plugin, running

        plugin.Lab = running.Lab = FakeLab
        running.look = lambda *looked, **options: None


    @given("a cluster")
    def cluster(lab):
        pass

    @then("it works")
    def works():
        pass

    @then("the product fails")
    def product_fails():
        raise ProductFailure("VM a to reach the gateway", "no answer \\x1b[31mred", "VLAN 2024")

    @then("the environment breaks")
    def environment_breaks():
        raise ApiDown("an answer of the API server", "connection refused", "https://127.0.0.1:1", "virtlab up")

    tries = []

    @then("it works every other time")
    def flakes():
        tries.append(1)
        if len(tries) % 2 == 0:
            raise ProductFailure("it to work", "it did not")

    @pytest.fixture(scope="module")
    def site(request):
        from steps import running

        request.node.stash[running.SITE] = made = SimpleNamespace(forwarded=True)
        return made

    @then("the networks forward")
    def forward(site):
        pass

    @then("nothing is proven of its VM")
    def nothing_proven_of_vm(scene):
        raise Inconclusive("an answer", "garbage")

    @then("nothing is proven")
    def nothing_proven():
        raise Inconclusive("an answer", "garbage")

    @then("the step itself is wrong")
    def wrong():
        raise KeyError("oops")

    @then("the run is killed")
    def killed():
        import os

        os.kill(os.getpid(), 9)

    @then("somebody presses Ctrl-C")
    def interrupt():
        raise KeyboardInterrupt

    @then("another run takes the cluster over")
    def taken_over():
        TAKEN.append(True)

    @then("a check is made")
    def check():
        from lab.core import facts

        seen = facts.Check("a", "w1", "gateway", "192.168.24.1", "VLAN 2024", ("w1",), "answer", "reached", True)
        facts.tell("a", seen)

    @then("it counts down")
    def counts_down():
        moments = iter([*(f"listening for {n} s" for n in range(6)), "forwarding"])

        def observe():
            text = next(moments)
            return Seen(text, text == "forwarding")

        wait_until("port x", "forwarding", observe, deadline=Deadline.after(20), changes=Periodic(0.2, "test"))

    @then("it waits")
    def waits():
        moments = iter(["Pending", "Pending", "Scheduling", "Scheduling", "Running"])

        def observe():
            phase = next(moments)
            return Seen(f"phase {phase}", phase == "Running")

        wait_until("VM demo/a", "Running", observe, deadline=Deadline.after(20), changes=Periodic(0.3, "test"))
"""
FEATURE = """
    Feature: Small
      Scenario: One
        Given a cluster
        Then {one}

      {tags}
      Scenario: Two
        Given a cluster
        Then {two}
"""


def run(
    pytester: pytest.Pytester,
    *arguments: str,
    one: str = "it works",
    two: str = "it works",
    tags: str = "",
    open_fails: bool = False,
    target: bool = True,
) -> tuple[pytest.RunResult, dict[str, Any]]:
    """A run of two scenarios in a process of its own; (result, its record, or {} when there is none)."""
    conftest = textwrap.dedent(CONFTEST).replace("OPEN_FAILS = False", f"OPEN_FAILS = {open_fails}")
    pytester.makeconftest(conftest)
    pytester.path.joinpath("small.feature").write_text(textwrap.dedent(FEATURE.format(one=one, two=two, tags=tags)))
    pytester.makepyfile(test_small="from pytest_bdd import scenarios\nscenarios('small.feature')\n")
    pytester.makeini(INI)
    chosen = [f"--target={ROOT / 'targets' / 'embedded.yaml'}", "--run-id=r1"] if target else []
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *chosen, *arguments)
    record = pytester.path / "out" / "r1" / "run.json"
    return result, json.loads(record.read_text()) if record.is_file() else {}
