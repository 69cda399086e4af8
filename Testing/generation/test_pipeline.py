"""The whole way from a report to volumes, with a model of a million random weights."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler

from ccella_core.errors import Cancelled, InputError, ModelError, NonFiniteError, SaveError
from ccella_core.generation.options import GenerationOptions
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.generation.report_text import MAX_REPORT_CHARACTERS, NULL_REPORT
from ccella_core.generation.sampling.schedulers import Scheduler
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.limits import MAX_COUNT
from ccella_core.models.model import ModelFolder
from ccella_core.progress import Progress, Stopwatch

REPORT = "IMPRESSION: PI-RADS 4 lesion in the left apex."
GOLDEN_MEAN, GOLDEN_STD = 0.49807742, 0.41877526
GOLDEN_VOXELS = [1.0, 0.39656761, 0.0, 0.0]
GOLDEN_PROBABILITY = 0.5593310
ROUNDING = 1e-4  # of the range: a batch's sums are added in another order


@pytest.mark.medium
def test_two_steps_give_the_golden_numbers(tiny_pipeline: CCELLAPipeline) -> None:
    (volume,) = tiny_pipeline(REPORT, seed=0)
    assert volume.voxels.shape == (16, 16, 8) and volume.voxels.dtype == np.float32
    assert volume.voxels.min() >= 0 and volume.voxels.max() <= 1
    assert volume.voxels.mean() == pytest.approx(GOLDEN_MEAN, abs=1e-3)
    assert volume.voxels.std() == pytest.approx(GOLDEN_STD, abs=1e-3)
    np.testing.assert_allclose(volume.voxels[4, 4:12:2, 3], GOLDEN_VOXELS, atol=2e-3)
    assert volume.provenance.predicted_positive_probability == pytest.approx(GOLDEN_PROBABILITY, abs=1e-3)


def test_the_volume_lies_around_the_origin_in_ras(tiny_pipeline: CCELLAPipeline) -> None:
    (volume,) = tiny_pipeline(REPORT, seed=0, shape=(8, 16, 8), spacing=(0.5, 1, 2))
    np.testing.assert_allclose(volume.affine[:3, :3], np.diag([0.5, 1, 2]))
    np.testing.assert_allclose(volume.affine @ [3.5, 7.5, 3.5, 1], [0, 0, 0, 1])
    assert volume.voxels.shape == (8, 16, 8)


def test_a_seed_gives_the_same_volume_every_time_and_in_every_batch(tiny_pipeline: CCELLAPipeline) -> None:
    together = tiny_pipeline(REPORT, seed=0, count=2)
    for offset, volume in enumerate(together):
        (alone,) = tiny_pipeline(REPORT, seed=offset)
        assert volume.provenance.seed == alone.provenance.seed == offset
        np.testing.assert_allclose(volume.voxels, alone.voxels, atol=ROUNDING)
    again = tiny_pipeline(REPORT, seed=0)[0]
    assert np.array_equal(again.voxels, tiny_pipeline(REPORT, seed=0)[0].voxels)
    assert np.abs(together[0].voxels - together[1].voxels).max() > 0.01


def test_small_batches_change_nothing(tiny_pipeline: CCELLAPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Progress] = []
    monkeypatch.setattr("ccella_core.generation.job.MAX_BATCH", 1)
    one_by_one = tiny_pipeline(REPORT, seed=3, count=2, callback=seen.append)  # type: ignore[arg-type]
    monkeypatch.undo()
    for small, large in zip(one_by_one, tiny_pipeline(REPORT, seed=3, count=2), strict=True):
        np.testing.assert_allclose(small.voxels, large.voxels, atol=ROUNDING)
    assert {(p.batch, p.batches) for p in seen} == {(0, 2), (1, 2)}


def test_without_a_seed_one_is_drawn_and_recorded(tiny_pipeline: CCELLAPipeline) -> None:
    first, second = tiny_pipeline(REPORT)[0], tiny_pipeline(REPORT)[0]
    assert first.provenance.seed != second.provenance.seed
    assert np.array_equal(tiny_pipeline(REPORT, seed=first.provenance.seed)[0].voxels, first.voxels)


def test_report_pathology_and_guidance_each_change_the_volume(tiny_pipeline: CCELLAPipeline) -> None:
    plain = tiny_pipeline(REPORT, seed=0)[0].voxels
    others: list[dict[str, Any]] = [{"pathology": "negative"}, {"pathology": 1.0}, {"guidance_scale": 3}]
    for other in others:
        assert np.abs(tiny_pipeline(REPORT, seed=0, **other)[0].voxels - plain).max() > 1e-4, other
    assert np.abs(tiny_pipeline("The prostate is enlarged.", seed=0)[0].voxels - plain).max() > 1e-4


def test_the_last_call_frees_each_network(
    tiny_pipeline: CCELLAPipeline, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccella_core.generation.job.MAX_BATCH", 2)  # so that there are two batches
    pipeline = CCELLAPipeline.from_pretrained(tiny_model, device="cpu", dtype="float32")
    volumes = tiny_pipeline(REPORT, seed=3, count=3)
    last = pipeline(REPORT, seed=3, count=3, last_call=True)
    for one, other in zip(volumes, last, strict=True):
        np.testing.assert_array_equal(one.voxels, other.voxels)
    assert all(weight.is_meta for weight in pipeline.denoiser.parameters())
    with pytest.raises(InputError, match="has had its last call; load the model again"):
        pipeline(REPORT, seed=3)


def test_the_null_report_is_read_where_it_is_no_mistake(tiny_pipeline: CCELLAPipeline) -> None:
    (nothing,) = tiny_pipeline(NULL_REPORT, seed=0, allow_null=True)
    (report,) = tiny_pipeline(REPORT, seed=0, allow_null=True)
    assert nothing.provenance.report == "" and report.provenance.report == REPORT
    assert np.abs(nothing.voxels - report.voxels).max() > 0.01
    with pytest.raises(InputError, match="empty"):
        tiny_pipeline(" ", seed=0, allow_null=True)


def test_provenance_is_complete(tiny_pipeline: CCELLAPipeline, tiny_model: Path) -> None:
    (volume,) = tiny_pipeline(
        REPORT, seed=7, pathology=0.25, num_inference_steps=3, scheduler="unipc", guidance_scale=2
    )
    provenance = volume.provenance
    assert (provenance.model_name, provenance.model_version) == ("tiny", "1")
    assert provenance.model_sha256 == ModelFolder.open(tiny_model).sha256
    assert (provenance.report, provenance.pathology_requested) == (REPORT, 0.25)
    assert (provenance.seed, provenance.scheduler, provenance.num_inference_steps) == (7, "unipc", 3)
    assert (provenance.guidance_scale, provenance.shape) == (2, (16, 16, 8))
    assert (provenance.spacing, provenance.device, provenance.dtype) == ((1, 1, 3), "cpu", "float32")
    assert "torch" in provenance.software


def test_warnings_are_recorded(tiny_pipeline: CCELLAPipeline) -> None:
    calm = tiny_pipeline("The prostate is enlarged.", seed=0)[0].provenance
    assert calm.warnings == []
    predicted = calm.predicted_positive_probability
    assert predicted is not None
    opposite = "negative" if predicted > 0.5 else "positive"
    (warning,) = tiny_pipeline("The prostate is enlarged.", seed=0, pathology=opposite)[0].provenance.warnings
    assert f"asked for is {opposite}" in warning
    (warning,) = tiny_pipeline("enlarged " * 40, seed=0)[0].provenance.warnings
    assert "41 tokens long and the model reads the last 16" in warning


def test_progress_tells_every_stage_and_previews(tiny_pipeline: CCELLAPipeline) -> None:
    seen: list[Progress] = []
    previews: list[np.ndarray] = []

    def callback(progress: Progress) -> None:
        seen.append(progress)
        if progress.preview is not None:
            previews.append(progress.preview())

    tiny_pipeline(REPORT, seed=0, num_inference_steps=4, callback=callback)
    assert [p.step for p in seen if p.stage == "denoise"] == [1, 2, 3, 4]
    assert list(dict.fromkeys(p.stage for p in seen)) == ["encode", "denoise", "decode"]
    assert seen[-1].step == seen[-1].steps and seen[-1].seconds_left == pytest.approx(0)
    assert seen[2].seconds_left is not None and seen[2].seconds_left > 0
    assert [p.shape for p in previews] == [(4, 4)] * 4 and previews[0].dtype == np.uint8


def test_stopwatch_counts_stages_and_batches() -> None:
    now = iter([0.0, 2.0, 4.0, 5.0, 6.0, 100.0, 102.0])
    watch = Stopwatch([2, 1], clock=lambda: next(now))
    assert watch.seconds_left("denoise", 1, 2, 0) is None
    assert watch.seconds_left("denoise", 2, 2, 0) == pytest.approx(2)  # 2 s for one of two steps of two volumes
    watch.seconds_left("decode", 1, 4, 0)
    assert watch.seconds_left("decode", 2, 4, 0) == pytest.approx(2 + 2 + 2)
    assert watch.seconds_left("decode", 3, 4, 0) == pytest.approx(2 + 1 + 2)
    watch.seconds_left("denoise", 1, 2, 1)
    assert watch.seconds_left("denoise", 2, 2, 1) == pytest.approx(2)


@pytest.mark.parametrize("stage", ["encode", "denoise", "decode"])
def test_cancel_at_every_stage(tiny_pipeline: CCELLAPipeline, stage: str) -> None:
    with pytest.raises(Cancelled):
        tiny_pipeline(REPORT, seed=0, callback=lambda progress: progress.stage != stage)


def test_what_a_callback_raises_passes_through(tiny_pipeline: CCELLAPipeline) -> None:
    def callback(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny_pipeline(REPORT, seed=0, callback=callback)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"report": ""}, "empty"),
        ({"report": "x" * 100_000}, f"100000 characters; shorten it to at most {MAX_REPORT_CHARACTERS}"),
        ({"report": 7}, "A report is a text"),
        ({"report": None}, "reads a report; give one"),
        ({"report": "\0"}, "empty|NUL"),
        ({"pathology": "maybe"}, "'negative', 'positive' or a probability"),
        ({"pathology": 1.5}, "probability from 0 to 1"),
        ({"pathology": float("nan")}, "probability from 0 to 1"),
        ({"count": 0}, "from 1 to 64"),
        ({"count": -1}, "from 1 to 64"),
        ({"count": MAX_COUNT + 1}, "from 1 to 64"),
        ({"count": 1.5}, "from 1 to 64"),
        ({"seed": -1}, "A seed is a whole number"),
        ({"seed": 2**63 - 1, "count": 2}, "A seed is a whole number"),
        ({"seed": True}, "A seed is a whole number"),
        ({"num_inference_steps": 0}, "from 1 to 1000"),
        ({"num_inference_steps": -3}, "from 1 to 1000"),
        ({"num_inference_steps": 10**9}, "from 1 to 1000"),
        ({"scheduler": "magic"}, "no scheduler 'magic'; choose one of dpm"),
        ({"shape": (16, 17, 8)}, "Y = 17 .nearest: 16 or 24."),
        ({"shape": (16, 16)}, "three whole numbers"),
        ({"shape": (0, 16, 8)}, "X = 0 .nearest: 8."),
        ({"shape": (16, 16, 10**6)}, "up to 1024"),
        ({"shape": 16}, "three whole numbers"),
        ({"shape": "abc"}, "three whole numbers"),
        ({"spacing": (1, 1)}, "three lengths in mm"),
        ({"spacing": (1, 1, 0)}, "from 0.01"),
        ({"spacing": (1, 1, float("nan"))}, "from 0.01"),
        ({"spacing": (1, 1, 10**6)}, "to 100 mm"),
        ({"spacing": ("a", 1, 1)}, "from 0.01"),
        ({"guidance_scale": float("inf")}, "guidance scale"),
        ({"guidance_scale": "much"}, "guidance scale"),
        ({"memory_limit_gib": 1e-6}, "are allowed; ask for a smaller volume"),
    ],
)
def test_bad_arguments_are_explained(tiny_pipeline: CCELLAPipeline, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        tiny_pipeline(**{"report": REPORT, "seed": 0, **arguments})


def test_numpy_numbers_are_a_shape(tiny_pipeline: CCELLAPipeline) -> None:
    shape = np.array([8, 8, 8])
    assert tiny_pipeline(REPORT, seed=0, shape=shape)[0].voxels.shape == (8, 8, 8)  # type: ignore[arg-type]


def test_options_are_the_same_as_keywords_and_serve_several_calls(tiny_pipeline: CCELLAPipeline) -> None:
    options = GenerationOptions(seed=4, num_inference_steps=3, scheduler="ddim", spacing=(1, 1, 2))
    by_keywords = tiny_pipeline(REPORT, seed=4, num_inference_steps=3, scheduler="ddim", spacing=(1, 1, 2))[0]
    for _ in range(2):
        (volume,) = tiny_pipeline(REPORT, options)
        assert np.array_equal(volume.voxels, by_keywords.voxels)
    assert tiny_pipeline(REPORT, options, seed=5, scheduler="unipc")[0].provenance.scheduler == "unipc"
    with pytest.raises(InputError, match="did you mean guidance_scale"):
        tiny_pipeline(REPORT, guidence_scale=2)  # type: ignore[call-arg]


def diffusers_scheduler(**more: Any) -> DPMSolverMultistepScheduler:
    """What ``dpm++`` is made of."""
    betas = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear"}
    return DPMSolverMultistepScheduler(solver_order=2, use_karras_sigmas=True, **betas | more)


def test_a_scheduler_of_diffusers_can_be_handed_in(
    tiny_pipeline: CCELLAPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccella_core.generation.job.MAX_BATCH", 1)  # each batch begins with a fresh copy
    ours = tiny_pipeline(REPORT, seed=3, count=2, num_inference_steps=4, scheduler="dpm++")
    scheduler = diffusers_scheduler()
    for _ in range(2):
        theirs = tiny_pipeline(REPORT, seed=3, count=2, num_inference_steps=4, scheduler=scheduler)
        for mine, other in zip(ours, theirs, strict=True):
            assert np.array_equal(mine.voxels, other.voxels)
            assert other.provenance.scheduler == "DPMSolverMultistepScheduler"
            assert other.provenance.num_inference_steps == 4
    assert scheduler.num_inference_steps is None  # the object itself is untouched
    assert tiny_pipeline(REPORT, seed=3, scheduler=scheduler)[0].provenance.num_inference_steps == 2  # the model's
    scheduler.set_timesteps(3)
    assert tiny_pipeline(REPORT, seed=3, scheduler=scheduler)[0].provenance.num_inference_steps == 3


def test_a_scheduler_of_ones_own_needs_timesteps_and_step(tiny_pipeline: CCELLAPipeline) -> None:
    class Halving:
        timesteps = (900, 400)

        def step(self, prediction: torch.Tensor, timestep: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
            return latent / 2

    (volume,) = tiny_pipeline(REPORT, seed=3, scheduler=Halving())
    assert (volume.provenance.scheduler, volume.provenance.num_inference_steps) == ("Halving", 2)
    ready = Scheduler("ddim", tiny_pipeline.scheduler_config, 5)
    (volume,) = tiny_pipeline(REPORT, seed=3, scheduler=ready)
    assert (volume.provenance.scheduler, volume.provenance.num_inference_steps) == ("ddim", 5)
    by_name = tiny_pipeline(REPORT, seed=3, scheduler="ddim", num_inference_steps=5)[0]
    assert np.array_equal(volume.voxels, by_name.voxels)
    for laid_out in (Halving(), ready):
        with pytest.raises(InputError, match="timesteps laid out, not 7; leave the number of steps out"):
            tiny_pipeline(REPORT, seed=3, scheduler=laid_out, num_inference_steps=7)


def test_a_scheduler_that_does_not_fit_is_refused(tiny_pipeline: CCELLAPipeline) -> None:
    with pytest.raises(InputError, match="prediction type v_prediction, and this model's is epsilon"):
        tiny_pipeline(REPORT, scheduler=diffusers_scheduler(prediction_type="v_prediction"))
    with pytest.raises(InputError, match="EulerDiscreteScheduler cannot be used: it begins at another scale of noise"):
        tiny_pipeline(REPORT, scheduler=EulerDiscreteScheduler())
    with pytest.raises(InputError, match="There is no scheduler 7; choose one of"):
        tiny_pipeline(REPORT, scheduler=7)  # type: ignore[arg-type]


def test_output_ranges(tiny_pipeline: CCELLAPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of scanner units: 0 … 1000, as the published one has for T2-weighted volumes."""
    monkeypatch.setattr(
        tiny_pipeline, "index", tiny_pipeline.index.model_copy(update={"intensity_range": {"t2w": (0.0, 1000.0)}})
    )
    native, unit, whole = (
        tiny_pipeline(REPORT, seed=0, output_range=output_range)[0] for output_range in ("native", "0-1", "int16")
    )
    assert (native.voxels.dtype, unit.voxels.dtype, whole.voxels.dtype) == (np.float32, np.float32, np.int16)
    assert unit.voxels.min() >= 0 and 0.5 < unit.voxels.max() <= 1
    np.testing.assert_allclose(native.voxels, 1000 * unit.voxels, rtol=1e-6)
    np.testing.assert_array_equal(whole.voxels, np.rint(native.voxels))
    for volume, output_range in ((native, "native"), (unit, "0-1"), (whole, "int16")):
        for ending in (".nii.gz", ".nrrd"):
            again = SyntheticVolume.load(volume.save(tmp_path / f"{output_range}{ending}", overwrite=True))
            np.testing.assert_array_equal(again.voxels, volume.voxels)
            assert again.voxels.dtype == volume.voxels.dtype and again.provenance.output_range == output_range
            (tmp_path / f"SYNTHETIC_{output_range}.json").unlink()
    assert nib.Nifti1Image.from_filename(tmp_path / "SYNTHETIC_int16.nii.gz").get_data_dtype() == np.int16
    assert whole.contact_sheet().size == native.contact_sheet().size


