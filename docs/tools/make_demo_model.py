"""Makes the demonstration model: the commands that anybody would give, one after the other.

    python docs/tools/make_demo_model.py --work runs/demo --data DATA

DATA holds the patients that the recipe names (docs/demo_model.md says how to get them); they and digital prostates on
the same grid are prepared in ``prepared-patients`` and ``prepared-phantoms``.
Each command goes on where it was stopped, so this does too. ``--shorter N`` trains everything N times shorter, on N
times fewer patients, to see that the recipe runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml
from _recipe import ccella, draw_patients
from patients import attribution, patients_manifest, read_recipe

from ccella_core.errors import CCELLAError

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "Resources" / "Recipes" / "ccella-demo"
MODEL = ROOT / "Resources" / "Models" / "ccella-demo"
# Seeds of the patients: no two uses of them share one; those of the text encoder stand in its configuration.
TRAINING_PATIENTS = range(0, 1250)
VALIDATION_PATIENTS = range(5_000, 5_032)
FEWEST = 8  # patients of a split
SHAPE, SPACING = ("96", "96", "32"), ("1", "1", "3")  # the digital prostate's own grid
PATIENTS_GRID = ("--sequences", "t2w,hbv,adc", "--shape", "128", "128", "20", "--spacing", "0.75", "0.75", "3")
# Wider than that: prepared, digital prostates are cropped around the gland too, which is not in the middle.
PHANTOM_GRID = ("--shape", "144", "144", "26", "--spacing", "0.75", "0.75", "3")
ABOUT = (
    "--name", "ccella-demo",
    "--version", "1.1.0",
    "--licence", "Apache-2.0",
    "--intended-use",
    "Demonstration, teaching and tests of software. Not for diagnosis, not for research on patients.",
    "--description", "A small CCELLA that draws digital prostates from the reports that describe them.",
    "--trained-on", "{patients} digital prostates, each also mirrored. No patient data of any kind.",
    "--steps", "10",  # the fewest that come as near to phantoms as 1000 do: Testing/benchmarks/steps_quality.py
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/demo"), help="phantoms, prepared cases and checkpoints")
    parser.add_argument("--data", type=Path, help="the patients of the recipe: manifest.csv and images")
    parser.add_argument("--out", type=Path, default=MODEL, help="the model")
    parser.add_argument("--shorter", type=int, default=1, help="how many times shorter")
    options = parser.parse_args()
    work, shorter = options.work.resolve(), options.shorter
    work.mkdir(parents=True, exist_ok=True)
    if options.data is not None:
        try:
            prepare_with_patients(work, options.data.resolve(), shorter)
        except CCELLAError as error:
            raise SystemExit(str(error)) from error

    for patients, split in ((TRAINING_PATIENTS, "train"), (VALIDATION_PATIENTS, "validation")):
        draw_patients(work, split, patients[: max(FEWEST, len(patients) // shorter)])
    ccella(work, "prepare", "phantoms/manifest.jsonl", "--out", "prepared", "--shape", *SHAPE, "--spacing", *SPACING,
           "--centre", "image", "--scaling", "none")  # fmt: skip
    for network, name in (
        ("autoencoder", "autoencoder"),
        ("text-encoder", "text_encoder"),
        ("denoiser", "denoiser"),
        ("denoiser", "denoiser_on_lesions"),
        ("autoencoder", "decoder"),
    ):
        ccella(work, "train", network, str(RECIPE / f"{name}.yaml"), *_shortened(RECIPE / f"{name}.yaml", shorter))
    about = [text.format(patients=max(FEWEST, len(TRAINING_PATIENTS) // shorter)) for text in ABOUT]
    ccella(work, "models", "export", "denoiser_on_lesions", "--out", str(options.out.resolve()), "--autoencoder",
           "decoder", *about, "--overwrite")  # fmt: skip


def prepare_with_patients(work: Path, data: Path, shorter: int) -> None:
    """Prepare the recipe's patients, and digital prostates on their grid.

    Args:
        work: the working folder.
        data: the patients' table and images.
        shorter: how many times fewer digital prostates.

    Raises:
        InputError: ``data`` is not what the recipe says; nothing was begun.
        SaveError: the disk refuses.
    """
    recipe = read_recipe()
    patients_manifest(data, work / "patients.jsonl", recipe)
    print(attribution(recipe), flush=True)
    ccella(work, "prepare", "patients.jsonl", "--out", "prepared-patients", *PATIENTS_GRID)
    for patients, split in ((TRAINING_PATIENTS, "train"), (VALIDATION_PATIENTS, "validation")):
        some = patients[: max(FEWEST, len(patients) // shorter)]
        draw_patients(work, split, some, out="phantoms-like-patients", sequence="all", grid=PHANTOM_GRID)
    ccella(work, "prepare", "phantoms-like-patients/manifest.jsonl", "--out", "prepared-phantoms", *PATIENTS_GRID)


def _shortened(recipe: Path, shorter: int) -> list[str]:
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


if __name__ == "__main__":
    main()
