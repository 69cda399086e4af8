"""Makes the demonstration bundle: every network trained here, on the digital prostate, from nothing.

Each stage leaves its result in the working folder and is skipped where that lies there already, so that a run that was
stopped goes on. ``make demo-model`` runs it; ``python -m ccella_core.training.demo --help`` tells the rest.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from monai.apps.generation.maisi.networks.autoencoderkl_maisi import AutoencoderKlMaisi
from safetensors.torch import load_file, save_file

from ccella_core.bundle import BundleIndex
from ccella_core.files import whole_file
from ccella_core.networks.config import AutoencoderConfig, demo_denoiser
from ccella_core.networks.denoiser import ConditionalDenoiser
from ccella_core.phantom.anatomy import GLAND_TISSUES, Tissue, label_map, layers
from ccella_core.phantom.findings import Findings
from ccella_core.phantom.patient import draw_findings, draw_patient
from ccella_core.phantom.render import DEFAULT_SHAPE, DEFAULT_SPACING, render
from ccella_core.phantom.report import write_report
from ccella_core.pipeline import CCELLAPipeline
from ccella_core.solvers import DEFAULT_SOLVER, SchedulerConfig
from ccella_core.text import NULL_REPORT, ReportEncoder
from ccella_core.training.adapter import AdapterTraining, train_adapter
from ccella_core.training.autoencoder import AutoencoderTraining, encode_mean, train_autoencoder
from ccella_core.training.denoiser import DenoiserTraining, LatentCases, train_denoiser
from ccella_core.training.regions import candidate_weights, lesion_weights
from ccella_core.training.report_encoder import ReportEncoderTraining, train_report_encoder

log = logging.getLogger(__name__)

SEQUENCE = "t2w"
# Seeds of the patients: no two uses share one, but that the autoencoder sees patients of the training set.
AUTOENCODER_PATIENTS = range(0, 400)
TRAINING_PATIENTS = range(0, 1250)
REPORT_PATIENTS = range(10_000, 22_000)

STEPS = 10  # the fewest that come as near to phantoms as 1000 do: Testing/benchmarks/steps_quality.py
WORDINGS = 2  # reports that are written about each training case
ENCODE_BATCH = 4  # volumes the autoencoder encodes at once

AUTOENCODER = AutoencoderTraining(
    network=AutoencoderConfig(
        latent_channels=8, num_channels=(16, 32, 64), num_res_blocks=(1, 1, 1), norm_num_groups=8
    ),
    steps=1100,
    batch_size=2,
    crop=(48, 48, 32),
    learning_rate=6e-4,
    kl_weight=1e-6,
    frequency_weight=0.1,
)
# The decoder learns on while the latents stay, with more weight on texture.
DECODER = AUTOENCODER.model_copy(update={"steps": 450, "learning_rate": 8e-4, "frequency_weight": 0.3, "seed": 1})
REPORT_ENCODER = ReportEncoderTraining(
    vocabulary=1500, width=128, layers=4, heads=4, max_tokens=256, steps=1500, batch_size=16, learning_rate=2e-3
)
ADAPTER = AdapterTraining(steps=500, batch_size=32, learning_rate=1e-3)
DENOISER = DenoiserTraining(
    network=demo_denoiser("ccella", latent_channels=8, text_width=128),
    # Velocity, not noise: at the noisiest timesteps, where a report decides what will be seen, predicting the noise is
    # trivial and teaches nothing.
    scheduler=SchedulerConfig(prediction_type="v_prediction"),
    steps=1700,
    decay_steps=5400,
    batch_size=8,
    learning_rate=1e-3,
    warmup_steps=100,
    decay_power=1.0,
    ema_decay=0.999,
    report_dropout=0.05,
)
# By then the pelvis is learnt and lesions lie anywhere: from here on, where they lie counts most.
DENOISER_ON_LESIONS = DENOISER.model_copy(
    update={"steps": 3600, "decay_steps": None, "learning_rate": 8e-4, "warmup_steps": 50, "seed": 1}
)


def rendered_volumes(patients: range, folder: Path) -> np.ndarray:
    """T2-weighted volumes (N, X, Y, Z) in 0 … 1 as a memory map, rendered once."""
    path = folder / f"volumes-{patients.start}-{patients.stop}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.npy")
        volumes = np.lib.format.open_memmap(
            unfinished, mode="w+", dtype=np.float16, shape=(len(patients), *DEFAULT_SHAPE)
        )
        for row, seed in enumerate(patients):
            volumes[row] = render(draw_patient(seed), SEQUENCE).voxels
        volumes.flush()
        del volumes  # Windows renames no file that is still mapped
        unfinished.replace(path)
    return np.load(path, mmap_mode="r")


def trained_report_encoder(folder: Path) -> ReportEncoder:
    findings = [draw_findings(seed) for seed in REPORT_PATIENTS]
    reports = [write_report(one, seed=seed) for one, seed in zip(findings, REPORT_PATIENTS, strict=True)]
    return train_report_encoder(reports, findings, REPORT_ENCODER, folder / "report-encoder.pt")


def case_findings(patients: range) -> Iterator[tuple[int, Findings]]:
    """Seed and findings of every training case: each patient, and the same one mirrored, in the order of encoding."""
    for start in range(0, len(patients), ENCODE_BATCH):
        block = [(seed, draw_findings(seed)) for seed in patients[start : start + ENCODE_BATCH]]
        yield from block
        yield from ((seed, findings.mirrored()) for seed, findings in block)


def encoded_cases(
    patients: range, autoencoder: AutoencoderKlMaisi, encoder: ReportEncoder, folder: Path
) -> tuple[LatentCases, float]:
    """The training set, and the scale factor that gives its latents unit variance.

    Every patient stands there twice, the second time mirrored: the volume, the findings and so the report.
    """
    path = folder / "cases.safetensors"
    if not path.exists():
        volumes = rendered_volumes(patients, folder)
        latents, reports, positive = [], [], []
        for start in range(0, len(volumes), ENCODE_BATCH):
            block = torch.from_numpy(np.asarray(volumes[start : start + ENCODE_BATCH], np.float32))[:, None]
            latents += [encode_mean(autoencoder, voxels).half() for voxels in (block, block.flip(2))]
        for seed, findings in case_findings(patients):
            reports += [write_report(findings, seed=2 * seed + wording) for wording in range(WORDINGS)]
            positive.append(findings.pathology == "positive")
        all_latents = torch.cat(latents)
        with whole_file(path) as unfinished:
            save_file(
                {
                    "latents": all_latents,
                    "text": _encode_all(encoder, reports).unflatten(0, (-1, WORDINGS)),
                    "null_text": encoder.encode([NULL_REPORT])[0].half(),
                    "positive": torch.tensor(positive),
                },
                unfinished,
            )
    stored = load_file(path)
    scale_factor = 1 / stored["latents"].float().std().item()
    cases = LatentCases(
        latents=stored["latents"].float() * scale_factor,
        text=stored["text"],
        null_text=stored["null_text"],
        positive=stored["positive"],
        spacing=torch.tensor(DEFAULT_SPACING),
    )
    return cases, scale_factor


def regions(patients: range, folder: Path) -> dict[str, torch.Tensor]:
    """Where gland and lesion are, bool (2 N, 1, x, y, z) each, in the order of ``encoded_cases``."""
    path = folder / "regions.safetensors"
    if not path.exists():
        found: dict[str, list[torch.Tensor]] = {"gland": [], "lesion": []}
        for start in range(0, len(patients), ENCODE_BATCH):
            labels = np.stack([_labels(seed) for seed in patients[start : start + ENCODE_BATCH]])
            for name, tissues in (("gland", GLAND_TISSUES), ("lesion", (Tissue.LESION,))):
                # A latent voxel belongs to a region if any of the voxels does that it stands for.
                mask = torch.from_numpy(np.isin(labels, tissues).astype(np.float32))[:, None]
                block = torch.nn.functional.max_pool3d(mask, AUTOENCODER.network.factor) > 0
                found[name] += [block, block.flip(2)]
        with whole_file(path) as unfinished:
            save_file({name: torch.cat(blocks).contiguous() for name, blocks in found.items()}, unfinished)
    return load_file(path)


def _labels(seed: int) -> np.ndarray:
    return label_map(list(layers(draw_patient(seed), DEFAULT_SHAPE, DEFAULT_SPACING)), DEFAULT_SHAPE)


def _encode_all(encoder: ReportEncoder, reports: Sequence[str]) -> torch.Tensor:
    return torch.cat([encoder.encode(reports[i : i + 32]).half() for i in range(0, len(reports), 32)])


@contextmanager
def timed(stage: str, work: Path, seconds: dict[str, float]) -> Iterator[None]:
    """Adds the stage's duration to ``seconds``, which is kept in the working folder: runs that went on add up."""
    work.mkdir(parents=True, exist_ok=True)
    record = work / "seconds.json"
    if record.exists():
        seconds.update(json.loads(record.read_text(encoding="utf-8")))
    started = time.monotonic()
    try:
        yield
    finally:
        seconds[stage] = round(seconds.get(stage, 0) + time.monotonic() - started)
        record.write_text(json.dumps(seconds), encoding="utf-8")
        log.info("%s: %.0f s so far", stage, seconds[stage])


