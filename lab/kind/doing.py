"""Carries steps out: one command after the other, and waits by watch; says what it does and what it waits for.

It decides nothing: what is done and in which order is in :mod:`lab.kind.steps`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from lab.access.client import Client
from lab.access.kinds import POD
from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken, UsageError
from lab.core.wait import Periodic, Seen, Signal, wait_until
from lab.kind.checks import held_up
from lab.kind.words import Answer, Command, Step, Wait, Word, Write

ASK_S = 60.0
LAST_LINES = 5
Say = Callable[[str], None]


def carry_out(steps: Sequence[Step], kubeconfig: Path, say: Say) -> None:
    """Raises EnvironmentBroken: a command failed (with its last words), a wait ended (with what was seen last)."""
    client: Client | None = None
    for number, step in enumerate(steps, 1):
        say(f"[{number}/{len(steps)}] {step.name}: {step.why}")
        for action in step.actions:
            if isinstance(action, Write):
                write(action)
            elif isinstance(action, Command):
                _run(action, step.name, say)
            else:
                client = client or Client.connect(kubeconfig)
                say(f"  {str(action).removeprefix('# ')}")
                wait(client, action)


def plan(steps: Sequence[Step]) -> list[str]:
    """The same as lines of a shell script; only the waits are none of its."""
    lines = []
    for number, step in enumerate(steps, 1):
        lines += ["", f"# {number}. {step.name}: {step.why}", *map(str, step.actions)]
    return lines[1:]


def write(action: Write) -> None:
    """One that is right stays what it is, since nodes may have it mounted. Raises UsageError: no place for it."""
    try:
        if action.path.is_file() and action.path.read_text(encoding="utf-8") == action.text:
            return
        action.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = action.path.with_name(f"{action.path.name}.new")
        fresh.write_text(action.text, encoding="utf-8")
        fresh.replace(action.path)
    except OSError as error:
        raise UsageError("a place for a file of the cluster", str(error), str(action.path)) from error


def _run(command: Command, step: str, say: Say) -> None:
    if command.unless and process.run(command.unless, deadline=Deadline.after(ASK_S)).ok:
        return
    argv = [_word(word, step) for word in command.argv]
    say(f"  $ {shlex.join(argv)}")
    result = process.run(argv, deadline=Deadline.after(command.seconds))
    if not result.ok:
        raise _broken(step, argv, result.exit_code, result.output)


def _word(word: Word, step: str) -> str:
    if not isinstance(word, Answer):
        return word
    result = process.run(word.argv, deadline=Deadline.after(ASK_S))
    if not result.ok or not result.stdout.strip():
        raise _broken(step, word.argv, result.exit_code, result.output)
    return f"{word.before}{result.stdout.strip()}{word.after}"


def _broken(step: str, argv: Sequence[str], code: int, said: str) -> EnvironmentBroken:
    last = [line.strip() for line in said.splitlines() if line.strip()][-LAST_LINES:]
    return EnvironmentBroken(
        f"step {step!r}: `{shlex.join(argv)}` to succeed",
        f"exit status {code}: {'; '.join(last) or 'it said nothing'}",
        "this machine",
        "correct the cause, then `virtlab kind up` again: it goes on where it stopped",
    )


def wait(client: Client, action: Wait) -> None:
    """Raises EnvironmentTimeout, or EnvironmentHopeless when a pod's image cannot be had."""
    deadline = Deadline.after(action.seconds)
    advice = f"kubectl describe, or `kubectl get pods -n {action.pods} -o wide`" if action.pods else ""

    def served() -> Seen[None]:
        return Seen(f"{action.kind.api_version} is not served", met=client.serves(action.kind))

    wait_until(
        action.subject,
        f"the API to serve {action.kind}",
        served,
        deadline=deadline,
        changes=Periodic(1.0, "discovery announces no change"),
        blame="environment",
    )
    signal = Signal()
    with ExitStack() as watches:
        watches.enter_context(client.watch(action.kind, action.name, action.namespace or None, signal=signal))
        if action.pods:
            watches.enter_context(client.watch(POD, namespace=action.pods, signal=signal))
        wait_until(
            action.subject,
            action.wanted,
            lambda: _observe(client, action),
            deadline=deadline,
            changes=signal,
            advice=advice,
            blame="environment",
        )


def _observe(client: Client, action: Wait) -> Seen[None]:
    objects = client.list(
        action.kind, action.namespace or None, fields=f"metadata.name={action.name}" if action.name else ""
    )
    seen = action.check([obj for obj in objects if not action.name or obj["metadata"]["name"] == action.name])
    if seen.met or not action.pods:
        return seen
    why, final = held_up(client.list(POD, action.pods))
    return Seen(f"{seen.text}; {why}" if why else seen.text, hopeless=final)
