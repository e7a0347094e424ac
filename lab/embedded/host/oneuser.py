"""Programs that give up root by becoming another user, where there is no other: a user namespace with one user mapped.

There setgroups(2) is forbidden (user_namespaces(7)), so that tcpdump, which must change its groups before it looks at a
packet, ends at once; `-Z root` does not spare it that call. A starter of the program's name runs the real one under
a seccomp filter in which setgroups does nothing and says it went well. Nothing else of the program is changed, and no
right is won by it: the kernel still asks the one user that there is.

This file is also that starter's program: it runs alone, without the package, and imports the standard library only.
"""

import ctypes
import os
import shlex
import shutil
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

PROGRAMS = {"tcpdump": ("-Z", "root")}
"""Name -> words before the caller's own, which win over them."""
STARTER = """\
#!/bin/sh
exec {python} -I -S {file} {program} {words} "$@"
"""
# linux/prctl.h, linux/seccomp.h, linux/audit.h, and the number of setgroups(2) on x86-64.
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
AUDIT_ARCH_X86_64, NR_SETGROUPS = 0xC000003E, 116
RETURN_SUCCESS, ALLOW = 0x00050000, 0x7FFF0000
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06


def starters(folder: Path, path: str) -> str:
    """Write a starter for each program found on *path* into *folder*; the path with that folder in front."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, words in PROGRAMS.items():
        # A lab that is started from within a lab's environment must not start a starter.
        parts = [part for part in path.split(":") if part and not _is_starter(Path(part) / name)]
        if program := shutil.which(name, path=":".join(parts)):
            quoted = {"python": sys.executable, "file": str(Path(__file__).resolve()), "program": program}
            text = STARTER.format(words=shlex.join(words), **{key: shlex.quote(value) for key, value in quoted.items()})
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
    return f"{folder}:{path}"


def _is_starter(file: Path) -> bool:
    try:
        return Path(__file__).name.encode() in file.read_bytes()[:4096].splitlines()[1]
    except (OSError, IndexError):
        return False


def program() -> bytes:
    """The filter, as struct sock_filter entries: setgroups of this architecture returns 0, all else passes."""
    rows = (
        (LOAD, 0, 0, 4),
        (JUMP_EQUAL, 0, 3, AUDIT_ARCH_X86_64),
        (LOAD, 0, 0, 0),
        (JUMP_EQUAL, 0, 1, NR_SETGROUPS),
        (RETURN, 0, 0, RETURN_SUCCESS),
        (RETURN, 0, 0, ALLOW),
    )
    return b"".join(struct.pack("HBBI", *row) for row in rows)


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("rows", ctypes.c_void_p))


def main(argv: Sequence[str]) -> None:
    """Become the program. Where the kernel has no seccomp it runs as it is, and says itself what it lacks."""
    libc, rows = ctypes.CDLL(None, use_errno=True), program()
    buffer = ctypes.create_string_buffer(rows, len(rows))
    found = _Filter(len(rows) // 8, ctypes.addressof(buffer))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(found), 0, 0)
    os.execv(argv[0], list(argv))  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
