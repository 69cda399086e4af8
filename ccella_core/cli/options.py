"""Options of a generation that several commands have, and how they become ``GenerationOptions``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ccella_core.errors import InputError
from ccella_core.limits import NUM_SEEDS

if TYPE_CHECKING:
    from ccella_core.generation.edit import ScanToEdit
    from ccella_core.generation.options import GenerationOptions
    from ccella_core.provenance import SequenceName


def seed_of(text: str | int) -> int:
    """A seed as it is written in digits alone. Raises typer.BadParameter."""
    # Python's own reading lets pass 1_000, which somebody may have meant otherwise, and digits of other scripts.
    if not re.fullmatch(r"[0-9]{1,19}", str(text)) or int(text) >= NUM_SEEDS:
        raise typer.BadParameter(f"A seed is a whole number from 0 to 2**63 - 1, not {text!r}.")
    return int(text)


Steps = Annotated[int | None, typer.Option("--steps", help="Denoising steps; by default the model's.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        "--scheduler", help="dpm++, sde-dpm++, unipc, ddim, ddpm, ddpm-reference or rflow; by default the model's."
    ),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        "--guidance", help="Classifier-free guidance; 1 is off, by default as the model has it. Experimental."
    ),
]
Sequences = Annotated[
    str | None,
    typer.Option(
        "--sequences", help="Those to draw, such as t2w,adc; by default all, or the first of a model of one at a time."
    ),
]
Labels = Annotated[
    bool, typer.Option("--labels/--no-labels", help="A label map of gland and lesion, where the model draws one.")
]
MemoryLimit = Annotated[float | None, typer.Option("--memory-limit", help="GiB that decoding may take.")]


Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image", help="Edit this real scan under the report; of a model of several sequences t2w=SCAN, adc=SCAN, …"
    ),
]
Strength = Annotated[
    float | None,
    typer.Option("--strength", help="Of an edit: how much is drawn anew, up to 1; by default 1 in a mask, else 0.6."),
]
Mask = Annotated[Path | None, typer.Option("--mask", help="Of an edit: only here may the scan change.")]
Around = Annotated[
    str | None, typer.Option("--around", help="The same around a point X,Y,Z in mm (right, front, head are positive).")
]
Radius = Annotated[float | None, typer.Option("--radius", help="Of the sphere around that point, in mm.")]


def scan_to_edit_of(
    images: list[str] | None,
    mask: Path | None,
    around: str | None,
    radius: float | None,
    sequences: Sequence[SequenceName],
    on_warning: Callable[[str], None],
) -> ScanToEdit | None:
    """What is to be edited, read and checked; ``None`` where no image is given.

    Raises:
        InputError: options that do not belong together, or what ``scan_to_edit`` refuses.
    """
    if not images:
        if mask is not None or around is not None or radius is not None:
            raise InputError("--mask, --around and --radius say where an --image may change: give it as well.")
        return None
    if mask is not None and around is not None:
        raise InputError("Give either --mask or --around, not both.")
    if (around is None) != (radius is None):
        raise InputError("--around and --radius belong together: a point X,Y,Z and a length, both in mm.")
    from ccella_core.generation.edit import Sphere, scan_to_edit

    named = dict(_named_image(text, sequences) for text in images)
    if len(named) < len(images):
        raise InputError("There are several images of one sequence: say whose each is, as in --image adc=SCAN.")
    where = mask if around is None or radius is None else Sphere(_point(around), radius)
    return scan_to_edit(named, where, sequences=sequences, on_warning=on_warning)


def _named_image(text: str, sequences: Sequence[SequenceName]) -> tuple[SequenceName, str]:
    """A scan with its sequence before it; without one, the model's first. Paths may have ``=`` in them."""
    from ccella_core.provenance import SequenceName

    name, mark, path = text.partition("=")
    if mark and name in get_args(SequenceName):
        return name, path  # type: ignore[return-value]  # it is among them
    return sequences[0], text


def _point(text: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"A point is three numbers in mm with commas between them, not {text!r}.") from None
    return x, y, z


def generation_options(
    *,
    steps: int | None,
    guidance: float | None,
    memory_limit: float | None = None,
    pathology: str | None = None,
    sequences: str | None = None,
    **others: Any,
) -> GenerationOptions:
    """What was requested, checked.

    Args:
        steps: ``num_inference_steps``.
        guidance: ``guidance_scale``.
        memory_limit: ``memory_limit_gib``.
        pathology: a number where the text is one.
        sequences: names with commas between them.
        **others: options by their own name.

    Raises:
        InputError: a value that does not fit.
    """
    from ccella_core.generation.options import options_of

    return options_of(
        {
            "num_inference_steps": steps,
            "guidance_scale": guidance,
            "memory_limit_gib": memory_limit,
            "pathology": _number_or_word(pathology),
            "sequences": None if sequences is None else [name.strip() for name in sequences.split(",")],
            **others,
        }
    )


def _number_or_word(text: str | None) -> str | float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text
