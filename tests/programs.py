"""Programs that only tests need, from where the lab's tools come from: the host, else packages unpacked into the cache.

So whether a test runs does not depend on what happens to be installed. What cannot be had skips with that reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from lab.embedded.errors import LabError
from lab.embedded.host import extras
from lab.embedded.host.tools import environment
from lab.embedded.lifecycle.layout import cache_dir

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FONTS = """<?xml version="1.0"?>
<fontconfig><dir>/usr/share/fonts</dir><dir>{root}/usr/share/fonts</dir><cachedir>{cache}</cachedir></fontconfig>
"""


@dataclass(frozen=True)
class Program:
    """A program and the environment it needs."""

    path: Path
    env: Mapping[str, str] = field(repr=False)


def chromium() -> Program:
    """A browser. One whose file is a mere starter of an unpacked root would look for itself under /usr."""
    if found := next((path for name in BROWSERS if (path := shutil.which(name))), None):
        return Program(Path(found), dict(os.environ))
    root = _unpacked("chromium", "fonts-dejavu-core")
    return Program(_file(root, "usr/lib/chromium/chromium", "chromium"), _with_fonts(root))


def postgresql() -> Program:
    """PostgreSQL's ``initdb``; ``pg_ctl`` and the server lie beside it."""
    installed = next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None) or shutil.which("initdb")
    if installed:
        return Program(Path(os.path.realpath(installed)), dict(os.environ))
    root = _unpacked("postgresql")
    found = _file(root, "usr/lib/postgresql/*/bin/initdb", "initdb")
    return Program(found, {**os.environ, **environment(root)})


def s3_server() -> Program:
    """moto's S3 server; the Python beside it has boto3.

    It has an environment of its own in the cache: its libraries and those of the harness do not agree."""
    lock = Path(__file__).parents[1] / ".ci" / "s3server.lock"
    home = cache_dir() / f"s3server-{sha256(lock.read_bytes()).hexdigest()[:12]}"
    server = home / "bin" / "moto_server"
    if not (home / "whole").exists():
        print(f"an S3 server for tests into {home}", file=sys.stderr)
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(home)], check=False)
        # The installer of the environment that runs the tests will do.
        pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet",
               "--disable-pip-version-check", "--require-hashes", "-r", str(lock)]  # fmt: skip
        done = made.returncode or subprocess.run(pip, check=False, timeout=600).returncode
        if done:
            pytest.skip("no S3 server: its packages are not to be had")
        (home / "whole").touch()
    return Program(server, dict(os.environ))


def sshd() -> Program:
    """OpenSSH's server; it wants to be called by its whole path."""
    if found := shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        return Program(Path(found), dict(os.environ))
    root = _unpacked("openssh-server")
    return Program(_file(root, "usr/sbin/sshd", "sshd"), {**os.environ, **environment(root)})


def as_somebody() -> list[str]:
    """What goes before a program that refuses to be root: a user namespace in which root is somebody else.

    Unlike another user of the host it reaches all that root does, also what was unpacked in root's home."""
    return ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"] if os.geteuid() == 0 else []


def _unpacked(*packages: str) -> Path:
    try:
        return extras.unpacked(cache_dir(), packages, progress=lambda line: print(line, file=sys.stderr))
    except LabError as error:
        pytest.skip(f"{packages[0]} is neither on this host nor to be had: {error}")


def _file(root: Path, pattern: str, name: str) -> Path:
    found = next(iter(sorted(root.glob(pattern))), None)
    if found is None:
        pytest.skip(f"the package of this distribution has no {name} of its own ({pattern})")
    return found


def _with_fonts(root: Path) -> dict[str, str]:
    """The fonts beside those of the host: a page without any has no text."""
    cache = root.parent / "fonts"
    cache.mkdir(exist_ok=True)
    file = cache / f"{root.name}.conf"
    file.write_text(FONTS.format(root=escape(str(root)), cache=escape(str(cache))))
    libraries = f"{root}/usr/lib/chromium:{environment(root)['LD_LIBRARY_PATH']}"
    return {**os.environ, "LD_LIBRARY_PATH": libraries, "FONTCONFIG_FILE": str(file)}
