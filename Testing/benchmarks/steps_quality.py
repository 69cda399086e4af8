"""Steps against quality: what each scheduler costs at some numbers of steps, and how near it comes to real phantoms.

    python Testing/benchmarks/steps_quality.py --model ccella-demo

Every row generates the same volumes, of the same reports of held-out patients and the same seeds. Their features, as
the phantom reader sees them, are compared with those of other held-out phantoms. Two floors say what can be reached:
phantoms that were rendered, and phantoms that went through the autoencoder, which every generated volume must leave. A
run that was stopped goes on where it was; the folder keeps what is done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from _growing import Features, grow, missing
from _measure import DEFAULT_OUT, NOT_MEASURED, Table, machine, machine_in_words, save_results

from ccella_core.cli.output import explained, print_message, quiet_libraries
from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.phantom_reader_training import (
    PhantomReaderTraining,
    load_or_train_phantom_reader,
    phantom_reader_fingerprint,
)
from ccella_core.evaluation.features.samples import Sample
from ccella_core.evaluation.images.distances import KernelDistance, frechet_distance, kernel_distance
from ccella_core.files import prepare_folder
from ccella_core.generation.decoding import decode
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.generation.sampling.loop import sample
from ccella_core.generation.sampling.schedulers import Scheduler
from ccella_core.networks.config import latent_shape
from ccella_core.phantom.patient import draw_findings, draw_patient
from ccella_core.phantom.render import render
from ccella_core.phantom.report import write_report

# Patients that no training has seen: those whose reports are generated from, and those to compare with.
FIRST_PATIENT = 1_000_000
FIRST_REFERENCE = 1_100_000
FEWEST, MOST = 4, FIRST_REFERENCE - FIRST_PATIENT
SEQUENCE = "t2w"
REFERENCE_SCHEDULER = "ddpm"
DECODE_IN_STEPS = 10  # a decoding takes about as long as this many steps: for the time left only
GOOD_ENOUGH = 2.0  # standard deviations of the reference row
COLUMNS = ("Scheduler", "Steps", "Seconds a volume", "Fréchet distance", "Kernel distance")

app = typer.Typer(add_completion=False)


class Run(NamedTuple):
    scheduler: str
    steps: int

    @property
    def name(self) -> str:
        return f"{self.scheduler}-{self.steps}"


class Row(NamedTuple):
    run: Run | None
    """``None`` for a floor."""
    label: str
    seconds: float | None
    frechet: float
    kernel: KernelDistance


@app.command(help=__doc__)
@explained
def main(
    model: Annotated[str, typer.Option(help="A folder, or a name.")] = "ccella-demo",
    scheduler: Annotated[list[str], typer.Option(help="Repeat for several.")] = ["unipc", "dpm++", "ddim"],  # noqa: B006
    steps: Annotated[list[int], typer.Option(help="Repeat for several.")] = [10, 20, 30, 50],  # noqa: B006
    reference_steps: Annotated[int, typer.Option(min=1, help=f"Of the reference, {REFERENCE_SCHEDULER}.")] = 1000,
    count: Annotated[int, typer.Option(min=FEWEST, max=MOST, help="Volumes a row, and phantoms to compare.")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Volumes that are denoised at once.")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16")] = "auto",
    phantom_reader_cache: Annotated[
        Path | None, typer.Option(help="Folder of the phantom reader; by default the user's.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results and what is resumed.")] = DEFAULT_OUT,
) -> None:
    prepare_folder(out)
    quiet_libraries()
    pipeline = CCELLAPipeline.from_pretrained(model, device=device, dtype=dtype)
    if pipeline.index.sequences != [SEQUENCE]:
        raise InputError(
            f"The phantom reader reads {SEQUENCE} and {pipeline.index.name} makes {pipeline.index.sequences[0]}."
        )
    reference = Run(REFERENCE_SCHEDULER, reference_steps)
    # The cheap rows come first, so that there is soon something to see.
    runs = [*(Run(s, n) for n in sorted(set(steps)) for s in dict.fromkeys(scheduler)), reference]
    runs = list(dict.fromkeys(runs))
    for run in runs:
        Scheduler(run.scheduler, pipeline.scheduler_config, run.steps)  # type: ignore[arg-type]  # refuses what it cannot do

    # Batches change a latent by rounding only; everything that changes it more has its own folder.
    dtype_name = str(pipeline.dtype).removeprefix("torch.")
    key = f"{pipeline.model_sha256[:12]}-{phantom_reader_fingerprint(PhantomReaderTraining())}-{dtype_name}"
    folder = out / "steps_quality_features" / key
    prepare_folder(folder)
    print_message("Loading the phantom reader, which is trained on its first use.", style="dim")
    make_features = partial(grow, phantom_reader=load_or_train_phantom_reader(phantom_reader_cache))
    patients = range(FIRST_PATIENT, FIRST_PATIENT + count)
    references = range(FIRST_REFERENCE, FIRST_REFERENCE + count)

    print_message("Rendering phantoms.", style="dim")
    phantoms = partial(rendered, pipeline)
    real = make_features(folder / "references.npz", references, phantoms, batch=batch).values
    floors = {"phantoms": phantoms, "phantoms through the autoencoder": partial(reconstructed, pipeline)}
    rows = []
    for label, make in floors.items():
        features = make_features(folder / f"{label.replace(' ', '-')}.npz", patients, make, batch=batch)
        rows.append(_row(None, label, features, real))

    generator = Generator(pipeline, patients)
    clock = TimeLeft(sum(_work(run) * missing(folder / f"{run.name}.npz", patients) for run in runs))
    for run in runs:
        path = folder / f"{run.name}.npz"
        left = missing(path, patients)
        if left:
            generator.warm_up(batch)
        clock.begin(run, count, count - left)
        features = make_features(path, patients, partial(generator, run), batch=batch, after_batch=clock.after_batch)
        rows.append(_row(run, run.scheduler, features, real))
        print_message(f"{run.name}: {' | '.join(_cells(rows[-1])[2:])}")
        _save(out, rows, [], pipeline, count, batch)
    judgement = verdict(rows, reference)
    table = _save(out, rows, [judgement], pipeline, count, batch)
    table.show()
    print(judgement)


class Generator:
    """Volumes (X, Y, Z) in 0 … 1 of patients' reports; the seed of a patient is also the seed of the volume."""

    def __init__(self, pipeline: CCELLAPipeline, patients: Sequence[int]) -> None:
        self._pipeline = pipeline
        findings = [draw_findings(seed) for seed in patients]
        reports = [write_report(one, seed=seed) for one, seed in zip(findings, patients, strict=True)]
        # Encoded once for all rows: a row's seconds are those of denoising and decoding.
        texts = pipeline.encoder.encode(reports) if pipeline.encoder is not None else None
        self._patients = patients
        self._texts = texts
        config = pipeline.denoiser.config
        given = config.uses_class and not config.predicts_class
        self._pathologies = [one.pathology if given else None for one in findings]
        self._warm = False

    def __call__(self, run: Run, seeds: Sequence[int]) -> Iterator[np.ndarray]:
        pipeline, index = self._pipeline, self._pipeline.index
        places = [self._patients.index(seed) for seed in seeds]
        latents = sample(
            pipeline.denoiser,
            pipeline.scheduler_config,
            text=None if self._texts is None else self._texts[places],
            pathology=[self._pathologies[place] for place in places],
            shape=latent_shape(pipeline.autoencoder_config, index.native_shape),
            spacing=index.native_spacing_mm,
            seeds=list(seeds),
            scheduler=run.scheduler,  # type: ignore[arg-type]  # checked by Scheduler
            num_inference_steps=run.steps,
            dtype=pipeline.dtype,
        ).latents
        for latent in latents.split(1):
            yield _voxels(decode(pipeline.autoencoder, latent, scale_factor=index.scale_factors[0]))

    def warm_up(self, batch: int) -> None:
        """The first call pays for what later ones find done."""
        if not self._warm:
            list(self(Run("ddim", 1), self._patients[:batch]))
            self._warm = True


