"""Who is trained on, who is validated on and who is kept for the test: by patient, never by examination."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from ccella_core.cases.case import SPLITS, Case, Split
from ccella_core.errors import InputError
from ccella_core.phantom.findings import Pathology

DEFAULT_FRACTIONS = (0.8, 0.1, 0.1)


def assign_splits(
    cases: Sequence[Case], fractions: Sequence[float] = DEFAULT_FRACTIONS, *, seed: int = 0
) -> tuple[Case, ...]:
    """Give a split to every case that has none; what the source says stays.

    Patients with a positive examination, those without and those of whom it is unknown are divided alike. The result
    depends on the patients' names and the seed alone, not on the order of the cases; the first of each kind are trained
    on.

    Args:
        cases: some of them, all or none with a split.
        fractions: of train, validation and test; they add up to 1.
        seed: another one divides otherwise.

    Raises:
        InputError: fractions that cannot be used, or a patient in two splits.
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6 or fractions[0] == 0:
        raise InputError(
            f"The fractions of train, validation and test add up to 1, the first above 0; not {fractions}."
        )
    check_splits(cases)
    chosen: dict[str, Split] = {case.patient: case.split for case in cases if case.split is not None}
    kinds: dict[Pathology | None, set[str]] = defaultdict(set)
    for patient in {case.patient for case in cases} - chosen.keys():
        found = {case.pathology for case in cases if case.patient == patient}
        kinds["positive" if "positive" in found else "negative" if "negative" in found else None].add(patient)
    for patients in kinds.values():
        in_turn = sorted(patients, key=lambda patient: hashlib.sha256(f"{seed}/{patient}".encode()).digest())
        train = max(1, round(fractions[0] * len(in_turn)))
        validation = train + round(fractions[1] * len(in_turn))
        for place, patient in enumerate(in_turn):
            chosen[patient] = "train" if place < train else "validation" if place < validation else "test"
        if fractions[2] == 0:
            chosen |= {patient: "validation" for patient in in_turn if chosen[patient] == "test"}
    return tuple(case.model_copy(update={"split": chosen[case.patient]}) for case in cases)


class _OfASplit(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def patient(self) -> str: ...
    @property
    def split(self) -> Split | None: ...


def check_splits(cases: Sequence[_OfASplit]) -> None:
    """Raises InputError where a patient stands in two splits: a test on them would mean nothing."""
    found: dict[str, Split] = {}
    for case in cases:
        if case.split is None:
            continue
        other = found.setdefault(case.patient, case.split)
        if other != case.split:
            raise InputError(f"The patient {case.patient} stands in two splits, {other} and {case.split} ({case.id}).")
