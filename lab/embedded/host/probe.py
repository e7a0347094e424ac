"""What this host allows: user namespaces, tap devices, hardware virtualisation.  Found out by trying.

It must not change the host, and each refusal names its remedy.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.embedded.errors import HostForbids

TUN = Path("/dev/net/tun")
USERFAULTFD = Path("/proc/sys/vm/unprivileged_userfaultfd")
USERNS = "user namespaces for ordinary users"
REMEDIES = (
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
     "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
    ("/proc/sys/user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"),
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One line of `virtlab doctor`: what was looked at, whether it will do, what was seen, the remedy."""

    subject: str
    good: bool
    seen: str
    remedy: str = ""


def _try(argv: list[str]) -> tuple[bool, str]:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return False, str(problem)
    return done.returncode == 0, (done.stderr or done.stdout).strip()


def namespaces() -> Finding:
    """Whether this user can make all the namespaces a lab lives in."""
    flags = ["--mount", "--net", "--pid", "--uts", "--fork", "--mount-proc"]
    good, said = _try(["unshare", "--user", "--map-root-user", *flags, "true"])
    if good:
        return Finding(USERNS, True, "allowed")
    for file, bad, remedy in REMEDIES:
        if Path(file).is_file() and Path(file).read_text().strip() == bad:
            return Finding(USERNS, False, f"forbidden: {file} is {bad}", f"{remedy}   (or run virtlab as root)")
    remedy = "allow unprivileged user namespaces (see `man 7 user_namespaces`), or run virtlab as root"
    return Finding(USERNS, False, f"forbidden: {said or 'unshare failed'}", remedy)


def post_copy() -> Finding:
    """Whether QEMU in a user namespace, as which a lab runs it, may have userfaultfd; a lab does without."""
    # A kernel from before 5.2 has no such switch, and lets everybody.
    if not USERFAULTFD.is_file() or USERFAULTFD.read_text().strip() != "0":
        return Finding("post-copy", True, "allowed")
    allow = "sudo sysctl -w vm.unprivileged_userfaultfd=1"
    seen = f"migrations by post-copy are refused, and one scenario is skipped; `{allow}` allows them"
    return Finding("post-copy", True, seen)


def tun() -> Finding:
    """Whether tap devices can be made: Open vSwitch's bridges and the guests' NICs need them."""
    if not TUN.exists():
        return Finding("tap devices", False, f"{TUN} does not exist", "sudo modprobe tun")
    if not os.access(TUN, os.R_OK | os.W_OK):
        mode = oct(TUN.stat().st_mode & 0o777)
        return Finding("tap devices", False, f"{TUN} has mode {mode}: not for this user", f"sudo chmod 666 {TUN}")
    return Finding("tap devices", True, f"{TUN} can be opened")


def user_namespace_needed() -> bool:
    """True when the lab shall live in a user namespace of its own. Raises HostForbids."""
    for finding in (tun(), namespaces()):
        if finding.good or (finding.subject == USERNS and os.geteuid() == 0):
            continue
        raise HostForbids(f"wanted {finding.subject}", finding.seen, advice=finding.remedy)
    return namespaces().good
