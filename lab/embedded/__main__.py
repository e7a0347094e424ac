"""``python -m lab.embedded``: the embedded lab is a program of its own."""

from lab.embedded.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
