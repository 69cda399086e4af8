"""What a model's volumes miss in grey values and waves, found beside the scans that it has learnt from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np

from ccella_core.errors import InputError, ModelError
from ccella_core.evaluation.data.synthetic_set import SynthesisSettings, read_synthesis_settings
from ccella_core.evaluation.data.volume_set import SPACING_TOLERANCE, VolumeSet
from ccella_core.evaluation.images.appearance import (
    FEWEST_TO_JUDGE,
    GREYS,
    SMALLEST_POWER,
    check_alike,
    spectrum_of,
)
from ccella_core.files import alone_in, write_json
from ccella_core.generation.intensity import calibrated
from ccella_core.models.calibration import MOST_GAIN, Calibration
from ccella_core.models.model import INDEX_NAME, ModelFolder
from ccella_core.progress import OnProgress
from ccella_core.provenance import SequenceName

SHORTEST_SIDE = 16
"""Voxels in plane, below which there are no waves to speak of."""


def fit_calibration(drawn: VolumeSet, real: VolumeSet, *, progress: OnProgress | None = None) -> Calibration:
    """The tone curve between mean percentiles of two sets, and the gain that is then left between their spectra.

    It moves every volume alike, so it makes none a copy of a scan, and volumes no more different from each other.
    Patients count alike, however many volumes each has.

    Args:
        drawn: by a model without calibration of their sequence.
        real: of the same shape and spacing, what it has learnt from.
        progress: called after every volume.

    Raises:
        InputError: sets of other shapes, of other than square voxels in plane or too small, too few patients, a volume
            that cannot be read, volumes of one grey, or a difference that no gain makes good.
    """
    _check_sets(drawn, real)
    done = 0

    def mean(of: Callable[[np.ndarray], np.ndarray], volumes: VolumeSet) -> np.ndarray:
        nonlocal done
        of_patients = defaultdict(list)
        for member, voxels in zip(volumes, volumes.volumes(), strict=True):
            of_patients[member.patient].append(of(voxels))
            done += 1
            if progress is not None:
                progress(done, 2 * (len(drawn) + len(real)))
        return np.mean([np.mean(found, axis=0) for found in of_patients.values()], axis=0)

    greys = [mean(_percentiles, volumes) for volumes in (drawn, real)]
    for volumes, percentiles in zip((drawn, real), greys, strict=True):
        if percentiles[0] == percentiles[-1]:
            raise InputError(
                f"The volumes in {volumes.name} have a single grey value each: there is nothing to calibrate by."
            )
    tone = _curve(*greys)
    finest = 0.5 / real.spacing[0]
    toned = Calibration(tone=tone, gain=(1.0, 1.0), finest_per_mm=finest)
    missed = mean(_log_power, real) - mean(lambda voxels: _log_power(calibrated(voxels, drawn.spacing, toned)), drawn)
    gain = np.exp(missed / 2)  # of amplitudes, whose squares are the power
    if gain.max() > MOST_GAIN or gain.min() < 1 / MOST_GAIN:
        fainter, stronger = (drawn, real) if gain.max() > MOST_GAIN else (real, drawn)
        factor = max(gain.max(), 1 / gain.min())
        raise InputError(
            f"Some waves are {factor:.2g} times fainter in {fainter.name} than in {stronger.name}, and a calibration "
            f"mends no more than {MOST_GAIN:g} times: see that both are what they should be, or train further."
        )
    return Calibration(tone=tone, gain=tuple(gain.tolist()), finest_per_mm=finest)


def calibrate_model(
    model: ModelFolder, synthetic: Path, drawn: VolumeSet, real: VolumeSet, sequence: SequenceName,
    *, progress: OnProgress | None = None,
) -> ModelFolder:  # fmt: skip
    """Fit a calibration and write it into a model's index; the hash is then another, and what was measured is dropped.

    Args:
        model: the model.
        synthetic: the folder that ``drawn`` was opened from: volumes that this model drew, with its default scheduler,
            steps and guidance, and without a calibration of ``sequence``.
        drawn: see ``fit_calibration``.
        real: likewise.
        sequence: of which they are. Calibrations of other sequences stay.
        progress: likewise.

    Raises:
        InputError: the model does not draw the sequence, another one drew the volumes or drew them otherwise, another
            process works in its folder, or as ``fit_calibration`` says.
        ModelError: it is not whole, or was changed in the meantime.
        SaveError: the disk refuses; then the model is as it was.
    """
    model.index.drawn([sequence])
    if any(member.seed is None for member in drawn) or any(member.seed is not None for member in real):
        raise InputError(f"Give volumes of `ccella synthesize`, and then scans: {drawn.name} and {real.name} are not.")
    with alone_in(model.path):
        model.verify()
        _check_maker(model, read_synthesis_settings(synthetic), synthetic, sequence)
        found = fit_calibration(drawn, real, progress=progress)
        return _written(model, {**model.index.calibration, sequence: found})


def uncalibrate_model(model: ModelFolder) -> ModelFolder:
    """Take every calibration out of a model, which then has the hash that it had before; raises as ``calibrate_model``.

    What was measured of it is dropped.
    """
    if not model.index.calibration:
        raise InputError(f"The model {model.index.name} has no calibration.")
    with alone_in(model.path):
        return _written(model, {})


def _written(model: ModelFolder, calibration: dict[SequenceName, Calibration]) -> ModelFolder:
    if ModelFolder.open(model.path).index != model.index:
        raise ModelError(f"The model {model.path} was changed in the meantime; give the command again.")
    changed = model.index.model_copy(update={"calibration": calibration, "measured": {}})
    write_json(model.path / INDEX_NAME, changed)
    return ModelFolder.open(model.path)


def _check_sets(drawn: VolumeSet, real: VolumeSet) -> None:
    check_alike(real, drawn)
    if abs(real.spacing[0] / real.spacing[1] - 1) > SPACING_TOLERANCE or min(real.shape[:2]) < SHORTEST_SIDE:
        raise InputError(
            f"The volumes in {real.name} have {real.shape[0]} x {real.shape[1]} voxels of {real.spacing[0]:g} x "
            f"{real.spacing[1]:g} mm in plane; a calibration needs square ones, {SHORTEST_SIDE} a side at least."
        )
    for volumes in (drawn, real):
        if (patients := len({member.patient for member in volumes})) < FEWEST_TO_JUDGE:
            raise InputError(
                f"{volumes.name} has volumes of {patients} patients{volumes.without}; a calibration needs "
                f"{FEWEST_TO_JUDGE} on each side at least."
            )


def _check_maker(model: ModelFolder, made: SynthesisSettings, synthetic: Path, sequence: SequenceName) -> None:
    """Volumes that were drawn before other sequences were calibrated, or after, will do."""
    index = model.index
    if made.model_sha256 not in {each.sha256 for each in _without(model, sequence)}:
        if made.model_sha256 == model.sha256:
            raise InputError(
                f"The {sequence} volumes in {synthetic} are calibrated already: give those that were drawn before, or "
                "draw others after `ccella models uncalibrate`."
            )
        raise InputError(
            f"The volumes in {synthetic} were drawn by {made.model_name} {made.model_sha256[:12]}, and {model.path} is "
            f"{index.name} {model.sha256[:12]}: draw them with it."
        )
    drawn_with = (made.options.scheduler, made.options.num_inference_steps, made.options.guidance_scale)
    defaults = (index.default_scheduler, index.default_num_inference_steps, index.default_guidance_scale)
    if drawn_with != defaults:
        words = ("{} with {} steps and guidance {}".format(*each) for each in (drawn_with, defaults))
        raise InputError(
            f"The volumes in {synthetic} were drawn by {next(words)}, and the model's own is {next(words)}."
        )


def _without(model: ModelFolder, sequence: SequenceName) -> Iterator[ModelFolder]:
    """The model as it was, or may have been, while a sequence was not calibrated."""
    others = {name: found for name, found in model.index.calibration.items() if name != sequence}
    for count in range(len(others) + 1):
        for names in combinations(others, count):
            calibration = {name: others[name] for name in names}
            yield ModelFolder(model.path, model.index.model_copy(update={"calibration": calibration}))


def _percentiles(voxels: np.ndarray) -> np.ndarray:
    return np.percentile(voxels, np.linspace(0, 100, GREYS))


def _log_power(voxels: np.ndarray) -> np.ndarray:
    return np.log(spectrum_of(voxels).clip(min=SMALLEST_POWER))


def _curve(drawn: np.ndarray, meant: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Through the mean percentiles, and on to black and white, since single volumes go beyond mean ends.

    Without points that are drawn alike, as where much of a volume is black.
    """
    inner = list(zip(drawn.tolist(), meant.tolist(), strict=True))
    black, white = ([] if reached else [(end, end)] for reached, end in ((drawn[0] <= 0, 0.0), (drawn[-1] >= 1, 1.0)))
    points = [*black, *inner, *white]
    return (points[0], *(after for before, after in pairwise(points) if after[0] > before[0]))
