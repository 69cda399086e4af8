"""The folder of an adherence run: each case as soon as it is read, and in the end tables and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from pydantic import ValidationError

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.counterfactual import ChangedFact
from ccella_core.evaluation.adherence.picture import (
    PAIRS_A_ROW,
    Pair,
    beside_counterfactual,
    beside_phantom,
    draw_pairs,
)
from ccella_core.evaluation.adherence.report import AdherenceCase, AdherenceResult, adherence_markdown
from ccella_core.files import read_text, whole_file
from ccella_core.fingerprints import refuse_other
from ccella_core.report_page import save_result

FINISHED_NAME, SLICES_NAME = "cases.jsonl", "slices"
ADHERENCE_STEM = "adherence"  # .json and .md
PICTURE_NAME, COUNTERFACTUAL_PICTURE_NAME = "adherence.png", "counterfactual.png"
PICTURED_CASES = 16
PICTURED_OF_EACH_FACT = PAIRS_A_ROW
FinishedCase = TypeVar("FinishedCase", bound=StrictModel)


class CaseStore:
    """Cases as they are finished: in memory, and in a folder where there is one.

    Args:
        folder: of the run.
        phantom_reader_sha256: of the phantom reader that reads the volumes.

    Raises:
        InputError: ``folder`` holds what another phantom reader or another version has read.
    """

    def __init__(self, folder: Path | None, phantom_reader_sha256: str) -> None:
        self.folder, self._phantom_reader_sha256 = folder, phantom_reader_sha256
        self.cases: dict[tuple[int, ChangedFact | None], AdherenceCase] = {}
        if folder is None:
            return
        (folder / SLICES_NAME).mkdir(parents=True, exist_ok=True)
        for case in read_lines(folder / FINISHED_NAME, AdherenceCase):
            self._keep(case)

    def has(self, patient: int, changed_fact: ChangedFact | None, volume_seed: int) -> bool:
        """Whether a case is there already. Raises InputError where it was made from another seed."""
        case = self.cases.get((patient, changed_fact))
        if case is not None and case.volume_seed != volume_seed:
            raise InputError(f"{self.folder} holds cases of another seed; choose another folder or the same seed.")
        return case is not None

    def add(self, case: AdherenceCase, slices: Mapping[str, np.ndarray]) -> None:
        """Keep a case, and slices [row, column] uint8 of it by the names of ``slice_name``."""
        self._keep(case)
        if self.folder is None:
            return
        for name, pixels in slices.items():
            Image.fromarray(pixels).save(self.folder / SLICES_NAME / name, "PNG")
        append_line(self.folder / FINISHED_NAME, case)

    def write(self, result: AdherenceResult) -> None:
        """Write the result and its pictures, where there is a folder. Raises SaveError, or OSError of a picture."""
        if self.folder is None:
            return
        save_result(result, adherence_markdown(result), self.folder / ADHERENCE_STEM)
        for name, heading, pairs in (
            (
                PICTURE_NAME,
                "Left: generated, and what is seen; right: the phantom, and what the report says",
                self._with_phantoms(result),
            ),
            (
                COUNTERFACTUAL_PICTURE_NAME,
                "One fact changed in the report, the noise kept: what is seen before and after",
                self._counterfactuals(result),
            ),
        ):
            if pairs:
                with whole_file(self.folder / name) as unfinished:
                    draw_pairs(pairs, heading).save(unfinished, "PNG")

    def _keep(self, case: AdherenceCase) -> None:
        self.check(case)
        self.cases[case.patient, case.changed_fact] = case

    def check(self, case: AdherenceCase) -> None:
        """Raises InputError where a case was made by another model or scheduler, or read by another phantom reader."""
        if self.folder is None:
            return
        first = next(iter(self.cases.values()), case)  # the others agree with the first
        before, now = (
            {"model": each.model, "scheduler": each.scheduler, "style": each.style, "phantom reader": reader}
            for each, reader in ((first, first.phantom_reader_sha256), (case, self._phantom_reader_sha256))
        )
        refuse_other(self.folder, before, now, what="cases that were made or read otherwise")

    def _with_phantoms(self, result: AdherenceResult) -> list[Pair]:
        own = [case for case in result.cases if case.changed_fact is None][:PICTURED_CASES]
        return [
            beside_phantom(case, *slices)
            for case in own
            if (slices := self._slices(slice_name(case.patient, None), phantom_slice_name(case.patient)))
        ]

    def _counterfactuals(self, result: AdherenceResult) -> list[Pair]:
        pairs = []
        for fact in result.counterfactuals:
            cases = [case for case in result.cases if case.changed_fact == fact][:PICTURED_OF_EACH_FACT]
            for case in cases:
                if slices := self._slices(slice_name(case.patient, None), slice_name(case.patient, fact)):
                    pairs.append(beside_counterfactual(self.cases[case.patient, None], case, *slices))
        return pairs

    def _slices(self, left: str, right: str) -> tuple[np.ndarray, np.ndarray] | None:
        assert self.folder is not None
        paths = [self.folder / SLICES_NAME / name for name in (left, right)]
        if not all(path.is_file() for path in paths):
            return None  # somebody tidied up
        return np.asarray(Image.open(paths[0])), np.asarray(Image.open(paths[1]))


def slice_name(patient: int, changed_fact: ChangedFact | None) -> str:
    """File name of a slice of a generated volume."""
    return f"SYNTHETIC_{patient}_{changed_fact or 'own'}.png"


def phantom_slice_name(patient: int) -> str:
    """File name of a slice of the patient's phantom."""
    return f"SYNTHETIC_PHANTOM_{patient}.png"


def append_line(path: Path, case: StrictModel) -> None:
    """Add a finished case to a file of JSON lines. Raises OSError."""
    with path.open("a", encoding="utf-8", newline="\n") as file:
        # A line that was cut short must not swallow this one.
        file.write(("\n" if file.tell() else "") + case.model_dump_json())


def read_lines(path: Path, kind: type[FinishedCase]) -> Iterator[FinishedCase]:
    """The finished cases of a file of JSON lines, if there is one. Raises InputError for those of another version."""
    # Not splitlines: reports may hold rarer line ends.
    for line in filter(None, read_text(path).split("\n")) if path.exists() else ():
        try:
            yield kind.model_validate_json(line)
        except ValidationError as error:
            if error.errors()[0]["type"] != "json_invalid":
                raise InputError(
                    f"{path} was written by another version or for another reader; choose another folder."
                ) from error
            # The run was stopped in the middle of this line: the case is made again.
