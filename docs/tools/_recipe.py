"""What the tools share that run a recipe on digital prostates: commands of ``ccella`` in a folder, and the patients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml


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
    style: str = "classic",
    wordings: int = 2,
) -> None:
    """Draw these seeds into a folder of ``work`` and list them in its manifest, unless that was done before.

    Args:
        work: the working folder.
        split: of the patients.
        patients: their seeds.
        out: the folder in ``work``.
        sequence: as ``ccella phantom`` takes it.
        grid: ``--shape`` and ``--spacing`` with their numbers, where it is not the digital prostate's own.
        style: of the reports, as ``ccella phantom`` takes it.
        wordings: reports of each.
    """
    drawn = work / out / f"{split}-{len(patients)}.drawn"
    if drawn.exists():
        return
    ccella(work, "phantom", "--seed", str(patients.start), "--count", str(len(patients)), "--sequence", sequence,
           "--out", out, "--manifest", split, "--style", style, "--wordings", str(wordings), "--jobs", "0",
           "--overwrite", *grid)  # fmt: skip
    drawn.touch()


def shortened(recipe: Path, shorter: int) -> list[str]:
    """Overrides that divide every number of steps."""
    if shorter == 1:
        return []
    overrides = []
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    for section, values in content.items():
        if isinstance(values, dict):
            for key in ("steps", "decay_steps", "warmup_steps", "count"):
                if key in values:
                    overrides += ["--set", f"{section}.{key}={max(2, values[key] // shorter)}"]
    return overrides
