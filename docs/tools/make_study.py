"""Makes the study of variants on the digital prostate: draws the cases and runs it, from nothing to its page.

    python docs/tools/make_study.py --work runs/study

Each part goes on where it was stopped, so this does too. ``--shorter N`` trains everything N times shorter, on N times
fewer cases, to see that the recipe runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml
from _recipe import ccella, draw_patients

from ccella_core.config import merged
from ccella_core.evaluation.classifier.config import preset

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "Resources" / "Recipes" / "study.yaml"
# Seeds of the patients: the demonstration model, whose autoencoder and text encoder are used, has learnt from others,
# and so has the phantom reader.
PATIENTS = {
    "train": range(3_000_000, 3_000_200),
    "validation": range(3_100_000, 3_100_032),
    # Two halves of it give the floor of the image metrics, so it is not to be small.
    "test": range(3_200_000, 3_200_064),
}
# Wider than the recipe's: prepared, digital prostates are cropped around the gland, which is not in the middle.
GRID = ("--shape", "128", "112", "26", "--spacing", "0.75", "0.75", "3")
FEWEST = 16  # cases of a split, so that both classes are in it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/study"), help="phantoms, prepared cases and the study")
    parser.add_argument("--shorter", type=int, default=1, help="how many times shorter")
    options = parser.parse_args()
    work, shorter = options.work.resolve(), options.shorter
    work.mkdir(parents=True, exist_ok=True)

    for split, patients in PATIENTS.items():
        draw_patients(work, split, patients[: max(FEWEST, len(patients) // shorter)], grid=GRID)
    ccella(work, "study", str(RECIPE), *shortened(yaml.safe_load(RECIPE.read_text(encoding="utf-8")), shorter))


def shortened(recipe: dict[str, Any], shorter: int) -> list[str]:
    """Overrides of ``ccella study`` that divide every number of steps, and the sizes of the real sets."""
    if shorter == 1:
        return []
    classifiers = recipe["classifiers"]
    # What a recipe does not say of the classifiers is as in their preset.
    classifier = merged(preset(classifiers["preset"]), classifiers.get("settings", {}))["classifier"]
    steps = {"classifiers.settings.classifier.steps": classifier["steps"]}
    for part, sections in recipe["training"].items():
        for section, values in sections.items() if isinstance(sections, dict) else ():
            for key in ("steps", "decay_steps") if isinstance(values, dict) else ():
                if values.get(key) is not None:
                    steps[f"training.{part}.{section}.{key}"] = values[key]
    counts = sorted({max(FEWEST // 2, count // shorter) for count in classifiers["real_counts"]})
    overrides = {key: max(2, number // shorter) for key, number in steps.items()} | {"classifiers.real_counts": counts}
    return [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]


if __name__ == "__main__":
    main()
