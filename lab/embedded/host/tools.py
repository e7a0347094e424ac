"""Find the programs the lab is made of: on PATH where they fit, else unpacked from distribution packages into a cache.

Nothing is installed, no service starts, the host's package database stays as it is. What was decided is written to
a stamp beside the unpacked root; the next start only checks (by stat, no process, no network) that it still holds.
Each configuration of a host (another PATH, other versions there) has a stamp of its own, so that one start never
takes from another what it decided. Roots of this cache on PATH do not count as the host's: a start inside a lab's
environment decides as one outside does. This room must not know what the tools are used for.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.embedded.errors import ToolError
from lab.embedded.host import folders, roots
from lab.embedded.host.needs import GROUPS, Need, misfit, number, version_text
from lab.embedded.host.packages import Apt, Package, unpack

Progress = Callable[[str], None]

_FORMAT = 4
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/lib/openvswitch-switch")
_ROOT_FOLDERS = ("usr/lib/openvswitch-switch", "usr/sbin", "usr/bin", "sbin", "bin")
_ROOT_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
EXTRAS = "extras"
"""The folder of a cache with starters of what is fetched when asked for; on every lab's PATH from the start."""
_LISTS_KEEP = 12 * 3600.0
_STAMP_TOUCH = 86400.0


_KERNELS = {
    "ubuntu": ("linux-image-kvm", "linux-image-virtual"),
    "debian": ("linux-image-cloud-amd64", "linux-image-amd64"),
}


@dataclass(frozen=True)
class Tools:
    """Where everything is. `env` is to be laid over the environment of every process of the lab."""

    env: Mapping[str, str]
    root: Path | None
    versions: Mapping[str, str]
    kernel: Path
    modules: Path
    """`.../lib/modules/<release>` of that kernel."""

    @property
    def lib_folders(self) -> tuple[Path, ...]:
        """Where shared libraries are, the unpacked root first; then what the host's loader knows."""
        ours = [Path(part) for part in self.env.get("LD_LIBRARY_PATH", "").split(":") if part]
        return (*ours, *host_lib_folders())

    def path(self, program: str) -> Path:
        """The file of a program. Raises ToolError when it is nowhere."""
        found = shutil.which(program, path=self.env["PATH"])
        if not found:
            raise ToolError(
                f"the program {program}",
                f"it is in none of {self.env['PATH']}",
                advice="add it to lab/embedded/host/tools.py",
            )
        return Path(found)


def find_tools(cache: Path, *, progress: Progress, offline: bool = False) -> Tools:
    """The tools that every lab needs, fetched if need be into `cache`. Blocks; a few ms when nothing changed.

    Raises ToolError when a tool is neither present nor to be had."""
    needs = GROUPS["core"]
    decided = facts(cache, needs)
    stamp = stamp_of(cache, "core", decided)
    known = _still_true(stamp, decided)
    if known:
        return known
    with locked(cache, progress):
        found = _still_true(stamp, decided)
        if not found:
            root, present = locate(cache, needs, progress, offline, kernel=True)
            assert root is not None
            found = _assemble(root, {need.program: need for need in needs}, present)
            _write_stamp(stamp, found, decided)
            roots.sweep(cache, root)
        return found


def stamp_of(cache: Path, group: str, decided: Mapping[str, Any]) -> Path:
    """The file that remembers what was decided for a group of tools on a host with these facts."""
    return cache / f"tools-{group}-{_digest(json.dumps(decided))}.json"


