"""A change of the node's own connection that nobody can lock himself out with: the node takes it back by itself.

Whoever types ``nmcli con down`` over that connection never gets to type ``nmcli con up``. So the commands run on the
node as one detached sequence, which then waits for a word and, without it, goes back. The word is given only over the
new connection, so that a node that cannot be reached is one that has had no word.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence

from lab.core.deadline import Deadline
from lab.core.errors import ApiDown, CommandFailed, LabError
from lab.core.names import unique
from lab.core.numerals import whole
from lab.core.wait import Periodic, Seen, wait_until
from lab.guest.shell import Shell
from lab.netmanager.documented import Argv

SWITCHING, KEPT, RETURNING, RETURNED, LOST = "switching", "kept", "returning", "returned", "lost"
FOLDERS = "/run/virtlab-nmcli"
"""What the folders of all changes begin with."""
LOOK_S = 2.0
"""A node that was just cut off gives no answer, and must be looked at again before it is back."""
REVIVE_S = 30.0
GONE_S = 60.0
"""So long an API server may be away that is on the very node."""
SILENT = "a node without network announces nothing"
LISTED_S = 20.0
HOLD_S = 300
"""A change that was kept is taken back after so long when nobody does it: whoever started it may be dead."""

# $1 folder; $2 seconds to wait for the word, 0: go back at once; $3 seconds to hold what was kept.
SCRIPT = r"""
cd "$1" || exit 1
say() { echo "$(date +%s) $*" >>log; }
state() { say "$1"; echo "$1" >state.new; mv state.new state; }
word() {
    end=$(($(date +%s) + $2))
    until [ -e "$1" ]; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.2
    done
}
echo $$ >pid
if [ "$2" -gt 0 ]; then
    state switching
    # The answer to whoever started this has to get out.
    sleep 0.5
    sh -x ./forward >>log 2>&1 &
    forward=$!
    if word keep "$2"; then
        state kept
        word return "$3" || say "nobody took it back within $3 s"
    else
        say "no word within $2 s"
    fi
    kill "$forward" 2>/dev/null
fi
state returning
sh -x ./back >>log 2>&1
tries=0
until sh -x ./up >>log 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 720 ] || { state lost; exit 1; }
    sleep 5
done
state returned
"""
# Behind systemd a unit of its own outlives the pod; elsewhere a session of its own does.
START = r"""
if [ -d /run/systemd/system ]; then
    exec systemd-run --quiet --collect --unit="${1##*/}" sh "$1/script" "$1" "$2" "$3"
fi
setsid sh "$1/script" "$1" "$2" "$3" </dev/null >/dev/null 2>&1 &
"""
# By its command line: the number may be somebody else's by now.
ALIVE = r"""
case "$(tr '\0' ' ' <"/proc/$(cat "$1/pid")/cmdline")" in
*"$1/script"*) exit 0 ;;
*) exit 1 ;;
esac
"""


def going_back(bridge: str, slave: str, wired: str) -> tuple[tuple[Argv, ...], Argv]:
    """The commands that take the bridge away, and the one that must succeed in the end."""
    away = (
        ("nmcli", "con", "mod", wired, "connection.autoconnect", "yes"),
        ("nmcli", "con", "down", bridge),
        ("nmcli", "con", "delete", bridge),
        ("nmcli", "con", "delete", slave),
    )
    return away, ("nmcli", "con", "up", wired)


class SwitchOver:
    """One such change; its files are in ``folder`` on the node. Raises as Shell.run, CommandFailed."""

    def __init__(self, shell: Shell, folder: str) -> None:
        self._shell = shell
        self.folder = folder

    def install(self, forward: Sequence[Argv], back: Sequence[Argv], up: Argv, deadline: Deadline) -> None:
        """Put everything on the node that it needs to go there and back alone."""
        put = 'mkdir -m 700 -p "$1" && cd "$1" && printf %s "$2" >script && printf %s "$3" >forward'
        put += ' && printf %s "$4" >back && printf %s "$5" >up'
        self._sh(put, deadline, SCRIPT, _lines(forward), _lines(back), _lines([up]))

    def start(self, patience_s: int, deadline: Deadline) -> None:
        """Let it run on the node by itself; 0 goes back at once."""
        self._sh(START, deadline, str(patience_s), str(HOLD_S))

    def keep(self, deadline: Deadline) -> None:
        """The word."""
        self._sh(': >"$1/keep"', deadline)

    def take_back(self, deadline: Deadline) -> None:
        """Have what was kept taken back; when the sequence is no more on the node, it is started for that alone."""
        self._sh(': >"$1/return"; : >"$1/keep"', deadline)
        alive = self._shell.run(["sh", "-c", ALIVE, "sh", self.folder], deadline=deadline)
        if not alive.ok and self.state(deadline) != RETURNED:
            self.start(0, deadline)

    def state(self, deadline: Deadline) -> str:
        """Where it is; empty before it runs."""
        return self._shell.run(["cat", f"{self.folder}/state"], deadline=deadline).stdout.strip()

    def log(self, deadline: Deadline) -> str:
        """Each command and what it said, with the node's seconds at each state."""
        return self._shell.run(["cat", f"{self.folder}/log"], deadline=deadline).stdout

    def remove(self, deadline: Deadline) -> None:
        """Forget its files."""
        self._shell.run(["rm", "-rf", self.folder], deadline=deadline)

    def _sh(self, script: str, deadline: Deadline, *words: str) -> None:
        result = self._shell.run(["sh", "-c", script, "sh", self.folder, *words], deadline=deadline)
        if not result.ok:
            raise CommandFailed(result, wanted=f"the switch-over prepared on {self._shell.place}")


