"""Saving, reading, placing and picturing a synthetic volume."""

import errno
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from ccella_core.errors import InputError, NonFiniteError, SaveError
from ccella_core.files import sha256_of
from ccella_core.imaging.orientation import affine_of
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.provenance import SYNTHETIC_LABEL, Provenance

FORMATS = (".nii.gz", ".nii", ".nrrd", ".mha")
REAL_SCAN = Path(__file__).parents[3] / "shared" / "data" / "prostatex-0000" / "t2w_dicom"
SHAPE, SPACING = (7, 6, 5), (0.5, 0.75, 3.0)


def rotation(seed: int, largest_angle: float) -> np.ndarray:
    """A proper rotation about a random axis."""
    generator = np.random.default_rng(seed)
    axis = generator.normal(size=3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = generator.uniform(-largest_angle, largest_angle)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def provenance(**changes: Any) -> Provenance:
    facts: dict[str, Any] = {
        "model_name": "tiny", "model_version": "1.0", "model_sha256": "0" * 64, "report": "Läsion links, 5 mm: $7",
        "pathology_requested": "positive", "predicted_positive_probability": 0.25, "seed": 2**40, "scheduler": "unipc",
        "num_inference_steps": 20, "guidance_scale": 1.5, "shape": SHAPE, "spacing": SPACING, "device": "cpu",
        "dtype": "float32",
    }  # fmt: skip
    return Provenance(**{**facts, **changes})


def make(affine: np.ndarray | None = None, shape: tuple[int, int, int] = SHAPE, **changes: Any) -> SyntheticVolume:
    if affine is None:
        affine = np.eye(4)
        affine[:3, :3] = rotation(3, 0.5) * SPACING
        affine[:3, 3] = -31.7, 12.3, 101.9
    voxels = np.random.default_rng(0).normal(300, 100, shape)
    return SyntheticVolume(voxels, affine, "t2w", provenance(**changes))


def centre(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]


def reference(direction: np.ndarray, size: tuple[int, int, int] = (20, 30, 10)) -> sitk.Image:
    image = sitk.Image(*size, sitk.sitkInt16)
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing((0.6, 0.6, 4.0))
    image.SetOrigin((5.0, -40.0, 77.0))
    return image


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_saved_is_read_back(tmp_path: Path, suffix: str) -> None:
    volume = make()
    path = volume.save(tmp_path / "new folder" / f"Fall 1{suffix}")
    assert path.name == f"SYNTHETIC_Fall 1{suffix}"
    assert sorted(file.name for file in path.parent.iterdir()) == sorted([path.name, "SYNTHETIC_Fall 1.json"])
    again = SyntheticVolume.load(path)
    assert again.voxels.dtype == np.float32 and np.array_equal(again.voxels, volume.voxels)
    np.testing.assert_allclose(again.affine, volume.affine, rtol=1e-6, atol=1e-6)
    assert again.provenance == volume.provenance and again.sequence == "t2w"


def test_what_goes_through_a_pipe_is_what_would_be_saved(tmp_path: Path) -> None:
    volume = make()
    image, sidecar = volume.to_bytes("SYNTHETIC_x.nii")
    path = volume.save(tmp_path / "SYNTHETIC_x.nii")
    assert path.read_bytes() == image and path.with_suffix(".json").read_bytes() == sidecar
    volume.voxels[0, 0, 0] = np.nan
    with pytest.raises(NonFiniteError, match="1 voxels are NaN or infinite, so SYNTHETIC_x"):
        volume.to_bytes("SYNTHETIC_x.nii")


@pytest.mark.parametrize("suffix", FORMATS)
def test_all_formats_give_the_same_points(tmp_path: Path, suffix: str) -> None:
    volume = make()
    image = sitk.ReadImage(str(volume.save(tmp_path / f"SYNTHETICa{suffix}")))
    for index in ((0, 0, 0), (6, 5, 4), (1, 4, 2)):
        ras = volume.affine @ [*index, 1]
        np.testing.assert_allclose(
            image.TransformIndexToPhysicalPoint(index), [-ras[0], -ras[1], ras[2]], rtol=1e-6, atol=1e-5
        )
        assert image[index] == volume.voxels[index]


def test_files_say_that_they_are_synthetic(tmp_path: Path) -> None:
    volume = make(model_name="ä" * 60)
    nifti = nib.Nifti1Image.from_filename(volume.save(tmp_path / "SYNTHETIC-x.nii.gz"))
    assert nifti.header["descrip"].item().startswith(SYNTHETIC_LABEL.encode())
    assert len(nifti.header["descrip"].item()) <= 79
    assert nifti.header["qform_code"] == nifti.header["sform_code"] == 1
    assert nifti.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(nifti.get_qform(), nifti.get_sform(), atol=1e-4)
    for suffix in (".nrrd", ".mha"):
        image = sitk.ReadImage(str(volume.save(tmp_path / f"y{suffix[1:]}{suffix}")))
        assert image.GetMetaData("SyntheticLabel") == SYNTHETIC_LABEL
    sidecar = json.loads((tmp_path / "SYNTHETIC-x.json").read_text(encoding="utf-8"))
    assert sidecar["synthetic"] is True and sidecar["label"] == SYNTHETIC_LABEL
    assert sidecar["sha256"] == sha256_of(tmp_path / "SYNTHETIC-x.nii.gz")
    assert sidecar["provenance"]["report"] == "Läsion links, 5 mm: $7" and sidecar["provenance"]["seed"] == 2**40
    assert {"python", "torch", "numpy"} <= sidecar["provenance"]["software"].keys()
    assert sidecar["provenance"]["created"].endswith("Z")


def test_existing_names_are_respected(tmp_path: Path) -> None:
    path = make().save(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="exists already"):
        make().save(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=r"belongs to SYNTHETIC_a\.nii\.gz"):
        make().save(tmp_path / "a.nrrd", overwrite=True)  # would take the other image's sidecar
    (tmp_path / "SYNTHETIC_b.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="something else"):
        make().save(tmp_path / "b.nrrd", overwrite=True)
    make(seed=5).save(path, overwrite=True)
    assert SyntheticVolume.load(path).provenance.seed == 5
    path.unlink()  # a sidecar left alone by an interrupted save does not block the next
    assert make().save(path) == path


@pytest.mark.parametrize("name", ["a.dcm", "a", "a.nii.zip", ".gz"])
def test_unknown_extension(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"\.nii\.gz, \.nii, \.nrrd, \.mha"):
        make().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_voxels_are_not_saved(tmp_path: Path, value: float) -> None:
    volume = make()
    volume.voxels[1, 2, 3] = value
    with pytest.raises(NonFiniteError, match="1 voxels"):
        volume.save(tmp_path / "a.nii.gz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk_leaves_nothing(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = make(seed=1).save(tmp_path / f"a{suffix}")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def half_written(self: object, path: Path, *_: object, **__: object) -> None:
        Path(path).write_bytes(b"half of the voxels")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SyntheticVolume, "_write", half_written)
    with pytest.raises(SaveError, match="No space left on device"):
        make().save(tmp_path / f"b{suffix}")
    with pytest.raises(SaveError):
        make().save(old, overwrite=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    monkeypatch.undo()

    def no_room_for_text(self: Path, *_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", no_room_for_text)  # now the sidecar finds no room
    with pytest.raises(SaveError):
        make().save(tmp_path / f"b{suffix}")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_simpleitk_failures_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("ITK could not write")

    monkeypatch.setattr(sitk, "WriteImage", fail)
    with pytest.raises(SaveError, match="ITK could not write"):
        make().save(tmp_path / "a.mha")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", FORMATS)
def test_unwritable_folder(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "file").write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(SaveError, match="Could not save"):
        make().save(tmp_path / "file" / f"a{suffix}")
    with pytest.raises(SaveError, match="Could not save"):
        make().save(tmp_path / "file" / "deeper" / f"a{suffix}")


def test_load_refuses_what_is_not_ours(tmp_path: Path) -> None:
    path = make().save(tmp_path / "a.nii")
    sidecar = tmp_path / "SYNTHETIC_a.json"
    text = sidecar.read_text(encoding="utf-8")
    provenance_of = json.loads(text)["provenance"]
    odd = [json.dumps({**json.loads(text), "provenance": provenance_of | change}) for change in (
        {"seed": -1}, {"guidance_scale": float("nan")}, {"guidance_scale": -2.0}, {"spacing": [1.0, float("inf"), 1.0]}
    )]  # fmt: skip
    for wrong in ("not json", "{}", text.replace("true", "false", 1), *odd):
        sidecar.write_text(wrong, encoding="utf-8")
        with pytest.raises(InputError, match="is no sidecar: "):
            SyntheticVolume.load(path)
    sidecar.write_text(text, encoding="utf-8")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="SHA-256 differs"):
        SyntheticVolume.load(path)
    sidecar.unlink()
    with pytest.raises(InputError, match="not a saved synthetic volume"):
        SyntheticVolume.load(path)
    with pytest.raises(InputError, match="not a saved synthetic volume"):
        SyntheticVolume.load(tmp_path / "nothing.mha")


@pytest.mark.parametrize(
    ("voxels", "affine", "sequence"),
    [
        (np.zeros((2, 2)), np.eye(4), "t2w"),
        (np.zeros((2, 0, 2)), np.eye(4), "t2w"),
        (np.zeros((2, 2, 2)), np.zeros((4, 4)), "t2w"),
        (np.zeros((2, 2, 2)), np.full((4, 4), np.nan), "t2w"),
        (np.zeros((2, 2, 2)), np.eye(3), "t2w"),
        (np.zeros((2, 2, 2)), np.eye(4), "t1w"),
    ],
)
def test_impossible_volumes(voxels: np.ndarray, affine: np.ndarray, sequence: Any) -> None:
    with pytest.raises(InputError):
        SyntheticVolume(voxels, affine, sequence, provenance())


def test_to_sitk_round_trip() -> None:
    volume = make()
    image = volume.to_sitk()
    assert image.GetSize() == SHAPE
    np.testing.assert_allclose(image.GetSpacing(), SPACING, rtol=1e-12)
    np.testing.assert_allclose(affine_of(image), volume.affine, atol=1e-12)


PERMUTED = [np.eye(3)[:, list(order)] for order in itertools.permutations(range(3))]


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)])
@pytest.mark.parametrize("seed", [0, 1])
def test_place_on_any_acquisition(order: int, signs: tuple[int, int, int], seed: int) -> None:
    """Axial, sagittal, coronal, flipped and tilted references: the axes stay nearest to their own anatomy."""
    tilt = rotation(seed, np.deg2rad(30))
    scan = reference(tilt @ PERMUTED[order] * signs)
    volume = make(np.diag([*SPACING, 1.0]))
    placed = volume.place_on(scan)
    # Whatever the order and signs of the stored axes, R, A, S go to the tilted R, A, S. Directions of ITK are LPS.
    lps = np.diag([-1, -1, 1])
    np.testing.assert_allclose(placed.affine[:3, :3], lps @ tilt @ lps * SPACING, atol=1e-9)
    np.testing.assert_allclose(centre(placed.affine, SHAPE), centre(affine_of(scan), scan.GetSize()), rtol=0, atol=1e-9)
    assert np.array_equal(placed.voxels, volume.voxels) and placed.provenance == volume.provenance
    again = placed.place_on(scan)
    np.testing.assert_allclose(again.affine, placed.affine, atol=1e-9)


