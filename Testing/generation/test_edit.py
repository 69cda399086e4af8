"""Edits of a scan: in its own grid and values, untouched elsewhere bit for bit, and what cannot be edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
import torch

from ccella_core.errors import InputError
from ccella_core.generation.edit import RIM_MM, ScanToEdit, Sphere, scan_to_edit
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.imaging.grid import coverage
from ccella_core.imaging.orientation import affine_of, set_affine
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.networks import ConditionalDenoiser

REPORT = "IMPRESSION: PI-RADS 4 lesion in the left apex."
CENTRE = np.array([12.0, -30.0, 55.0])
SHAPE, SPACING = (16, 16, 8), (1.0, 1.0, 3.0)  # of the tiny model


def scan(
    size: tuple[int, int, int] = (40, 44, 14), kind: Any = np.int16, factor: float = 300.0, tilt: float = 20.0
) -> sitk.Image:
    """An oblique scan of 0.8 x 0.7 x 2.5 mm around the centre, larger than the tiny model's field of view."""
    voxels = (np.random.default_rng(3).gamma(2.0, factor, size)).astype(kind)
    angle = np.radians(tilt)
    affine = np.eye(4)
    turned = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    affine[:3, :3] = np.array(turned) * (-0.8, -0.7, 2.5)
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((np.array(size) - 1) / 2)
    image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    set_affine(image, affine)
    return image


def mask_of(image: sitk.Image, box: tuple[slice, slice, slice]) -> sitk.Image:
    voxels = np.zeros(image.GetSize(), np.uint8)
    voxels[box] = 1
    mask = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    mask.CopyInformation(image)
    return mask


