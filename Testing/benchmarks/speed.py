"""How fast this software is beside the plain way, and in how much memory: one denoiser step, and the decoding.

    python Testing/benchmarks/speed.py --size demo
    python Testing/benchmarks/speed.py --size published --parts decode

On the CPU, with random weights. The plain way is the authors': the adapter runs in every step, and MONAI's decoder runs
on the whole volume. Each measurement is a process of its own; ratios are to the plain way of the same run. MONAI's
decoding at the published size takes minutes and 17 GiB: what this computer has no memory for is left out, and said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from _measure import (
    DEFAULT_OUT,
    NOT_MEASURED,
    Table,
    machine,
    machine_in_words,
    measured_apart,
    ratio,
    save_results,
)
from _speed_case import Case, Measured, Measurement, Size, needed_gib

from ccella_core.cli.output import explained, print_message
from ccella_core.errors import InputError
from ccella_core.files import prepare_folder
from ccella_core.generation.text_encoder import DEFAULT_MAX_TOKENS
from ccella_core.models.model import load_config
from ccella_core.models.search import resolve_model
from ccella_core.networks import AutoencoderConfig, DenoiserConfig, published_denoiser
from ccella_core.networks.config import latent_shape

PARTS: dict[str, tuple[Measured, ...]] = {  # the plain way first
    "step": (Measured.STEP_WITH_ADAPTER, Measured.STEP, Measured.CONDITIONS, Measured.STEP_BF16),
    "decode": (Measured.DECODE_MONAI, Measured.DECODE, Measured.DECODE_FLOAT16),
}
DEMO_MODEL = "ccella-demo"
PUBLISHED_LATENT_SHAPE = (64, 64, 32)
COLUMNS = ("What", "Seconds", "× plain", "Memory, GiB", "× plain")
NOTE = (
    "Seconds: median of warm calls. Memory: the most that was held beyond Python, torch and the weights. "
    "× plain: as a part of the plain way's, so that less is better."
)

app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
@explained
def main(
    size: Annotated[Literal["demo", "published", "both"], typer.Option(help="Of the networks.")] = "demo",
    parts: Annotated[str, typer.Option(help="What to measure, separated by commas.")] = ",".join(PARTS),
    model: Annotated[
        str | None, typer.Option(help=f"Whose sizes are 'demo'; by default {DEMO_MODEL}'s, found or not.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One warm call instead of several.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for speed.json and speed.md.")] = DEFAULT_OUT,
) -> None:
    chosen = _checked_parts(parts)
    prepare_folder(out)
    sizes = sizes_of(size, model)
    facts = machine()
    tables, results, notes = [], [], [NOTE, f"Measured on {machine_in_words(facts)}."]
    for each in sizes:
        for part in chosen:
            found: dict[Measured, Measurement | None] = {}
            for measured in PARTS[part]:
                print_message(f"{each.name}: {measured.value}", style="dim")
                outcome = attempt(Case(measured=measured, size=each, quick=quick))
                if isinstance(outcome, str):
                    print_message(outcome)
                    notes.append(outcome)
                found[measured] = None if isinstance(outcome, str) else outcome
            table = _table(each, part, found)
            table.show()
            tables.append(table)
            results += [_entry(each, part, measured, measurement) for measured, measurement in found.items()]
    for note in notes:
        print(note)
    content = {"machine": facts, "quick": quick, "sizes": [s.model_dump(mode="json") for s in sizes]}
    save_results(out, "speed", {**content, "results": results}, tables, notes)


def attempt(case: Case) -> Measurement | str:
    """The measurement, or a sentence that says why there is none."""
    what = f"{case.measured.value}, at the {case.size.name} size"
    return measured_apart("_speed_case.py", case, Measurement, what=what, needed_gib=needed_gib(case))


def sizes_of(which: str, model: str | None) -> list[Size]:
    """Those of ``demo``, ``published`` or ``both``."""
    found = [demo_size(model)] if which != "published" else []
    return [*found, published_size()] if which != "demo" else found


def demo_size(model: str | None) -> Size:
    """The size of a model's networks, by default the demonstration's."""
    found = resolve_model(model or DEMO_MODEL)
    denoiser = load_config(DenoiserConfig, found.component_path("denoiser"))
    if not denoiser.uses_text:
        raise InputError(f"{found.index.name} reads no report, and what it would measure needs one; choose another.")
    autoencoder = load_config(AutoencoderConfig, found.component_path("autoencoder"))
    name = "demo" if model is None else found.index.name
    return Size(
        name=name,
        denoiser=denoiser,
        autoencoder=autoencoder,
        latent_shape=latent_shape(autoencoder, found.index.native_shape),
        tokens=found.index.max_report_tokens,
    )


def published_size() -> Size:
    return Size(
        name="published",
        denoiser=published_denoiser(),
        autoencoder=AutoencoderConfig(),
        latent_shape=PUBLISHED_LATENT_SHAPE,
        tokens=DEFAULT_MAX_TOKENS,
    )


def shape_in_words(size: Size) -> str:
    """Voxels of a volume."""
    shape = zip(size.autoencoder.factors, size.latent_shape, strict=True)
    return " x ".join(str(factor * axis) for factor, axis in shape)


def _checked_parts(parts: str) -> list[str]:
    chosen = [part.strip() for part in parts.split(",")]
    unknown = [part for part in chosen if part not in PARTS]
    if unknown:
        raise InputError(f"There is no part {unknown[0]!r} to measure; choose from {', '.join(PARTS)}.")
    return chosen


def _table(size: Size, part: str, found: dict[Measured, Measurement | None]) -> Table:
    voxels = shape_in_words(size)
    plain = found[PARTS[part][0]]
    rows = []
    for measured, one in found.items():
        if one is None:
            rows.append([measured.value, *[NOT_MEASURED] * (len(COLUMNS) - 1)])
            continue
        times = ratio(one.seconds, plain.seconds if plain else None)
        memory = ratio(one.beyond_gib, plain.beyond_gib if plain else None)
        rows.append([measured.value, f"{one.seconds:.3g}", times, f"{one.beyond_gib:.2f}", memory])
    return Table(f"{part}, {size.name} size, {voxels} voxels", COLUMNS, rows)


def _entry(size: Size, part: str, measured: Measured, one: Measurement | None) -> dict[str, Any]:
    entry = {"size": size.name, "part": part, "what": measured.value, "plain": measured is PARTS[part][0]}
    return {**entry, **(one.model_dump() if one else {})}


if __name__ == "__main__":
    app()
