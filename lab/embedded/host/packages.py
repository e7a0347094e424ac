"""Distribution packages without installing them: a private apt state, download, unpack.

The host's package database is read, never written: no lock of it is taken, no hook of the host's apt configuration
runs, nothing needs root. Tools are fetched before any namespace exists, so this is plain blocking code.

Rules learned the hard way:
 - ``apt-get`` hooks (docker-clean and others) would delete the host's own archives when run as root: they are cleared.
 - glibc is never unpacked: a second libc.so.6 on LD_LIBRARY_PATH crashes every program under the host's loader.
 - a kernel package drags initramfs-tools along, so kernels are downloaded alone, by name.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab.embedded.errors import ToolError

_INSTALL = re.compile(r"^Inst (?P<name>\S+) (?:\[(?P<old>[^\]]+)\] )?\((?P<version>\S+) ")
_KERNEL = re.compile(r"\blinux-(?:image|modules)-(?:unsigned-)?\d[\w.+~-]*")
_GLIBC = frozenset({"libc6", "libc-bin", "libc-dev-bin", "libc6-dev", "libc-l10n", "locales"})
_INIT = frozenset(
    {"systemd", "systemd-sysv", "systemd-timesyncd", "libsystemd-shared", "libnss-systemd", "libpam-systemd", "udev"}
)
"""An init system: packages of services depend on it, and nothing of a lab is started by one."""
_QUIET_TARGETS = ("DEP-11", "DEP-11-icons-small", "DEP-11-icons", "DEP-11-icons-hidpi", "CNF", "Contents-deb")
_CONFIG = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
"""
# Documentation and the like: half of the files, none of the use.
_CHAFF = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bash-completion")


@dataclass(frozen=True)
class Package:
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}={self.version}"


