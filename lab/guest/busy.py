"""A guest that keeps writing to its memory, and checks what it wrote: a load under which a migration can lose some.

Two patterns are copied in turn to the same place and compared there, over and over, so that each page of it changes
all the time and a write that got lost is seen. Lines of shell only; what is written to lies in memory (tmpfs).
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ToolMissing
from lab.core.numerals import whole
from lab.guest.shell import Shell

# $1: MiB. Prints the folder. The load goes on without the session that began it.
START = """
command -v cmp >/dev/null || exit 3
for dir in /dev/shm /run/shm /tmp; do [ -d $dir ] && [ -w $dir ] && break; done
dir=$dir/virtlab-busy.$$; mkdir $dir && cd $dir || exit 4
for pattern in a b; do dd if=/dev/urandom of=$pattern bs=1048576 count="$1" 2>/dev/null || exit 4; done
# The room is taken before the load needs it: one that ends for want of it has none for its last words either.
cp a written || { cd / && rm -r $dir; exit 4; }
cat >load <<'END'
round=0
while cp a written && cmp a written && cp b written && cmp b written; do
  round=$((round + 1)); echo $round >round
done >differs 2>&1
echo over >over
END
setsid sh load >/dev/null 2>&1 </dev/null &
echo $dir
"""
# $1: the folder. Waits for one round that began after the question; prints rounds before and after, and what differs.
LOOK = """
cd "$1" || exit 4
before=$(cat round 2>/dev/null || echo 0); tries=0
while [ ! -e over ] && [ $(($(cat round 2>/dev/null || echo 0) - before)) -lt 2 ] && [ $tries -lt 150 ]; do
  tries=$((tries + 1)); sleep 0.2 2>/dev/null || sleep 1
done
echo "$before $(cat round 2>/dev/null || echo 0)"; cat differs
[ ! -e over ] || [ -s differs ] || echo "the load ended without a word"
"""


@dataclass(frozen=True)
class Written:
    """`before` and `after` count rounds when it was looked and some time later; `differs` is what cmp found, if any."""

    before: int
    after: int
    differs: str


def start(shell: Shell, mib: int, *, deadline: Deadline) -> str:
    """Begin the load over so many MiB (it needs three times as much memory); where it is.

    Raises ToolMissing (no cmp), Inconclusive (no place to write to).
    """
    done = shell.run(["sh", "-c", START, "busy", str(mib)], deadline=deadline)
    if done.exit_code == 3:
        raise ToolMissing("cmp, to compare what was written", "this guest has none", shell.place, "install diffutils")
    if not done.ok or not done.stdout.strip():
        raise Inconclusive(f"{mib} MiB of memory to write to", str(done), shell.place)
    return done.stdout.strip()


def look(shell: Shell, folder: str, *, deadline: Deadline) -> Written:
    """What the load says of itself now, waiting up to 30 s for two more rounds. Raises Inconclusive."""
    done = shell.run(["sh", "-c", LOOK, "busy", folder], deadline=deadline)
    first, _, differs = done.stdout.partition("\n")
    numbers = [number for number in map(whole, first.split()) if number is not None]
    if not done.ok or len(numbers) != 2:
        raise Inconclusive("rounds of the load", str(done), shell.place)
    return Written(numbers[0], numbers[1], differs.strip())
