"""Adherence of synthetic volumes that are there already: do they show what the reports they were made from say?

What a report says is taken from the structured ``fields`` of its prepared case. The prepared volumes of the same cases
are read as well, which shows what the phantom reader could have found at best.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from ccella_core.cases.case import Split
from ccella_core.cases.prepared import PreparedSet
from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.adherence import Reads
from ccella_core.evaluation.adherence.measurements import MeasuredFinding
from ccella_core.evaluation.adherence.phantom_reader import PhantomReaderValidation, check_readable
from ccella_core.evaluation.adherence.report import HOW_COUNTED, agreement_table, confusion_tables
from ccella_core.evaluation.adherence.scores import ReadingScores, StatedFinding, score_readings
from ccella_core.evaluation.adherence.store import ADHERENCE_STEM
from ccella_core.evaluation.data.synthetic_set import SynthesisSettings, read_synthesis_settings
from ccella_core.evaluation.data.volume_set import VolumeSet, open_volume_set
from ccella_core.progress import OnProgress
from ccella_core.report_page import save_result

SEVERAL_OF_A_CASE = "Volumes of one case count as independent, so that the intervals are somewhat too narrow."


class ReadVolume(StrictModel):
    """One volume: what the report of its case says, and what it shows."""

    id: str
    case: str
    stated: StatedFinding
    reading: MeasuredFinding


class SetReadings(StrictModel):
    """What the volumes of a set show, altogether and each."""

    scores: ReadingScores
    volumes: tuple[ReadVolume, ...]

    @property
    def cases(self) -> int:
        """How many cases the volumes are of."""
        return len({volume.case for volume in self.volumes})


class SetAdherence(StrictModel):
    """Adherence of a folder of ``ccella synthesize``."""

    model: str
    generated: SetReadings
    prepared: SetReadings
    """The ceiling: the prepared volumes of the same cases."""
    phantom_reader: PhantomReaderValidation | None
    """What the phantom reader itself is worth; ``None`` where it was never validated."""
    phantom_reader_sha256: str
    """Fingerprint of the phantom reader."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Volumes that cannot be used, each with the reason."""
    warnings: tuple[str, ...] = ()


def read_set(
    volumes: VolumeSet, prepared: PreparedSet, phantom_reader: Reads, *, progress: OnProgress | None = None
) -> SetReadings:
    """Read every volume of a set.

    Args:
        volumes: T2-weighted, synthetic or the prepared ones themselves.
        prepared: the cases they were made from, with ``fields``.
        phantom_reader: of the same look as the volumes.
        progress: called after every volume.

    Raises:
        InputError: another spacing, a volume smaller than the phantom reader's window, a case that is not among the
            prepared ones, or of which nothing is known.
    """
    stated = _stated(volumes, prepared)
    affine = np.diag([*volumes.spacing, 1.0])
    rows = []
    for index, member in enumerate(volumes):
        reading = phantom_reader.read(volumes.voxels(index), affine)
        rows.append(ReadVolume(id=member.id, case=member.case, stated=stated[index], reading=reading))
        if progress is not None:
            progress(index + 1, len(volumes))
    scores = score_readings([row.stated for row in rows], [row.reading for row in rows])
    return SetReadings(scores=scores, volumes=tuple(rows))


