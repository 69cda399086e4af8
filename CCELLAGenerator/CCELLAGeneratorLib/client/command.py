"""Finds the library `ccella_core`, which is delivered with this module."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from slicer.i18n import tr as _

MODULE_FOLDER = Path(__file__).resolve().parent.parent


def core_folder() -> Path:
    """The folder that holds `ccella_core`: the module's own where it is installed, the one above in the source tree.

    Raises FileNotFoundError where neither holds it.
    """
    for folder in (MODULE_FOLDER, MODULE_FOLDER.parent):
        if (folder / "ccella_core" / "__init__.py").is_file():
            return folder
    raise FileNotFoundError(
        _("The library ccella_core is neither in {folder} nor in {parent}; install the extension again.").format(
            folder=MODULE_FOLDER, parent=MODULE_FOLDER.parent
        )
    )


def ensure_core_on_path() -> Path:
    """Make `import ccella_core` find the library that was delivered with this module; returns the folder.

    The folder goes to the front, because another release of the library may be installed in Slicer's Python, and
    client and worker must be of the same.
    """
    folder = core_folder()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return folder


def worker_protocol() -> ModuleType:
    """`ccella_core.worker.protocol`: the words that worker and client share."""
    ensure_core_on_path()
    from ccella_core.worker import protocol

    return protocol
