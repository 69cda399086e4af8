"""Image metrics of a variant with intervals, each beside what two halves of the real cases have between them."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from pathlib import Path

import numpy as np

from ccella_core.config import StrictModel
from ccella_core.evaluation.data.volume_set import VolumeSet
from ccella_core.evaluation.features.features import FeatureExtractor, features_of
from ccella_core.evaluation.features.samples import Sample, random_halves, standard_errors
from ccella_core.evaluation.images.coverage import FEWEST_VOLUMES, coverage_of
from ccella_core.evaluation.images.distances import frechet_distance, kernel_distance
from ccella_core.evaluation.images.diversity import PairSimilarity
from ccella_core.evaluation.images.images import ImageScores, evaluate_images, sample_of, save_image_scores
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.networks.config import Variant
from ccella_core.progress import OnProgress
from ccella_core.study.measures import Better, Measure

FEWEST_TEST_PATIENTS = 8
"""So that half of them have a distance from half of the synthetic ones. Where volumes were left out and fewer remain, a
value stands without an interval."""
REAL_CASES = "the real cases among themselves"
"""For distances and neighbourhoods: between two halves of them."""
SIMILARITY = "MS-SSIM of pairs"
STANDARD_ERRORS = 1.96
"""Standard errors on each side of a 95 % interval."""
KERNEL_SUBSETS = 20
"""Fewer than for the value itself: its spread between halves is much larger than between subsets."""
WHATEVER_THE_SIZE = frozenset({"KID"})
"""Statistics whose mean does not depend on the number of volumes: whole sets may be compared with halves."""
BETTER: dict[str, Better] = {
    "FID": "lower",
    "KID": "lower",
    "Precision": "higher",
    "Recall": "higher",
    "Density": None,
    "Coverage": "higher",
}
LIMITS: dict[str, tuple[float, float]] = {
    "FID": (0.0, inf),
    "Precision": (0.0, 1.0),
    "Recall": (0.0, 1.0),
    "Density": (0.0, inf),
    "Coverage": (0.0, 1.0),
    SIMILARITY: (-1.0, 1.0),
}
"""Of what a value can be; an interval ends there."""


class ExtractorErrors(StrictModel):
    """Of every statistic of one extractor its standard error, and its values between random halves of the real set."""

    extractor: str
    standard_errors: dict[str, float]
    between_halves: dict[str, tuple[float, ...]]


class ImageResult(StrictModel):
    """What the stage found."""

    scores: ImageScores
    errors: tuple[ExtractorErrors, ...]


def measure_images(
    real: VolumeSet,
    synthetic: VolumeSet,
    extractors: Sequence[FeatureExtractor],
    *,
    seed: int,
    out: Path,
    cache: Path,
    progress: OnProgress,
) -> ImageResult:
    """Image metrics and how far each can be trusted; the scores alone are also written into ``out``.

    Raises:
        InputError: see ``evaluate_images``.
        SaveError: the disk refuses.
    """
    for extractor in extractors:
        features_of(synthetic, extractor, cache=cache, progress=progress)
    scores = evaluate_images(real, synthetic, extractors, seed=seed, cache=cache)
    save_image_scores(scores, out)
    errors = []
    for extractor in extractors:
        of_real, of_synthetic = (sample_of(volumes, extractor, cache=cache) for volumes in (real, synthetic))
        real_halve, all_halve = (
            min(sample.patient_count for sample in samples) >= FEWEST_TEST_PATIENTS
            for samples in ((of_real,), (of_real, of_synthetic))
        )
        halves = [_statistics(*pair) for pair in random_halves(of_real, seed=seed)] if real_halve else []
        errors.append(
            ExtractorErrors(
                extractor=extractor.name,
                standard_errors=standard_errors(_statistics, of_synthetic, of_real, seed=seed) if all_halve else {},
                between_halves={name: tuple(half[name] for half in halves) for name in (halves[0] if halves else ())},
            )
        )
    return ImageResult(scores=scores, errors=tuple(errors))


def of_images(variant: Variant, result: ImageResult) -> list[Measure]:
    """Every metric of every extractor; how alike pairs of volumes are comes last, for which none is needed."""
    scores = result.scores
    n = f"{scores.real_volumes} real, {scores.synthetic_volumes} synthetic"
    measures = []
    for found, errors in zip(scores.extractors, result.errors, strict=True):
        values = {"FID": found.distances.frechet, "KID": found.distances.kernel.mean}
        if found.coverage is not None:
            values |= {name.capitalize(): value for name, value in found.coverage.model_dump().items()}
        measures += [
            Measure(
                variant=variant,
                group="images",
                name=name,
                extractor=found.extractor,
                better=BETTER[name],
                number=_estimate(value, errors.standard_errors.get(name), n, name),
                reference=_between(errors.between_halves.get(name, ()), f"halves of {scores.real_volumes} real", name),
                reference_name=REAL_CASES,
                comparable=name in WHATEVER_THE_SIZE,
            )
            for name, value in values.items()
        ]
    return [*measures, _similarity(variant, scores)]


def _statistics(generated: Sample, real: Sample) -> dict[str, float]:
    values = {
        "FID": frechet_distance(generated.rows, real.rows),
        "KID": kernel_distance(generated, real, subsets=KERNEL_SUBSETS).mean,
    }
    if min(generated.patient_count, real.patient_count) >= FEWEST_VOLUMES:  # as in every other half
        covered = coverage_of(generated.volumes, real.volumes).model_dump()
        values |= {name.capitalize(): value for name, value in covered.items()}
    return values


def _estimate(value: float, standard_error: float | None, n: str, name: str) -> Estimate:
    if standard_error is None:
        return Estimate(value=value, n=n)
    least, most = LIMITS.get(name, (-inf, inf))
    half = STANDARD_ERRORS * standard_error
    return Estimate(value=value, low=max(value - half, least), high=min(value + half, most), n=n)


def _between(values: Sequence[float], n: str, name: str) -> Estimate | None:
    """Mean over the divisions into halves, and where 95 % of them lie."""
    return _estimate(float(np.mean(values)), float(np.std(values)), n, name) if values else None


def _similarity(variant: Variant, scores: ImageScores) -> Measure:
    """How unlike each other volumes are: neither more nor less is better than what the real ones are."""
    return Measure(
        variant=variant,
        group="images",
        name=SIMILARITY,
        better=None,
        number=_of_pairs(scores.diversity.generated),
        reference=_of_pairs(scores.diversity.real),
        reference_name=REAL_CASES,
    )


def _of_pairs(pairs: PairSimilarity) -> Estimate:
    """With an interval where no two pairs share a volume: only then is their spread that of independent values."""
    spread = pairs.standard_deviation / np.sqrt(pairs.pairs - 1) if pairs.apart and pairs.pairs > 1 else None
    return _estimate(pairs.mean, spread, f"{pairs.pairs} pairs", SIMILARITY)
