"""From the results of the evaluations to the one form that a study shows them in."""

from __future__ import annotations

from collections.abc import Iterator

from ccella_core.evaluation.class_scores import WORDS, ClassScores, Interval
from ccella_core.evaluation.resampling import SCORES
from ccella_core.evaluation.scores import Agreement, Proportion, ReadingScores
from ccella_core.evaluation.set_adherence import SetAdherence
from ccella_core.networks.config import Variant
from ccella_core.study.measures import Better, Measure, Number

READOUT = "phantom readout"
THE_CASES_THEMSELVES = "the test cases themselves"


def number_of(score: Interval | Proportion, n: str | None = None) -> Number:
    """A value with its interval; ``n`` says of what it is, where its count alone does not."""
    if isinstance(score, Interval):
        return Number(value=score.value, low=score.low, high=score.high, n=n or str(score.n))
    if not score.total:
        return Number(value=None, n=n or "0")
    low, high = score.interval
    return Number(value=score.share, low=low, high=high, n=n or str(score.total))


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
    yield "… lesion seen where stated", "higher", number_of(scores.sensitivity)
    yield "… none seen where none is stated", "higher", number_of(scores.specificity)
    yield "Side", "higher", number_of(scores.side)
    yield "Zone", "higher", number_of(scores.zone)
    yield "Level", "higher", number_of(scores.level)
    yield from _lengths("Lesion size", "mm", scores.size_mm)
    yield from _lengths("Gland volume", "ml", scores.gland_volume_ml)


def _lengths(what: str, unit: str, agreement: Agreement) -> Iterator[tuple[str, Better, Number]]:
    yield f"{what}, correlation", "higher", number_of(agreement.r)
    yield f"{what}, mean absolute error in {unit}", "lower", number_of(agreement.error)
    yield f"{what}, mean difference in {unit}", None, number_of(agreement.bias)