def test_place_on_keeps_a_flipped_stack_the_right_way_up() -> None:
    flipped = make(np.diag([-0.5, -0.75, 3.0, 1.0]))  # stored left to right, anterior to posterior
    placed = flipped.place_on(reference(np.eye(3)))
    np.testing.assert_allclose(placed.affine[:3, :3], np.diag([-0.5, -0.75, 3.0]), atol=1e-12)


def test_place_on_files(tmp_path: Path) -> None:
    scan = reference(rotation(5, 0.4))
    sitk.WriteImage(scan, str(tmp_path / "scan.mha"))
    placed = make().place_on(str(tmp_path / "scan.mha"))
    np.testing.assert_allclose(placed.affine, make().place_on(scan).affine, atol=1e-6)
    with pytest.raises(InputError, match="There is no scan"):
        make().place_on(tmp_path / "nothing.mha")
    with pytest.raises(InputError, match="no DICOM series"):
        make().place_on(tmp_path)
    with pytest.raises(InputError, match="2 dimensions"):
        make().place_on(sitk.Image(4, 4, sitk.sitkInt16))


@pytest.mark.skipif(not REAL_SCAN.is_dir(), reason="the real scan ../shared/data/prostatex-0000 is not here")
def test_place_on_a_real_oblique_scan() -> None:
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(REAL_SCAN))
    scan = sitk.ReadImage(files)
    placed = make(np.diag([*SPACING, 1.0])).place_on(REAL_SCAN)
    image = placed.to_sitk()
    index = [(size - 1) / 2 for size in SHAPE]
    theirs = [(size - 1) / 2 for size in scan.GetSize()]
    np.testing.assert_allclose(
        image.TransformContinuousIndexToPhysicalPoint(index),
        scan.TransformContinuousIndexToPhysicalPoint(theirs),
        atol=1e-6,
    )
    own, real = np.reshape(image.GetDirection(), (3, 3)), np.reshape(scan.GetDirection(), (3, 3))
    np.testing.assert_allclose(own, real * [-1, -1, 1], atol=1e-9)  # RAS against the scan's LPS, the same lines
    assert abs(real[2, 2]) < 0.96  # the scan is tilted by 18 degrees, or this would test little


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_saves_of_one_name_at_once_image_and_sidecar_are_of_the_same(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "a.nii"
    volumes = [make(seed=seed) for seed in range(12)]
    for number, volume in enumerate(volumes):
        volume.voxels += number

    def save(volume: SyntheticVolume) -> bool:
        try:
            volume.save(path, overwrite=overwrite)
        except InputError as error:
            assert "exists already" in str(error) or "belongs to" in str(error)
            return False
        return True

    with ThreadPoolExecutor(len(volumes)) as pool:
        saved = sum(pool.map(save, volumes))
    assert saved == (len(volumes) if overwrite else 1)
    kept = SyntheticVolume.load(tmp_path / "SYNTHETIC_a.nii")  # refuses an image that is not its sidecar's
    assert np.array_equal(kept.voxels, volumes[kept.provenance.seed].voxels.astype(np.float32))
    assert len(list(tmp_path.iterdir())) == 2
