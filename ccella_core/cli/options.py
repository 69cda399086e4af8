"""Options of a generation that several commands have, and how they become ``GenerationOptions``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccella_core.limits import NUM_SEEDS

if TYPE_CHECKING:
    from ccella_core.generation.options import GenerationOptions


def seed_of(text: str | int) -> int:
    """A seed as it is written in digits alone. Raises typer.BadParameter."""
    # Python's own reading lets pass 1_000, which somebody may have meant otherwise, and digits of other scripts.
    if not re.fullmatch(r"[0-9]{1,19}", str(text)) or int(text) >= NUM_SEEDS:
        raise typer.BadParameter(f"a seed is a whole number from 0 to 2**63 - 1, not {text!r}.")
    return int(text)


Steps = Annotated[int | None, typer.Option("--steps", help="Denoising steps; by default the model's.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option("--scheduler", help="dpm++, unipc, ddim, ddpm or ddpm-reference; by default the model's."),
]
Guidance = Annotated[float, typer.Option("--guidance", help="Classifier-free guidance; 1 is off. Experimental.")]
MemoryLimit = Annotated[float | None, typer.Option("--memory-limit", help="GiB that decoding may take.")]


def generation_options(
    *,
    steps: int | None,
    guidance: float,
    memory_limit: float | None = None,
    pathology: str | None = None,
    **others: Any,
) -> GenerationOptions:
    """What was requested, checked.

    Args:
        steps: ``num_inference_steps``.
        guidance: ``guidance_scale``.
        memory_limit: ``memory_limit_gib``.
        pathology: a number where the text is one.
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
