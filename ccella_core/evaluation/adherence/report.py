"""The outcome of an adherence run, and its tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ccella_core.config import StrictModel
from ccella_core.evaluation.adherence.counterfactual import CHANGED_FACTS, WORDS, ChangedFact, follows
from ccella_core.evaluation.adherence.measurements import MeasuredFinding
from ccella_core.evaluation.adherence.phantom_reader import PhantomReaderValidation
from ccella_core.evaluation.adherence.scores import (
    Agreement,
    Attribute,
    Confusion,
    Proportion,
    ReadingScores,
    StatedFinding,
    score_readings,
)
from ccella_core.evaluation.statistics.class_scores import THRESHOLD, Interval

ATTRIBUTE_WORDS: dict[Attribute, str] = {"pathology": "Pathology", "side": "Side", "zone": "Zone", "level": "Level"}
HOW_COUNTED = (
    "A volume in which no lesion is seen counts as wrong on side, zone and level, and has no size. Intervals are at "
    "95 %: Wilson's for shares, Fisher's for correlations, the bootstrap's for differences."
)


class AdherenceCase(StrictModel):
    """One generated volume: what was asked, what it shows, and what the phantom of that patient shows."""

    patient: int
    counterfactual: ChangedFact | None
    """What was exchanged in the patient's report; ``None`` where it is the patient's own."""
    volume_seed: int
    model: str
    scheduler: str
    report: str
    stated: StatedFinding
    predicted_positive_probability: float | None
    generated: MeasuredFinding
    phantom: MeasuredFinding | None
    """Of the patient as drawn; not read where something was exchanged."""
    phantom_reader_sha256: str | None = None
    """Fingerprint of the phantom reader; ``None`` in older results."""


class AdherenceResult(StrictModel):
    """What a model does with reports that it has never seen."""

    model: str
    scheduler: str
    generated: ReadingScores
    phantoms: ReadingScores
    """The ceiling: the same readings of the phantoms of the same patients."""
    phantom_reader: PhantomReaderValidation | None
    """What the phantom reader itself is worth, on other phantoms; ``None`` where it was never validated."""
    class_head: Proportion
    """The class that the model read from the report, against what the report says; no cases without a class head."""
    counterfactual: dict[ChangedFact, Proportion]
    """Pairs of the same noise whose volumes differ as their reports do (see ``changed_fact.follows``)."""
    cases: list[AdherenceCase]
    phantom_reader_sha256: str | None = None
    """Fingerprint of the phantom reader; ``None`` where that of a case is not known."""

    @property
    def steering(self) -> Proportion:
        """Of left and right alone: the one exchange of older results."""
        return self.counterfactual.get("side", Proportion.of(()))

    @classmethod
    def of(
        cls, cases: Sequence[AdherenceCase], phantom_reader: PhantomReaderValidation | None = None
    ) -> AdherenceResult:
        """The result of at least one patient; each exchanged case goes with that patient's own."""
        own = {case.patient: case for case in cases if case.counterfactual is None}
        stated = [case.stated for case in own.values()]
        pairs = [(own[case.patient], case) for case in cases if case.counterfactual is not None]
        phantom_readers = {case.phantom_reader_sha256 for case in cases}
        return cls(
            model=cases[0].model,
            scheduler=cases[0].scheduler,
            generated=score_readings(stated, [case.generated for case in own.values()]),
            phantoms=score_readings(stated, [case.phantom for case in own.values() if case.phantom is not None]),
            phantom_reader=phantom_reader,
            class_head=Proportion.of(
                (case.predicted_positive_probability >= THRESHOLD) == case.stated.has_lesion
                for case in own.values()
                if case.predicted_positive_probability is not None
            ),
            counterfactual={
                what: Proportion.of(is_followed(*pair) for pair in pairs if pair[1].counterfactual == what)
                for what in CHANGED_FACTS
                if any(after.counterfactual == what for _, after in pairs)
            },
            cases=list(cases),
            phantom_reader_sha256=phantom_readers.pop() if len(phantom_readers) == 1 else None,
        )