def set_adherence(
    synthetic: Path,
    data: Path,
    phantom_reader: Reads,
    *,
    split: Split | None = None,
    out: Path | None = None,
    progress: OnProgress | None = None,
) -> SetAdherence:
    """Read a folder of ``ccella synthesize`` and the prepared volumes of the same cases.

    Args:
        synthetic: the folder.
        data: the prepared cases that it was made from.
        phantom_reader: see `read_set`.
        split: only volumes of this split.
        out: folder for ``adherence.json`` and ``adherence.md``.
        progress: called with the synthetic volumes that are read and their number.

    Raises:
        InputError: as of `read_set`; or ``synthetic`` was made from other cases.
        SaveError: the disk refuses.
    """
    settings, prepared, volumes = _opened(synthetic, data, split)
    volumes = volumes.checked()
    real = _of_the_same_cases(volumes, data).checked()
    generated = read_set(volumes, prepared, phantom_reader, progress=progress)
    result = SetAdherence(
        model=f"{settings.model_name} {settings.model_version} {settings.model_sha256[:12]}",
        generated=generated,
        prepared=read_set(real, prepared, phantom_reader),
        phantom_reader=phantom_reader.validation,
        phantom_reader_sha256=phantom_reader.fingerprint,
        left_out={each.id: each.reason for each in (*volumes.left_out, *real.left_out)},
        warnings=(*volumes.left_out_words, *real.left_out_words, *_warnings(volumes)),
    )
    if out is not None:
        save_result(result, set_adherence_markdown(result), out / ADHERENCE_STEM)
    return result


def check_set(synthetic: Path, data: Path, *, split: Split | None = None) -> None:
    """Raises InputError where `set_adherence` would refuse the folders; to call before a phantom reader is trained."""
    _, prepared, volumes = _opened(synthetic, data, split)
    _stated(volumes, prepared)


def set_adherence_markdown(result: SetAdherence) -> str:
    """All that was measured, as tables."""
    generated = result.generated
    note = f" {SEVERAL_OF_A_CASE}" if len(generated.volumes) > generated.cases else ""
    columns = {"synthetic": generated.scores, "prepared volumes of the same cases": result.prepared.scores}
    parts = [
        f"# Adherence of {result.model}",
        f"{len(generated.volumes)} volumes of {generated.cases} cases. {HOW_COUNTED}{note}",
        agreement_table(columns, result.phantom_reader),
        "## Synthetic volumes: stated and read",
        *confusion_tables(generated.scores),
        *(f"**Warning:** {warning}" for warning in result.warnings),
    ]
    return "\n\n".join(parts) + "\n"


def _warnings(volumes: VolumeSet) -> tuple[str, ...]:
    if not volumes.training_count:
        return ()
    return (
        f"{volumes.training_count} of {len(volumes)} volumes are of training cases (split train). If the model learnt "
        "from them, this says how well it follows reports that it knows, not how well it follows new ones: make "
        "volumes of the test cases with `ccella synthesize --split test`.",
    )


def _opened(synthetic: Path, data: Path, split: Split | None) -> tuple[SynthesisSettings, PreparedSet, VolumeSet]:
    settings, prepared = read_synthesis_settings(synthetic), PreparedSet.open(data)
    if settings.source != prepared.fingerprint:
        raise InputError(
            f"{synthetic} was made from other cases than those in {data}; give the folder it was made from."
        )
    check_readable(prepared.settings.shape, prepared.one_spacing)
    return settings, prepared, open_volume_set(synthetic, split=split)


def _stated(volumes: VolumeSet, prepared: PreparedSet) -> list[StatedFinding]:
    """What the report of each volume says. Raises InputError as `read_set` does, before the first is read."""
    check_readable(volumes.shape, volumes.spacing)
    stated_of = {
        case.id: None
        if case.fields is None or case.pathology is None
        else StatedFinding.known(case.pathology, case.fields)
        for case in prepared.cases
    }
    found = []
    for member in volumes:
        if member.case not in stated_of:
            raise InputError(
                f"{member.id} was made from {member.case}, which is not among the cases in {prepared.folder}."
            )
        stated = stated_of[member.case]
        if stated is None:
            raise InputError(
                f"What the report of {member.case} says is not known: give the cases a class and `fields` and "
                "prepare them again."
            )
        found.append(stated)
    return found


def _of_the_same_cases(volumes: VolumeSet, data: Path) -> VolumeSet:
    prepared = open_volume_set(data)
    cases = {member.case for member in volumes}
    members = [member for member in prepared if member.case in cases]
    return VolumeSet(prepared.name, members, prepared.shape, prepared.spacing)
