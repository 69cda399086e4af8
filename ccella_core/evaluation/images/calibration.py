"""What a model's volumes miss in grey values and waves, found beside the scans that it has learnt from."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

from ccella_core.errors import InputError
from ccella_core.evaluation.data.synthetic_set import read_synthesis_settings
from ccella_core.evaluation.data.volume_set import VolumeSet
from ccella_core.evaluation.images.appearance import (
    FEWEST_TO_JUDGE,
    GREYS,
    SMALLEST_POWER,
    check_alike,
    spectrum_of,
)
from ccella_core.files import write_json
from ccella_core.generation.intensity import calibrated
from ccella_core.models.calibration import MOST_GAIN, Calibration
from ccella_core.models.model import INDEX_NAME, ModelFolder
from ccella_core.progress import OnProgress
from ccella_core.provenance import SequenceName


def fit_calibration(drawn: VolumeSet, real: VolumeSet, *, progress: OnProgress | None = None) -> Calibration:
    """The tone curve between mean percentiles of two sets, and the gain that is then left between their spectra.

    It moves every volume alike, so it makes none a copy of a scan, and volumes no more different from each other.

    Args:
        drawn: by a model without calibration.
        real: of the same shape and spacing, what it has learnt from.
        progress: called after every volume.

    Raises:
        InputError: sets of other shapes, too few patients, a volume that cannot be read, volumes of one grey, or a
            difference that no gain makes good.
    """
    check_alike(real, drawn)
    for volumes in (drawn, real):
        if (patients := len({member.patient for member in volumes})) < FEWEST_TO_JUDGE:
            raise InputError(
                f"{volumes.name} has volumes of {patients} patients{volumes.without}; a calibration needs "
                f"{FEWEST_TO_JUDGE} on each side at least."
            )
    done = 0

    def mean(of: Callable[[np.ndarray], np.ndarray], volumes: VolumeSet) -> np.ndarray:
        nonlocal done
        total = np.zeros(())
        for voxels in volumes.volumes():
            total = total + of(voxels)
            done += 1
            if progress is not None:
                progress(done, 2 * (len(drawn) + len(real)))
        return total / len(volumes)

    finest = 0.5 / max(real.spacing[:2])
    tone = _curve(mean(_percentiles, drawn), mean(_percentiles, real))
    if len(tone) < 2:
        raise InputError(f"The volumes in {drawn.name} are all of one grey: the model has learnt nothing yet.")
    toned = Calibration(tone=tone, gain=(1.0, 1.0), finest_per_mm=finest)
    missed = mean(_log_power, real) - mean(lambda voxels: _log_power(calibrated(voxels, drawn.spacing, toned)), drawn)
    gain = np.exp(missed / 2)  # of amplitudes, whose squares are the power
    if gain.max() > MOST_GAIN or gain.min() < 1 / MOST_GAIN:
        factor = max(gain.max(), 1 / gain.min())
        raise InputError(
            f"{drawn.name} and {real.name} differ {factor:.2g} times in some waves, and a calibration mends no more "
            f"than {MOST_GAIN:g} times: train the autoencoder further."
        )
    return Calibration(tone=tone, gain=tuple(gain.tolist()), finest_per_mm=finest)


def calibrate_model(
    model: ModelFolder, synthetic: Path, drawn: VolumeSet, real: VolumeSet, sequence: SequenceName,
    *, progress: OnProgress | None = None,
) -> ModelFolder:  # fmt: skip
    """Fit a calibration and write it into a model's index; the hash is then another, and what was measured is dropped.

    Args:
        model: the model.
        synthetic: the folder that ``drawn`` was opened from, whose volumes this model drew without a calibration.
        drawn: see ``fit_calibration``.
        real: likewise.
        sequence: of which they are. That of other sequences stays.
        progress: likewise.

    Raises:
        InputError: another model drew the volumes, or as ``fit_calibration`` says.
        SaveError: the disk refuses; then the model is as it was.
    """
    made_by = read_synthesis_settings(synthetic)
    without = ModelFolder(model.path, model.index.model_copy(update={"calibration": {}}))
    if made_by.model_sha256 != without.sha256:
        calibrated_already = made_by.model_sha256 == model.sha256
        raise InputError(
            f"The volumes in {synthetic} are calibrated already; give those that it was calibrated with."
            if calibrated_already
            else f"The volumes in {synthetic} were drawn by {made_by.model_name} {made_by.model_sha256[:12]}, and "
            f"{model.path} is {without.sha256[:12]}: draw them with it."
        )
    found = fit_calibration(drawn, real, progress=progress)
    changed = model.index.model_copy(
        update={"calibration": {**model.index.calibration, sequence: found}, "measured": {}}
    )
    write_json(model.path / INDEX_NAME, changed)
    return ModelFolder(model.path, changed)


def _percentiles(voxels: np.ndarray) -> np.ndarray:
    return np.percentile(voxels, np.linspace(0, 100, GREYS))


def _log_power(voxels: np.ndarray) -> np.ndarray:
    return np.log(spectrum_of(voxels).clip(min=SMALLEST_POWER))


def _curve(drawn: np.ndarray, meant: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Without points that are drawn alike, as where much of a volume is black."""
    points = list(zip(drawn.tolist(), meant.tolist(), strict=True))
    rising = [points[0], *(after for before, after in pairwise(points) if after[0] > before[0])]
    return tuple(rising)