def run(
    argv: Sequence[str], *, cwd: Path | None = None, timeout: float = 600, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One blocking command, C locale, output captured. Never raises for a return code; OSError if it cannot start."""
    full = {**os.environ, **(env or {}), "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        argv,
        cwd=cwd,
        env=full,
        timeout=timeout,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
    )


def planned(simulation: str) -> list[Package]:
    """The packages ``apt-get -s install`` would install or upgrade, glibc and the init system left out.

    Raises ToolError when a *newer upstream* glibc than the host's is demanded: that needs installing."""
    packages: list[Package] = []
    for line in simulation.splitlines():
        match = _INSTALL.match(line)
        if not match:
            continue
        name, old, version = match["name"].split(":")[0], match["old"], match["version"]
        if name not in _GLIBC | _INIT:
            packages.append(Package(name, version))
        elif name == "libc6" and old and _upstream(old) != _upstream(version):
            raise ToolError(
                f"packages that run with the host's C library (libc6 {old})",
                f"they demand libc6 {version}: /etc/apt names a newer release than the one installed",
                advice="make /etc/apt match the installed release, or upgrade the host",
            )
    return packages


def _upstream(version: str) -> str:
    return version.split(":")[-1].rsplit("-", 1)[0].split("+")[0]


def kernel_names(description: str) -> list[str]:
    """Versioned kernel packages a meta package depends on (``apt-cache show`` text), in order, each once."""
    names: dict[str, None] = {}
    for line in description.splitlines():
        if line.startswith(("Depends:", "Pre-Depends:")):
            names.update(dict.fromkeys(_KERNEL.findall(line.split(":", 1)[1])))
    return list(names)


class Apt:
    """The package client with a state folder of its own, against the host's sources, keys and package database."""

    def __init__(self, state: Path) -> None:
        self._state = state
        for part in ("lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True, exist_ok=True)
        self._config = state / "apt.conf"
        self._config.write_text(_CONFIG)

    def _options(self) -> list[str]:
        settings = {
            "Dir::State::lists": str(self._state / "lists"),
            "Dir::State::extended_states": str(self._state / "extended_states"),
            "Dir::Cache": str(self._state / "cache"),
            "Dir::Cache::archives": str(self._state / "cache/archives"),
            "Debug::NoLocking": "1",
            "APT::Sandbox::User": "",
            "APT::Get::List-Cleanup": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "Acquire::http::Timeout": "15",
            "Acquire::https::Timeout": "15",
            "Acquire::IndexTargets::deb-src::Sources::DefaultEnabled": "false",
            **{f"Acquire::IndexTargets::deb::{target}::DefaultEnabled": "false" for target in _QUIET_TARGETS},
        }
        return ["-c", str(self._config), *(f"-o{key}={value}" for key, value in settings.items())]

    def update(self) -> str:
        """Fetch the package lists. A broken third-party source is no reason to stop: returns apt's complaints."""
        done = run(["apt-get", *self._options(), "-q", "update"])
        return "\n".join(line for line in (done.stdout + done.stderr).splitlines() if line[:2] in ("E:", "W:", "Er"))

    def lists_age(self) -> float:
        """Seconds since the lists were fetched; infinite when there are none."""
        lists = self._state / "lists"
        return time.time() - lists.stat().st_mtime if any(lists.glob("*_Packages*")) else float("inf")

    def resolve(self, names: Sequence[str]) -> list[Package]:
        """What must be downloaded so that these packages work on this host. Raises ToolError with apt's own reason."""
        done = run(["apt-get", *self._options(), "-s", "-y", "--no-install-recommends", "install", *names])
        if done.returncode:
            raise ToolError(
                f"the packages {' '.join(names)}",
                f"apt-get cannot resolve them: {_reason(done)}",
                advice="check /etc/apt sources (Debian needs main; Ubuntu main and universe)",
            )
        packages = planned(done.stdout)
        have = {package.name for package in packages}
        # Installed according to dpkg, yet its programs were not found or did not fit: fetch that package all the same.
        return packages + [self.candidate(name) for name in names if name not in have]

    def candidate(self, name: str) -> Package:
        done = run(["apt-cache", *self._options(), "show", "--no-all-versions", name])
        for line in done.stdout.splitlines():
            if line.startswith("Version:"):
                return Package(name, line.split(":", 1)[1].strip())
        raise ToolError(f"the package {name}", f"no source offers it: {_reason(done)}", advice="check /etc/apt sources")

    def kernel(self, metas: Sequence[str]) -> list[Package]:
        """The versioned image (and modules) packages behind the first meta package that is offered."""
        for meta in metas:
            done = run(["apt-cache", *self._options(), "show", "--no-all-versions", meta])
            names = kernel_names(done.stdout)
            if names:
                more = run(["apt-cache", *self._options(), "show", "--no-all-versions", *names])
                names += [name for name in kernel_names(more.stdout) if name not in names]
                return [self.candidate(name) for name in names]
        raise ToolError(
            f"a kernel for the guests: one of {', '.join(metas)}",
            "no source offers any of them",
            advice="check /etc/apt sources",
        )

    def download(self, packages: Iterable[Package], into: Path) -> list[Path]:
        """Fetch and verify (signed lists, hashes) the packages; the .deb files. Raises ToolError."""
        wanted = [str(package) for package in packages]
        into.mkdir(parents=True, exist_ok=True)
        done = run(["apt-get", *self._options(), "-q", "download", *wanted], cwd=into, timeout=1800)
        files = sorted(into.glob("*.deb"))
        if done.returncode or len(files) < len(set(wanted)):
            raise ToolError(
                f"{len(wanted)} packages downloaded",
                f"{len(files)} came; {_reason(done)}",
                advice="is the network up, and is a proxy needed (http_proxy, or Acquire::http::Proxy in /etc/apt)?",
            )
        return files


def unpack(files: Sequence[Path], root: Path) -> None:
    """Unpack all packages into one folder (two at a time). Raises ToolError naming the package that is damaged."""

    def one(file: Path) -> subprocess.CompletedProcess[str]:
        return run(["dpkg-deb", "-x", str(file), str(root)])

    root.mkdir(parents=True)
    with ThreadPoolExecutor(2) as pool:
        for file, done in zip(files, pool.map(one, files), strict=True):
            if done.returncode:
                raise ToolError(
                    f"{file.name} unpacked into {root}", _reason(done), advice="free space on that disk, then again"
                )
    for chaff in _CHAFF:
        shutil.rmtree(root / chaff, ignore_errors=True)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
    if not lines:
        lines = done.stdout.splitlines()
    return "; ".join(line.strip() for line in lines[-3:])[:600] or f"exit code {done.returncode}, no message"


def run_bytes(argv: Sequence[str]) -> bytes:
    """What a command writes, as bytes. Raises ToolError with its complaint when it fails or cannot start."""
    try:
        done = subprocess.run(argv, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"the output of `{' '.join(argv)}`", str(error), advice=f"install {argv[0]}") from error
    if done.returncode:
        raise ToolError(f"the output of `{' '.join(argv)}`", done.stderr.decode(errors="replace").strip()[-400:])
    return done.stdout
