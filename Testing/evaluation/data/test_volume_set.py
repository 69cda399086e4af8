"""Sets of volumes from prepared cases, synthetic cases and plain images; and the table of synthetic cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from prepared_cases import SHAPE, SPACING, prepared_case, prepared_set

from ccella_core.cases.prepared import WHITE, volume_path
from ccella_core.errors import InputError
from ccella_core.evaluation.data.synthetic_set import (
    CSV_NAME,
    SETTINGS_NAME,
    SynthesisSettings,
    SyntheticCase,
    is_synthetic_set,
    read_synthesis_settings,
    read_table,
    write_settings,
    write_table,
)
from ccella_core.evaluation.data.volume_set import open_volume_set
from ccella_core.files import sha256_of

UPRIGHT = np.diag([*SPACING, 1.0])
SETTINGS = SynthesisSettings.model_validate(
    {name: 1 if name == "per_case" else "x" for name in SynthesisSettings.model_fields}
    | {"format": "ccella-synthesis", "format_version": 1, "split": None, "pathology": "report", "options": {"seed": 1}}
)


def voxels_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).random(SHAPE, dtype=np.float32)


def write(path: Path, voxels: np.ndarray, affine: np.ndarray = UPRIGHT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def images(folder: Path, *volumes: np.ndarray) -> Path:
    for number, voxels in enumerate(volumes):
        write(folder / f"{number}.nii.gz", voxels)
    return folder


def row(number: int, **changes: object) -> SyntheticCase:
    content = {
        "id": f"case{number}-0", "case": f"case{number}", "patient": f"patient{number}", "split": "test",
        "sequence": "t2w", "pathology": "positive", "predicted_pathology": "negative",
        "predicted_positive_probability": 0.25, "seed": number, "path": f"volumes/{number}.nii.gz", "sha256": "0",
    }  # fmt: skip
    return SyntheticCase.model_validate({**content, **changes})


def synthetic(folder: Path, *rows: SyntheticCase) -> Path:
    write_settings(folder, SETTINGS)
    for number, each in enumerate(rows):
        write(folder / each.path, voxels_of(number))
    return tabled(folder, *rows)


def tabled(folder: Path, *rows: SyntheticCase) -> Path:
    """With the table of the files as they are now, whatever was made of them."""
    write_table(folder, [each.model_copy(update={"sha256": sha256_of(folder / each.path)}) for each in rows])
    return folder


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    folder = tmp_path / "prepared"
    cases = []
    for number, split in enumerate(("train", "train", "test")):
        path = volume_path(f"case{number}", "t2w")
        stored = np.round(voxels_of(number) * WHITE).astype(np.uint16)
        write(folder / path, stored)
        cases.append(prepared_case(f"case{number}", split=split, sha256={path: sha256_of(folder / path)}))
    prepared_set(folder, cases)
    return folder


def test_prepared_cases(prepared: Path) -> None:
    volumes = open_volume_set(prepared)
    assert (len(volumes), volumes.shape, volumes.spacing, volumes.name) == (3, SHAPE, SPACING, str(prepared))
    np.testing.assert_allclose(volumes.voxels(1), voxels_of(1), atol=1e-5)
    assert volumes.voxels(1).dtype == np.float32
    member = volumes.members[2]
    assert (member.case, member.patient, member.split) == ("case2", "patient of case2", "test")
    assert (member.pathology, member.predicted, member.seed) == ("positive", None, None)
    assert [each.id for each in open_volume_set(prepared, split="train")] == ["case0", "case1"]
    assert [each.mean() for each in volumes.volumes()] == [volumes.voxels(index).mean() for index in range(3)]


def test_prepared_cases_that_are_not_there(prepared: Path) -> None:
    with pytest.raises(InputError, match="no cases of the split validation with t2w in"):
        open_volume_set(prepared, split="validation")
    with pytest.raises(InputError, match="There are no cases with adc in"):
        open_volume_set(prepared, sequence="adc")
    (prepared / volume_path("case1", "t2w")).unlink()
    with pytest.raises(InputError, match="missing or damaged"):
        open_volume_set(prepared).voxels(1)


def test_synthetic_cases(tmp_path: Path) -> None:
    folder = synthetic(tmp_path, row(0), row(1, split="train"), row(2, sequence="adc"), row(3, pathology="negative"))
    volumes = open_volume_set(folder)
    assert [member.seed for member in volumes] == [0, 1, 3]
    assert (volumes.shape, volumes.spacing) == (SHAPE, SPACING)
    np.testing.assert_array_equal(volumes.voxels(2), voxels_of(3))
    member = volumes.members[2]
    assert (member.id, member.case, member.patient) == ("case3-0", "case3", "patient3")
    assert (member.pathology, member.predicted, member.predicted_positive_probability) == ("negative", "negative", 0.25)
    assert [each.seed for each in open_volume_set(folder, split="test")] == [0, 3]
    assert [each.seed for each in open_volume_set(folder, sequence="adc")] == [2]
    with pytest.raises(InputError, match="no hbv volumes of the split test in"):
        open_volume_set(folder, sequence="hbv", split="test")


def test_images_in_a_folder(tmp_path: Path) -> None:
    images(tmp_path, voxels_of(0), voxels_of(1) * 1.05 - 0.02)
    (tmp_path / "notes.txt").write_text("not an image", encoding="utf-8")
    image = sitk.GetImageFromArray(voxels_of(2).transpose(2, 1, 0))
    image.SetSpacing(SPACING)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))  # RAS+ in the coordinates of ITK, which are LPS
    sitk.WriteImage(image, str(tmp_path / "2.mha"))
    volumes = open_volume_set(tmp_path)
    assert [member.id for member in volumes] == ["0.nii.gz", "1.nii.gz", "2.mha"]
    np.testing.assert_array_equal(volumes.voxels(2), voxels_of(2))
    overshoot = volumes.voxels(1)
    assert overshoot.min() == 0 and overshoot.max() == 1
    with pytest.raises(InputError, match="plain images, which have no splits"):
        open_volume_set(tmp_path, split="test")


def test_label_maps_in_a_folder_are_no_volumes(tmp_path: Path) -> None:
    folder = images(tmp_path / "images", voxels_of(0))
    write(folder / "SYNTHETIC_0-labels.nii.gz", voxels_of(1))
    assert [each.id for each in open_volume_set(folder)] == ["0.nii.gz"]


def test_a_table_of_before_there_were_labels_and_wordings_is_read(tmp_path: Path) -> None:
    folder = synthetic(tmp_path, row(0))
    header, line = (folder / CSV_NAME).read_text(encoding="utf-8").splitlines()
    new = ",labels,report_is_outside"
    assert header.endswith(new) and line.endswith(",,")
    (folder / CSV_NAME).write_text(f"{header.removesuffix(new)}\n{line[:-2]}\n", encoding="utf-8")
    assert read_table(folder) == (row(0, sha256=sha256_of(folder / row(0).path)),)


def test_hidden_files_and_complex_images(tmp_path: Path) -> None:
    images(tmp_path, voxels_of(0))
    (tmp_path / "._0.nii.gz").write_bytes(b"what macOS leaves")
    assert len(open_volume_set(tmp_path)) == 1
    write(tmp_path / "0.nii.gz", voxels_of(0).astype(np.complex64))
    with pytest.raises(InputError, match=r"0\.nii\.gz holds complex numbers"):
        open_volume_set(tmp_path)


def with_voxel(value: float) -> np.ndarray:
    voxels = voxels_of(1)
    voxels[4, 5, 6] = value
    return voxels


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_is_seen_in_every_format(tmp_path: Path, suffix: str, value: float) -> None:
    """SimpleITK alone reads NaN in a NIfTI as 0."""
    image = sitk.GetImageFromArray(with_voxel(value).transpose(2, 1, 0))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / f"1{suffix}"))
    with pytest.raises(InputError, match="holds NaN or infinite"):
        open_volume_set(tmp_path).voxels(0)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (lambda path: write(path, 1000 * voxels_of(1)), r"1.nii.gz in .* from .* to 99\d.* where 0 to 1 is expected"),
        (lambda path: write(path, voxels_of(1) - 0.5), "intensities from -0.4"),
        (lambda path: write(path, voxels_of(1)[:8]), "1.nii.gz has 8 x 16 x 8 voxels and most of .* 16 x 16 x 8"),
        (lambda path: write(path, voxels_of(1), np.diag([1, 1, 2, 1.0])), "spacing of 1 x 1 x 2 mm and .* 1 x 1 x 3"),
        (lambda path: write(path, voxels_of(1), np.diag([-1, -1, 3, 1.0])), r"do not run .* \(RAS\+\)"),
        (lambda path: write(path, voxels_of(1), tilted()), r"do not run .* \(RAS\+\)"),
        (lambda path: path.write_bytes(b"no image"), "1.nii.gz is incomplete: 8 bytes are there"),
    ],
)
def test_images_that_do_not_belong(tmp_path: Path, second: Callable[[Path], object], words: str) -> None:
    images(tmp_path, voxels_of(0))
    second(tmp_path / "1.nii.gz")
    volumes = open_volume_set(tmp_path)
    assert volumes.voxels(0).shape == SHAPE
    with pytest.raises(InputError, match=words):
        volumes.voxels(1)


def tilted() -> np.ndarray:
    angle = np.radians(5)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(SPACING)
    return affine


def test_a_rounded_header_is_borne(tmp_path: Path) -> None:
    images(tmp_path, voxels_of(0))
    write(tmp_path / "1.nii.gz", voxels_of(1), np.diag([1.001, 1.0, 2.997, 1.0]))
    assert open_volume_set(tmp_path).voxels(1).shape == SHAPE


def test_folders_with_nothing_in_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no folder"):
        open_volume_set(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no images in .*: \.nii\.gz, \.nii"):
        open_volume_set(tmp_path)
    file = write(tmp_path / "file.nii.gz", voxels_of(0))
    with pytest.raises(InputError, match="There is no folder"):
        open_volume_set(file)


def test_synthetic_volumes_of_another_spacing(tmp_path: Path) -> None:
    folder = synthetic(tmp_path, row(0), row(1))
    write(folder / "volumes/1.nii.gz", voxels_of(1), np.diag([2.0, 2.0, 3.0, 1.0]))
    tabled(folder, row(0), row(1))
    with pytest.raises(InputError, match="spacing of 2 x 2 x 3 mm and most of its set 1 x 1 x 3"):
        open_volume_set(folder).voxels(1)
    (folder / "volumes/1.nii.gz").unlink()
    with pytest.raises(InputError, match=r"1\.nii\.gz cannot be read: No such file"):
        open_volume_set(folder).voxels(1)


def test_the_table_comes_back_as_it_was(tmp_path: Path) -> None:
    rows = (row(0), row(1, predicted_pathology=None, predicted_positive_probability=None))
    synthetic(tmp_path, *rows)
    write_table(tmp_path, rows)
    assert is_synthetic_set(tmp_path) and read_table(tmp_path) == rows and read_synthesis_settings(tmp_path) == SETTINGS


def test_a_folder_that_is_no_synthetic_set_yet(tmp_path: Path) -> None:
    assert not is_synthetic_set(tmp_path)
    with pytest.raises(InputError, match="was not made by `ccella synthesize`"):
        read_synthesis_settings(tmp_path)
    write_settings(tmp_path, SETTINGS)
    with pytest.raises(InputError, match=r"cases\.csv is missing .* let `ccella synthesize` finish"):
        open_volume_set(tmp_path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text.replace(",t2w,", ",flair,"), "line 2: sequence: choose 't2w', 'hbv' or 'adc'"),
        (lambda text: text.replace(",0.25,", ",1.25,"), "line 2: predicted_positive_probability: must be at most 1"),
        (lambda text: text.replace("volumes/0", "../volumes/0"), "line 2: path: .* leads out of the folder"),
        (lambda text: text.replace("volumes/0", "/volumes/0"), "leads out of the folder"),
        (lambda text: text.replace("volumes/0", r"C:\\volumes\\0"), "leads out of the folder"),
        (lambda text: text.replace("volumes/0", "x" * 300), "the path is none that a file can have"),
        (lambda text: text.replace("volumes/0", "a\0b"), "the path is none that a file can have"),
        (lambda text: text.replace(",seed,", ",sead,"), "its columns are others"),
        (lambda text: text.replace(",", ";"), "its columns are others"),
        (lambda text: text.strip() + ",one more\n", "line 2 has more or fewer cells than the header"),
        (lambda text: text.rpartition(",")[0] + "\n", "line 2 has more or fewer cells"),
        (lambda text: "\0" + text, "columns"),
        (lambda text: text.partition("\n")[2], "columns"),
        (lambda text: "", "columns"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, damage: Callable[[str], str], words: str) -> None:
    table = synthetic(tmp_path, row(0)) / CSV_NAME
    damaged = damage(table.read_text(encoding="utf-8"))
    assert damaged != table.read_text(encoding="utf-8")
    table.write_text(damaged, encoding="utf-8")
    with pytest.raises(InputError, match=rf"The table .* is damaged \(.*{words}.*\); let `ccella synthesize` write"):
        open_volume_set(tmp_path)


def test_a_volume_or_a_file_that_stands_twice_in_a_table_is_refused(tmp_path: Path) -> None:
    synthetic(tmp_path, row(0), row(1), row(0, sequence="adc", path="volumes/other.nii.gz"))
    assert len(read_table(tmp_path)) == 3
    for again, words in ((row(0, path="volumes/9.nii.gz"), "the volume case0-0 t2w twice"),
                         (row(9, path="volumes/1.nii.gz"), r"the file volumes/1\.nii\.gz twice")):  # fmt: skip
        write_table(tmp_path, (row(0), row(1), again))
        with pytest.raises(InputError, match=words):
            open_volume_set(tmp_path)


def test_a_file_that_was_altered_since_it_was_made_is_left_out(tmp_path: Path) -> None:
    folder = synthetic(tmp_path, *(row(number) for number in range(4)))
    write(folder / "volumes/1.nii.gz", voxels_of(1) / 2)
    (folder / "volumes/2.nii.gz").unlink()
    opened = open_volume_set(folder).checked()
    assert [each.id for each in opened] == ["case0-0", "case3-0"]
    assert opened.without.startswith("; 2 cannot be used, the first: ") and "its SHA-256 differs" in opened.without


def test_what_a_file_is_called_says_nothing_of_its_format(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = images(tmp_path, voxels_of(0))
    (folder / "0.nii.gz").rename(folder / "0.mha")
    image = sitk.GetImageFromArray(voxels_of(1).transpose(2, 1, 0))
    image.SetSpacing(SPACING)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(folder / "1.nrrd"))
    (folder / "1.nrrd").rename(folder / "1.nii")
    (folder / "2.nrrd").write_bytes(b"none")
    (folder / "3.nii").write_bytes((folder / "1.nii").read_bytes()[:400])
    opened = open_volume_set(folder).checked()
    assert [each.id for each in opened] == ["0.mha", "1.nii"] and len(opened.left_out) == 2
    np.testing.assert_array_equal(opened.voxels(1), voxels_of(1))
    assert capfd.readouterr().err == ""  # where ITK's reader for NIfTI would have said what it thinks


def test_a_table_or_settings_that_are_no_text(tmp_path: Path) -> None:
    folder = synthetic(tmp_path, row(0))
    (folder / CSV_NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is damaged"):
        read_table(folder)
    (folder / SETTINGS_NAME).write_bytes(b"\xff{")
    with pytest.raises(InputError, match="cannot be read"):
        read_synthesis_settings(folder)


@pytest.mark.parametrize("make", ["images", "synthetic"])
def test_the_shape_and_spacing_of_most_count_wherever_the_odd_ones_stand(tmp_path, make):
    if make == "images":
        folder = images(tmp_path, *(voxels_of(number) for number in range(5)))
        odd, coarse = tmp_path / "0.nii.gz", tmp_path / "1.nii.gz"
    else:
        folder = synthetic(tmp_path, *(row(number) for number in range(5)))
        odd, coarse = (tmp_path / "volumes" / f"{number}.nii.gz" for number in range(2))
    write(odd, np.zeros((4, 4, 4), np.float32))
    write(coarse, voxels_of(1), np.diag([2, 2, 3, 1]))
    if make == "synthetic":
        tabled(folder, *(row(number) for number in range(5)))
    opened = open_volume_set(folder)
    assert opened.shape == SHAPE and opened.spacing == pytest.approx(SPACING)
    usable = opened.checked()
    assert len(usable) == 3 and [each.id for each in usable.left_out] == [each.id for each in opened][:2]
    assert "most of" in usable.left_out[0].reason and "spacing of 2 x 2 x 3" in usable.left_out[1].reason
