"""The demonstration bundle: patients and their mirror images, its index, and the whole way at a tiny size."""

from __future__ import annotations

import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ccella_core.networks.config import AdapterConfig, AutoencoderConfig, DenoiserConfig, UNetConfig
from ccella_core.phantom.anatomy import Tissue
from ccella_core.phantom.patient import draw_findings, draw_patient
from ccella_core.phantom.render import render
from ccella_core.phantom.report import write_report
from ccella_core.pipeline import CCELLAPipeline
from ccella_core.training import demo
from ccella_core.training.adapter import AdapterTraining
from ccella_core.training.autoencoder import AutoencoderTraining
from ccella_core.training.denoiser import DenoiserTraining
from ccella_core.training.report_encoder import ReportEncoderTraining

SHAPE, SPACING = (24, 24, 8), (4.0, 4.0, 12.0)
PATIENTS = range(6)


@pytest.fixture
def coarse(monkeypatch) -> None:
    """Patients rendered on a few voxels."""
    monkeypatch.setattr(demo, "DEFAULT_SHAPE", SHAPE)
    monkeypatch.setattr(demo, "DEFAULT_SPACING", SPACING)
    monkeypatch.setattr(demo, "render", partial(render, shape=SHAPE, spacing=SPACING))


def test_volumes_are_rendered_once(coarse, tmp_path, monkeypatch):
    volumes = demo.rendered_volumes(PATIENTS, tmp_path)
    assert volumes.shape == (len(PATIENTS), *SHAPE) and volumes.min() >= 0 and volumes.max() <= 1
    assert np.array_equal(volumes[2], demo.render(draw_patient(2), "t2w").voxels.astype(np.float16))
    monkeypatch.setattr(demo, "render", None)
    assert np.array_equal(demo.rendered_volumes(PATIENTS, tmp_path), volumes)
    assert [file.name for file in tmp_path.iterdir()] == ["volumes-0-6.npy"]


def test_each_case_stands_beside_its_mirror_image(coarse, tmp_path, monkeypatch):
    told: list[str] = []

    def encode(reports):
        told.extend(reports)
        return torch.zeros(len(reports), 2, 3)

    # Halved voxels for latents: what lies right in the volume lies right in them.
    monkeypatch.setattr(demo, "encode_mean", lambda model, voxels: F.avg_pool3d(voxels, 2))
    cases, scale = demo.encoded_cases(PATIENTS, None, SimpleNamespace(encode=encode), tmp_path)
    assert cases.latents.shape == (2 * len(PATIENTS), 1, 12, 12, 4)
    assert cases.latents.std().item() == pytest.approx(1, abs=1e-3)
    assert cases.text.shape == (2 * len(PATIENTS), demo.WORDINGS, 2, 3)
    assert cases.spacing.tolist() == list(SPACING)

    # The order in which cases are written: a block of patients, then the same block mirrored.
    expected = []
    for start in range(0, len(PATIENTS), demo.ENCODE_BATCH):
        block = PATIENTS[start : start + demo.ENCODE_BATCH]
        expected += [(seed, False) for seed in block] + [(seed, True) for seed in block]
    reports = iter(told)
    volumes = demo.rendered_volumes(PATIENTS, tmp_path)
    for row, (seed, mirrored) in enumerate(expected):
        findings = draw_findings(seed).mirrored() if mirrored else draw_findings(seed)
        assert bool(cases.positive[row]) == (findings.pathology == "positive")
        for wording in range(demo.WORDINGS):
            assert next(reports) == write_report(findings, seed=2 * seed + wording)
        voxels = torch.from_numpy(volumes[seed].astype(np.float32))[None]
        latent = F.avg_pool3d(voxels.flip(1) if mirrored else voxels, 2)
        torch.testing.assert_close(cases.latents[row], latent * scale, atol=1e-2, rtol=1e-2)
    assert list(reports) == [""]


@pytest.mark.parametrize("seed", [s for s in range(40) if len({f.side for f in draw_findings(s).lesions}) == 1][:4])
def test_the_mirrored_lesion_lies_where_the_mirrored_report_says(seed):
    patient = draw_patient(seed)
    labels = np.flip(render(patient, "t2w").labels, axis=0)  # as encoded_cases flips the volumes
    right_mm = np.arange(labels.shape[0]) - (labels.shape[0] - 1) / 2 + patient.gland_centre[0]
    lesion_mm = right_mm[np.nonzero(labels == Tissue.LESION)[0]].mean()
    side = patient.findings.mirrored().lesions[0].side
    assert side == ("right" if lesion_mm > 0 else "left") and abs(lesion_mm) > 5


