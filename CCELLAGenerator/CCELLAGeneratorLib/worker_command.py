"""How the worker process is started in Slicer."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import slicer

from .client.command import ensure_core_on_path

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


def slicer_python() -> str:
    """Slicer's Python: `PythonSlicer` on the PATH, or in Slicer's folder; else the interpreter that runs this."""
    found = shutil.which("PythonSlicer")
    if found:
        return found
    beside_slicer = Path(slicer.app.slicerHome) / "bin" / ("PythonSlicer.exe" if os.name == "nt" else "PythonSlicer")
    return str(beside_slicer) if beside_slicer.is_file() else sys.executable
