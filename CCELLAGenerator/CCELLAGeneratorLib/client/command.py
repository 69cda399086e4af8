"""Finds the library `ccella_core`, which is delivered with this module."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import slicer
from slicer.i18n import tr as _

MODULE_FOLDER = Path(__file__).resolve().parent.parent.parent


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
    """`ccella_core.client.protocol`: the words that worker and client share."""
    ensure_core_on_path()
    from ccella_core.client import protocol

    return protocol


def shared_limits() -> ModuleType:
    """`ccella_core.limits`: the limits that worker and client share."""
    ensure_core_on_path()
    from ccella_core import limits

    return limits


def shared_files() -> ModuleType:
    """`ccella_core.files`: names for what is unfinished, and how it is swept."""
    ensure_core_on_path()
    from ccella_core import files

    return files


def shared_ssh() -> ModuleType:
    """`ccella_core.client.ssh`: how a worker on another computer is started, and what its failures mean."""
    ensure_core_on_path()
    from ccella_core.client import ssh

    return ssh


def shared_consent() -> ModuleType:
    """`ccella_core.client.consent`: what leaves this computer, and to which of it the user has agreed."""
    ensure_core_on_path()
    from ccella_core.client import consent

    return consent


def shared_transfer() -> ModuleType:
    """`ccella_core.client.transfer`: files that come through the pipe."""
    ensure_core_on_path()
    from ccella_core.client import transfer

    return transfer


OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
"""Nothing is ever fetched by the way, or asked for on the network."""
ONLINE = dict.fromkeys(OFFLINE, "0")
"""Lifts it, for what the user has asked to be downloaded."""


def default_command() -> tuple[list[str], dict[str, str]]:
    """Command and environment of the worker in Slicer's own Python; it is kept off the network."""
    others = os.environ.get("PYTHONPATH")
    core = str(ensure_core_on_path())
    environment = {
        "PYTHONPATH": f"{core}{os.pathsep}{others}" if others else core,
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUTF8": "1",
        **OFFLINE,
    }
    return [slicer_python(), "-m", "ccella_core.worker"], environment


def host_command(host: str, *, online: bool = False) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a worker on another computer, by the user's own SSH."""
    return shared_ssh().ssh_command(host, online=online), {}


def slicer_python() -> str:
    """Slicer's Python: `PythonSlicer` on the PATH, or in Slicer's folder; else the interpreter that runs this."""
    found = shutil.which("PythonSlicer")
    if found:
        return found
    beside_slicer = Path(slicer.app.slicerHome) / "bin" / ("PythonSlicer.exe" if os.name == "nt" else "PythonSlicer")
    return str(beside_slicer) if beside_slicer.is_file() else sys.executable
