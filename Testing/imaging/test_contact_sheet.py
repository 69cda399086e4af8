"""The picture of a synthetic volume."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ccella_core.errors import InputError, SaveError
from ccella_core.imaging.contact_sheet import BACKGROUND
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.provenance import SYNTHETIC_LABEL, Provenance


def make(voxels: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), **changes: Any) -> SyntheticVolume:
    facts: dict[str, Any] = {
        "model_name": "tiny", "model_version": "1.0", "model_sha256": "0" * 64, "report": "Läsion links, 5 mm: $7",
        "pathology_requested": None, "predicted_positive_probability": 0.25, "seed": 7, "scheduler": "unipc",
        "num_inference_steps": 20, "guidance_scale": 1.5, "shape": voxels.shape, "spacing": spacing, "device": "cpu",
        "dtype": "float32",
    }  # fmt: skip
    return SyntheticVolume(voxels, np.diag([*spacing, 1.0]), "t2w", Provenance(**{**facts, **changes}))


def lit(sheet: Image.Image) -> np.ndarray:
    """Where the sheet is nearer to white than to black; no coloured letter is."""
    return np.asarray(sheet).min(axis=2) > 127


@pytest.mark.medium
def test_contact_sheet_is_radiological_and_to_scale(tmp_path: Path) -> None:
    """A block at the patient's right, anterior, of 16 x 8 x 30 mm in voxels of 1 x 1 x 3 mm."""
    volume = make(np.zeros((60, 60, 20)), (1.0, 1.0, 3.0), report="")
    volume.voxels[40:56, 44:52, 5:15] = 1000
    volume.voxels[28:32, 28:32] = 1000  # at the centre, so that the coronal and sagittal planes show something
    sheet = volume.contact_sheet(tmp_path / "sheet.png", width=1000)
    assert sheet.size[0] == 1000 and sheet.mode == "RGB"
    saved = Image.open(tmp_path / "SYNTHETIC_sheet.png")
    assert np.array_equal(np.asarray(saved), np.asarray(sheet)) and saved.info["Description"] == SYNTHETIC_LABEL
    first = lit(sheet)[56:370, 21:330]  # the axial plane and nothing else
    rows, columns = np.nonzero(first[:130, :130])
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert width / height == pytest.approx(16 / 8, rel=0.04)
    assert columns.max() < first.shape[1] / 2 and rows.max() < first.shape[0] / 2  # right is left, anterior is up
    ink = np.asarray(sheet)[:56].reshape(-1, 3).astype(int)
    assert ((ink[:, 0] > 200) & (ink[:, 1] < 140) & (ink[:, 2] < 100)).sum() > 500  # the label in orange
    assert f"#{bytes(np.asarray(sheet)[2, 2]).hex()}" == BACKGROUND


@pytest.mark.medium
@pytest.mark.parametrize("scale", [(1.0, 1.0, 3.0), (3.0, 1.0, 1.0), (1.0, 1.0, 1.0)])
def test_contact_sheet_does_not_depend_on_storage(scale: tuple[float, float, float]) -> None:
    volume = make(np.random.default_rng(0).random((20, 22, 6)), scale)
    turned = np.eye(4)
    turned[:3, :3] = volume.affine[:3, :3] @ [[0, -1, 0], [0, 0, 1], [1, 0, 0]]
    stored = SyntheticVolume(volume.voxels.transpose(2, 0, 1)[:, ::-1], turned, "t2w", volume.provenance)
    assert np.array_equal(np.asarray(stored.contact_sheet(width=400)), np.asarray(volume.contact_sheet(width=400)))


@pytest.mark.parametrize("options", [{"width": 10}, {"width": 10**6}, {"path": "sheet.jpg"}])
def test_contact_sheet_refuses(options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        make(np.ones((4, 4, 4))).contact_sheet(**options)
    assert not list(tmp_path.iterdir())


def test_contact_sheet_of_odd_volumes() -> None:
    flat = make(np.zeros((1, 1, 1)), report="$x^{ " * 900, pathology_requested=0.5)
    assert flat.contact_sheet(width=400).size[0] == 400
    broken = make(np.full((4, 5, 6), np.nan))
    assert broken.contact_sheet(width=400).size[0] == 400


def test_contact_sheet_in_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(SaveError, match="Could not save"):
        make(np.ones((4, 4, 4))).contact_sheet(tmp_path / "file" / "a.png")
