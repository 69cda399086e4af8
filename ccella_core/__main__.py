"""``ccella``, which is ``python -m ccella_core`` too. Ctrl-C is met while Python still imports."""

import signal
import sys


def main() -> None:
    """The entry point of the ``ccella`` script."""
    try:
        from ccella_core.cli import main as run

        run()
    except KeyboardInterrupt:  # before a command begins, which says this itself
        sys.stderr.write("Stopped.\n")
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
