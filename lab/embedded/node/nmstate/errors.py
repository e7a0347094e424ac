"""What nmstate itself would say when it refuses or fails.

The texts are nmstate's own (rust/src/lib/error.rs and the places that raise): a client that reads an
enactment's message must not be able to tell.  This room must not know how a state is applied.
"""

from __future__ import annotations

INVALID = "InvalidArgument"
VERIFICATION = "VerificationError"
NOT_SUPPORTED = "NotSupportedError"
PLUGIN = "PluginFailure"
BUG = "Bug"


class ApplyError(Exception):
    """A desired state that was not put in place; ``str`` is the message an enactment carries."""


class NmstateError(ApplyError):
    """``NmstateError: <kind>: <text>``, as nmstatectl prints it on standard error."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind, self.text = kind, text
        super().__init__(f"NmstateError: {kind}: {text}")


class MalformedState(ApplyError):
    """A document that is no network state at all: nmstatectl says so without an error kind (rust/src/cli/apply.rs)."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f"Provide file is not valid NetworkState or NetworkPolicy: {text}")


class ProbesFailed(ApplyError):
    """The configuration took, but cost the node something that worked before (pkg/client/client.go, rollback)."""


def invalid(text: str) -> NmstateError:
    return NmstateError(INVALID, text)


def unsupported(text: str) -> NmstateError:
    return NmstateError(NOT_SUPPORTED, text)
