"""What is measured of the volumes of a variant: each part by its own library function, in a stage of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ccella_core.cases.prepared import PreparedSet
from ccella_core.evaluation.adherence.phantom_reader import PhantomReader
from ccella_core.evaluation.adherence.phantom_reader_training import cached_phantom_reader, load_or_train_phantom_reader
from ccella_core.evaluation.adherence.scores import Agreement, ReadingScores
from ccella_core.evaluation.adherence.set_adherence import SetAdherence, set_adherence
from ccella_core.evaluation.classifier.class_head import ClassHeadResult, evaluate_class_head
from ccella_core.evaluation.data.volume_set import VolumeSet, open_volume_set
from ccella_core.evaluation.features.features import ExtractorName, FeatureExtractor, load_extractors
from ccella_core.evaluation.images.images import FEATURES
from ccella_core.evaluation.privacy.privacy import find_copies
from ccella_core.evaluation.privacy.report import PrivacyScores, save_privacy
from ccella_core.evaluation.statistics.class_scores import SCORE_NAMES, ClassScores
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.evaluation.statistics.resampling import SCORES
from ccella_core.networks.config import Variant
from ccella_core.progress import OnProgress
from ccella_core.study.config import StudyConfig
from ccella_core.study.image_measures import ImageResult, measure_images, of_images
from ccella_core.study.measures import Better, Measure
from ccella_core.study.plan import ADHERENCE, CLASS_HEAD, IMAGES, PRIVACY, variant_key
from ccella_core.study.result import VariantResult
from ccella_core.study.stages import Stages


class Measurer:
    """Measures variants; what they share, such as the phantom reader, is loaded once and only where it is needed.

    Args:
        config: of the study.
        prepared: its cases.
        stages: does each stage once.
    """

    def __init__(self, config: StudyConfig, prepared: PreparedSet, stages: Stages) -> None:
        self._config, self._prepared, self._stages = config, prepared, stages
        self._loaded: dict[ExtractorName, tuple[FeatureExtractor, ...]] = {}
        self.warnings: dict[str, None] = {}
        """Of all variants that were measured so far, each once and in order."""

    def measure(self, made: VariantResult) -> list[Measure]:
        """Everything that applies to a variant. Raises whatever the stages raise; what is finished stays."""
        parts = {IMAGES: self._images, CLASS_HEAD: self._class_head, ADHERENCE: self._adherence,
                 PRIVACY: self._privacy}  # fmt: skip
        return [
            measure
            for part, measured in parts.items()
            if self._stages.applies(variant_key(made.variant, part))
            for measure in measured(made)
        ]

    def _images(self, made: VariantResult) -> list[Measure]:
        images, sequence = self._config.images, self._config.data.sequence
        made_with = {
            "cases": self._prepared.fingerprint,
            "volumes": made.of_test.sha256,
            "images": images.model_dump(mode="json"),
        }

        def work(folder: Path, on_progress: OnProgress) -> ImageResult:
            checked = self._stages.checked
            return measure_images(
                checked(open_volume_set(self._prepared.folder, sequence=sequence, split="test")),
                checked(open_volume_set(self._stages.folder / made.of_test.path, sequence=sequence)),
                [extractor for kind in images.extractors for extractor in self._extractors(kind)],
                seed=images.seed,
                out=folder,
                cache=self._stages.folder / FEATURES,
                progress=on_progress,
            )

        key = variant_key(made.variant, IMAGES)
        weights = partial(self._extractor_weights, tuple(images.extractors))
        result = self._stages.done(key, made_with, ImageResult, work, weights=weights)
        self.warnings |= dict.fromkeys(result.scores.warnings)
        return of_images(made.variant, result)

    def _class_head(self, made: VariantResult) -> list[Measure]:
        def work(folder: Path, on_progress: OnProgress) -> ClassHeadResult:
            return evaluate_class_head(self._stages.folder / made.of_test.path, out=folder)

        key = variant_key(made.variant, CLASS_HEAD)
        result = self._stages.done(key, {"volumes": made.of_test.sha256}, ClassHeadResult, work)
        return of_class_head(made.variant, result.scores)

    def _adherence(self, made: VariantResult) -> list[Measure]:
        assert self._config.adherence is not None
        made_with = {
            "cases": self._prepared.fingerprint,
            "volumes": made.of_test.sha256,
            "phantom_reader": self._config.adherence.phantom_reader,
        }

        def work(folder: Path, on_progress: OnProgress) -> SetAdherence:
            volumes = self._stages.folder / made.of_test.path
            cases = self._prepared.folder
            result = set_adherence(volumes, cases, self._phantom_reader, out=folder, progress=on_progress)
            self._stages.leave_out(result.left_out)
            return result

        key = variant_key(made.variant, ADHERENCE)
        result = self._stages.done(key, made_with, SetAdherence, work, weights=self._phantom_reader_weights)
        return of_adherence(made.variant, result)

    def _privacy(self, made: VariantResult) -> list[Measure]:
        """Of the volumes of training reports, where there are such: those could be copies of their own cases."""
        privacy, sequence = self._config.privacy, self._config.data.sequence
        assert privacy is not None
        volumes = made.of_train or made.of_test
        made_with = {
            "cases": self._prepared.fingerprint,
            "volumes": volumes.sha256,
            "privacy": privacy.model_dump(mode="json"),
            "weights": self._config.images.extractors[privacy.extractor],
        }

        def work(folder: Path, on_progress: OnProgress) -> PrivacyScores:
            checked = self._stages.checked
            synthetic = checked(open_volume_set(self._stages.folder / volumes.path, sequence=sequence))
            training = checked(open_volume_set(self._prepared.folder, sequence=sequence, split="train"))
            scores = find_copies(
                synthetic,
                training,
                checked(self._held_out()),
                self._extractors(privacy.extractor)[0],
                cache=self._stages.folder / FEATURES,
                stage=lambda title: nullcontext(on_progress),
            )
            save_privacy(scores, synthetic, training, folder)
            return scores

        weights = partial(self._extractor_weights, (privacy.extractor,))
        scores = self._stages.done(variant_key(made.variant, PRIVACY), made_with, PrivacyScores, work, weights=weights)
        self.warnings |= dict.fromkeys(scores.warnings)
        return of_privacy(made.variant, scores)

    def _held_out(self) -> VolumeSet:
        """The cases that no variant has learnt from."""
        everyone = open_volume_set(self._prepared.folder, sequence=self._config.data.sequence)
        members = [member for member in everyone if member.split != "train"]
        return VolumeSet(everyone.name, members, everyone.shape, everyone.spacing)

    def _extractors(self, kind: ExtractorName) -> tuple[FeatureExtractor, ...]:
        if kind not in self._loaded:
            self._loaded[kind] = load_extractors(kind, self._config.images.extractors[kind])
        return self._loaded[kind]

    @cached_property
    def _phantom_reader(self) -> PhantomReader:
        adherence = self._config.adherence
        folder = None if adherence is None else adherence.phantom_reader
        return load_or_train_phantom_reader() if folder is None else PhantomReader.load(folder)

    def _extractor_weights(self, kinds: Sequence[ExtractorName]) -> dict[str, Any]:
        """The fingerprint of each kind; nothing where the stand-in would have to be trained for it."""
        if "phantom" in kinds and not _is_at_hand(self._config.images.extractors["phantom"]):
            return {}
        return {"extractor_sha256": {kind: self._extractors(kind)[0].fingerprint for kind in kinds}}

    def _phantom_reader_weights(self) -> dict[str, Any]:
        """The fingerprint of the phantom reader; nothing where it would have to be trained for it."""
        assert self._config.adherence is not None
        return (
            {"phantom_reader_sha256": self._phantom_reader.fingerprint}
            if _is_at_hand(self._config.adherence.phantom_reader)
            else {}
        )


def _is_at_hand(phantom_reader: Path | None) -> bool:
    """Whether a phantom reader can be loaded: one that is named, or the cached one once it is trained."""
    return phantom_reader is not None or cached_phantom_reader().is_dir()


PHANTOM_READER = "phantom reader"
THE_CASES_THEMSELVES = "the test cases themselves"
HELD_OUT = "held-out real cases"


def of_class_head(variant: Variant, scores: ClassScores) -> list[Measure]:
    """Every score of the class that a variant reads from reports."""
    return [
        Measure(
            variant=variant,
            group="class_head",
            name=SCORE_NAMES[name],
            better="higher",
            number=getattr(scores, name),
        )
        for name in sorted(SCORES, key=lambda score: score != "auroc")  # the one that needs no threshold comes first
    ]


def of_adherence(variant: Variant, result: SetAdherence) -> list[Measure]:
    """Of the synthetic volumes, beside the same of the test cases that the reports belong to."""
    own, cases = _agreements(result.generated.scores), _agreements(result.prepared.scores)
    return [
        Measure(
            variant=variant,
            group="adherence",
            name=name,
            extractor=PHANTOM_READER,
            better=better,
            number=number,
            reference=reference,
            reference_name=THE_CASES_THEMSELVES,
        )
        for (name, better, number), (_, _, reference) in zip(own, cases, strict=True)
    ]


def _agreements(scores: ReadingScores) -> Iterator[tuple[str, Better, Estimate]]:
    yield "Pathology as stated", "higher", scores.pathology
    yield "Lesion seen where stated", "higher", scores.sensitivity
    yield "No lesion seen where none is stated", "higher", scores.specificity
    yield "Side", "higher", scores.side
    yield "Zone", "higher", scores.zone
    yield "Level", "higher", scores.level
    yield from _lengths("Lesion size", "mm", scores.size_mm)
    yield from _lengths("Gland volume", "ml", scores.gland_volume_ml)


def _lengths(what: str, unit: str, agreement: Agreement) -> Iterator[tuple[str, Better, Estimate]]:
    yield f"{what}, correlation", "higher", agreement.r
    yield f"{what}, mean absolute error in {unit}", "lower", agreement.error
    yield f"{what}, mean difference in {unit}", None, agreement.bias


def of_privacy(variant: Variant, scores: PrivacyScores) -> list[Measure]:
    """Suspected copies by each comparison and by either, and how many volumes are authentic, beside held-out cases."""

    def measure(name: str, by: str | None, better: Better, share: Estimate, real: Estimate | None) -> Measure:
        return Measure(
            variant=variant,
            group="privacy",
            name=name,
            extractor=by,
            better=better,
            number=share,
            reference=None if real is None else real,
            reference_name=None if real is None else HELD_OUT,
        )

    found = scores.comparisons
    return [
        measure("Suspected copies", "either comparison", "lower", scores.suspected, None),
        *(measure("Suspected copies", each.by, "lower", each.suspected, each.real_suspected) for each in found),
        measure("Authenticity", found[-1].by, None, scores.authenticity, scores.real_authenticity),
    ]
