"""PodSecurity admission: what pods a namespace takes by its labels, in upstream's words.

Upstream: k8s.io/pod-security-admission, as kube-apiserver 1.32 has it. Checked is what pods of the lab can say;
AppArmor, SELinux, procMount and Windows are not. Nothing is exempt by name: who needs more says so on his namespace.
Audit annotations are left out, and so are warnings on what makes pods of templates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from lab.embedded.apiserver import errors
from lab.embedded.apiserver.requests import Call
from lab.embedded.apiserver.store import Store
from lab.embedded.apiserver.writes import Admission
from lab.embedded.model.spec import Level

Obj = dict[str, Any]
LEVELS: tuple[Level, ...] = get_args(Level)
PREFIX = "pod-security.kubernetes.io/"
LATEST = 32
CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip
VOLUMES = frozenset({
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
})  # fmt: skip
SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
})  # fmt: skip
SECCOMP = frozenset({"RuntimeDefault", "Localhost"})


@dataclass(frozen=True)
class Policy:
    """A level and the release whose checks it means."""

    level: Level
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    @property
    def minor(self) -> int:
        return LATEST if self.version == "latest" else int(self.version.partition(".")[2])


@dataclass(frozen=True)
class Check:
    """`look` gives the detail of what is forbidden, or nothing; `instead` is the check of baseline that it replaces."""

    name: str
    reason: str
    level: Level
    look: Callable[[Obj], str]
    since: int = 0
    instead: str = ""


class PodSecurity:
    """Admission of pods, before the validating webhooks; implements `writes.Admission` around theirs."""

    def __init__(self, inner: Admission, store: Store, default: Level = "privileged") -> None:
        """*default* is what a namespace enforces that says nothing."""
        self._inner = inner
        self._store = store
        self._default = default

    async def mutate(self, call: Call, operation: str, obj: Obj | None, old: Obj | None) -> Obj | None:
        return await self._inner.mutate(call, operation, obj, old)

    async def validate(self, call: Call, operation: str, obj: Obj | None, old: Obj | None) -> None:
        if obj is not None and call.resource.collection == ("", "namespaces") and not call.subresource:
            self._namespace(call, obj, old)
        elif obj is not None and call.resource.collection == ("", "pods") and call.subresource in _SUBRESOURCES:
            self._pod(call, obj, old)
        await self._inner.validate(call, operation, obj, old)

    def _pod(self, call: Call, pod: Obj, old: Obj | None) -> None:
        if old is not None and _images(old) == _images(pod):
            return
        namespace = self._store.get(("", "namespaces"), "", call.namespace) or {}
        enforced, warned = self._policies(namespace)
        spec = pod.get("spec") or {}
        if found := violations(enforced, spec):
            why = f'violates PodSecurity "{enforced}": {_details(found)}'
            raise errors.forbidden("", "pods", call.name, why)
        if found := violations(warned, spec):
            call.warn(f'would violate PodSecurity "{warned}": {_details(found)}')

    def _policies(self, namespace: Obj) -> tuple[Policy, Policy]:
        """(what is enforced, what is warned of); the latter is no laxer than what the namespace itself enforces."""
        labels = (namespace.get("metadata") or {}).get("labels") or {}
        enforced = Policy(
            labels.get(f"{PREFIX}enforce", self._default), labels.get(f"{PREFIX}enforce-version", "latest")
        )
        warned = Policy(labels.get(f"{PREFIX}warn", "privileged"), labels.get(f"{PREFIX}warn-version", "latest"))
        own = f"{PREFIX}enforce" in labels and f"{PREFIX}warn" not in labels
        return enforced, enforced if own else warned

    def _namespace(self, call: Call, new: Obj, old: Obj | None) -> None:
        """Refuse labels that mean nothing; warn of the pods that a new level would not have taken."""
        before = _wrong((old or {}).get("metadata") or {})
        causes = _wrong(new["metadata"])
        if causes and causes != before:
            raise errors.invalid("", "Namespace", new["metadata"]["name"], causes)
        if old is None or causes:
            return
        (now, _), (then, _) = self._policies(new), self._policies(old)
        laxer = now.version == then.version and LEVELS.index(now.level) <= LEVELS.index(then.level)
        if now == then or now.level == "privileged" or laxer:
            return
        for text in self._standing(new["metadata"]["name"], now):
            call.warn(text)

    def _standing(self, name: str, policy: Policy) -> list[str]:
        pods: dict[str, list[str]] = {}
        for pod in self._store.list(("", "pods"), name):
            if found := violations(policy, pod.get("spec") or {}):
                pods.setdefault(", ".join(reason for reason, _ in found), []).append(pod["metadata"]["name"])
        said = []
        for reasons, names in pods.items():
            more = len(names) - 1
            beside = f" (and {more} other pod{'s' if more > 1 else ''})" if more else ""
            said.append(f"{min(names)}{beside}: {reasons}")
        head = f'existing pods in namespace "{name}" violate the new PodSecurity enforce level "{policy}"'
        return [head, *sorted(said)] if said else []


_SUBRESOURCES = ("", "ephemeralcontainers")


def violations(policy: Policy, spec: Obj) -> list[tuple[str, str]]:
    """(reason, detail) of every check that a pod's spec does not pass; baseline's first, each sort by name."""
    known = [c for c in CHECKS if c.since <= policy.minor and LEVELS.index(c.level) <= LEVELS.index(policy.level)]
    replaced = {check.instead for check in known}
    looked = [(check.reason, check.look(spec)) for check in known if check.name not in replaced]
    return [(reason, detail) for reason, detail in looked if detail]


def _details(found: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{reason} ({detail})" for reason, detail in found)


def _wrong(meta: Mapping[str, Any]) -> list[errors.Cause]:
    labels, causes = meta.get("labels") or {}, []
    for mode in ("enforce", "audit", "warn"):
        for key, good, wanted in (
            (f"{PREFIX}{mode}", "|".join(LEVELS), f"must be one of {', '.join(LEVELS)}"),
            (f"{PREFIX}{mode}-version", r"latest|v1\.(0|[1-9]\d*)", 'must be "latest" or "v1.x"'),
        ):
            if key in labels and not re.fullmatch(good, str(labels[key])):
                message = f'Invalid value: "{labels[key]}": {wanted}'
                causes.append(errors.Cause("FieldValueInvalid", message, f"metadata.labels[{key}]"))
    return causes


def _containers(spec: Obj) -> list[Obj]:
    return [c for key in ("initContainers", "containers", "ephemeralContainers") for c in spec.get(key) or ()]


def _images(pod: Obj) -> list[tuple[str, str]]:
    """What of a pod that is there can change its verdict: images, and containers that are added."""
    return [(str(c.get("name")), str(c.get("image"))) for c in _containers(pod.get("spec") or {})]


def _own(container: Obj, key: str) -> Any:
    """A field of a container's securityContext; None when it is not set."""
    return (container.get("securityContext") or {}).get(key)


