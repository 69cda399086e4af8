"""Options of a generation that several commands have, and how they become ``GenerationOptions``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ccella_core.generation.options import GenerationOptions

Steps = Annotated[int | None, typer.Option("--steps", help="Denoising steps; by default the model's.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option("--scheduler", help="dpm++, unipc, ddim, ddpm or ddpm-reference; by default the model's."),
]
Guidance = Annotated[float, typer.Option("--guidance", help="Classifier-free guidance; 1 is off. Experimental.")]
Sequences = Annotated[
    str | None,
    typer.Option("--sequences", help="Those to draw, such as t2w,adc; by default all of the model's."),
]
Labels = Annotated[
    bool, typer.Option("--labels/--no-labels", help="A label map of gland and lesion, where the model draws one.")
]
MemoryLimit = Annotated[float | None, typer.Option("--memory-limit", help="GiB that decoding may take.")]


def generation_options(
    *,
    steps: int | None,
    guidance: float,
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
