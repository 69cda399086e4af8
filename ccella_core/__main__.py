"""``ccella``, which is ``python -m ccella_core`` too. Nothing here takes time before Ctrl-C is met."""

import os
import sys

STOPPED = 130
"""Exit code, as a shell gives it for Ctrl-C."""


def main() -> None:
    """The entry point of the ``ccella`` script."""
    try:
        import signal

        usual = signal.getsignal(signal.SIGINT)
        if usual is signal.default_int_handler:  # else whoever started this wants it ignored
            signal.signal(signal.SIGINT, _stop)
        from ccella_core.cli import main as run

        signal.signal(signal.SIGINT, usual)
        run()
    except KeyboardInterrupt:  # before a command begins, which says this itself
        sys.stderr.write("Stopped.\n")
        sys.exit(STOPPED)


def _stop(*_: object) -> None:
    """End at once: in the middle of an import a KeyboardInterrupt can be swallowed, or taken for another error."""
    os.write(2, b"Stopped.\n")
    os._exit(STOPPED)


if __name__ == "__main__":
    main()
