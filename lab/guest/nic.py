"""A guest's own network card, changed from inside, as whoever has root there may do."""

from __future__ import annotations

from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive
from lab.guest.shell import Shell

# The NIC is found by the address it has: names differ from guest to guest. Both iproute2 and busybox read this.
CHANGE = """
for nic in /sys/class/net/*; do
  [ "$(cat $nic/address)" = "$1" ] && sudo -n ip link set "${nic##*/}" address "$2"
done
cat /sys/class/net/*/address
"""


def change_mac(shell: Shell, old: str, new: str, *, deadline: Deadline) -> None:
    """Give the NIC with the MAC address *old* the address *new*, and read it back.

    Raises Inconclusive when the guest does not have it then: nothing it sends would prove anything.
    """
    done = shell.run(["sh", "-c", CHANGE, "change-mac", old, new], deadline=deadline)
    if new not in done.stdout.split():
        raise Inconclusive(
            f"the MAC address {new} in place of {old}", str(done), shell.place, "the user needs sudo without password"
        )
