"""A command whose node goes out of reach while its standard input is sent: no traceback, and no exit status made up."""

from __future__ import annotations

import pytest
import websocket

from lab.access.stream import _Exec
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive


class Lost:
    """A websocket whose other end is gone."""

    subprotocol = "v5.channel.k8s.io"

    def send_binary(self, data: bytes) -> None:
        raise websocket.WebSocketConnectionClosedException("Connection to remote host was lost.")


def test_a_connection_that_is_lost_while_input_is_sent_proves_nothing() -> None:
    command = _Exec(Lost(), ("cat",), "pod demo/a", Deadline.after(5))
    with pytest.raises(Inconclusive) as found:
        command.run(b"x")
    assert "the stream ended without one (Connection to remote host was lost.)" in found.value.found
