"""Every error of the harness, drawn once, so that a verdict follows from a type and never from a text.

    LabError                      wanted, found, where, advice
     ├─ UsageError                the person asked for something that cannot be (no target, wrong key in a file)
     ├─ EnvironmentBroken         the surroundings cannot be judged: no product verdict
     │   ├─ ApiDown               the API server cannot be reached, or does not answer
     │   ├─ AccessDenied          the API answers and refuses us (credentials, RBAC)
     │   ├─ OperatorMissing       a kind or a component that a scenario needs is not installed
     │   ├─ GuestUnreachable      no shell in a guest, by any way tried
     │   ├─ ToolMissing           a program that should be there is not
     │   ├─ ProbeNotStarted       a probe never ran, so its silence says nothing
     │   └─ ClusterBusy           another run holds this cluster
     ├─ NeedUnmet                 a scenario that had to run (--require-all) needs what the cluster has not
     ├─ ProductFailure            the product is at fault: what the assertion of a step raises
     ├─ WaitTimeout               wanted state not reached in time: carries the last observation and the history
     │   └─ EnvironmentTimeout    (also EnvironmentBroken) the same while preparing, before the product is judged
     ├─ WaitHopeless              wanted state can no longer be reached
     │   └─ EnvironmentHopeless   (also EnvironmentBroken)
     ├─ CommandFailed             a command that had to succeed did not: carries the CommandResult
     └─ Inconclusive              seen, and it proves neither one thing nor the other; the only one worth a retry

This room holds no behaviour besides saying things well: it must not import anything of the harness but `result`.
"""

from __future__ import annotations

import unicodedata
from typing import ClassVar, Literal

from lab.core.result import MOST_OUTPUT, CommandResult

Verdict = Literal["failed", "broken", "inconclusive"]


def spelled_out(text: str) -> str:
    """The text with every control character but newline and tab spelled out: files and guests may say anything."""
    return "".join(c if c in "\n\t" or unicodedata.category(c)[0] != "C" else repr(c)[1:-1] for c in text)


class LabError(Exception):
    """What was wanted, what was found instead, where, and what to try. `found`, `where` and `advice` may be empty."""

    verdict: ClassVar[Verdict] = "broken"

    def __init__(self, wanted: str, found: str = "", where: str = "", advice: str = "") -> None:
        super().__init__(wanted, found, where, advice)
        self.wanted = wanted
        self.found = found
        self.where = where
        self.advice = advice

    def __str__(self) -> str:
        lines = [f"wanted: {self.wanted}"]
        lines += [f"{label}: {text}" for label, text in self._parts() if text]
        return spelled_out("\n".join(lines))

    def _parts(self) -> list[tuple[str, str]]:
        return [("found", self.found), ("where", self.where), ("try", self.advice)]

    @property
    def headline(self) -> str:
        """One line, for places where one line is all there is."""
        found = self.found.strip().splitlines()
        return spelled_out(f"wanted {self.wanted}; found {found[0]}" if found else f"wanted {self.wanted}")


class UsageError(LabError):
    """The request itself cannot be met; nothing was touched."""


class EnvironmentBroken(LabError):
    """The surroundings failed: there is no verdict on the product."""


class ApiDown(EnvironmentBroken):
    """The API server cannot be reached or does not answer."""


class AccessDenied(EnvironmentBroken):
    """The API server refuses our credentials or our rights."""


class OperatorMissing(EnvironmentBroken):
    """A kind or component is not installed on this cluster."""


class GuestUnreachable(EnvironmentBroken):
    """No shell in a guest, by any way that was tried."""


class ToolMissing(EnvironmentBroken):
    """A program is not where it should be (local, in a guest, or on an outside host)."""


class ProbeNotStarted(EnvironmentBroken):
    """A probe never ran: its silence is not loss."""


class ClusterBusy(EnvironmentBroken):
    """Another run holds this cluster."""


class NeedUnmet(LabError):
    """A scenario cannot run here, and the run was to have none such. The next one may well."""


class ProductFailure(LabError, AssertionError):
    """The product does not do what it should.

    Also an AssertionError, since Allure calls every other exception "broken".
    """

    verdict: ClassVar[Verdict] = "failed"


class GuestEnded(ProductFailure):
    """What the product did ended a guest: nobody need find out what became of it."""


