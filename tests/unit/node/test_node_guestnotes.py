"""What the guest says it could not do, as the host fetches it: once complete, cut, and never believed."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agentdouble import play

from lab.embedded.node import guestnotes
from lab.embedded.node.guestagent import GuestAgent

NO_FILE = b'{"error": {"class": "GenericError", "desc": "failed to open file"}}\n'


def holding(data: bytes, asked: list[str]) -> Callable[[dict[str, Any]], bytes]:
    """An agent in whose guest the file has this content."""

    def answer(message: dict[str, Any]) -> bytes:
        asked.append(message["execute"])
        if message["execute"] == "guest-file-open":
            assert message["arguments"] == {"path": "/run/virtlab/cloud-init-said", "mode": "r"}
            return b'{"return": 7}\n'
        assert message["arguments"]["handle"] == 7
        if message["execute"] == "guest-file-read":
            found = {"count": len(data), "buf-b64": base64.b64encode(data).decode(), "eof": True}
            return json.dumps({"return": found}).encode() + b"\n"
        return b'{"return": {}}\n'

    return answer


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"not supported here: packages (httpd)\nruncmd ended with status 127\n",
         ["not supported here: packages (httpd)", "runcmd ended with status 127"]),
        (b"", []),
        (b"a\x1b[2Jb\xff\n", ["a?[2Jb\ufffd"]),
        (b"x" * 9999, ["x" * 200]),
        (b"l\n" * 15, [*["l"] * 12, "and 3 more, see the console"]),
    ],
)  # fmt: skip
def test_the_words_and_what_is_cut(data: bytes, said: list[str], tmp_path: Path) -> None:
    asked: list[str] = []

    async def body(agent: GuestAgent) -> None:
        assert await guestnotes.fetch(agent) == said

    play(tmp_path, holding(data, asked), body)
    assert asked == ["guest-file-open", "guest-file-read", "guest-file-close"]


def test_there_is_nothing_until_everything_was_tried(tmp_path: Path) -> None:
    async def body(agent: GuestAgent) -> None:
        assert await guestnotes.fetch(agent) is None

    play(tmp_path, lambda _message: NO_FILE, body)


@pytest.mark.parametrize("answer", [None, [], {"buf-b64": 5}, {"buf-b64": "not base64!"}])
def test_answers_of_another_shape_are_no_words(answer: Any) -> None:
    assert guestnotes.lines(answer) == []