class TimeLeft:
    """Says after each batch how far the benchmark is, by the network evaluations that are left."""

    def __init__(self, work: float) -> None:
        self._work, self._done = work, 0.0
        self._started = time.monotonic()

    def begin(self, run: Run, count: int, volumes: int) -> None:
        self._run, self._count, self._volumes = run, count, volumes

    def after_batch(self, volumes: int) -> None:
        self._done += _work(self._run) * (volumes - self._volumes)
        self._volumes = volumes
        left = (time.monotonic() - self._started) * (self._work / self._done - 1)
        print_message(
            f"{self._run.name}: {volumes} of {self._count} volumes, about {left / 60:.0f} min left", style="dim"
        )


def rendered(pipeline: CCELLAPipeline, seeds: Sequence[int]) -> Iterator[np.ndarray]:
    index = pipeline.index
    for seed in seeds:
        yield render(draw_patient(seed), SEQUENCE, shape=index.native_shape, spacing=index.native_spacing_mm).voxels


def reconstructed(pipeline: CCELLAPipeline, seeds: Sequence[int]) -> Iterator[np.ndarray]:
    """The same phantoms after the autoencoder, encoded and decoded."""
    for voxels in rendered(pipeline, seeds):
        latent = pipeline.autoencoder.encode(torch.from_numpy(voxels)[None, None].to(pipeline.device))[0]
        yield _voxels(decode(pipeline.autoencoder, latent, scale_factor=1.0))


