"""Memorisation: are there copies of training cases among synthetic volumes?

Each synthetic volume is compared with every training volume, as an image and as a vector of features, and suspected
where one training case is so many times nearer than the others as among real volumes, which no training has seen, only
one in a thousand would be. (Dar et al. 2024, arXiv 2402.01054, look for copies of scans by the nearest training scan,
too, with a limit from real scans that were not trained on.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ccella_core.errors import InputError
from ccella_core.evaluation.data.volume_set import SPACING_TOLERANCE, VolumeSet, format_shape
from ccella_core.evaluation.features.features import FeatureExtractor, features_of, mean_per_volume
from ccella_core.evaluation.images.images import ImageStage, silent
from ccella_core.evaluation.privacy.alignment import aligned_distances, coarse_volumes, reach_of
from ccella_core.evaluation.privacy.neighbours import (
    Neighbours,
    find_neighbours,
    rank_of,
    standardised_distances,
    threshold,
)
from ccella_core.evaluation.privacy.report import Nearest, NeighbourComparison, PrivacyScores
from ccella_core.evaluation.statistics.estimate import Estimate

FALSE_ALARM_RATE = 0.001
"""Of each of the two comparisons: a thousand new volumes are worth two needless looks."""
FEWEST_TRAINING_PATIENTS = 3
"""The nearest, another to compare with, and one's own."""
TOO_FEW = 20
"""Real volumes with fewer of which the limit is a guess."""
ALIGNED_VOXELS = "aligned voxels"


def find_copies(
    synthetic: VolumeSet,
    training: VolumeSet,
    held_out: VolumeSet | None,
    extractor: FeatureExtractor,
    *,
    false_alarm_rate: float = FALSE_ALARM_RATE,
    cache: Path | None = None,
    stage: ImageStage = silent,
) -> PrivacyScores:
    """Look for copies of ``training`` in ``synthetic``; all are of one shape and spacing.

    Args:
        synthetic: what a model made.
        training: what it was trained on.
        held_out: real volumes that it was not trained on; ``None``: each training volume in turn is left out.
        extractor: of the features; those of slices are averaged.
        false_alarm_rate: of new volumes, by each comparison.
        cache: a folder in which features are kept.
        stage: shows progress.

    Raises:
        InputError: too few training patients, another shape or spacing, a rate that is none, or a volume that cannot be
            read.
    """
    check_sets(synthetic, training, held_out, false_alarm_rate)
    # Features first: a volume that the extractor cannot read is met before the long alignment.
    *by_features, among_training = _feature_tables(synthetic, training, held_out, extractor, cache, stage)
    by_image = _image_tables(synthetic, training, held_out, stage)
    patients, own = _patients(training), _patients(training if held_out is None else held_out)
    found = {
        by: (find_neighbours(of_synthetic, patients), find_neighbours(of_real, patients, own=own))
        for by, (of_synthetic, of_real) in ((ALIGNED_VOXELS, by_image), (extractor.name, by_features))
    }
    rank = rank_of(patients)
    comparisons = tuple(_comparison(by, *pair, false_alarm_rate, rank) for by, pair in found.items())
    closest = _closest(synthetic, training, comparisons, [of_synthetic for of_synthetic, _ in found.values()])
    return PrivacyScores(
        synthetic=synthetic.name,
        training=training.name,
        real="each training volume, left out in turn" if held_out is None else f"{len(held_out)} held-out volumes",
        training_volumes=len(training),
        training_patients=len(set(patients)),
        rank=rank,
        suspected=Estimate.of_share((each.suspected for each in closest), method="exact"),
        false_alarm_rate=len(comparisons) * false_alarm_rate,
        comparisons=comparisons,
        authenticity=Estimate.of_share(_are_authentic(by_features[0], among_training, patients), method="exact"),
        real_authenticity=None
        if held_out is None
        else Estimate.of_share(_are_authentic(by_features[1], among_training, patients), method="exact"),
        closest=closest,
        warnings=(
            *(words for each in (synthetic, training, held_out) if each is not None for words in each.left_out_words),
            *_warnings(comparisons, training, held_out),
        ),
        extractor_sha256=extractor.fingerprint,
    )


def _image_tables(
    synthetic: VolumeSet, training: VolumeSet, held_out: VolumeSet | None, stage: ImageStage
) -> list[np.ndarray]:
    """Distances (M, N) of synthetic volumes from the N training volumes, and (L, N) of real ones."""
    coarse = []
    for volumes, words in _named(synthetic, training, held_out):
        with stage(f"Reading {words} volumes") as on_progress:
            coarse.append(coarse_volumes(volumes, progress=on_progress))
    tables = []
    for queries, words in zip((coarse[0], coarse[-1]), ("synthetic", "real"), strict=True):
        with stage(f"Aligning {words} with training volumes") as on_progress:
            tables.append(aligned_distances(queries, coarse[1], reach_of(training), progress=on_progress))
    return tables