def _capabilities(container: Obj, key: str) -> list[str]:
    return list((_own(container, "capabilities") or {}).get(key) or ())


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _many(word: str, names: Iterable[str]) -> str:
    """``container "a"``, ``containers "a", "b"``."""
    named = list(names)
    return f"{word}{'s' if len(named) > 1 else ''} {_quoted(named)}"


def _bad(spec: Obj, wrong: Callable[[Obj], object]) -> list[str]:
    return [str(c.get("name")) for c in _containers(spec) if wrong(c)]


def _added(allowed: Iterable[str]) -> Callable[[Obj], str]:
    def look(spec: Obj) -> str:
        extra = {c for one in _containers(spec) for c in _capabilities(one, "add")} - set(allowed)
        bad = _bad(spec, lambda c: extra & set(_capabilities(c, "add")))
        return f"{_many('container', bad)} must not include {_quoted(sorted(extra))} in {_ADD}" if bad else ""

    return look


_ADD = "securityContext.capabilities.add"


def _undropped(spec: Obj) -> str:
    bad = _bad(spec, lambda c: "ALL" not in _capabilities(c, "drop"))
    drop = f'{_many("container", bad)} must set securityContext.capabilities.drop=["ALL"]' if bad else ""
    return "; ".join(text for text in (drop, _added({"NET_BIND_SERVICE"})(spec)) if text)


def _host_namespaces(spec: Obj) -> str:
    return ", ".join(f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))


def _host_paths(spec: Obj) -> str:
    bad = [str(v["name"]) for v in spec.get("volumes") or () if v.get("hostPath") is not None]
    return _many("volume", bad) if bad else ""


def _host_ports(spec: Obj) -> str:
    def ports(container: Obj) -> set[str]:
        return {str(p["hostPort"]) for p in container.get("ports") or () if p.get("hostPort")}

    bad, numbers = _bad(spec, ports), sorted(set[str]().union(*map(ports, _containers(spec))))
    uses = f"{'uses' if len(bad) == 1 else 'use'} hostPort{'s' if len(numbers) > 1 else ''}"
    return f"{_many('container', bad)} {uses} {', '.join(numbers)}" if bad else ""