def _voxels(decoded: torch.Tensor) -> np.ndarray:
    return decoded[0, 0].numpy().clip(0, 1)


def _work(run: Run) -> int:
    """Of one volume, in network evaluations."""
    return run.steps + DECODE_IN_STEPS


def verdict(rows: Sequence[Row], reference: Run) -> str:
    """Which row is the cheapest that is as good as the reference."""
    goal = next(row for row in rows if row.run == reference)
    limit = goal.kernel.mean + GOOD_ENOUGH * goal.kernel.standard_deviation
    good = [row for row in rows if row.run not in (None, reference) and row.kernel.mean <= limit]
    meaning = (
        f"as good as {reference.steps} steps of {reference.scheduler}, that is, with a kernel distance of at most its "
        f"own plus {GOOD_ENOUGH:g} of its standard deviations ({limit:.4g})"
    )
    if not good:
        return f"No row is {meaning}."
    # Seconds are the machine's, steps are the method's: the schedulers cost the same a step.
    best = min(good, key=lambda row: (row.run.steps if row.run else 0, row.kernel.mean))
    assert best.run is not None and best.seconds is not None and goal.seconds is not None
    return (
        f"Cheapest row {meaning}: {best.run.scheduler} with {best.run.steps} steps, {best.seconds:.3g} s a volume "
        f"instead of {goal.seconds:.3g} s. Cheapest: of the fewest steps, and among those the nearest."
    )


def _row(run: Run | None, label: str, features: Features, real: np.ndarray) -> Row:
    values = features.values
    seconds = None if run is None else features.seconds_each
    return Row(run, label, seconds, frechet_distance(values, real), kernel_distance(Sample.of(values), Sample.of(real)))


def _cells(row: Row) -> list[str]:
    steps = NOT_MEASURED if row.run is None else str(row.run.steps)
    seconds = NOT_MEASURED if row.seconds is None else f"{row.seconds:.3g}"
    kernel = f"{row.kernel.mean:.4g} ± {row.kernel.standard_deviation:.2g}"
    return [row.label, steps, seconds, f"{row.frechet:.4g}", kernel]


def _save(out: Path, rows: list[Row], notes: list[str], pipeline: CCELLAPipeline, count: int, batch: int) -> Table:
    facts = {**machine(), "device": str(pipeline.device), "dtype": str(pipeline.dtype).removeprefix("torch.")}
    index = pipeline.index
    table = Table(f"Steps against quality, {index.name} {index.version}", COLUMNS, [_cells(row) for row in rows])
    note = (
        f"{count} volumes a row, of the reports of patients {FIRST_PATIENT} and on, beside {count} phantoms, "
        f"{FIRST_REFERENCE} and on. Seconds: denoising in batches of {batch}, and decoding; loading excluded. "
        f"±: standard deviation between subsets. Measured on {machine_in_words(facts)}; "
        f"{facts['device']}, {facts['dtype']}."
    )
    entries = [
        {
            "label": row.label,
            "steps": None if row.run is None else row.run.steps,
            "seconds_a_volume": row.seconds,
            "frechet": row.frechet,
            "kernel": row.kernel.model_dump(),
        }
        for row in rows
    ]
    content = {
        "machine": facts,
        "model": {"name": index.name, "version": index.version, "sha256": pipeline.model_sha256},
        "count": count,
        "batch": batch,
        "rows": entries,
        "verdict": notes[0] if notes else None,
    }
    save_results(out, "steps_quality", content, [table], [*notes, note])
    return table


if __name__ == "__main__":
    app()
