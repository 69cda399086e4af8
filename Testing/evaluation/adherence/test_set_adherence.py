"""Adherence of folders whose volumes say what is to be read in them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from prepared_cases import prepared_case

from ccella_core.cases.prepared import PreparedSet, PrepareSettings, volume_path, write_cases, write_index
from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.measurements import MeasuredFinding
from ccella_core.evaluation.adherence.phantom_reader import WINDOW, PhantomReaderValidation
from ccella_core.evaluation.adherence.scores import StatedFinding
from ccella_core.evaluation.adherence.set_adherence import SetAdherence, check_set, read_set, set_adherence
from ccella_core.evaluation.data.synthetic_set import (
    VOLUMES,
    SynthesisSettings,
    SyntheticCase,
    write_settings,
    write_table,
)
from ccella_core.evaluation.data.volume_set import VolumeSet, open_volume_set
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.files import sha256_of
from ccella_core.generation.options import GenerationOptions
from ccella_core.phantom.fields import StructuredFields
from ccella_core.phantom.patient import draw_findings
from ccella_core.phantom.render import DEFAULT_SPACING

CASES = 16
PAGES = 100
"""A volume is filled with its page's number, in hundredths: the number of the case whose findings it shows."""
OTHER = CASES
"""A page of a patient who is nobody's."""


class Pages:
    """A phantom reader that reads the page and looks up the findings."""

    validation: PhantomReaderValidation | None = None
    fingerprint = "0123"

    def read(self, voxels: np.ndarray, affine: np.ndarray) -> MeasuredFinding:
        stated = StatedFinding.by(draw_findings(round(float(voxels[0, 0, 0]) * PAGES)))
        return MeasuredFinding(**stated.model_dump(), lesion_volume_ml=1)


def write_page(path: Path, page: int, scale: float = 1 / PAGES, spacing=DEFAULT_SPACING) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.full(WINDOW, page * scale, np.uint16 if scale > 1 else np.float32)
    image = nib.Nifti1Image(voxels, np.diag([*spacing, 1.0]))
    image.header.set_xyzt_units(xyz="mm")
    image.to_filename(path)
    return path


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedSet:
    folder = tmp_path / "prepared"
    cases = []
    for number in range(CASES):
        findings, name = draw_findings(number), f"case{number}"
        write_page(folder / volume_path(name, "t2w"), number, scale=65535 / PAGES)
        cases.append(
            prepared_case(
                name, split="train" if number == 0 else "test", pathology=findings.pathology, pirads=findings.pirads,
                fields=StructuredFields.from_findings(findings),
                sha256={volume_path(name, "t2w"): sha256_of(folder / volume_path(name, "t2w"))},
            )
        )  # fmt: skip
    write_index(folder, PrepareSettings(shape=WINDOW, spacing=DEFAULT_SPACING))
    write_cases(folder, cases)
    return PreparedSet.open(folder)


def synthetic(folder: Path, prepared: PreparedSet, pages: dict[str, int], *, source: str = "") -> Path:
    """A folder of ``ccella synthesize`` with a volume for each of ``pages``, by ``case`` or ``case_number``."""
    write_settings(
        folder,
        SynthesisSettings(
            model_name="fake", model_version="1", model_sha256="0" * 64, source=source or prepared.fingerprint,
            split=None, per_case=1, pathology="report", options=GenerationOptions(seed=0),
        ),
    )  # fmt: skip
    by_id = {case.id: case for case in prepared.cases}
    rows = []
    for name, page in pages.items():
        case = by_id[name.partition("_")[0]]
        path = write_page(folder / VOLUMES / f"SYNTHETIC_{name}.nii.gz", page)
        rows.append(
            SyntheticCase(
                id=name, case=case.id, patient=case.patient, split=case.split, sequence="t2w", pathology=case.pathology,
                predicted_pathology=None, predicted_positive_probability=None, seed=0,
                path=path.relative_to(folder).as_posix(), sha256=sha256_of(path),
            )
        )  # fmt: skip
    write_table(folder, rows)
    return folder


@pytest.mark.medium
def test_volumes_that_show_what_was_said_adhere(prepared: PreparedSet, tmp_path: Path) -> None:
    folder = synthetic(tmp_path / "set", prepared, {f"case{number}": number for number in range(CASES)})
    told: list[tuple[int, int]] = []
    out = tmp_path / "out"
    result = set_adherence(folder, prepared.folder, Pages(), out=out, progress=lambda *at: told.append(at))
    scores = result.generated.scores
    assert scores.pathology == Estimate.of_share([True] * CASES) and scores.side.count == scores.side.n > 0
    assert scores.size_mm.error.value == 0 and scores.gland_volume_ml.r.value == pytest.approx(1)
    assert result.prepared.scores == scores and told == [(n, CASES) for n in range(1, CASES + 1)]
    assert [(row.id, row.case) for row in result.generated.volumes][:1] == [("case0", "case0")]
    assert SetAdherence.model_validate_json((out / "adherence.json").read_bytes()) == result
    assert result.phantom_reader_sha256 == Pages.fingerprint
    table = (out / "adherence.md").read_text(encoding="utf-8")
    assert f"{CASES} volumes of {CASES} cases." in table and "too narrow" not in table
    assert "| | synthetic | prepared volumes of the same cases |" in table


