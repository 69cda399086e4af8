"""One examination of a synthetic set: what it is made of, where it lies, and what the table says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ccella_core.cases.prepared import PreparedCase
from ccella_core.errors import InputError
from ccella_core.evaluation.data.synthetic_set import VOLUMES, SynthesisSettings, SyntheticCase
from ccella_core.evaluation.statistics.class_scores import THRESHOLD
from ccella_core.generation.options import GenerationOptions
from ccella_core.generation.report_text import NULL_REPORT, check_report
from ccella_core.imaging.volume import SyntheticImage, SyntheticVolume, read_sidecar, sidecar_of
from ccella_core.limits import SYNTHETIC_PREFIX
from ccella_core.phantom.findings import Pathology
from ccella_core.provenance import LABELS, Provenance, SequenceName, file_stem


@dataclass(frozen=True)
class PlannedExamination:
    """One to make of a case: a volume of each sequence and their label map, all from one seed."""

    case: PreparedCase
    place: int
    """Of the case, among all."""
    id: str
    seed: int
    report: str | None
    """As the case has it; ``None`` where the model reads none."""
    pathology: Pathology | None
    sequences: tuple[SequenceName, ...]
    has_labels: bool
    is_outside: bool | None
    """Whether the report is worded unlike those that the model was trained on; ``None``: nobody can tell."""

    @property
    def checked_report(self) -> str | None:
        """As it is read. Raises InputError where it cannot be used."""
        return self.report if self.report in (None, NULL_REPORT) else check_report(self.report)

    def options(self, settings: SynthesisSettings) -> GenerationOptions:
        """Those of the set, with its own seed and class."""
        return settings.options.model_copy(update={"seed": self.seed, "pathology": self.pathology})

    @property
    def parts(self) -> tuple[SequenceName | Literal["labels"], ...]:
        """What is saved of it."""
        return (*self.sequences, LABELS) if self.has_labels else self.sequences

    def path(self, part: SequenceName | Literal["labels"]) -> str:
        """Of a part, in the folder of the set, with forward slashes."""
        return f"{VOLUMES}/{file_stem(f'{SYNTHETIC_PREFIX}_{self.id}', part, of_several=True)}.nii.gz"

    def is_made(self, out: Path, settings: SynthesisSettings) -> bool:
        """Whether every volume is there, whole, and made as it is to be made."""
        try:
            made = [read_sidecar(out / self.path(part)).provenance for part in self.parts]
        except InputError:
            return False
        wanted = {
            **self.options(settings).model_dump(include=set(Provenance.model_fields), exclude={"shape", "spacing"}),
            "model_sha256": settings.model_sha256,
            "report": (self.report or "").strip(),
            "pathology_requested": self.pathology,
        }
        return all(each.model_dump(include=set(wanted)) == wanted for each in made)

    def save(self, volumes: list[SyntheticVolume], out: Path) -> None:
        """Write all parts, each over what may be left of it."""
        images: dict[SequenceName | Literal["labels"], SyntheticImage] = {each.sequence: each for each in volumes}
        if volumes[0].labels is not None:
            images[LABELS] = volumes[0].labels
        for part, image in images.items():
            path = out / self.path(part)
            sidecar_of(path).unlink(missing_ok=True)  # where it is damaged, nothing says that it belongs to this image
            image.save(path, overwrite=True)

    def rows(self, out: Path) -> list[SyntheticCase]:
        """What the sidecars say."""
        rows = []
        for sequence in self.sequences:
            try:
                sidecar = read_sidecar(out / self.path(sequence), verify=False)
            except InputError as error:
                raise InputError(
                    f"{error} If several computers make these volumes, they must write into one folder that they share."
                ) from error
            # The class that the head gives to the empty text, as to any, shaped the volume; but nothing was read.
            positive = sidecar.provenance.predicted_positive_probability if self.report != NULL_REPORT else None
            rows.append(
                SyntheticCase(
                    id=self.id,
                    case=self.case.id,
                    patient=self.case.patient,
                    split=self.case.split,
                    sequence=sequence,
                    pathology=self.case.pathology,
                    predicted_pathology=None
                    if positive is None
                    else "positive"
                    if positive >= THRESHOLD
                    else "negative",
                    predicted_positive_probability=positive,
                    seed=self.seed,
                    path=self.path(sequence),
                    sha256=sidecar.sha256,
                    labels=self.path(LABELS) if self.has_labels else None,
                    report_is_outside=self.is_outside,
                )
            )
        return rows