def test_whole_numbers_need_room(tiny_pipeline: CCELLAPipeline) -> None:
    with pytest.raises(InputError, match="t2w voxels from 0 to 1, which int16 cannot hold; choose the output range"):
        tiny_pipeline(REPORT, seed=0, output_range="int16")


@contextmanager
def damaged(parameter: torch.Tensor) -> Iterator[None]:
    kept = parameter.detach().clone()
    with torch.no_grad():
        parameter.fill_(float("nan"))
    try:
        yield
    finally:
        with torch.no_grad():
            parameter.copy_(kept)


@pytest.mark.parametrize("part", ["denoiser", "autoencoder"])
def test_nan_is_never_a_result_and_never_saved(tiny_pipeline: CCELLAPipeline, part: str, tmp_path: Path) -> None:
    module = tiny_pipeline.denoiser.unet if part == "denoiser" else tiny_pipeline.autoencoder.decoder
    with damaged(next(module.parameters())):
        with pytest.raises(NonFiniteError):
            tiny_pipeline(REPORT, seed=0)
        with pytest.raises(NonFiniteError):
            tiny_pipeline.save_pretrained(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_memory_that_runs_out_is_explained(tiny_pipeline: CCELLAPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 TB")

    monkeypatch.setattr("ccella_core.generation.pipeline.decode", fail)
    with pytest.raises(InputError, match="not enough memory"):
        tiny_pipeline(REPORT, seed=0)


def test_a_saved_model_makes_the_same_volumes(own_pipeline: CCELLAPipeline, tmp_path: Path) -> None:
    model = own_pipeline.save_pretrained(tmp_path / "again", storage_dtype=None)
    again = CCELLAPipeline.from_pretrained(model, device="cpu", dtype="float32")
    assert np.array_equal(again(REPORT, seed=0)[0].voxels, own_pipeline(REPORT, seed=0)[0].voxels)
    assert again.index.components.keys() == {"denoiser", "autoencoder", "scheduler", "text_encoder", "tokenizer"}
    with pytest.raises(SaveError, match="exists already"):
        own_pipeline.save_pretrained(tmp_path / "again")


def test_a_model_stored_in_eight_bits_draws_nearly_the_same(own_pipeline: CCELLAPipeline, tmp_path: Path) -> None:
    half, eight = (
        own_pipeline.save_pretrained(tmp_path / str(dtype), storage_dtype=dtype)
        for dtype in (torch.float16, torch.int8)
    )
    assert (half.index.format_version, eight.index.format_version) == (1, 2)  # older software reads the one
    assert ModelFolder.open(eight.path).sha256 == eight.sha256

    def size(model: ModelFolder, part: str) -> int:
        return model.index.size_bytes[f"{part}/model.safetensors"]

    assert size(eight, "denoiser") < 0.6 * size(half, "denoiser")
    assert size(eight, "autoencoder") == size(half, "autoencoder")
    drawn, before = (
        CCELLAPipeline.from_pretrained(model, device="cpu", dtype="float32")(REPORT, seed=0)[0]
        for model in (eight, half)
    )
    error = np.abs(drawn.voxels - before.voxels)
    assert 0 < error.mean() < 0.01
    probabilities = [each.provenance.predicted_positive_probability for each in (drawn, before)]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=0.01)


@pytest.mark.parametrize("name", ["denoiser/model.safetensors", "scheduler/config.json", "text_encoder/config.json"])
def test_an_altered_file_is_refused(tiny_model: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    content = bytearray((copy / name).read_bytes())
    content[-2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ModelError, match="altered"):
        CCELLAPipeline.from_pretrained(copy, device="cpu")


def test_unverified_weights_that_do_not_fit_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    shutil.copy(copy / "denoiser" / "model.safetensors", copy / "autoencoder" / "model.safetensors")
    with pytest.raises(ModelError, match="does not fit AutoencoderKlMaisi"):
        CCELLAPipeline.from_pretrained(copy, device="cpu", verify=False)


def test_parts_that_do_not_belong_together_are_refused(tiny_pipeline: CCELLAPipeline) -> None:
    with pytest.raises(ModelError, match="needs a text encoder"):
        CCELLAPipeline(
            denoiser=tiny_pipeline.denoiser,
            autoencoder=tiny_pipeline.autoencoder,
            autoencoder_config=tiny_pipeline.autoencoder_config,
            scheduler_config=tiny_pipeline.scheduler_config,
            encoder=None,
            index=tiny_pipeline.index,
            device="cpu",
        )


def test_a_released_encoder_still_knows_its_report(tiny_model: Path) -> None:
    pipeline = CCELLAPipeline.from_pretrained(tiny_model, device="cpu")
    before = pipeline(REPORT, seed=0)[0].voxels
    assert pipeline.encoder is not None
    pipeline.encoder.release()
    assert np.array_equal(pipeline(REPORT, seed=0)[0].voxels, before)
    with pytest.raises(InputError, match="released"):
        pipeline("The prostate is enlarged.", seed=0)