@pytest.mark.medium
def test_an_odd_volume_is_left_out_by_name(prepared: PreparedSet, tmp_path: Path) -> None:
    folder = synthetic(tmp_path / "set", prepared, {f"case{number}": number for number in range(CASES)})
    (folder / VOLUMES / "SYNTHETIC_case1.nii.gz").write_bytes(b"damaged")
    (prepared.folder / volume_path("case2", "t2w")).write_bytes(b"damaged")
    result = set_adherence(folder, prepared.folder, Pages())
    assert result.left_out.keys() == {"case1", "case2"}
    assert len(result.generated.volumes) == CASES - 1 and len(result.prepared.volumes) == CASES - 2
    assert "1 volumes in" in result.warnings[0]


@pytest.mark.medium
def test_volumes_of_somebody_else_do_not(prepared: PreparedSet, tmp_path: Path) -> None:
    folder = synthetic(tmp_path / "set", prepared, {f"case{number}": OTHER for number in range(CASES)})
    result = set_adherence(folder, prepared.folder, Pages())
    alike = sum(draw_findings(number).pathology == draw_findings(OTHER).pathology for number in range(CASES))
    assert result.generated.scores.pathology.count == alike < CASES
    assert result.prepared.scores.pathology.count == CASES


def test_several_of_a_case_and_one_split(prepared: PreparedSet, tmp_path: Path) -> None:
    folder = synthetic(tmp_path / "set", prepared, {"case0": 0, "case1_0": 1, "case1_1": 1, "case2_0": 2})
    result = set_adherence(folder, prepared.folder, Pages(), split="test", out=tmp_path)
    assert [row.id for row in result.generated.volumes] == ["case1_0", "case1_1", "case2_0"]
    assert [row.id for row in result.prepared.volumes] == ["case1", "case2"]
    text = (tmp_path / "adherence.md").read_text(encoding="utf-8")
    assert "3 volumes of 2 cases." in text and "too narrow" in text


def test_volumes_of_training_cases_carry_a_warning(prepared: PreparedSet, tmp_path: Path) -> None:
    folder = synthetic(tmp_path / "set", prepared, {"case0": 0, "case1": 1, "case2": 2})  # case0 is a training case
    (warning,) = set_adherence(folder, prepared.folder, Pages(), out=tmp_path).warnings
    assert warning.startswith("1 of 3 volumes are of training cases") and "--split test" in warning
    assert f"**Warning:** {warning}" in (tmp_path / "adherence.md").read_text(encoding="utf-8")
    assert set_adherence(folder, prepared.folder, Pages(), split="test").warnings == ()


def test_what_cannot_be_read_is_refused(prepared: PreparedSet, tmp_path: Path) -> None:
    strange = synthetic(tmp_path / "strange", prepared, {"case0": 0}, source="0" * 16)
    with pytest.raises(InputError, match="was made from other cases"):
        set_adherence(strange, prepared.folder, Pages())
    with pytest.raises(InputError, match="was made from other cases"):
        check_set(strange, prepared.folder)
    with pytest.raises(InputError, match="was not made by `ccella synthesize`"):
        set_adherence(tmp_path, prepared.folder, Pages())
    check_set(synthetic(tmp_path / "good", prepared, {"case0": 0}), prepared.folder)
    with pytest.raises(InputError, match="There are no t2w volumes of the split validation"):
        check_set(tmp_path / "good", prepared.folder, split="validation")
    volumes = open_volume_set(synthetic(tmp_path / "set", prepared, {"case0": 0}))
    with pytest.raises(InputError, match="made from case0, which is not among the cases"):
        read_set(volumes, PreparedSet(prepared.folder, prepared.settings, prepared.cases[1:]), Pages())
    with pytest.raises(InputError, match="1 x 1 x 3 mm"):
        read_set(VolumeSet("coarse", volumes.members, volumes.shape, (2, 2, 3)), prepared, Pages())
    lines = (prepared.folder / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    bare = [json.dumps({**json.loads(line), "fields": None}) for line in lines]
    (prepared.folder / "cases.jsonl").write_text("\n".join(bare), encoding="utf-8")
    with pytest.raises(InputError, match="What the report of case0 says is not known"):
        read_set(volumes, PreparedSet.open(prepared.folder), Pages())
