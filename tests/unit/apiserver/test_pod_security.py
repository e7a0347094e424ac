"""PodSecurity: upstream's checks and words, by the labels of a namespace; and what the harness makes, which passes."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from lab.embedded.apiserver.pki import create_pki
from lab.embedded.apiserver.podsecurity import CHECKS, Policy, violations
from lab.embedded.apiserver.requests import User
from lab.embedded.apiserver.serve import ApiConfig, running
from lab.embedded.model.spec import Level
from lab.topology.ground import namespace

from .servers import AGENT_TOKEN, TOKEN, listening, run

FEATURES = Path(__file__).parents[3] / "features"
PLAIN: dict[str, Any] = {"containers": [{"name": "a", "image": "i"}]}
TIGHT: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


UNCONFINED = {"type": "Unconfined"}


def said(level: Level, spec: dict[str, Any], version: str = "latest") -> list[str]:
    return [f"{reason} ({detail})" for reason, detail in violations(Policy(level, version), spec)]


def of(**context: Any) -> dict[str, Any]:
    """A pod of one container with that securityContext."""
    return {"containers": [{"name": "a", "image": "i", "securityContext": context}]}


def test_a_plain_pod_is_what_baseline_takes_and_restricted_does_not() -> None:
    assert said("privileged", {**PLAIN, "hostNetwork": True}) == []
    assert said("baseline", PLAIN) == []
    assert said("restricted", PLAIN) == [
        'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)',
        'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"])',
        'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)',
        'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")',
    ]
    assert said("restricted", of(**TIGHT)) == []


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({**PLAIN, "hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
        ({**PLAIN, "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
        (of(privileged=True), 'privileged (container "a" must not set securityContext.privileged=true)'),
        (
            of(capabilities={"add": ["NET_RAW", "NET_ADMIN", "CHOWN"]}),
            'non-default capabilities (container "a" must not include "NET_ADMIN", "NET_RAW" in '
            "securityContext.capabilities.add)",
        ),
        (
            {"containers": [{"name": n, "ports": [{"hostPort": p}]} for n, p in (("a", 80), ("b", 443))]},
            'hostPort (containers "a", "b" use hostPorts 443, 80)',
        ),
        (
            {
                **of(seccompProfile={"type": "Unconfined"}),
                "securityContext": {"seccompProfile": {"type": "Unconfined"}},
            },
            'seccompProfile (pod and container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            {**PLAIN, "securityContext": {"sysctls": [{"name": "net.ipv4.ip_forward", "value": "1"}]}},
            "forbidden sysctls (net.ipv4.ip_forward)",
        ),
    ],
)
def test_what_baseline_forbids(spec: dict[str, Any], wanted: str) -> None:
    assert said("baseline", spec) == [wanted]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (
            {"capabilities": {"drop": ["ALL"], "add": ["SYS_TIME", "NET_BIND_SERVICE"]}},
            'unrestricted capabilities (container "a" must not include "SYS_TIME" in securityContext.capabilities.add)',
        ),
        (
            {"runAsNonRoot": False},
            'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)',
        ),
        ({"runAsUser": 0}, 'runAsUser=0 (container "a" must not set runAsUser=0)'),
        ({"allowPrivilegeEscalation": True}, "allowPrivilegeEscalation != false (container"),
    ],
)
def test_what_restricted_forbids_besides(change: dict[str, Any], wanted: str) -> None:
    [text] = said("restricted", of(**{**TIGHT, **change}))
    assert text.startswith(wanted)


def test_restricted_volumes_are_told_instead_of_host_paths_and_a_pod_may_speak_for_its_containers() -> None:
    spec = {
        **of(**TIGHT),
        "volumes": [{"name": "v", "hostPath": {}}, {"name": "w", "nfs": {}}, {"name": "s", "csi": {}}],
    }
    assert said("restricted", spec) == [
        'restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")'
    ]
    alone = {key: TIGHT[key] for key in ("allowPrivilegeEscalation", "capabilities")}
    pod = {key: TIGHT[key] for key in ("runAsNonRoot", "seccompProfile")}
    assert said("restricted", {**of(**alone), "securityContext": pod}) == []


def test_a_version_means_the_checks_of_its_release_and_each_sort_is_told_by_name() -> None:
    assert [text.partition(" (")[0] for text in said("restricted", PLAIN, "v1.18")] == [
        "allowPrivilegeEscalation != false",
        "runAsNonRoot != true",
    ]
    names = [[c.name for c in CHECKS if c.level == level] for level in ("baseline", "restricted")]
    assert names == [sorted(one) for one in names]


def server(folder: Path, test: Any, level: Level) -> None:
    """Run a test with a function that asks a server of that default: (status, message, warnings) of an answer."""

    async def work() -> None:
        sock, pki = listening(), create_pki(folder)
        users = {TOKEN: User("admin", ("system:masters",))}
        config = ApiConfig(sockets=[sock], pki=pki, tokens=users, agent_token=AGENT_TOKEN, pod_security=level)
        base = f"https://127.0.0.1:{sock.getsockname()[1]}/api/v1/namespaces"
        context = ssl.create_default_context(cafile=str(pki.ca))
        async with running(config), aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:

            async def ask(method: str, path: str, body: Any) -> tuple[int, str, list[str]]:
                kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
                headers = {"Content-Type": kind}
                async with session.request(method, base + path, json=body, ssl=context, headers=headers) as answer:
                    told = (await answer.json()).get("message", "")
                    return answer.status, told, answer.headers.getall("Warning", [])

            await test(ask)

    run(work())


def pod(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def labelled(name: str, **labels: str) -> dict[str, Any]:
    keys = {f"pod-security.kubernetes.io/{key.replace('_', '-')}": value for key, value in labels.items()}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": keys}}


def test_labels_decide_and_are_checked_and_pods_that_stand_are_warned_of(tmp_path: Path) -> None:
    async def test(ask: Any) -> None:
        status, told, _ = await ask("POST", "", labelled("bad", enforce="strict", warn_version="1.2"))
        assert (status, told) == (
            422,
            'Namespace "bad" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: '
            '"strict": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/'
            'warn-version]: Invalid value: "1.2": must be "latest" or "v1.x"]',
        )
        assert (await ask("POST", "", labelled("ns", warn="restricted")))[0] == 201
        status, _, [warning] = await ask("POST", "/ns/pods", pod("p", of(capabilities={"add": ["NET_RAW"]})))
        assert status == 201
        assert 'would violate PodSecurity \\"restricted:latest\\": allowPrivilegeEscalation != false (' in warning
        _, _, warnings = await ask("PATCH", "/ns", labelled("ns", enforce="baseline"))
        assert [w.partition(" - ")[2][1:-1].replace('\\"', "'") for w in warnings] == [
            "existing pods in namespace 'ns' violate the new PodSecurity enforce level 'baseline:latest'",
            "p: non-default capabilities",
        ]
        status, told, warnings = await ask("POST", "/ns/pods", pod("q", of(privileged=True)))
        assert (status, told, warnings) == (
            403,
            'pods "q" is forbidden: violates PodSecurity "baseline:latest": privileged (container "a" must not set '
            "securityContext.privileged=true)",
            [],
        )
        status, _, _ = await ask("PATCH", "/ns/pods/p", {"metadata": {"labels": {"a": "b"}}})
        assert status == 200
        status, told, _ = await ask("PATCH", "/ns/pods/p", {"spec": {"containers": [
            {"name": "a", "image": "other", "securityContext": {"capabilities": {"add": ["NET_RAW"]}}}]}})  # fmt: skip
        assert (status, "non-default capabilities" in told) == (403, True)

    server(tmp_path, test, "privileged")


def test_the_harness_s_pods_are_taken_where_namespaces_that_say_nothing_are_restricted(tmp_path: Path) -> None:
    pods = [path for path in FEATURES.glob("*/manifests/*.yaml") if yaml.safe_load(path.read_text())["kind"] == "Pod"]
    assert len(pods) >= 8

    async def test(ask: Any) -> None:
        assert (await ask("POST", "", labelled("plain")))[0] == 201
        assert (await ask("POST", "", namespace("ours", "r1")))[0] == 201
        for number, path in enumerate(pods):
            body = pod(f"p{number}", yaml.safe_load(path.read_text())["spec"])
            status, told, _ = await ask("POST", "/plain/pods", body)
            assert (status, 'violates PodSecurity "restricted:latest"' in told) == (403, True), path
            assert await ask("POST", "/ours/pods", body) == (201, "", []), path

    server(tmp_path, test, "restricted")
