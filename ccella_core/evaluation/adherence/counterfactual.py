"""Counterfactual reports: the same patient with one fact changed, and whether a volume follows.

From the same noise, whatever differs between the two volumes was caused by the words. What else a report says changes
only where it would contradict the new fact: a lesion of 15 mm scores PI-RADS 5 (PI-RADS v2.1), hyperplasia goes with
the size of the gland. All facts stay within what the phantom draws, so that no report is stranger than those a model
was trained on; a patient of whom that cannot be said is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.measurements import MeasuredFinding
from ccella_core.evaluation.adherence.scores import StatedFinding
from ccella_core.phantom.findings import PIRADS_5_SIZE_MM, Findings, Lesion, Level, Zone
from ccella_core.phantom.patient import (
    MEDIAN_VOLUME_ML,
    Patient,
    draw_findings,
    size_range_mm,
    usual_hyperplasia,
)

ChangedFact = Literal["side", "zone", "level", "size", "volume", "pathology"]
CHANGED_FACTS: tuple[ChangedFact, ...] = get_args(ChangedFact)
FACT_LABELS: dict[ChangedFact, str] = {
    "side": "left and right",
    "zone": "peripheral and transition zone",
    "level": "base and apex",
    "size": "small and large lesion",
    "volume": "small and large gland",
    "pathology": "negative and positive",
}

OTHER_ZONE: dict[Zone, Zone] = {"peripheral": "transition", "transition": "peripheral"}
OTHER_LEVEL: dict[Level | None, Level] = {"base": "apex", "apex": "base"}
LEAST_SIZE_CHANGE_MM = 5
"""Less is lost among voxels of 1 mm."""
FOLLOWS_FROM = 0.5
"""Of the change that is stated: how far a size or a volume must move."""


def read_changed_facts(names: str) -> tuple[ChangedFact, ...]:
    """The facts in a list such as ``side, zone``. Raises InputError where one of them cannot be changed."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = sorted(set(wanted) - set(CHANGED_FACTS))
    if unknown:
        raise InputError(f"There is no fact {', '.join(unknown)} to change; there are {', '.join(CHANGED_FACTS)}.")
    return tuple(fact for fact in CHANGED_FACTS if fact in wanted)


def counterfactual_findings(patient: Patient, fact: ChangedFact) -> Findings | None:
    """The patient's findings with one fact changed; ``None`` where this patient has none that can be."""
    return _CHANGES[fact](patient)


def follows(
    fact: ChangedFact, before: tuple[StatedFinding, MeasuredFinding], after: tuple[StatedFinding, MeasuredFinding]
) -> bool:
    """Whether two volumes of the same noise differ as their reports do.

    A side, zone, level or pathology must be read as stated both times. A size or volume must move in the direction that
    is stated, by half the change at least; a lesion must be seen both times.
    """
    if fact == "size":
        return _moves(_change(before[0].size_mm, after[0].size_mm), _change(before[1].size_mm, after[1].size_mm))
    if fact == "volume":
        stated = _change(before[0].gland_volume_ml, after[0].gland_volume_ml)
        return _moves(stated, _change(before[1].gland_volume_ml, after[1].gland_volume_ml))
    name = "has_lesion" if fact == "pathology" else fact
    return all(getattr(stated, name) == getattr(reading, name) for stated, reading in (before, after))


def _change(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _moves(stated: float | None, seen: float | None) -> bool:
    return bool(stated and seen is not None and seen / stated >= FOLLOWS_FROM)


def _side(patient: Patient) -> Findings | None:
    return patient.findings.mirrored() if StatedFinding.by(patient.findings).side else None


def _zone(patient: Patient) -> Findings | None:
    findings = patient.findings
    lesions = tuple(replace(lesion, zone=OTHER_ZONE[lesion.zone]) for lesion in findings.lesions)
    is_possible = StatedFinding.by(findings).zone and all(
        _is_drawn(lesion, findings.gland_volume_ml) for lesion in lesions
    )
    return replace(findings, lesions=lesions) if is_possible else None


def _level(patient: Patient) -> Findings | None:
    other = OTHER_LEVEL.get(StatedFinding.by(patient.findings).level)
    if other is None:
        return None
    lesions = tuple(replace(lesion, level=other) for lesion in patient.findings.lesions)
    return replace(patient.findings, lesions=lesions)


def _size(patient: Patient) -> Findings | None:
    """A lesion on one side of the 15 mm that separate PI-RADS 4 and 5 gets the size farthest on the other."""
    findings = patient.findings
    # Beyond the capsule a small lesion, too, is PI-RADS 5.
    if len(findings.lesions) != 1 or findings.lesions[0].extraprostatic:
        return None
    (lesion,) = findings.lesions
    pirads = 4 if lesion.size_mm >= PIRADS_5_SIZE_MM else 5
    smallest, largest = size_range_mm(pirads, lesion.zone, findings.gland_volume_ml)
    size_mm = float(smallest if pirads == 4 else largest)
    if abs(size_mm - lesion.size_mm) < LEAST_SIZE_CHANGE_MM:
        return None
    return replace(findings, pirads=pirads, lesions=(replace(lesion, size_mm=size_mm, pirads=pirads),))


def _volume(patient: Patient) -> Findings | None:
    """A gland below the median gets twice its volume, and any other half of it."""
    before = patient.findings.gland_volume_ml
    volume = round(2 * before if before < MEDIAN_VOLUME_ML else before / 2, 1)
    if not all(_is_drawn(lesion, volume) for lesion in patient.findings.lesions):
        return None
    return replace(patient.findings, gland_volume_ml=volume, hyperplasia=usual_hyperplasia(volume))


def _pathology(patient: Patient) -> Findings:
    """The lesions, or their absence, that the phantom draws for the same patient of the other class."""
    findings = patient.findings
    other = draw_findings(patient.seed, pathology="negative" if findings.lesions else "positive")
    return replace(findings, pirads=other.pirads, lesions=other.lesions, peripheral_change=other.peripheral_change)


def _is_drawn(lesion: Lesion, gland_volume_ml: float) -> bool:
    smallest, largest = size_range_mm(lesion.pirads, lesion.zone, gland_volume_ml)
    return smallest <= lesion.size_mm <= largest


_CHANGES: dict[ChangedFact, Callable[[Patient], Findings | None]] = {
    "side": _side,
    "zone": _zone,
    "level": _level,
    "size": _size,
    "volume": _volume,
    "pathology": _pathology,
}