def test_regions_lie_where_the_encoded_cases_have_them(coarse, tmp_path, monkeypatch):
    places = demo.regions(PATIENTS, tmp_path)
    assert places["lesion"].flatten(1).any(dim=1).sum() >= 2
    latent = tuple(size // demo.AUTOENCODER.network.factor for size in SHAPE)
    assert all(mask.shape == (2 * len(PATIENTS), 1, *latent) and mask.dtype == torch.bool for mask in places.values())
    for row, (_, findings) in enumerate(demo.case_findings(PATIENTS)):
        if not places["lesion"][row].any():
            continue  # none, or too small for these few voxels
        assert findings.lesions
        assert (places["gland"][row] | places["lesion"][row]).equal(places["gland"][row])
        sides = {lesion.side for lesion in findings.lesions}
        if len(sides) == 1:
            along = torch.nonzero(places["lesion"][row, 0])[:, 0].float().mean() - (latent[0] - 1) / 2
            assert sides == {"right" if along > 0 else "left"}
    monkeypatch.setattr(demo, "layers", None)
    torch.testing.assert_close(demo.regions(PATIENTS, tmp_path), places)


def test_the_index_is_valid_and_says_what_it_is():
    index = demo.bundle_index(0.8, {"denoiser": 12})
    assert type(index).model_validate_json(index.model_dump_json()) == index
    assert "Not for diagnosis" in index.intended_use and "No patient data" in index.trained_on
    assert index.latent_scale_factor == 0.8 and index.training["seconds"] == {"denoiser": 12}
    factor = demo.AUTOENCODER.network.factor * demo.DENOISER.network.unet.shape_multiple
    assert all(size % factor == 0 for size in index.native_shape)
    assert DenoiserTraining.model_validate(index.training["denoiser"]) == demo.DENOISER


def test_no_patient_is_used_twice_where_it_must_not():
    assert set(demo.AUTOENCODER_PATIENTS) <= set(demo.TRAINING_PATIENTS)
    assert not set(demo.REPORT_PATIENTS) & set(demo.TRAINING_PATIENTS)


def test_stages_that_went_on_add_up(tmp_path, monkeypatch):
    clock = iter([0.0, 10.0, 100.0, 105.0])
    monkeypatch.setattr(demo, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with pytest.raises(KeyboardInterrupt), demo.timed("denoiser", tmp_path, {}):
        raise KeyboardInterrupt
    seconds: dict[str, float] = {}
    with demo.timed("denoiser", tmp_path, seconds):
        pass
    assert seconds == {"denoiser": 15}


@pytest.fixture
def tiny(coarse, monkeypatch) -> None:
    """All trainings at a size of seconds."""
    monkeypatch.setattr(demo, "AUTOENCODER_PATIENTS", range(2))
    monkeypatch.setattr(demo, "TRAINING_PATIENTS", range(2))
    monkeypatch.setattr(demo, "REPORT_PATIENTS", range(10_000, 10_030))
    autoencoder = AutoencoderTraining(
        network=AutoencoderConfig(latent_channels=2, num_channels=(8, 8), num_res_blocks=(1, 1), norm_num_groups=4),
        steps=2,
        batch_size=1,
        crop=(8, 8, 8),
        learning_rate=1e-3,
        kl_weight=1e-6,
        frequency_weight=0.1,
    )
    monkeypatch.setattr(demo, "AUTOENCODER", autoencoder)
    monkeypatch.setattr(demo, "DECODER", autoencoder.model_copy(update={"seed": 1}))
    monkeypatch.setattr(
        demo,
        "REPORT_ENCODER",
        ReportEncoderTraining(
            vocabulary=300, width=16, layers=1, heads=2, max_tokens=32, steps=2, batch_size=2, learning_rate=1e-3
        ),
    )
    network = DenoiserConfig(
        unet=UNetConfig(
            latent_channels=2,
            num_channels=(8, 16),
            attention_levels=(False, True),
            num_head_channels=(0, 8),
            num_res_blocks=1,
            norm_num_groups=4,
        ),
        adapter=AdapterConfig(
            text_width=16, width=16, num_latents=4, layers=2, heads=2, time_channels=8, class_hidden=4
        ),
    )
    denoiser = DenoiserTraining(network=network, scheduler=demo.DENOISER.scheduler, steps=2, batch_size=2)
    monkeypatch.setattr(demo, "DENOISER", denoiser)
    monkeypatch.setattr(demo, "DENOISER_ON_LESIONS", denoiser.model_copy(update={"seed": 1}))
    monkeypatch.setattr(demo, "ADAPTER", AdapterTraining(steps=2, batch_size=2, learning_rate=1e-3))


def test_the_whole_way_to_a_bundle_that_generates(tiny, tmp_path, monkeypatch):
    work, out = tmp_path / "work", tmp_path / "models" / "tiny"
    monkeypatch.setattr(sys, "argv", ["demo", "--work", str(work), "--out", str(out)])
    demo.main()
    pipeline = CCELLAPipeline.from_pretrained(out, device="cpu", dtype="float32")
    assert pipeline.index.training["denoiser"]["steps"] == 2
    (volume,) = pipeline("PI-RADS 4 lesion in the left apex.", seed=3, num_steps=2)
    assert volume.voxels.shape == SHAPE and tuple(volume.spacing) == SPACING
    assert volume.voxels.min() >= 0 and volume.voxels.max() <= 1
    assert volume.provenance.bundle_sha256 == pipeline.bundle_sha256

    # Run again, it finds every stage done, and the model is the same.
    stages = {file: file.read_bytes() for file in work.iterdir() if file.name != "seconds.json"}
    assert {file.name for file in stages} == {
        "volumes-0-2.npy", "autoencoder.pt", "report-encoder.pt", "cases.safetensors", "adapter.pt",
        "regions.safetensors", "denoiser.pt", "denoiser-on-lesions.pt", "decoder.pt",
    }  # fmt: skip
    demo.main()
    assert all(file.read_bytes() == content for file, content in stages.items())
    again = CCELLAPipeline.from_pretrained(out, device="cpu", dtype="float32")
    torch.testing.assert_close(again.denoiser.state_dict(), pipeline.denoiser.state_dict(), rtol=0, atol=0)