def voxels_of(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def read(image: Any, mask: Any = None) -> ScanToEdit:
    return scan_to_edit(image, mask, sequences=("t2w",), on_warning=lambda _: None)


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_without_a_mask_all_outside_the_field_of_view_stays(tiny_pipeline: CCELLAPipeline, kind: Any) -> None:
    image = scan(kind=kind)
    (edited,) = tiny_pipeline(REPORT, image=image, seed=1)
    own = voxels_of(image)
    assert edited.voxels.dtype == own.dtype and edited.voxels.shape == own.shape
    np.testing.assert_allclose(edited.affine, affine_of(image), atol=1e-9)
    seen = coverage(image, read(image).grid(SHAPE, SPACING))
    assert 0.05 < seen.mean() < 0.5
    assert np.array_equal(edited.voxels[~seen], own[~seen])
    assert (edited.voxels[seen] != own[seen]).mean() > 0.9
    assert edited.voxels.min() >= own.min() - 0.01 and edited.voxels.max() <= own.max()


def test_with_a_mask_all_outside_it_stays(tiny_pipeline: CCELLAPipeline) -> None:
    image = scan()
    mask = mask_of(image, (slice(14, 26), slice(16, 30), slice(4, 10)))
    (edited,) = tiny_pipeline(REPORT, image=image, mask=mask, seed=1)
    inside, own = voxels_of(mask) > 0, voxels_of(image)
    assert np.array_equal(edited.voxels[~inside], own[~inside])
    assert (edited.voxels[inside] != own[inside]).mean() > 0.9
    assert edited.provenance.strength == 1.0


def test_a_mask_beside_the_middle_moves_the_field_of_view(tiny_pipeline: CCELLAPipeline) -> None:
    image = scan(size=(80, 44, 14))
    mask = mask_of(image, (slice(2, 12), slice(16, 30), slice(4, 10)))
    (edited,) = tiny_pipeline(REPORT, image=image, mask=mask, seed=1)
    changed, inside = edited.voxels != voxels_of(image), voxels_of(mask) > 0
    assert not changed[~inside].any() and changed[inside].mean() > 0.9


def test_what_was_drawn_fades_in_from_the_edge_of_the_mask() -> None:
    image = scan(size=(40, 40, 12), tilt=0.0)
    edit = read(image, Sphere(tuple(CENTRE), 7.5))
    grid = edit.grid((32, 32, 12), SPACING)
    _, high = edit.ranges["t2w"]
    drawn = edit.laid_back(grid, "t2w", np.ones((32, 32, 12), np.float32)).astype(float)
    own = voxels_of(image).astype(float)
    share = (drawn - own)[20, :, 6] / (high - own[20, :, 6])
    inside = np.flatnonzero(share)
    assert 0 < share[inside[0]] < 0.3 and share[20] == pytest.approx(1, abs=0.01)
    assert (np.diff(share[inside[0] : 21]) > -0.02).all()  # whole numbers round it
    assert abs(len(inside) * 0.7 - 15) < 1.5 and RIM_MM < 7.5


@pytest.mark.medium
def test_a_weak_edit_stays_nearer_to_the_scan(tiny_pipeline: CCELLAPipeline) -> None:
    """The decoder has random weights; so what is compared is what it makes of the scan without any noise."""
    edit = read(scan())
    grid = edit.grid(SHAPE, SPACING)
    with torch.inference_mode():
        latent = tiny_pipeline.autoencoder.encode(torch.from_numpy(edit.on(grid, "t2w"))[None, None])[0]
        unchanged = tiny_pipeline.autoencoder.decode(latent)[0, 0].numpy().clip(0, 1)
    reference = edit.laid_back(grid, "t2w", unchanged).astype(float)
    weak, strong = (
        tiny_pipeline(REPORT, image=edit, seed=1, num_inference_steps=20, strength=strength)[0].voxels
        for strength in (0.05, 0.9)
    )
    assert np.abs(weak - reference).mean() < 0.3 * np.abs(strong - reference).mean()


@pytest.mark.medium
def test_the_same_edit_again_is_the_same_and_its_provenance_names_no_patient(
    tiny_pipeline: CCELLAPipeline, tmp_path: Path
) -> None:
    image = scan()
    image.SetMetaData("PatientName", "Doe")
    sitk.WriteImage(image, str(tmp_path / "T2 of Doe.nrrd"))
    (first,) = tiny_pipeline(REPORT, image=tmp_path / "T2 of Doe.nrrd", mask=Sphere(tuple(CENTRE), 6.0), seed=1)
    (again,) = tiny_pipeline(REPORT, image=image, mask=Sphere(tuple(CENTRE), 6.0), seed=1)
    made = first.provenance
    assert np.array_equal(first.voxels, again.voxels)
    assert (made.source_sha256, made.mask_sha256) == (again.provenance.source_sha256, again.provenance.mask_sha256)
    assert made.source_sha256 is not None and len(made.source_sha256) == 64 and "Doe" not in made.model_dump_json()
    assert made.label == f"SYNTHETIC (EDITED FROM {made.source_sha256[:8]}) - not for diagnosis"
    path = first.save(tmp_path / "edited.nii.gz")
    loaded = SyntheticVolume.load(path)
    assert np.array_equal(loaded.voxels, first.voxels) and loaded.voxels.dtype == np.int16
    assert made.label in path.with_name("SYNTHETIC_edited.json").read_text(encoding="utf-8")
    assert first.contact_sheet().info["Description"] == made.label
    assert b"Doe" not in path.with_name("SYNTHETIC_edited.json").read_bytes()
    (other,) = tiny_pipeline(REPORT, image=image, mask=Sphere(tuple(CENTRE), 6.0), seed=2)
    assert not np.array_equal(other.voxels, first.voxels)


def test_several_edits_of_one_scan(tiny_pipeline: CCELLAPipeline) -> None:
    image, sphere = scan(), Sphere(tuple(CENTRE), 6.0)
    both = tiny_pipeline(REPORT, image=image, mask=sphere, seed=1, count=2)
    (second,) = tiny_pipeline(REPORT, image=image, mask=sphere, seed=2)
    assert len(both) == 2 and np.abs(both[1].voxels.astype(int) - second.voxels).max() <= 1


@pytest.fixture
def two_sequences(tiny_pipeline: CCELLAPipeline) -> CCELLAPipeline:
    """A model of T2 and ADC with random weights; the rest of it is the tiny model's."""
    config = tiny_pipeline.denoiser.config
    unet = config.unet.model_copy(update={"latent_channels": 2 * config.unet.latent_channels})
    torch.manual_seed(0)
    index = tiny_pipeline.index.model_copy(
        update={
            "sequences": ["t2w", "adc"],
            "intensity_range": {"t2w": (0.0, 1.0), "adc": (0.0, 3000.0)},
            "latent_scale_factor": (1.0, 0.5),
        }
    )
    return CCELLAPipeline(
        denoiser=ConditionalDenoiser(config.model_copy(update={"unet": unet})),
        autoencoder=tiny_pipeline.autoencoder,
        autoencoder_config=tiny_pipeline.autoencoder_config,
        scheduler_config=tiny_pipeline.scheduler_config,
        encoder=tiny_pipeline.encoder,
        index=index,
        device="cpu",
        dtype="float32",
    )


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_one_of_several_sequences_or_all_of_them(two_sequences: CCELLAPipeline, strength: float) -> None:
    t2w, adc = scan(), scan(size=(24, 24, 12), factor=600.0)
    sphere = Sphere(tuple(CENTRE), 6.0)
    (alone,) = two_sequences(REPORT, image=t2w, mask=sphere, seed=1, strength=strength, num_inference_steps=4)
    assert alone.sequence == "t2w" and alone.voxels.shape == (40, 44, 14)
    (only_adc,) = two_sequences(REPORT, image={"adc": adc}, mask=sphere, seed=1, num_inference_steps=4)
    assert only_adc.sequence == "adc" and only_adc.voxels.shape == (24, 24, 12)
    both = two_sequences(
        REPORT, image={"adc": adc, "t2w": t2w}, mask=sphere, seed=1, strength=strength, num_inference_steps=4
    )
    assert [volume.sequence for volume in both] == ["t2w", "adc"]
    assert both[0].provenance.source_sha256 != both[1].provenance.source_sha256
    assert both[0].provenance.examination_sha256 == both[1].provenance.examination_sha256
    assert alone.provenance.examination_sha256 == both[0].provenance.source_sha256  # the first's
    for volume, image in zip(both, (t2w, adc), strict=True):
        place = np.argwhere(volume.voxels != voxels_of(image)) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        assert len(place) > 20 and np.linalg.norm(place - CENTRE, axis=1).max() < 7.5  # a voxel of the other grid


def test_an_adc_keeps_its_unit() -> None:
    image = sitk.Cast(scan(factor=600.0), sitk.sitkFloat32) / 1e6  # mm²/s
    edit = scan_to_edit({"adc": image}, sequences=("t2w", "adc"), on_warning=lambda _: None)
    low, high = edit.ranges["adc"]
    assert (low, high) == (0.0, pytest.approx(3e-3))
    grid = edit.grid(SHAPE, SPACING)
    back = edit.laid_back(grid, "adc", np.full(SHAPE, 0.5, np.float32))
    assert back[20, 22, 7] == pytest.approx(1.5e-3)


def test_padding_is_no_tissue() -> None:
    voxels = voxels_of(scan()).copy()
    voxels[:, :, 0] = -1024
    padded = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    padded.CopyInformation(scan())
    assert read(padded).ranges["t2w"][0] >= 0


MISTAKES: list[tuple[Any, Any, str]] = [
    (scan(), Sphere((500.0, 0.0, 0.0), 9.0), r"The point 500, 0, 0 \(RAS, mm\) lies outside the scan, whose middle"),
    (scan(), Sphere(tuple(CENTRE), 0.0), "radius above 0 mm"),
    (scan(), Sphere((float("nan"), 0.0, 0.0), 5.0), "three numbers in mm"),
    (scan(), Sphere(tuple(CENTRE + 0.3), 0.05), "holds no voxel"),
    (scan(), mask_of(scan(), (slice(0, 0),) * 3), "The mask is empty"),
    (scan(), mask_of(scan(size=(12, 12, 12)), (slice(2, 5),) * 3), "The mask has 12 x 12 x 12 voxels and the scan 40"),
    (scan(), mask_of(scan(tilt=0.0), (slice(2, 5),) * 3), "The mask lies elsewhere than the scan"),
    (scan(), scan(), "different values, which no mask does"),
    (scan()[:, :, :1], None, "is one slice"),
    (sitk.Cast(scan(), sitk.sitkFloat32) * float("nan"), None, "holds NaN or infinite voxels"),
    (scan() * 0, None, "the same everywhere"),
    ({"adc": scan()}, None, "The model draws t2w, not adc"),
    ({}, None, "The model draws t2w, not nothing"),
    ("no such file.nii", None, "There is no scan no such file"),
    (scan(), "no such mask.nii", "There is no scan no such mask"),
]


@pytest.mark.parametrize(("image", "mask", "sentence"), MISTAKES, ids=[sentence for *_, sentence in MISTAKES])
def test_what_cannot_be_edited_is_said(image: Any, mask: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read(image, mask)


def test_a_mask_that_is_too_large_for_the_model(tiny_pipeline: CCELLAPipeline) -> None:
    everything = mask_of(scan(), (slice(None),) * 3)
    with pytest.raises(InputError, match="The mask is 32 x 31 x 36 mm large and the model draws 16 x 16 x 24 mm"):
        tiny_pipeline(REPORT, image=scan(), mask=everything)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"mask": Sphere((0, 0, 0), 5)}, "give the scan as well"),
        ({"strength": 0.5}, "give a scan, or leave it out"),
        ({"image": scan(), "strength": 0.0}, "above 0 and up to 1, not 0"),
        ({"image": scan(), "strength": 1.5}, "above 0 and up to 1, not 1.5"),
        ({"image": scan(), "output_range": "int16"}, "keeps the scan's own intensities"),
        ({"image": read(scan()), "mask": Sphere(tuple(CENTRE), 5.0)}, "was to be given with it"),
    ],
)
def test_arguments_that_do_not_fit(tiny_pipeline: CCELLAPipeline, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        tiny_pipeline(REPORT, **arguments)