@contextlib.contextmanager
def locked(cache: Path, progress: Progress) -> Iterator[None]:
    """Be the only one who fetches into the cache; makes it. Raises HostForbids."""
    folders.make(cache, "downloaded tools", "XDG_CACHE_HOME")
    with (cache / "tools.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            progress("tools: another run is fetching them, waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def locate(
    cache: Path, needs: Sequence[Need], progress: Progress, offline: bool, *, kernel: bool
) -> tuple[Path | None, dict[str, Path]]:
    """The root with what this host lacks, a guest kernel too if asked for, and the fitting programs of the host.

    The root is None when nothing is lacking. To be called under the lock. Raises ToolError."""
    present: dict[str, Path] = {}
    misfits: list[str] = []
    for need in needs:
        path = shutil.which(need.program, path=_host_path(cache))
        reason = misfit(need, Path(path)) if path else f"{need.program} is not on PATH"
        if path and not reason:
            present[need.program] = Path(path)
        else:
            misfits.append(reason)
    missing = [need for need in needs if need.program not in present]
    if not missing and not kernel:
        return None, present
    _can_fetch(missing, [*misfits, "a guest kernel"] if kernel else misfits, offline, cache)
    packages = sorted({need.package for need in missing})
    wanted = [*packages, "a kernel"] if kernel else packages
    progress(f"tools: {len(present)} of {len(needs)} programs are on this host; fetching {', '.join(wanted)}")
    root = fetch_root(cache, packages, progress, kernel=kernel)
    for need in missing:
        path = shutil.which(need.program, path=_path_of(root))
        reason = (
            misfit(need, Path(path), environment(root)) if path else f"package {need.package} has no {need.program}"
        )
        if reason:
            raise ToolError(f"{need.program} from package {need.package}", str(reason), advice=_by_hand(needs))
    return root, present


def _can_fetch(missing: Sequence[Need], wanted: Sequence[str], offline: bool, cache: Path) -> None:
    if offline:
        raise ToolError(
            "all tools without the network",
            f"missing: {'; '.join(wanted)}",
            where=f"looked on PATH, in {' '.join(_SYSTEM_FOLDERS)} and in the cache {cache}",
            advice="run once with the network, or copy the cache folder from a machine of the same release",
        )
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        programs = " ".join(need.program for need in missing) or "none"
        kernel = "; and a Debian kernel for the guests" if len(wanted) > len(missing) else ""
        raise ToolError(
            "Debian's or Ubuntu's package client, to fetch what is missing",
            f"no apt-get and dpkg-deb on this host; programs missing: {programs}{kernel}",
            where=_release(),
            advice=f"use Debian 12 or Ubuntu 22.04 or later (a container of it will do), or install: {programs}",
        )


def fetch_root(cache: Path, packages: Sequence[str], progress: Progress, *, kernel: bool = False) -> Path:
    """A root with these packages as the lists offer them now. To be called under the lock. Raises ToolError."""
    apt = Apt(cache / "apt")
    fresh = apt.lists_age() < _LISTS_KEEP
    if not fresh:
        _update(apt, progress)
    try:
        return _unpacked(apt, cache, packages, progress, kernel)
    except ToolError:
        # Lists of some hours ago may name what the mirror has replaced since.
        if not fresh:
            raise
        _update(apt, progress)
        return _unpacked(apt, cache, packages, progress, kernel)


def _unpacked(apt: Apt, cache: Path, packages: Sequence[str], progress: Progress, kernel: bool) -> Path:
    """The root of what the lists offer now: one that is there already, else made."""
    chosen = _choose(apt, packages, kernel)
    digest = _digest(" ".join(sorted(map(str, chosen))))
    root = roots.find(cache, digest)
    if root:
        return root
    with tempfile.TemporaryDirectory(prefix=".new-", dir=cache, ignore_cleanup_errors=True) as work:
        files = apt.download(chosen, Path(work) / "debs")
        progress(f"tools: unpacking {len(files)} packages, {sum(file.stat().st_size for file in files) / 1e6:.0f} MB")
        made = Path(work) / "root"
        unpack(files, made)
        roots.seal(made)
        return roots.settle(made, cache, digest)


def _update(apt: Apt, progress: Progress) -> None:
    progress("tools: reading the package lists (into virtlab's own cache)")
    complaints = apt.update()
    if apt.lists_age() == float("inf"):
        raise ToolError(
            "the package lists of this release",
            complaints[-500:] or "apt-get update brought none",
            where="/etc/apt",
            advice="is the network up, and is a proxy needed (http_proxy, or Acquire::http::Proxy in /etc/apt)?",
        )


def _choose(apt: Apt, packages: Sequence[str], kernel: bool) -> list[Package]:
    system = _os_release().get("ID", "debian")
    kernels = apt.kernel(_KERNELS.get(system, _KERNELS["debian"])) if kernel else []
    return [*(apt.resolve(packages) if packages else []), *kernels]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _assemble(root: Path, needs: Mapping[str, Need], present: Mapping[str, Path]) -> Tools:
    kernels = sorted((root / "boot").glob("vmlinuz-*"))
    if not kernels:
        raise ToolError("a guest kernel", f"no vmlinuz in {root}/boot", advice=f"remove {root} and start again")
    release = kernels[-1].name.removeprefix("vmlinuz-")
    modules = next(
        path for path in (root / "lib/modules" / release, root / "usr/lib/modules" / release) if path.exists()
    )
    env = environment(root)
    versions = {"linux": release}
    for name in ("ovs-vswitchd", "ovn-controller", "qemu-system-x86_64", "busybox", "dropbear"):
        if name in needs:
            program = present.get(name) or Path(str(shutil.which(name, path=env["PATH"])))
            text = version_text(needs[name], program, env)
            versions[name] = ".".join(map(str, number(text))) or "unknown"
    return Tools(env, root, versions, kernels[-1], modules)


def environment(root: Path) -> dict[str, str]:
    """The variables that make the programs of an unpacked root work, on top of the host's.

    Programs of the host may come from an unpacked root too, one of somebody else's: what it set stays behind ours."""
    cache = root.parent
    libraries = [str(path) for part in _ROOT_LIBRARIES if (path := root / part).is_dir()]
    env = {
        "PATH": _path_of(root),
        "LD_LIBRARY_PATH": ":".join([*libraries, *_foreign(cache, "LD_LIBRARY_PATH")]),
        roots.VARIABLE: str(root),
        "VIRTLAB_QEMU_DATA": ":".join(_foreign(cache, "VIRTLAB_QEMU_DATA")),
    }
    if (root / "usr/share/qemu").is_dir() and (root / "usr/bin/qemu-system-x86_64").exists():
        env["VIRTLAB_QEMU_DATA"] = f"{root}/usr/share/qemu:{root}/usr/share/seabios"
        env["QEMU_MODULE_DIR"] = f"{root}/usr/lib/x86_64-linux-gnu/qemu"
    for variable, part in (("OVS_PKGDATADIR", "openvswitch"), ("OVN_PKGDATADIR", "ovn")):
        if (root / "usr/share" / part).is_dir():
            env[variable] = f"{root}/usr/share/{part}"
        else:
            env[variable] = ":".join(_foreign(cache, variable)) or f"/usr/share/{part}"
    return env


def _path_of(root: Path) -> str:
    own = [str(root / part) for part in _ROOT_FOLDERS if (root / part).is_dir()]
    return ":".join([*own, search_path(root.parent)])


def search_path(cache: Path) -> str:
    """Where programs are that a lab finds beside those of its own root: the host's, then starters of extras."""
    return f"{_host_path(cache)}:{cache / EXTRAS}"


def _host_path(cache: Path) -> str:
    folders = _foreign(cache, "PATH")
    return ":".join([*folders, *(part for part in _SYSTEM_FOLDERS if part not in folders)])


def _foreign(cache: Path, variable: str) -> list[str]:
    """The folders of a variable that are none of this cache."""
    ours = {str(cache / EXTRAS), os.path.realpath(cache / EXTRAS)}
    parts = [part for part in os.environ.get(variable, "").split(":") if part and part not in ours]
    return [part for part in parts if not roots.within(cache, f"{part}/")]


def host_lib_folders() -> tuple[Path, ...]:
    names = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib")
    return tuple(Path(name) for name in names if Path(name).is_dir())


def _os_release() -> dict[str, str]:
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        return {}
    return {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in text.splitlines())}