def _feature_tables(
    synthetic: VolumeSet,
    training: VolumeSet,
    held_out: VolumeSet | None,
    extractor: FeatureExtractor,
    cache: Path | None,
    stage: ImageStage,
) -> list[np.ndarray]:
    """Distances (M, N) of synthetic volumes from the N training volumes, (L, N) of real ones, (N, N) of themselves."""
    features = []
    for volumes, words in _named(synthetic, training, held_out):
        with stage(f"{extractor.name}, {words}") as on_progress:
            rows = features_of(volumes, extractor, cache=cache, progress=on_progress)
        features.append(mean_per_volume(rows, len(volumes)))
    like = features[1]
    return [standardised_distances(each, like, like) for each in (features[0], features[-1], like)]


def _named(synthetic: VolumeSet, training: VolumeSet, held_out: VolumeSet | None) -> list[tuple[VolumeSet, str]]:
    """Those to go through: synthetic, training and, where there are such, held-out ones."""
    named = [(synthetic, "synthetic"), (training, "training")]
    return named if held_out is None else [*named, (held_out, "held-out")]


def _patients(volumes: VolumeSet) -> list[str]:
    return [member.patient for member in volumes]


def _comparison(
    by: str, synthetic: Neighbours, real: Neighbours, false_alarm_rate: float, rank: int
) -> NeighbourComparison:
    limit = threshold(real.times_nearer, false_alarm_rate, rank)
    return NeighbourComparison(
        by=by,
        limit=limit,
        false_alarm_rate=false_alarm_rate,
        suspected=Estimate.of_share(synthetic.times_nearer > limit, method="exact"),
        real_suspected=Estimate.of_share(real.times_nearer > limit, method="exact"),
        median_distance=float(np.median(synthetic.distance)),
        real_median_distance=float(np.median(real.distance)),
        times_nearer=tuple(synthetic.times_nearer.tolist()),
        real_times_nearer=tuple(real.times_nearer.tolist()),
    )


def _closest(
    synthetic: VolumeSet, training: VolumeSet, comparisons: Sequence[NeighbourComparison], found: Sequence[Neighbours]
) -> tuple[Nearest, ...]:
    """Each synthetic volume by the comparison in which it is the most suspicious."""
    nearest = []
    for number, member in enumerate(synthetic):
        comparison, neighbours = max(
            zip(comparisons, found, strict=True), key=lambda pair: pair[1].times_nearer[number] / pair[0].limit
        )
        index = int(neighbours.nearest[number])
        nearest.append(
            Nearest(
                synthetic=member.id,
                training=training.members[index].id,
                synthetic_index=number,
                training_index=index,
                by=comparison.by,
                distance=float(neighbours.distance[number]),
                times_nearer=float(neighbours.times_nearer[number]),
                suspicion=float(neighbours.times_nearer[number]) / comparison.limit,
            )
        )
    return tuple(sorted(nearest, key=lambda each: -each.suspicion))


def _are_authentic(distances: np.ndarray, among_training: np.ndarray, patients: list[str]) -> np.ndarray:
    """(M,) bool of distances (M, N): further from the nearest than that is from other patients (Alaa et al. 2022)."""
    of_training = find_neighbours(among_training, patients, own=patients).distance
    return np.asarray(distances.min(axis=1) > of_training[distances.argmin(axis=1)])


def check_sets(
    synthetic: VolumeSet,
    training: VolumeSet,
    held_out: VolumeSet | None,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> None:
    """Raises InputError where `find_copies` would refuse the sets or the rate, whatever the extractor."""
    if not 0 < false_alarm_rate < 1:
        raise InputError(f"The rate of false alarms lies between 0 and 1, such as 0.001, not {false_alarm_rate!r}.")
    patients = len(set(_patients(training)))
    if patients < FEWEST_TRAINING_PATIENTS:
        raise InputError(
            f"There are volumes of {patients} patients in {training.name}; copies can be told from others among "
            f"{FEWEST_TRAINING_PATIENTS} training patients at least."
        )
    for volumes, words in _named(synthetic, training, held_out):
        same_spacing = np.allclose(volumes.spacing, training.spacing, rtol=SPACING_TOLERANCE)
        if volumes.shape != training.shape or not same_spacing:
            raise InputError(
                f"The {words} volumes in {volumes.name} have {format_shape(volumes.shape)} voxels of "
                f"{format_shape(volumes.spacing)} mm and the training volumes {format_shape(training.shape)} of "
                f"{format_shape(training.spacing)} mm; prepare them alike with `ccella prepare`."
            )


def _warnings(
    comparisons: Sequence[NeighbourComparison], training: VolumeSet, held_out: VolumeSet | None
) -> Iterator[str]:
    real = len(training if held_out is None else held_out)
    if real < TOO_FEW:
        yield f"The limits follow from {real} real volumes, which are too few for more than a guess."
    if held_out is not None and (both := set(_patients(training)) & set(_patients(held_out))):
        yield (
            f"{len(both)} held-out patients are among the training patients, {min(both)} for one; they were compared "
            "with the others only."
        )
    for each in comparisons:
        if each.real_suspected.count:
            yield (
                f"By {each.by}, {each.real_suspected.count} of {each.real_suspected.n} real volumes are as near to "
                "one training case as a copy would be: a patient may be there under two names, or the limit is too low."
            )
