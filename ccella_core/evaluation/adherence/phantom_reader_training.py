"""Training of the phantom reader on the digital prostate, its calibration and its validation.

Everything is rendered as it is needed; the patients of each use are their own. Eleven minutes of one CPU core, two of
them for the validation.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import platformdirs
import torch
from monai.losses import DiceCELoss
from pydantic import Field
from scipy.ndimage import gaussian_filter1d

from ccella_core.config import BatchSize, LearningRate, Seed, Steps, StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.measurements import REGION_OF_TISSUE, MeasuredFinding
from ccella_core.evaluation.adherence.phantom_reader import (
    READABLE_SEQUENCE,
    VALIDATION_NAME,
    Filters,
    PhantomReader,
    PhantomReaderConfig,
    PhantomReaderNetwork,
    PhantomReaderValidation,
    central_window,
    save_validation,
)
from ccella_core.evaluation.adherence.scores import StatedFinding, score_readings
from ccella_core.files import locked
from ccella_core.phantom.patient import draw_patient
from ccella_core.phantom.render import render
from ccella_core.progress import OnProgress
from ccella_core.runs.batches import Batches
from ccella_core.runs.logging import SilentLog
from ccella_core.runs.schedules import one_cycle
from ccella_core.runs.trainer import Trainer

log = logging.getLogger(__name__)

# Seeds of the patients: no two uses share one, and the demonstration model's (below 1,000,064) are others again.
TRAINING_PATIENTS = range(2_000_000, 2_500_000)
CALIBRATION_PATIENTS = range(2_500_000, 2_500_128)
VALIDATION_PATIENTS = range(2_600_000, 2_600_200)

GENERATED_BLUR = 0.8  # voxels in plane: how much smoother generated volumes are than phantoms, about
THRESHOLDS_ML = np.geomspace(0.02, 1.0, 100)  # the phantom's smallest lesion has about 0.25 ml
CHECKPOINTS_NAME, LOCK_NAME = "training", "lock"
STEPS_PER_MESSAGE = 50


class PhantomReaderTraining(StrictModel):
    """How a phantom reader is trained. The defaults reach the aims stated in `validate_phantom_reader`."""

    filters: Filters = (16, 32, 64, 64)
    steps: Steps = 1000
    batch_size: BatchSize = 2
    learning_rate: LearningRate = 4e-3
    seed: Seed = 0
    calibration_patients: int = Field(len(CALIBRATION_PATIENTS), gt=0, le=len(CALIBRATION_PATIENTS))
    validation_patients: int = Field(len(VALIDATION_PATIENTS), gt=0, le=len(VALIDATION_PATIENTS))
    checkpoint_every: Steps = 100
    # Generated volumes are smoother than the phantom and not quite of its contrast.
    most_blur: float = Field(1.2, ge=0, description="standard deviation in voxels, in plane")
    most_noise: float = Field(0.03, ge=0)
    most_gain: float = Field(0.15, ge=0, lt=1, description="relative change of contrast")
    most_offset: float = Field(0.06, ge=0)


def train_phantom_reader(
    config: PhantomReaderTraining, folder: Path, progress: OnProgress | None = None
) -> PhantomReader:
    """Train, going on from the checkpoint in ``folder`` where there is one, and calibrate; saves nothing else."""
    torch.manual_seed(config.seed)
    network = PhantomReaderNetwork(config.filters)
    trainer = Trainer(network, folder / CHECKPOINTS_NAME, config, schedule=one_cycle(config, rising=0.1))
    # Dice over the batch, not the volume: half of the volumes have no lesion to overlap with.
    criterion = DiceCELoss(softmax=True, to_onehot_y=True, batch=True)
    batches = Batches(partial(_training_batch, config), config.batch_size, shared=False)
    trainer.fit(
        lambda batch: (criterion(trainer.model(batch[0]), batch[1]), {}),
        batches,
        _Messages(config.steps),
        lambda trainer: None if progress is None else progress(trainer.step, trainer.steps),
    )
    return _calibrated(network, config)


class _Messages(SilentLog):
    """A line on the log now and then."""

    def __init__(self, steps: int) -> None:
        self.steps, self._started = steps, time.monotonic()

    def step(self, step: int, values: Mapping[str, float], *, ended: float | None = None) -> None:
        if step % STEPS_PER_MESSAGE == 0:
            seconds = (ended or time.monotonic()) - self._started
            log.info("phantom reader step %d/%d: loss %.3f, %.0f s", step, self.steps, values["loss"], seconds)


def _training_batch(
    config: PhantomReaderTraining, step: int, places: Sequence[int]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Voxels and region numbers, (B, 1, X, Y, Z) each, of patients that no other step sees."""
    rng = np.random.default_rng([config.seed, step])
    voxels, regions = [], []
    for place in places:
        seed = TRAINING_PATIENTS[(step * config.batch_size + place) % len(TRAINING_PATIENTS)]
        rendering = render(draw_patient(seed), READABLE_SEQUENCE)
        image = _disturbed(central_window(rendering.voxels), config, rng)
        labels = REGION_OF_TISSUE[central_window(rendering.labels)]
        mirrored = slice(None, None, -1 if rng.random() < 0.5 else 1)
        voxels.append(image[mirrored])
        regions.append(labels[mirrored])
    return [(torch.from_numpy(np.stack(voxels))[:, None], torch.from_numpy(np.stack(regions))[:, None])]