class WaitTimeout(LabError):
    """A state was not reached in time.

    `last` is the last observation, `last_age` its age in seconds, `elapsed` the seconds waited and `history` every
    distinct observation as (seconds since the start, text), oldest first.
    """

    verdict: ClassVar[Verdict] = "failed"

    def __init__(
        self,
        subject: str,
        wanted: str,
        *,
        last: str,
        last_age: float = 0.0,
        elapsed: float,
        history: tuple[tuple[float, str], ...] = (),
        where: str = "",
        advice: str = "",
    ) -> None:
        super().__init__(wanted, last, where or subject, advice)
        self.subject = subject
        self.last = last
        self.last_age = last_age
        self.elapsed = elapsed
        self.history = history

    def __str__(self) -> str:
        lines = [
            f"{self.subject}: waited {self.elapsed:.1f} s",
            f"wanted: {self.wanted}",
            f"last seen: {self.last or 'nothing at all'} (since {self.last_age:.1f} s)",
        ]
        if len(self.history) > 1:
            lines.append("before: " + " -> ".join(f"{text} ({at:.1f} s)" for at, text in self.history[-6:-1]))
        if self.where != self.subject:
            lines.append(f"where: {self.where}")
        if self.advice:
            lines.append(f"try: {self.advice}")
        return "\n".join(lines)


class EnvironmentTimeout(WaitTimeout, EnvironmentBroken):
    """A wait of the preparation timed out: the product was not judged."""

    verdict: ClassVar[Verdict] = "broken"


class WaitHopeless(LabError):
    """A wait ended early since the wanted state cannot be reached any more; `reason` says why."""

    verdict: ClassVar[Verdict] = "failed"

    def __init__(
        self,
        subject: str,
        wanted: str,
        *,
        reason: str,
        last: str,
        elapsed: float,
        history: tuple[tuple[float, str], ...] = (),
        advice: str = "",
    ) -> None:
        super().__init__(wanted, last, subject, advice)
        self.subject = subject
        self.reason = reason
        self.last = last
        self.elapsed = elapsed
        self.history = history

    def __str__(self) -> str:
        lines = [
            f"{self.subject}: gave up after {self.elapsed:.1f} s, it cannot get there any more: {self.reason}",
            f"wanted: {self.wanted}",
            f"last seen: {self.last or 'nothing at all'}",
        ]
        return "\n".join([*lines, f"try: {self.advice}"] if self.advice else lines)


class EnvironmentHopeless(WaitHopeless, EnvironmentBroken):
    """A wait of the preparation became hopeless: the product was not judged."""

    verdict: ClassVar[Verdict] = "broken"


class CommandFailed(LabError):
    """A command that had to succeed did not; `result` has argv, place, exit status and both streams."""

    def __init__(self, result: CommandResult, *, wanted: str = "", advice: str = "") -> None:
        super().__init__(wanted or "the command to succeed", str(result), result.place, advice)
        self.result = result

    def __str__(self) -> str:
        lines = [f"wanted: {self.wanted}", f"found:\n{self.found}"]
        return "\n".join([*lines, f"try: {self.advice}"] if self.advice else lines)


class Inconclusive(LabError):
    """Something was seen that proves nothing; only this is worth a retry."""

    verdict: ClassVar[Verdict] = "inconclusive"


class EndlessOutput(Inconclusive):
    """A command in a guest or pod, on an outside host or here, printed more than is read of one."""

    def __init__(self, program: str, place: str, stream: bytes | bytearray, most: int = MOST_OUTPUT) -> None:
        limit = f"{most >> 20} MiB" if most >> 20 else f"{most >> 10} KiB"
        super().__init__(
            f"the output of {program!r} to end",
            f"more than {limit} of it; the last: {bytes(stream[-100:])!r}",
            place,
            "look at what runs there",
        )


def verdict_of(error: BaseException) -> Verdict:
    """The verdict that an error stands for.

    A LabError says it by type; a plain AssertionError is a judgement on the product; anything else is a fault of the
    harness or its surroundings and says nothing about the product.
    """
    if isinstance(error, LabError):
        return error.verdict
    return "failed" if isinstance(error, AssertionError) else "broken"


def foremost(error: BaseException) -> BaseException:
    """Of several errors of ours that the end of a scenario and of its feature raised at once, the one to tell."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    found = [foremost(one) for one in error.exceptions]
    if not all(isinstance(one, LabError) for one in found):
        return error
    return next((one for one in found if isinstance(one, EnvironmentBroken)), found[0])