def _lines(commands: Sequence[Argv]) -> str:
    return "".join(f"{shlex.join(argv)}\n" for argv in commands)


def fresh_folder() -> str:
    """For the files of a new change."""
    return f"/run/{unique(FOLDERS.rpartition('/')[2])}"


def see_back(
    change: SwitchOver,
    node: str,
    what: str,
    *,
    deadline: Deadline,
    advice: str,
    revive: Callable[[Deadline], None] = lambda _: None,
) -> None:
    """Have a change taken back and wait until it is, over the very network that comes and goes.

    *revive* is called while there is no answer: the shell may have ended for good. Raises EnvironmentTimeout, and
    EnvironmentHopeless when that does not reach the API server either.
    """
    asked, answered = False, time.monotonic()

    def look() -> Seen[None]:
        nonlocal asked, answered
        try:
            if not asked:
                revive(deadline.sub(REVIVE_S))
                answered = time.monotonic()
                change.take_back(Deadline.after(LOOK_S))
                asked = True
            state = change.state(Deadline.after(LOOK_S))
        except LabError as error:
            # Not only the network may have gone, but the node with the sequence that was asked.
            asked = False
            gone = isinstance(error, ApiDown) and time.monotonic() - answered > GONE_S
            silent = f"for {GONE_S:.0f} s there was no API server to ask by" if gone else ""
            return Seen(f"no shell there: {error.headline}", hopeless=silent)
        return Seen(f"it is {state}", state == RETURNED)

    wait_until(node, what, look, deadline=deadline, changes=Periodic(0.3, SILENT), blame="environment", advice=advice)


def abandoned(shell: Shell, node: str, deadline: Deadline) -> bool:
    """Take back every change that nobody will any more, finished or not; whether there was one.

    Raises EnvironmentTimeout for one that does not come back.
    """
    listed = shell.run(["sh", "-c", f"ls -d {FOLDERS}-* 2>/dev/null"], deadline=deadline.sub(LISTED_S))
    folders = [line for line in listed.stdout.splitlines() if line.startswith(FOLDERS)]
    for folder in folders:
        change = SwitchOver(shell, folder)
        # Without the command that brings the old connection up the folder was never finished, and nothing was begun.
        if shell.run(["test", "-s", f"{folder}/up"], deadline=deadline.sub(LISTED_S)).ok:
            see_back(
                change,
                node,
                "back as it was before it was changed by hand",
                deadline=deadline,
                advice=f"on its console: sh {folder}/back; sh {folder}/up",
            )
        change.remove(deadline.sub(LISTED_S))
    return bool(folders)


def seconds_between(log: str, first: str, last: str) -> int | None:
    """Seconds by the node's clock between two states; None unless both are in the log."""
    stamps = {}
    for line in log.splitlines():
        stamp, _, text = line.partition(" ")
        if (second := whole(stamp)) is not None:
            stamps[text] = second
    return stamps[last] - stamps[first] if first in stamps and last in stamps else None