def _disturbed(image: np.ndarray, config: PhantomReaderTraining, rng: np.random.Generator) -> np.ndarray:
    """A volume (X, Y, Z) in 0 … 1, blurred, noisier and of another contrast, by random amounts."""
    blur, noise = config.most_blur * rng.random(), config.most_noise * rng.random()
    gain, offset = 1 + config.most_gain * rng.uniform(-1, 1), config.most_offset * rng.uniform(-1, 1)
    image = np.float32(gain) * (_blurred(image, blur) - np.float32(0.5)) + np.float32(0.5 + offset)
    image = image + np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 1)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter1d(gaussian_filter1d(image, sigma, axis=0), sigma, axis=1) if sigma > 0 else image


def _calibrated(network: PhantomReaderNetwork, config: PhantomReaderTraining) -> PhantomReader:
    """The phantom reader with the lesion threshold that is right most often, in the middle of all that are."""
    uncalibrated = PhantomReader(network, PhantomReaderConfig(filters=config.filters))
    volumes, positive = [], []
    for seed in CALIBRATION_PATIENTS[: config.calibration_patients]:
        patient = draw_patient(seed)
        rendering = render(patient, READABLE_SEQUENCE)
        for voxels in (rendering.voxels, _blurred(rendering.voxels, GENERATED_BLUR)):
            volumes.append(uncalibrated.read(voxels, rendering.affine).lesion_volume_ml)
            positive.append(patient.findings.pathology == "positive")
    threshold = best_threshold(np.array(volumes), np.array(positive))
    log.info("phantom reader: a lesion has at least %.3f ml", threshold)
    return PhantomReader(network, PhantomReaderConfig(filters=config.filters, lesion_threshold_ml=threshold))


def best_threshold(volumes_ml: np.ndarray, positive: np.ndarray) -> float:
    """The volume that tells positive from negative best; the geometric mean of all that do equally well."""
    right = [((volumes_ml >= threshold) == positive).mean() for threshold in THRESHOLDS_ML]
    best = THRESHOLDS_ML[np.isclose(right, np.max(right))]
    return float(np.exp(np.log(best).mean()))


def validate_phantom_reader(
    phantom_reader: PhantomReader, patients: Sequence[int] = VALIDATION_PATIENTS, progress: OnProgress | None = None
) -> PhantomReaderValidation:
    """Scores on phantoms, by default on 200 that were used for nothing else, and on the same ones blurred.

    A phantom reader is fit for use from 95 % on pathology and side and r = 0.97 on the gland's volume.

    Raises:
        InputError: no patients.
    """
    stated: list[StatedFinding] = []
    sharp: list[MeasuredFinding] = []
    blurred: list[MeasuredFinding] = []
    for number, seed in enumerate(patients):
        patient = draw_patient(seed)
        rendering = render(patient, READABLE_SEQUENCE)
        stated.append(StatedFinding.by(patient.findings))
        sharp.append(phantom_reader.read(rendering.voxels, rendering.affine))
        blurred.append(phantom_reader.read(_blurred(rendering.voxels, GENERATED_BLUR), rendering.affine))
        if progress is not None:
            progress(number + 1, len(patients))
    if not stated:
        raise InputError("A phantom reader is validated on at least one patient.")
    return PhantomReaderValidation(sharp=score_readings(stated, sharp), blurred=score_readings(stated, blurred))


def phantom_reader_fingerprint(config: PhantomReaderTraining) -> str:
    """Twelve hexadecimal digits that change with the training and with the look of the phantom."""
    example = render(draw_patient(TRAINING_PATIENTS.start), READABLE_SEQUENCE)
    # How many patients validate it changes nothing in the phantom reader itself.
    digest = hashlib.sha256(config.model_dump_json(exclude={"validation_patients"}).encode())
    digest.update(np.round(example.voxels * 255).astype(np.uint8).tobytes() + example.labels.tobytes())
    return digest.hexdigest()[:12]


def cached_phantom_reader(cache_dir: Path | None = None, config: PhantomReaderTraining | None = None) -> Path:
    """Where `load_or_train_phantom_reader` keeps the phantom reader; there is no such folder before its first use."""
    root = cache_dir if cache_dir is not None else Path(platformdirs.user_cache_dir("ccella"))
    return root / f"phantom_reader-{phantom_reader_fingerprint(config or PhantomReaderTraining())}" / "weights"


def load_or_train_phantom_reader(
    cache_dir: Path | None = None, *, config: PhantomReaderTraining | None = None, progress: OnProgress | None = None
) -> PhantomReader:
    """The phantom reader from the cache, by default the user's; the first use trains and validates it there.

    Of several processes that want it at once, one trains it and the others wait.
    """
    config = config or PhantomReaderTraining()
    finished = cached_phantom_reader(cache_dir, config)
    if not (
        finished / VALIDATION_NAME
    ).is_file():  # a finished one is only read, also from where nothing can be written
        finished.parent.mkdir(parents=True, exist_ok=True)
        with locked(finished.parent / LOCK_NAME, wait=True):
            _train_and_validate(finished, config, progress)
    return PhantomReader.load(finished)


def _train_and_validate(finished: Path, config: PhantomReaderTraining, progress: OnProgress | None) -> None:
    """What is left of it: another process may have done all, or a part, before this one held the lock."""
    folder = finished.parent
    if not finished.is_dir():
        log.info(
            "training the phantom reader on the digital prostate, once, into %s: about nine minutes of one core", folder
        )
        unfinished = folder / "weights.part"
        train_phantom_reader(config, folder, progress).save(unfinished)
        unfinished.replace(finished)
        shutil.rmtree(folder / CHECKPOINTS_NAME, ignore_errors=True)
    if not (finished / VALIDATION_NAME).is_file():
        patients = VALIDATION_PATIENTS[: config.validation_patients]
        log.info("validating the phantom reader on %d other digital prostates, once: about two minutes", len(patients))
        save_validation(validate_phantom_reader(PhantomReader.load(finished), patients, progress), finished)
