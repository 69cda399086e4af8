"""Whether synthetic volumes have the look of real ones: their spectrum, and a judge that sees nothing but it and grey.

A network that blurs draws organs in the right places and no tissue. Neither features of a network that was trained on
photographs nor a glance at a small picture show that reliably; the power at each spatial frequency does. The judge is a
logistic regression on spectrum and histogram: what tells sets apart for so simple a judge is no question of taste.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from pydantic import Field

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.data.volume_set import SPACING_TOLERANCE, VolumeSet, format_shape
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.evaluation.statistics.intervals import of_resamples
from ccella_core.progress import OnProgress

MOST_BANDS = 24
"""Of equal width, from the slowest wave to the fastest that voxels can hold; fewer where slices have few voxels."""
FINE_FROM = 0.5
"""Of the highest frequency: what lies above is fine detail, waves shorter than four voxels."""
GREYS = 16
"""Percentiles of a volume's voxels, evenly spread, that the judge sees."""
RESAMPLES = 500
FOLDS = 5
FEWEST_TO_JUDGE = 8
"""Patients on each side, below which the judge has too few to learn from."""
SMALLEST_POWER = 1e-12


class SetLook(StrictModel):
    """One set beside another."""

    fine_detail: Estimate
    """Power above half of the highest in-plane frequency over that of the real set: 1 is right, 0 is blurred."""
    spectrum: Estimate
    """Decades between the two mean spectra, averaged over the frequencies."""
    spectrum_largest: float = Field(ge=0)
    """Decades where they differ most."""
    judge: Estimate | None
    """AUROC of the judge in cross-validation: 0.5 is a guess, 1 never errs. ``None``: too few patients."""


class Appearance(StrictModel):
    """Synthetic against real, and one random half of the real patients against the other."""

    synthetic: SetLook
    halves: SetLook | None


def check_alike(real: VolumeSet, synthetic: VolumeSet) -> None:
    """Raises InputError unless the volumes of two sets are of one shape and spacing."""
    if real.shape != synthetic.shape or not np.allclose(real.spacing, synthetic.spacing, rtol=SPACING_TOLERANCE):
        raise InputError(
            f"{real.name} has volumes of {format_shape(real.shape)} voxels of {format_shape(real.spacing)} mm and "
            f"{synthetic.name} of {format_shape(synthetic.shape)} voxels of {format_shape(synthetic.spacing)} mm; "
            "prepare the real ones like the synthetic ones with `ccella prepare`."
        )


def appearance_of(
    synthetic: VolumeSet, real: VolumeSet, *, seed: int = 0, progress: OnProgress | None = None
) -> Appearance:
    """Measure how the volumes of two sets of one shape and spacing look.

    Args:
        synthetic: what a model made.
        real: what it is compared with.
        seed: of halves, folds and resamples.
        progress: called after every volume.

    Raises:
        InputError: a volume that cannot be read.
    """
    done, total = 0, len(synthetic) + len(real)

    def seen(volumes: VolumeSet) -> _Seen:
        nonlocal done
        spectra, greys = [], []
        for voxels in volumes.volumes():
            spectra.append(spectrum_of(voxels))
            greys.append(np.percentile(voxels, np.linspace(0, 100, GREYS)))
            done += 1
            if progress is not None:
                progress(done, total)
        return _Seen(np.array(spectra), np.array(greys), [member.patient for member in volumes])

    drawn, scanned = seen(synthetic), seen(real)
    halves = None
    if len(set(scanned.patients)) > 1:
        one, other = scanned.halves(seed)
        halves = _look(one, other, seed)
    return Appearance(synthetic=_look(drawn, scanned, seed), halves=halves)


