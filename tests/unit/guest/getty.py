"""login(1) for a test: asks, checks, starts the shell, and asks again when it ends."""

import contextlib
import os
import signal
import subprocess
import sys
import termios


def ask(prompt: str, echo: bool) -> str:
    sys.stdout.write(prompt)
    sys.stdout.flush()
    attributes = termios.tcgetattr(0)
    if not echo:
        silent = termios.tcgetattr(0)
        silent[3] &= ~termios.ECHO
        termios.tcsetattr(0, termios.TCSADRAIN, silent)
    try:
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(0, 1)
            if not byte:
                sys.exit(0)
            line += byte
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, attributes)
    return line.decode("utf-8", "replace").strip()


def main() -> None:
    user, password, banner, *shell = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.write(banner)
    while True:
        name = ask("\nguest login: ", True)
        if not name:
            continue
        given = ask("Password: ", False)
        if (name, given) != (user, password):
            sys.stdout.write("\nLogin incorrect\n")
            continue
        sys.stdout.write("\nLast login: never\n")
        sys.stdout.flush()
        with contextlib.suppress(OSError):
            subprocess.run(
                shell, check=False, restore_signals=True, preexec_fn=lambda: signal.signal(2, signal.SIG_DFL)
            )


main()
