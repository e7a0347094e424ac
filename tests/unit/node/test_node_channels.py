"""Framing of the remote command protocol."""

import pytest

from lab.embedded.node.channels import Input, decode, encode, exit_status, failure, resize_of


def test_input() -> None:
    assert decode(b"\x00abc", "v4.channel.k8s.io") == Input(0, b"abc")
    assert decode(b"\x04{}", "v4.channel.k8s.io") == Input(4, b"{}")
    assert decode(b"", "v5.channel.k8s.io") is None
    assert decode(b"\x01no", "v5.channel.k8s.io") is None


def test_close_is_v5_only() -> None:
    assert decode(b"\xff\x00", "v5.channel.k8s.io") == Input(0, closed=True)
    assert decode(b"\xff\x00", "v4.channel.k8s.io") is None
    assert decode(b"\xff", "v5.channel.k8s.io") is None


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b'{"Width":80,"Height":24}', (80, 24)),
        (b"{}", None),
        (b"x", None),
        (b'{"Width":0,"Height":1}', None),
        (b'{"Width":70000,"Height":1}', None),
        (b"[]", None),
    ],
)
def test_resize(data: bytes, size: tuple[int, int] | None) -> None:
    assert resize_of(data) == size


def test_status() -> None:
    assert exit_status(0, ["true"]) == {"metadata": {}, "status": "Success"}
    bad = exit_status(3, ["sh"])
    assert bad["reason"] == "NonZeroExitCode"
    assert bad["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert failure("x")["code"] == 500
    assert encode(1, b"out") == b"\x01out"
