"""What the tools share that run a recipe on digital prostates: commands of ``ccella`` in a folder, and the patients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def ccella(work: Path, *arguments: str) -> None:
    """Run one command in the folder ``work``, and end where it fails."""
    print("ccella", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "ccella_core", *arguments], cwd=work, check=True)


def draw_patients(
    work: Path,
    split: str,
    patients: range,
    *,
    out: str = "phantoms",
    sequence: str = "t2w",
    grid: tuple[str, ...] = (),
) -> None:
    """Draw these seeds into a folder of ``work`` and list them in its manifest, unless that was done before.

    Args:
        work: the working folder.
        split: of the patients.
        patients: their seeds.
        out: the folder in ``work``.
        sequence: as ``ccella phantom`` takes it.
        grid: ``--shape`` and ``--spacing`` with their numbers, where it is not the digital prostate's own.
    """
    drawn = work / out / f"{split}-{len(patients)}.drawn"
    if drawn.exists():
        return
    ccella(work, "phantom", "--seed", str(patients.start), "--count", str(len(patients)), "--sequence", sequence,
           "--out", out, "--manifest", split, "--wordings", "2", "--jobs", "0", "--overwrite", *grid)  # fmt: skip
    drawn.touch()