def bundle_index(scale_factor: float, seconds: dict[str, float]) -> BundleIndex:
    return BundleIndex(
        name="ccella-demo",
        version="1.0.0",
        licence="Apache-2.0",
        intended_use="Demonstration, teaching and tests of software. Not for diagnosis, not for research on patients.",
        description="A small CCELLA that draws digital prostates from the reports that describe them.",
        variant=DENOISER.network.variant,
        sequences=[SEQUENCE],
        native_shape=DEFAULT_SHAPE,
        native_spacing_mm=DEFAULT_SPACING,
        intensity_range={SEQUENCE: (0.0, 1.0)},
        latent_scale_factor=scale_factor,
        max_report_tokens=REPORT_ENCODER.max_tokens,
        default_solver=DEFAULT_SOLVER,
        default_steps=STEPS,
        trained_on=f"{len(TRAINING_PATIENTS)} digital prostates, each also mirrored. No patient data of any kind.",
        training={
            "command": "make demo-model",
            "autoencoder": AUTOENCODER.model_dump(mode="json"),
            "decoder": DECODER.model_dump(mode="json"),
            "report_encoder": REPORT_ENCODER.model_dump(mode="json"),
            "adapter": ADAPTER.model_dump(mode="json"),
            "denoiser": DENOISER.model_dump(mode="json"),
            "denoiser_on_lesions": DENOISER_ON_LESIONS.model_dump(mode="json"),
            "seconds": dict(seconds),
            "machine": f"{os.cpu_count()} CPU cores, no GPU",
        },
        components={},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/demo"), help="checkpoints and caches")
    parser.add_argument("--out", type=Path, default=Path("Resources/Models/ccella-demo"), help="the bundle")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    work = options.work
    seconds: dict[str, float] = {}
    with timed("rendering", work, seconds):
        volumes = rendered_volumes(AUTOENCODER_PATIENTS, work)
    with timed("autoencoder", work, seconds):
        autoencoder = train_autoencoder(volumes, AUTOENCODER, work / "autoencoder.pt")
    with timed("report encoder", work, seconds):
        encoder = trained_report_encoder(work)
    with timed("latents", work, seconds):
        cases, scale_factor = encoded_cases(TRAINING_PATIENTS, autoencoder, encoder, work)
    with timed("adapter", work, seconds):
        torch.manual_seed(ADAPTER.seed)
        findings = [findings for _, findings in case_findings(TRAINING_PATIENTS)]
        reader = train_adapter(
            ConditionalDenoiser(DENOISER.network), cases.text, findings, ADAPTER, work / "adapter.pt",
            scheduler=DENOISER.scheduler,
        )  # fmt: skip
    with timed("denoiser", work, seconds):
        places = regions(TRAINING_PATIENTS, work)
        weighted = replace(cases, region_weight=lesion_weights(**places))
        denoiser = train_denoiser(weighted, DENOISER, work / "denoiser.pt", start=reader)
    with timed("denoiser on lesions", work, seconds):
        weighted = replace(cases, region_weight=candidate_weights(**places))
        denoiser = train_denoiser(weighted, DENOISER_ON_LESIONS, work / "denoiser-on-lesions.pt", start=denoiser)
    with timed("decoder", work, seconds):
        refined = train_autoencoder(volumes, DECODER, work / "decoder.pt", refine=autoencoder)
    pipeline = CCELLAPipeline(
        denoiser=denoiser,
        autoencoder=refined,
        autoencoder_config=AUTOENCODER.network,
        scheduler_config=DENOISER.scheduler,
        encoder=encoder,
        index=bundle_index(scale_factor, seconds),
        device="cpu",
    )
    bundle = pipeline.save_pretrained(options.out, overwrite=True)
    log.info("wrote %s", bundle.path)


if __name__ == "__main__":
    main()