def is_followed(own: AdherenceCase, after: AdherenceCase) -> bool:
    """Whether the volume of an exchanged report differs from the patient's own as the reports do."""
    assert after.counterfactual is not None
    return follows(after.counterfactual, (own.stated, own.generated), (after.stated, after.generated))


def markdown(result: AdherenceResult) -> str:
    """All that was measured, as tables."""
    columns = {"generated": result.generated, "phantoms of the same patients": result.phantoms}
    own = sum(case.counterfactual is None for case in result.cases)
    lines = [
        f"# Adherence of {result.model}",
        "",
        f"{own} held-out reports of the digital prostate; {result.scheduler}. {HOW_COUNTED}",
        "",
        *agreement_table(columns, result.phantom_reader),
        "",
        f"The class that the model itself reads from the report is right in {result.class_head}.",
    ]
    if result.counterfactual:
        lines += [
            "",
            "## One fact exchanged in the report, the noise kept",
            "",
            "Read as stated before and after; a size or volume must move by half the change asked for at least.",
            "",
            "| exchanged | the volume follows |",
            "|---|---|",
            *(f"| {WORDS[what]} | {share} |" for what, share in result.counterfactual.items()),
        ]
    lines += ["", "## Generated volumes: stated and read", *confusion_tables(result.generated), ""]
    return "\n".join(lines)


def agreement_table(columns: Mapping[str, ReadingScores], phantom_reader: PhantomReaderValidation | None) -> list[str]:
    """Lines of markdown: a row an attribute; the phantom reader's own scores come last."""
    columns = dict(columns)
    if phantom_reader is not None:
        patients = phantom_reader.sharp.pathology.total
        columns[f"the phantom reader itself, on {patients} held-out phantoms"] = phantom_reader.sharp
        columns[f"the same {patients}, blurred"] = phantom_reader.blurred
    rows = zip(*(_agreement(scores) for scores in columns.values()), strict=True)
    return [
        f"| | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
        *(f"| {cells[0][0]} | {' | '.join(value for _, value in cells)} |" for cells in rows),
    ]


def confusion_tables(scores: ReadingScores) -> Iterator[str]:
    """Lines of markdown: for each attribute what was stated, a row each, and what was read, a column each."""
    for attribute, words in ATTRIBUTE_WORDS.items():
        table: Confusion = scores.confusion[attribute]
        yield from (
            "",
            f"| {words}: stated (rows) and read | {' | '.join(table.read)} |",
            f"|---|{'---|' * len(table.read)}",
        )
        for stated, counts in zip(table.stated, table.counts, strict=True):
            yield f"| {stated} | {' | '.join(map(str, counts))} |"


def _agreement(scores: ReadingScores) -> Iterator[tuple[str, str]]:
    yield "Pathology as stated", str(scores.pathology)
    yield "… lesion seen where stated", str(scores.sensitivity)
    yield "… none seen where none is stated", str(scores.specificity)
    yield "Side, of reports that name one", str(scores.side)
    yield "Zone", str(scores.zone)
    yield "Level", str(scores.level)
    yield from _lengths("Lesion size", scores.size_mm, "mm")
    yield from _lengths("Gland volume", scores.gland_volume_ml, "ml")


def _lengths(name: str, agreement: Agreement, unit: str) -> Iterator[tuple[str, str]]:
    yield f"{name}, Pearson's r", _number(agreement.r, ".3f")
    yield f"{name}, mean absolute error", _number(agreement.error, ".1f", unit)
    yield f"{name}, mean difference", _number(agreement.bias, "+.1f", unit)


def _number(interval: Interval, form: str, unit: str = "") -> str:
    if interval.value is None:
        return f"not defined (n {interval.n})"
    low, high = (f"{end:{form}}" for end in (interval.low, interval.high))
    return f"{f'{interval.value:{form}} {unit}'.strip()} ({low} to {high}; n {interval.n})"
