"""From the results of the evaluations to the one form that a study shows them in."""

from __future__ import annotations

from collections.abc import Iterator

from ccella_core.evaluation.class_scores import WORDS, ClassScores, Interval
from ccella_core.evaluation.privacy_scores import PrivacyScores, Share
from ccella_core.evaluation.resampling import SCORES
from ccella_core.evaluation.scores import Agreement, Proportion, ReadingScores
from ccella_core.evaluation.set_adherence import SetAdherence
from ccella_core.networks.config import Variant
from ccella_core.study.measures import Better, Measure, Number

READOUT = "phantom readout"
THE_CASES_THEMSELVES = "the test cases themselves"
HELD_OUT = "held-out real cases"


def number_of(score: Interval | Proportion | Share) -> Number:
    """A value with its interval and of how many it is."""
    if isinstance(score, Interval):
        return Number(value=score.value, low=score.low, high=score.high, n=str(score.n))
    if not score.total:
        return Number(value=None, n="0")
    low, high = score.interval if isinstance(score, Proportion) else (score.low, score.high)
    return Number(value=score.share, low=low, high=high, n=str(score.total))


def of_class_head(variant: Variant, scores: ClassScores) -> list[Measure]:
    return [
        Measure(
            variant=variant,
            group="class_head",
            name=WORDS[name],
            better="higher",
            number=number_of(getattr(scores, name)),
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
            extractor=READOUT,
            better=better,
            number=number,
            reference=reference,
            reference_name=THE_CASES_THEMSELVES,
        )
        for (name, better, number), (_, _, reference) in zip(own, cases, strict=True)
    ]


def _agreements(scores: ReadingScores) -> Iterator[tuple[str, Better, Number]]:
    yield "Pathology as stated", "higher", number_of(scores.pathology)
    yield "Lesion seen where stated", "higher", number_of(scores.sensitivity)
    yield "No lesion seen where none is stated", "higher", number_of(scores.specificity)
    yield "Side", "higher", number_of(scores.side)
    yield "Zone", "higher", number_of(scores.zone)
    yield "Level", "higher", number_of(scores.level)
    yield from _lengths("Lesion size", "mm", scores.size_mm)
    yield from _lengths("Gland volume", "ml", scores.gland_volume_ml)


def _lengths(what: str, unit: str, agreement: Agreement) -> Iterator[tuple[str, Better, Number]]:
    yield f"{what}, correlation", "higher", number_of(agreement.r)
    yield f"{what}, mean absolute error in {unit}", "lower", number_of(agreement.error)
    yield f"{what}, mean difference in {unit}", None, number_of(agreement.bias)


def of_privacy(variant: Variant, scores: PrivacyScores) -> list[Measure]:
    """Suspected copies by each comparison and by either, and how many volumes are authentic, beside held-out cases."""

    def measure(name: str, by: str | None, better: Better, share: Share, real: Share | None) -> Measure:
        return Measure(
            variant=variant,
            group="privacy",
            name=name,
            extractor=by,
            better=better,
            number=number_of(share),
            reference=None if real is None else number_of(real),
            reference_name=None if real is None else HELD_OUT,
        )

    found = scores.comparisons
    return [
        measure("Suspected copies", "either comparison", "lower", scores.suspected, None),
        *(measure("Suspected copies", each.by, "lower", each.suspected, each.real_suspected) for each in found),
        measure("Authenticity", found[-1].by, None, scores.authenticity, scores.real_authenticity),
    ]