def spectrum_of(voxels: np.ndarray) -> np.ndarray:
    """Mean in-plane power of a volume (X, Y, Z) in bands of frequencies, that of its slices averaged.

    The slices are tapered (Hann), so that borders make no frequencies of their own, and their mean is taken off.
    """
    x, y = voxels.shape[:2]
    bands = min(MOST_BANDS, min(x, y) // 2)
    taper = np.hanning(x)[:, None] * np.hanning(y)[None]
    slices = np.moveaxis(voxels, -1, 0).astype(np.float64)
    slices = (slices - slices.mean(axis=(1, 2), keepdims=True)) * taper
    power = (np.abs(np.fft.fft2(slices)) ** 2).mean(axis=0) / (taper**2).sum()
    # Along the diagonals there are higher frequencies; they are not what every direction can hold.
    radius = np.hypot(np.fft.fftfreq(x)[:, None], np.fft.fftfreq(y)[None]) / 0.5
    band = np.ceil(radius * bands).astype(int) - 1  # the mean falls into band -1
    return np.array([power[band == each].mean() for each in range(bands)])


class _Seen:
    """Of each volume its spectrum and its grey values, and whose it is."""

    def __init__(self, spectra: np.ndarray, greys: np.ndarray, patients: Sequence[str]) -> None:
        self.spectra, self.greys, self.patients = spectra.clip(min=SMALLEST_POWER), greys, list(patients)

    def __len__(self) -> int:
        return len(self.patients)

    def of(self, chosen: Sequence[str]) -> _Seen:
        """Those of some patients, as often as each is chosen."""
        places = {patient: [n for n, each in enumerate(self.patients) if each == patient] for patient in set(chosen)}
        rows = [place for patient in chosen for place in places[patient]]
        return _Seen(self.spectra[rows], self.greys[rows], [self.patients[row] for row in rows])

    def halves(self, seed: int) -> tuple[_Seen, _Seen]:
        order = np.random.default_rng(seed).permutation(sorted(set(self.patients))).tolist()
        return self.of(order[: len(order) // 2]), self.of(order[len(order) // 2 :])


def _look(drawn: _Seen, scanned: _Seen, seed: int) -> SetLook:
    decades = np.abs(np.log10(_mean_spectrum(drawn) / _mean_spectrum(scanned)))
    return SetLook(
        fine_detail=_resampled(_fine_detail, drawn, scanned, seed),
        spectrum=_resampled(_decades, drawn, scanned, seed),
        spectrum_largest=float(decades.max()),
        judge=_judged(drawn, scanned, seed),
    )


def _mean_spectrum(seen: _Seen) -> np.ndarray:
    return np.asarray(seen.spectra.mean(axis=0))


def _fine_detail(drawn: _Seen, scanned: _Seen) -> float:
    one, other = _mean_spectrum(drawn), _mean_spectrum(scanned)
    fine = slice(round(len(one) * FINE_FROM), None)
    return float(one[fine].sum() / other[fine].sum())


def _decades(drawn: _Seen, scanned: _Seen) -> float:
    return float(np.abs(np.log10(_mean_spectrum(drawn) / _mean_spectrum(scanned))).mean())


def _resampled(measure: Callable[[_Seen, _Seen], float], drawn: _Seen, scanned: _Seen, seed: int) -> Estimate:
    """With an interval from resamples of the patients of both sets."""
    rng = np.random.default_rng(seed)
    names = [sorted(set(seen.patients)) for seen in (drawn, scanned)]
    values = [
        measure(*(seen.of(rng.choice(each, len(each)).tolist()) for seen, each in zip((drawn, scanned), names,
                                                                                      strict=True)))
        for _ in range(RESAMPLES)
    ]  # fmt: skip
    found = of_resamples(measure(drawn, scanned), np.array(values), 0)
    return Estimate(value=found.value, low=found.low, high=found.high, n=_counts(drawn, scanned))


def _judged(drawn: _Seen, scanned: _Seen, seed: int) -> Estimate | None:
    """Each patient is judged by a regression that has seen none of their volumes."""
    if min(len(set(seen.patients)) for seen in (drawn, scanned)) < FEWEST_TO_JUDGE:
        return None
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = np.concatenate([np.hstack([np.log10(seen.spectra), seen.greys]) for seen in (drawn, scanned)])
    truth = np.repeat([1, 0], [len(drawn), len(scanned)])
    groups = [f"synthetic {each}" for each in drawn.patients] + [f"real {each}" for each in scanned.patients]
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    judge = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    said = cross_val_predict(judge, features, truth, groups=groups, cv=folds, method="predict_proba")[:, 1]
    rng, names = np.random.default_rng(seed), sorted(set(groups))
    rows = {name: [n for n, each in enumerate(groups) if each == name] for name in names}
    values = []
    for _ in range(RESAMPLES):
        chosen = [row for name in rng.choice(names, len(names)) for row in rows[name]]
        if 0 < truth[chosen].sum() < len(chosen):
            values.append(roc_auc_score(truth[chosen], said[chosen]))
    low, high = np.quantile(values, [0.025, 0.975])
    return Estimate(
        value=float(roc_auc_score(truth, said)), low=float(low), high=float(high), n=_counts(drawn, scanned)
    )


def _counts(drawn: _Seen, scanned: _Seen) -> str:
    return f"{len(drawn)} and {len(scanned)}"
