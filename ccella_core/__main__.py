"""``python -m ccella_core`` is the ``ccella`` command."""

from ccella_core.cli import main

if __name__ == "__main__":
    main()