def _privileged(spec: Obj) -> str:
    bad = _bad(spec, lambda c: _own(c, "privileged"))
    return f"{_many('container', bad)} must not set securityContext.privileged=true" if bad else ""


def _escalating(spec: Obj) -> str:
    bad = _bad(spec, lambda c: _own(c, "allowPrivilegeEscalation") is not False)
    return f"{_many('container', bad)} must set securityContext.allowPrivilegeEscalation=false" if bad else ""


def _volumes(spec: Obj) -> str:
    kinds = {
        str(v["name"]): next((key for key in v if key != "name"), "unknown")
        for v in spec.get("volumes") or ()
        if not VOLUMES & v.keys()
    }
    uses = f"{'uses' if len(kinds) == 1 else 'use'}"
    types = _many("restricted volume type", sorted(set(kinds.values())))
    return f"{_many('volume', kinds)} {uses} {types}" if kinds else ""


def _setters(spec: Obj, key: str, wrong: Callable[[Any], bool]) -> str:
    """Who sets a field of the securityContext to what it must not be: ``pod and container "a"``."""
    pod = (spec.get("securityContext") or {}).get(key)
    bad = _bad(spec, lambda c: _own(c, key) is not None and wrong(_own(c, key)))
    return " and ".join(
        [*(["pod"] if pod is not None and wrong(pod) else []), *([_many("container", bad)] if bad else [])]
    )


def _unset(spec: Obj, key: str, right: Callable[[Any], bool]) -> str:
    """Who leaves a field unset that the pod does not set for all: ``pod or container "a"``."""
    pod = (spec.get("securityContext") or {}).get(key)
    bad = [] if pod is not None and right(pod) else _bad(spec, lambda c: _own(c, key) is None)
    return f"pod or {_many('container', bad)}" if bad else ""


def _root(spec: Obj) -> str:
    if who := _setters(spec, "runAsNonRoot", lambda value: value is False):
        return f"{who} must not set securityContext.runAsNonRoot=false"
    who = _unset(spec, "runAsNonRoot", lambda value: value is True)
    return f"{who} must set securityContext.runAsNonRoot=true" if who else ""


def _root_user(spec: Obj) -> str:
    who = _setters(spec, "runAsUser", lambda value: value == 0)
    return f"{who} must not set runAsUser=0" if who else ""


def _seccomp(profile: Obj) -> bool:
    return profile.get("type") in SECCOMP


def _seccomp_bad(spec: Obj) -> str:
    who = _setters(spec, "seccompProfile", lambda profile: not _seccomp(profile))
    profiles = [(spec.get("securityContext") or {}).get("seccompProfile")]
    profiles += [_own(c, "seccompProfile") for c in _containers(spec)]
    bad = sorted({str(p.get("type")) for p in profiles if p is not None and not _seccomp(p)})
    return f"{who} must not set securityContext.seccompProfile.type to {_quoted(bad)}" if who else ""


def _seccomp_unset(spec: Obj) -> str:
    if said := _seccomp_bad(spec):
        return said
    who = _unset(spec, "seccompProfile", _seccomp)
    return f'{who} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"' if who else ""


def _sysctls(spec: Obj) -> str:
    asked = [str(s["name"]) for s in (spec.get("securityContext") or {}).get("sysctls") or ()]
    return ", ".join(name for name in asked if name not in SYSCTLS)


CHECKS = (
    Check("capabilities_baseline", "non-default capabilities", "baseline", _added(CAPABILITIES)),
    Check("hostNamespaces", "host namespaces", "baseline", _host_namespaces),
    Check("hostPathVolumes", "hostPath volumes", "baseline", _host_paths),
    Check("hostPorts", "hostPort", "baseline", _host_ports),
    Check("privileged", "privileged", "baseline", _privileged),
    Check("seccompProfile_baseline", "seccompProfile", "baseline", _seccomp_bad, 19),
    Check("sysctls", "forbidden sysctls", "baseline", _sysctls),
    Check("allowPrivilegeEscalation", "allowPrivilegeEscalation != false", "restricted", _escalating, 8),
    Check(
        "capabilities_restricted", "unrestricted capabilities", "restricted", _undropped, 22, "capabilities_baseline"
    ),
    Check("restrictedVolumes", "restricted volume types", "restricted", _volumes, 0, "hostPathVolumes"),
    Check("runAsNonRoot", "runAsNonRoot != true", "restricted", _root),
    Check("runAsUser", "runAsUser=0", "restricted", _root_user, 23),
    Check("seccompProfile_restricted", "seccompProfile", "restricted", _seccomp_unset, 19, "seccompProfile_baseline"),
)
"""In the order of upstream's texts."""
