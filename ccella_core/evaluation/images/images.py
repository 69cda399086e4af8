"""How good synthetic volumes are as images: ``ccella evaluate images``.

Distances between the features of real and synthetic volumes, each beside what two halves of the real ones have between
them; whether kinds of real volumes are missing; how unlike each other volumes are; and whether they have the look of
real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from pydantic import Field

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.data.volume_set import VolumeSet, format_shape
from ccella_core.evaluation.features.features import FeatureExtractor, features_of
from ccella_core.evaluation.features.protocols import ProtocolName
from ccella_core.evaluation.features.samples import Sample
from ccella_core.evaluation.images import coverage, distances
from ccella_core.evaluation.images.appearance import Appearance, SetLook, appearance_of, check_alike
from ccella_core.evaluation.images.coverage import Coverage, coverage_between_halves, coverage_of
from ccella_core.evaluation.images.distances import Distances, KernelDistance
from ccella_core.evaluation.images.diversity import PAIRS, Diversity, PairSimilarity, diversity_of, scales_for
from ccella_core.progress import OnProgress
from ccella_core.report_page import markdown_table, save_result

IMAGES_STEM, FEATURES = "images", "features"

ImageStage = Callable[[str], AbstractContextManager[OnProgress]]
"""Opens a stage of the work by its name, and gives what is called as it proceeds."""


class ExtractorScores(StrictModel):
    """What one extractor sees."""

    extractor: str
    extractor_sha256: str = Field(description="fingerprint of its weights")
    slices: int = Field(gt=0, description="samples of each volume: 1, or the slices of a plane")
    distances: Distances
    coverage: Coverage | None = Field(description="of whole volumes (means over slices); None: too few of them")
    real_coverage: Coverage | None = Field(description="the same between random halves of the real set")


class ImageScores(StrictModel):
    """Real against synthetic volumes."""

    real: str
    synthetic: str
    real_volumes: int
    synthetic_volumes: int
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    seed: int
    protocol: ProtocolName = Field("own", description="how volumes were given to the extractors")
    extractors: tuple[ExtractorScores, ...]
    diversity: Diversity
    appearance: Appearance
    warnings: tuple[str, ...]


@contextmanager
def silent(words: str) -> Iterator[OnProgress]:
    """The stage that shows nothing."""
    yield lambda done, total: None


def evaluate_images(
    real: VolumeSet,
    synthetic: VolumeSet,
    extractors: Sequence[FeatureExtractor],
    *,
    seed: int = 0,
    pairs: int = PAIRS,
    protocol: ProtocolName = "own",
    device: torch.device | None = None,
    cache: Path | None = None,
    stage: ImageStage = silent,
) -> ImageScores:
    """Measure synthetic volumes against real ones, of the same shape and spacing.

    Args:
        real: volumes of patients.
        synthetic: what a model made.
        extractors: with which; every number names its own.
        seed: of the random halves, subsets and pairs.
        pairs: of each set, whose structural similarity is measured.
        protocol: that the extractors were loaded with, as it is recorded.
        device: for structural similarity; extractors have their own.
        cache: a folder in which features are kept, so that a run that was stopped goes on.
        stage: shows progress.

    Raises:
        InputError: fewer than four patients on a side, another shape or spacing, a volume that cannot be read.
    """
    if not extractors:
        raise InputError("Choose at least one feature extractor.")
    check_image_sets(real, synthetic)
    scores = []
    for extractor in extractors:
        with stage(f"{extractor.name}, real") as on_progress:
            of_real = sample_of(real, extractor, cache=cache, progress=on_progress)
        with stage(f"{extractor.name}, synthetic") as on_progress:
            of_synthetic = sample_of(synthetic, extractor, cache=cache, progress=on_progress)
        scores.append(_scores(extractor, of_real, of_synthetic, seed))
    with stage("Similarity of pairs") as on_progress:
        diversity = diversity_of(synthetic, real, pairs=pairs, seed=seed, device=device, progress=on_progress)
    with stage("Spectra") as on_progress:
        appearance = appearance_of(synthetic, real, seed=seed, progress=on_progress)
    return ImageScores(
        real=real.name,
        synthetic=synthetic.name,
        real_volumes=len(real),
        synthetic_volumes=len(synthetic),
        shape=real.shape,
        spacing_mm=real.spacing,
        seed=seed,
        protocol=protocol,
        extractors=tuple(scores),
        diversity=diversity,
        appearance=appearance,
        warnings=(
            *real.left_out_words,
            *synthetic.left_out_words,
            *_of_training_cases(real, synthetic),
            *_warnings(scores),
        ),
    )


def sample_of(
    volumes: VolumeSet, extractor: FeatureExtractor, *, cache: Path | None = None, progress: OnProgress | None = None
) -> Sample:
    """The features of a set and whose they are; see ``features_of``."""
    rows = features_of(volumes, extractor, cache=cache, progress=progress)
    return Sample.of(rows, [member.patient for member in volumes])


def save_image_scores(scores: ImageScores, folder: Path) -> None:
    """Write ``images.json`` and ``images.md`` into a folder. Raises SaveError."""
    save_result(scores, images_markdown(scores), folder / IMAGES_STEM)


def images_markdown(scores: ImageScores) -> str:
    """Four tables: distances, neighbourhoods, similarity of pairs, looks; and the warnings."""
    compared = [
        [each.extractor, f"{d.generated}, {d.real}", f"{d.frechet:.4g}", f"{d.frechet_floor:.4g}", _spread(d.kernel),
         _spread(d.kernel_floor)]
        for each in scores.extractors
        for d in (each.distances,)
    ]  # fmt: skip
    covered = [
        [each.extractor, name, *("–" if value is None else f"{value:.2f}" for value in _four(found))]
        for each in scores.extractors
        for name, found in (("synthetic", each.coverage), ("real", each.real_coverage))
    ]
    both = {"synthetic": scores.diversity.generated, "real": scores.diversity.real}
    pairs = [[name, found.pairs, _spread(found)] for name, found in both.items()]
    parts = [
        f"# {scores.synthetic} against {scores.real}",
        f"{scores.synthetic_volumes} synthetic and {scores.real_volumes} real volumes of {format_shape(scores.shape)} "
        f"voxels and {format_shape(scores.spacing_mm)} mm. Real: the same between random halves of the real volumes.",
        markdown_table(["Extractor", "samples", "FID", "real", "KID", "real"], compared),
        markdown_table(["Extractor", "", "precision", "recall", "density", "coverage"], covered),
        markdown_table(["Similarity of pairs (MS-SSIM)", "pairs", "mean ± SD"], pairs),
        markdown_table(
            ["Look", "fine detail", "spectrum, mean decades", "largest", "judge, AUROC"],
            [
                _look(name, look)
                for name, look in (("synthetic", scores.appearance.synthetic), ("real", scores.appearance.halves))
                if look is not None
            ],
        ),
        f"MS-SSIM on {scores.diversity.scales} scales, kernel of {format_shape(scores.diversity.kernel)} voxels. KID ± "
        f"its standard deviation over {distances.SUBSETS} subsets, or over halves. Precision, recall, density and "
        f"coverage are of {min(scores.synthetic_volumes, scores.real_volumes)} volumes of each set.",
        "\n".join(f"- {warning}" for warning in scores.warnings),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def check_image_sets(real: VolumeSet, synthetic: VolumeSet) -> None:
    """Raises InputError unless two sets are of one shape and spacing, thick enough, and of enough patients."""
    check_alike(real, synthetic)
    for volumes in (real, synthetic):
        patients = len({member.patient for member in volumes})
        if patients < distances.FEWEST_PATIENTS:
            raise InputError(
                f"The volumes in {volumes.name} are of too few patients ({patients}{volumes.without}); distances "
                f"between sets need {distances.FEWEST_PATIENTS} on each side at least, and mean something from some "
                "hundred on."
            )
    scales_for(real.shape)  # refuses volumes that are too thin


def _scores(extractor: FeatureExtractor, real: Sample, synthetic: Sample, seed: int) -> ExtractorScores:
    compared = min(len(real.patients), len(synthetic.patients))
    return ExtractorScores(
        extractor=extractor.name,
        extractor_sha256=extractor.fingerprint,
        slices=real.slices,
        distances=distances.compare(synthetic, real, seed=seed),
        coverage=coverage_of(synthetic.volumes, real.volumes, seed=seed)
        if compared >= coverage.FEWEST_VOLUMES
        else None,
        real_coverage=coverage_between_halves(real, seed=seed)
        if real.patient_count >= coverage.FEWEST_PATIENTS_FOR_HALVES
        else None,
    )


def _warnings(scores: Sequence[ExtractorScores]) -> Iterator[str]:
    for each in scores:
        yield from (f"{each.extractor}: {warning}" for warning in each.distances.warnings)
    if any(each.coverage is None or each.real_coverage is None for each in scores):
        yield (
            f"Precision, recall, density and coverage need {coverage.FEWEST_VOLUMES} volumes on each side, and "
            f"{coverage.FEWEST_PATIENTS_FOR_HALVES} real patients for their halves."
        )


def _of_training_cases(real: VolumeSet, synthetic: VolumeSet) -> Iterator[str]:
    learnt = "of training cases (split train). If the model learnt from them,"
    if count := real.training_count:
        yield (
            f"{count} of {len(real)} real volumes are {learnt} copies of them count as good; compare with others "
            "(`--real-split test`)."
        )
    if count := synthetic.training_count:
        yield (
            f"{count} of {len(synthetic)} synthetic volumes are {learnt} those of new cases may be worse; measure them "
            "(`--synthetic-split test`)."
        )


def _four(found: Coverage | None) -> list[float | None]:
    return [None] * 4 if found is None else [found.precision, found.recall, found.density, found.coverage]


def _look(name: str, look: SetLook) -> list[str]:
    judge = "–" if look.judge is None else str(look.judge)
    return [name, str(look.fine_detail), str(look.spectrum), f"{look.spectrum_largest:.2f}", judge]


def _spread(found: KernelDistance | PairSimilarity) -> str:
    return f"{found.mean:.4g} ± {found.standard_deviation:.2g}"
