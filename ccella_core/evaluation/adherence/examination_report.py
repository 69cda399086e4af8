"""The outcome of an adherence run without the phantom reader, and its tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ccella_core.config import StrictModel
from ccella_core.evaluation.adherence.counterfactual import FACT_LABELS
from ccella_core.evaluation.adherence.difference import MOVED_FACTS, MovedFact, MovedLesion
from ccella_core.evaluation.adherence.scores import Agreement, StatedFinding, mean_of
from ccella_core.evaluation.adherence.styles import AdherenceStyle
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.provenance import SequenceName
from ccella_core.report_page import markdown_table

LOOKS: dict[SequenceName, str] = {"t2w": "darker in T2", "adc": "darker in ADC", "hbv": "brighter at high b"}
HOW_MEASURED = (
    "Intervals are at 95 %: Wilson's for shares, Fisher's for correlations, the bootstrap's for means. A coil is "
    "looked for where a gland was found; where none was, that counts as wrong."
)
HOW_MOVED = (
    "Before and after, T2 must be darker where the changed fact has the lesion (both times; chance gets a quarter at "
    "most, and the same volume twice nothing). The other columns say whether the whole stated place changed as a "
    "lesion looks (chance: half); contrast is in standard deviations within the gland."
)


class ReadExamination(StrictModel):
    """One generated examination: what its report states, and what was measured."""

    patient: int
    volume_seed: int
    model: str
    scheduler: str
    style: AdherenceStyle
    reader: str
    """Who said where the gland is."""
    report: str
    stated: StatedFinding
    states_coil: bool | None
    gland_volume_ml: float | None
    """``None`` where no gland was found."""
    dice: float | None
    """Of the model's gland label and the gland that another found; ``None`` where there are not two."""
    shows_coil: bool | None
    """``None`` where no gland was found, behind which to look."""
    moved: tuple[MovedLesion, ...]


class MovedScores(StrictModel):
    """How volumes follow a report whose lesion is moved."""

    followed: Estimate
    looks: dict[SequenceName, Estimate]
    """Share of pairs in which the stated place changed as a lesion looks."""
    contrast: dict[SequenceName, Estimate]
    """Its mean."""

    @classmethod
    def of(cls, pairs: Sequence[MovedLesion]) -> MovedScores:
        """Of pairs in which one fact was changed."""
        sequences = [each for each in LOOKS if any(each in pair.contrast for pair in pairs)]
        return cls(
            followed=Estimate.of_share(pair.is_followed for pair in pairs),
            # A pair without a gland shows no lesion.
            looks={each: Estimate.of_share(bool(pair.looks_like_a_lesion(each)) for pair in pairs)
                   for each in sequences},
            contrast={each: mean_of([pair.contrast[each] for pair in pairs if each in pair.contrast])
                      for each in sequences},
        )  # fmt: skip


class ExaminationAdherence(StrictModel):
    """What a model does with reports that it has never seen, measured without the phantom reader."""

    model: str
    scheduler: str
    style: AdherenceStyle
    reader: str
    gland_found: Estimate
    gland_volume_ml: Agreement
    dice: Estimate
    coil: Estimate
    """The coil is there as stated."""
    coil_where_stated: Estimate
    no_coil_where_none_is_stated: Estimate
    moved: dict[MovedFact, MovedScores]
    cases: list[ReadExamination]

    @classmethod
    def of(cls, cases: Sequence[ReadExamination]) -> ExaminationAdherence:
        """The result of at least one case."""
        first, pairs = cases[0], [pair for case in cases for pair in case.moved]
        volumes = [(each.stated.gland_volume_ml, each.gland_volume_ml) for each in cases]
        coils = [(each.states_coil, each.shows_coil) for each in cases if each.states_coil is not None]
        return cls(
            model=first.model,
            scheduler=first.scheduler,
            style=first.style,
            reader=first.reader,
            gland_found=Estimate.of_share(each.gland_volume_ml is not None for each in cases),
            gland_volume_ml=Agreement.of([(said, seen) for said, seen in volumes if said and seen]),
            dice=mean_of([each.dice for each in cases if each.dice is not None]),
            coil=Estimate.of_share(said == seen for said, seen in coils),
            coil_where_stated=Estimate.of_share(bool(seen) for said, seen in coils if said),
            no_coil_where_none_is_stated=Estimate.of_share(seen is False for said, seen in coils if not said),
            moved={
                fact: MovedScores.of(of_fact)
                for fact in MOVED_FACTS
                if (of_fact := [pair for pair in pairs if pair.fact == fact])
            },
            cases=list(cases),
        )


def examination_markdown(result: ExaminationAdherence) -> str:
    """All that was measured, as tables."""
    who = "the label that the model draws" if result.reader == "labels" else result.reader
    parts = [
        f"# Adherence of {result.model}",
        f"{len(result.cases)} held-out reports in the style {result.style}; {result.scheduler}. The gland is that of "
        f"{who}. {HOW_MEASURED}",
        markdown_table(["", "generated"], list(_measured(result))),
    ]
    if result.moved:
        parts += ["## One fact changed in the report, the noise kept", HOW_MOVED, moved_table(result)]
    return "\n\n".join(parts) + "\n"


def moved_table(result: ExaminationAdherence) -> str:
    """A markdown table: a row a changed fact."""
    sequences = [each for each in LOOKS if any(each in scores.looks for scores in result.moved.values())]
    header = ["changed", "the difference lies where stated"]
    header += [cell for each in sequences for cell in (LOOKS[each], "contrast")]
    rows = []
    for fact, scores in result.moved.items():
        row = [FACT_LABELS[fact], scores.followed.as_share()]
        for each in sequences:
            known = each in scores.looks
            row += [scores.looks[each].as_share() if known else "–",
                    scores.contrast[each].with_n("+.2f") if known else "–"]  # fmt: skip
        rows.append(row)
    return markdown_table(header, rows)


def _measured(result: ExaminationAdherence) -> Iterator[tuple[str, str]]:
    yield "Gland found", result.gland_found.as_share()
    yield "Gland volume, Pearson's r", result.gland_volume_ml.r.with_n(".3f")
    yield "Gland volume, mean absolute error", result.gland_volume_ml.error.with_n(".1f", "ml")
    yield "Gland volume, mean difference", result.gland_volume_ml.bias.with_n("+.1f", "ml")
    if result.reader != "labels":
        yield "Gland label against it, mean Dice", result.dice.with_n(".3f")
    if result.coil.n:
        yield "Endorectal coil as stated", result.coil.as_share()
        yield "… seen where stated", result.coil_where_stated.as_share()
        yield "… none seen where none is stated", result.no_coil_where_none_is_stated.as_share()
