"""An initramfs archive as cpio itself reads it."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from lab.embedded.images import cpio


def names(data: bytes) -> list[tuple[str, int, int, bytes]]:
    """Name, mode, gid and content of each entry, read by the format's own rules."""
    found, at = [], 0
    while True:
        assert data[at : at + 6] == b"070701"
        field = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 110 + field[11] - 1].decode()
        start = (at + 110 + field[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found.append((name, field[1], field[3], data[start : start + field[6]]))
        at = (start + field[6] + 3) // 4 * 4


def test_folders_come_before_what_is_in_them_and_are_made_up() -> None:
    data = cpio.archive([cpio.file("usr/bin/sh", b"#!", 0o755), cpio.folder("usr", 0o700)])
    assert [(name, stat.S_IMODE(mode)) for name, mode, _, _ in names(data)] == [
        ("usr", 0o700),
        ("usr/bin", 0o755),
        ("usr/bin/sh", 0o755),
    ]


def test_devices_links_and_set_uid_files_need_no_root() -> None:
    data = cpio.archive(
        [
            cpio.character_device("console", 5, 1),
            cpio.link("sh", "/bin/busybox"),
            cpio.file("sudo", b"x", 0o4750, gid=990),
        ]
    )
    found = {name: (mode, gid, content) for name, mode, gid, content in names(data)}
    assert stat.S_ISCHR(found["console"][0])
    assert found["sh"][2] == b"/bin/busybox"
    assert found["sudo"] == (stat.S_IFREG | 0o4750, 990, b"x")


def test_equal_input_gives_equal_bytes_whatever_the_order() -> None:
    entries = [cpio.file("b", b"1"), cpio.file("a", b"22")]
    assert cpio.archive(entries) == cpio.archive(reversed(entries))


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a//b", "a/./b", ""])
def test_names_that_leave_the_root_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="relative"):
        cpio.archive([cpio.file(name, b"")])


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="once"):
        cpio.archive([cpio.file("a", b""), cpio.file("a", b"")])


@pytest.mark.skipif(not shutil.which("cpio"), reason="needs the cpio program")
def test_cpio_itself_reads_it(tmp_path: Path) -> None:
    data = cpio.archive([cpio.file("a/b", b"hello")])
    subprocess.run(["cpio", "-id", "--quiet"], input=data, cwd=tmp_path, check=True)
    assert (tmp_path / "a/b").read_bytes() == b"hello"
