"""The outcome of an adherence run, and its tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ccella_core.config import StrictModel
from ccella_core.evaluation.adherence.counterfactual import CHANGED_FACTS, FACT_LABELS, ChangedFact, follows
from ccella_core.evaluation.adherence.measurements import MeasuredFinding
from ccella_core.evaluation.adherence.phantom_reader import PhantomReaderValidation
from ccella_core.evaluation.adherence.scores import (
    Agreement,
    Attribute,
    ReadingScores,
    StatedFinding,
    score_readings,
)
from ccella_core.evaluation.statistics.class_scores import THRESHOLD
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.phantom.report import StyleChoice
from ccella_core.report_page import markdown_table

ATTRIBUTE_LABELS: dict[Attribute, str] = {"pathology": "Pathology", "side": "Side", "zone": "Zone", "level": "Level"}
HOW_COUNTED = (
    "A volume in which no lesion is seen counts as wrong on side, zone and level, and has no size. Intervals are at "
    "95 %: Wilson's for shares, Fisher's for correlations, the bootstrap's for differences."
)


class AdherenceCase(StrictModel):
    """One generated volume: what its report states, what it shows, and what the phantom of that patient shows."""

    patient: int
    changed_fact: ChangedFact | None
    """What was changed in the patient's report; ``None`` where it is the patient's own."""
    volume_seed: int
    model: str
    scheduler: str
    style: StyleChoice = "classic"
    report: str
    stated: StatedFinding
    predicted_positive_probability: float | None
    generated: MeasuredFinding
    phantom: MeasuredFinding | None
    """Of the patient as drawn; not read where a fact was changed."""
    phantom_reader_sha256: str
    """Fingerprint of the phantom reader."""


class AdherenceResult(StrictModel):
    """What a model does with reports that it has never seen."""

    model: str
    scheduler: str
    style: StyleChoice = "classic"
    """Of the reports."""
    generated: ReadingScores
    phantoms: ReadingScores
    """The ceiling: the same readings of the phantoms of the same patients."""
    phantom_reader: PhantomReaderValidation | None
    """What the phantom reader itself is worth, on other phantoms; ``None`` where it was never validated."""
    class_head: Estimate
    """The class that the model read from the report, against what the report says; no cases without a class head."""
    counterfactuals: dict[ChangedFact, Estimate]
    """Share of pairs of the same noise whose volumes differ as their reports do (see ``counterfactual.follows``)."""
    cases: list[AdherenceCase]
    phantom_reader_sha256: str
    """Fingerprint of the phantom reader."""

    @classmethod
    def of(
        cls, cases: Sequence[AdherenceCase], phantom_reader: PhantomReaderValidation | None = None
    ) -> AdherenceResult:
        """The result of at least one patient; each counterfactual case goes with that patient's own."""
        own = {case.patient: case for case in cases if case.changed_fact is None}
        stated = [case.stated for case in own.values()]
        pairs = [(own[case.patient], case) for case in cases if case.changed_fact is not None]
        return cls(
            model=cases[0].model,
            scheduler=cases[0].scheduler,
            style=cases[0].style,
            generated=score_readings(stated, [case.generated for case in own.values()]),
            phantoms=score_readings(stated, [case.phantom for case in own.values() if case.phantom is not None]),
            phantom_reader=phantom_reader,
            class_head=Estimate.of_share(
                (case.predicted_positive_probability >= THRESHOLD) == case.stated.has_lesion
                for case in own.values()
                if case.predicted_positive_probability is not None
            ),
            counterfactuals={
                fact: Estimate.of_share(is_followed(*pair) for pair in pairs if pair[1].changed_fact == fact)
                for fact in CHANGED_FACTS
                if any(after.changed_fact == fact for _, after in pairs)
            },
            cases=list(cases),
            phantom_reader_sha256=cases[0].phantom_reader_sha256,
        )


def is_followed(own: AdherenceCase, after: AdherenceCase) -> bool:
    """Whether the volume of a counterfactual report differs from the patient's own as the reports do."""
    assert after.changed_fact is not None
    return follows(after.changed_fact, (own.stated, own.generated), (after.stated, after.generated))


def adherence_markdown(result: AdherenceResult) -> str:
    """All that was measured, as tables."""
    columns = {"generated": result.generated, "phantoms of the same patients": result.phantoms}
    own = sum(case.changed_fact is None for case in result.cases)
    parts = [
        f"# Adherence of {result.model}",
        f"{own} held-out reports of the digital prostate in the style {result.style}; {result.scheduler}. "
        f"{HOW_COUNTED}",
        agreement_table(columns, result.phantom_reader),
        f"The class that the model itself reads from the report is right in {result.class_head.as_share()}.",
    ]
    if result.counterfactuals:
        parts += [
            "## One fact changed in the report, the noise kept",
            "Read as stated before and after; a size or volume must move by half the stated change at least.",
            counterfactual_table(result),
        ]
    return "\n\n".join([*parts, "## Generated volumes: stated and read", *confusion_tables(result.generated)]) + "\n"


def counterfactual_table(result: AdherenceResult) -> str:
    """A markdown table: a row a changed fact, and how many volumes follow it."""
    rows = [[FACT_LABELS[fact], share.as_share()] for fact, share in result.counterfactuals.items()]
    return markdown_table(["changed", "the volume follows"], rows)


def agreement_table(columns: Mapping[str, ReadingScores], phantom_reader: PhantomReaderValidation | None) -> str:
    """A markdown table: a row an attribute; the phantom reader's own scores come last."""
    columns = dict(columns)
    if phantom_reader is not None:
        patients = phantom_reader.sharp.pathology.n
        columns[f"the phantom reader itself, on {patients} held-out phantoms"] = phantom_reader.sharp
        columns[f"the same {patients}, blurred"] = phantom_reader.blurred
    rows = zip(*(_agreement(scores) for scores in columns.values()), strict=True)
    return markdown_table(["", *columns], [[cells[0][0], *(value for _, value in cells)] for cells in rows])


def confusion_tables(scores: ReadingScores) -> list[str]:
    """Markdown tables: for each attribute what was stated, a row each, and what was read, a column each."""
    return [
        markdown_table(
            [f"{label}: stated (rows) and read", *table.read],
            [[stated, *counts] for stated, counts in zip(table.stated, table.counts, strict=True)],
        )
        for attribute, label in ATTRIBUTE_LABELS.items()
        for table in (scores.confusion[attribute],)
    ]


def _agreement(scores: ReadingScores) -> Iterator[tuple[str, str]]:
    yield "Pathology as stated", scores.pathology.as_share()
    yield "… lesion seen where stated", scores.sensitivity.as_share()
    yield "… none seen where none is stated", scores.specificity.as_share()
    yield "Side, of reports that name one", scores.side.as_share()
    yield "Zone", scores.zone.as_share()
    yield "Level", scores.level.as_share()
    yield from _lengths("Lesion size", scores.size_mm, "mm")
    yield from _lengths("Gland volume", scores.gland_volume_ml, "ml")


def _lengths(name: str, agreement: Agreement, unit: str) -> Iterator[tuple[str, str]]:
    yield f"{name}, Pearson's r", agreement.r.with_n(".3f")
    yield f"{name}, mean absolute error", agreement.error.with_n(".1f", unit)
    yield f"{name}, mean difference", agreement.bias.with_n("+.1f", unit)