def _release() -> str:
    return _os_release().get("PRETTY_NAME", "unknown release")


def _by_hand(needs: Sequence[Need]) -> str:
    return f"apt-get install {' '.join(sorted({need.package for need in needs}))}"


# --- the stamp -----------------------------------------------------------------------------------------------------


def facts(cache: Path, needs: Sequence[Need]) -> dict[str, Any]:
    """What the decision rested on, the unpacked files apart: this code's needs, the release, the programs on PATH."""
    host: dict[str, list[Any] | None] = {}
    for need in needs:
        path = shutil.which(need.program, path=_host_path(cache))
        status = Path(path).stat() if path else None
        host[need.program] = [path, status.st_mtime_ns, status.st_size] if status else None
    return {"format": _FORMAT, "needs": [repr(need) for need in needs], "release": _release(), "host": host}


def _write_stamp(stamp: Path, tools: Tools, decided: Mapping[str, Any]) -> None:
    root = tools.root
    assert root is not None
    record = {
        "facts": decided,
        "root": root.name,
        "versions": dict(tools.versions),
        "kernel": str(tools.kernel.relative_to(root)),
        "modules": str(tools.modules.relative_to(root)),
    }
    fresh = stamp.with_suffix(".tmp")
    fresh.write_text(json.dumps(record))
    fresh.replace(stamp)


def _still_true(stamp: Path, decided: Mapping[str, Any]) -> Tools | None:
    """The tools as the stamp has them, if every file it speaks of is as it was; else None, and they are found anew."""
    try:
        record = json.loads(stamp.read_text())
        root = stamp.parent / record["root"]
        if record["facts"] != decided or not roots.intact(root):
            return None
        found = Tools(environment(root), root, record["versions"], root / record["kernel"], root / record["modules"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    in_use(stamp)
    return found


def in_use(stamp: Path) -> None:
    """Keep a stamp, and so its root, from being swept as long out of use."""
    with contextlib.suppress(OSError):  # a cache that is only read is as good
        if stamp.stat().st_mtime < time.time() - _STAMP_TOUCH:
            stamp.touch()
