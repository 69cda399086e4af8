"""What was found, in sentences that follow from the numbers alone, whichever way they came out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.study.measures import ARM_WORDS, ArmDifference, Group, Measure, best_of, measures_by_row

SIGNIFICANCE_LEVEL = 0.05
"""Of adjusted p-values: the usual level."""
RULE = (
    "A difference between variants is claimed only where their 95 % intervals do not touch, which is stricter than "
    "testing each pair; of values without an interval nothing is claimed."
)


def in_short(measures: Sequence[Measure], groups: Mapping[Group, str]) -> list[str]:
    """The first sentence of each of the groups, which have titles."""
    return [
        f"{title} {sentence}" if title.endswith("?") else f"{title}. {sentence}"
        for group, title in groups.items()
        for sentence in of_measures(measures, group)[:1]
    ]


def of_measures(measures: Iterable[Measure], group: Group) -> list[str]:
    """A sentence a row of the group's table: which variant does best, and of which others that can be said."""
    rows = measures_by_row(measures, group)
    return [sentence for row in rows if (sentence := _of_row(row)) is not None]


def _of_row(row: Sequence[Measure]) -> str | None:
    best = best_of(row)
    if not best:
        return _beside_reference(row)
    name = f"{best[0].name}, by {best[0].extractor}" if best[0].extractor else best[0].name
    said = f"{name}: {_best(best, row)}"
    return f"{said} {reference}" if (reference := _against_reference(best[0])) else said


def _best(best: Sequence[Measure], row: Sequence[Measure]) -> str:
    others = [measure for measure in row if measure not in best and measure.number.value is not None]
    names, number = _listed([measure.variant for measure in best]), best[0].number
    if not others:
        return f"{names}, {number}." if len(best) == 1 else f"the same for {names}, {number}."
    said = f"{'lowest' if best[0].better == 'lower' else 'highest'} for {names}, {number}"
    if not number.has_interval:
        return f"{said}; without intervals no difference can be claimed."
    apart = [other.variant for other in others if other.number.apart_from(number)]
    alike = [other.variant for other in others if other.variant not in apart]
    if not apart:
        return f"{said}; no difference from {_listed(alike)} can be claimed."
    rest = f"; from {_listed(alike)} no difference can be claimed" if alike else ""
    return f"{said}, apart from {_listed(apart)}{rest}."


def _beside_reference(row: Sequence[Measure]) -> str | None:
    """Of a measure of which neither more nor less is better: which variants differ from what they are compared with."""
    reference = row[0].reference
    known = [measure for measure in row if measure.number.has_interval]
    if reference is None or not reference.has_interval or not row[0].comparable or not known:
        return None
    apart = {measure.variant for measure in known if measure.number.apart_from(reference)}
    higher = [each.variant for each in known if each.variant in apart and _value(each.number) > _value(reference)]
    lower = [each.variant for each in known if each.variant in apart and each.variant not in higher]
    alike = [each.variant for each in known if each.variant not in apart]
    parts = [
        f"higher for {_listed(higher)}" if higher else "",
        f"lower for {_listed(lower)}" if lower else "",
        f"no difference can be claimed for {_listed(alike)}" if alike else "",
    ]
    return f"{row[0].name}, beside {row[0].reference_name}, {reference}: {'; '.join(filter(None, parts))}."


def _value(number: Estimate) -> float:
    return number.value or 0.0


def _against_reference(best: Measure) -> str | None:
    """How the best variant stands to what it is compared with."""
    reference = best.reference
    if reference is None or reference.value is None or best.number.value is None:
        return None
    name = best.reference_name
    if not (best.comparable and best.number.has_interval and reference.has_interval):
        return f"For comparison, {name}: {reference}."
    if not best.number.apart_from(reference):
        return f"From {name}, {reference}, no difference can be claimed."
    is_better = (best.number.value < reference.value) == (best.better == "lower")
    return f"That is {'better' if is_better else 'worse'} than {name}: {reference}."


def verdict(each: ArmDifference, comparisons: int) -> str:
    """What can be said of one of so many comparisons with real cases alone."""
    number = each.difference
    if number.value is None or number.low is None or number.high is None:
        return "not defined"
    if number.low <= 0 <= number.high:
        return "no difference that can be claimed"
    better = "better" if number.value > 0 else "worse"
    return better if is_claimed(each) else f"{better} by itself, but not among {comparisons} comparisons"


def summary_of_differences(differences: Sequence[ArmDifference]) -> str:
    """One sentence over all comparisons."""
    if not differences:
        return "No arm was compared with real cases alone."
    better = [each for each in differences if is_claimed(each) and (each.difference.value or 0) > 0]
    worse = [each for each in differences if is_claimed(each) and (each.difference.value or 0) < 0]
    total = len(differences)
    parts = [
        f"better in {_counted(better, total)}" if better else "",
        f"worse in {_counted(worse, total)}" if worse else "",
        f"no difference can be claimed in {total - len(better) - len(worse)} of {total}"
        if len(better) + len(worse) < total
        else "",
    ]
    return f"Against real cases alone: {'; '.join(part for part in parts if part)}."


def is_claimed(each: ArmDifference) -> bool:
    """Whether the interval leaves out 0, and so does the test when all comparisons of the study are counted."""
    number = each.difference
    if not number.has_interval or each.adjusted_p_value is None:
        return False
    return not (number.low or 0.0) <= 0 <= (number.high or 0.0) and each.adjusted_p_value < SIGNIFICANCE_LEVEL


def _counted(claimed: Sequence[ArmDifference], total: int) -> str:
    which = ", ".join(f"{each.variant} {ARM_WORDS[each.arm]} at {each.real_count}" for each in claimed)
    return f"{len(claimed)} of {total} ({which})"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
