"""What the tools share that run a recipe on digital prostates: commands of ``ccella`` in a folder, and the patients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def ccella(work: Path, *arguments: str) -> None:
    """Run one command in the folder ``work``, and end where it fails."""
    print("ccella", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "ccella_core", *arguments], cwd=work, check=True)


def draw_patients(work: Path, split: str, patients: range) -> None:
    """Draw these seeds into ``work/phantoms`` and list them in its manifest, unless that was done before."""
    drawn = work / "phantoms" / f"{split}-{len(patients)}.drawn"
    if drawn.exists():
        return
    ccella(work, "phantom", "--seed", str(patients.start), "--count", str(len(patients)), "--sequence", "t2w",
           "--out", "phantoms", "--manifest", split, "--wordings", "2", "--jobs", "0", "--overwrite")  # fmt: skip
    drawn.touch()
