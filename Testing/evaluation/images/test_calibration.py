"""A known tone curve and a known blur are found and undone, and what is no case for a calibration is refused."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from prepared_cases import prepared_case, prepared_set
from typer.testing import CliRunner, Result
from volume_sets import volume_set

from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.evaluation.data.synthesize import synthesize
from ccella_core.evaluation.data.volume_set import VolumeSet
from ccella_core.evaluation.images import calibration as module
from ccella_core.evaluation.images.appearance import appearance_of
from ccella_core.evaluation.images.calibration import fit_calibration
from ccella_core.files import write_json
from ccella_core.generation.intensity import calibrated
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.models.calibration import Calibration
from ccella_core.models.model import INDEX_NAME, ModelFolder

SHAPE, SPACING = (64, 64, 3), (0.75, 0.75, 3.0)
BLURRED_FROM = 0.25  # waves per voxel


def tissue(count: int, *, first: int = 0, kept: float = 1.0, curve: float = 1.0) -> list[np.ndarray]:
    """Noise with a spectrum like tissue's, of whose fine waves a part is kept, in another tone."""
    found = []
    waves = np.hypot(np.fft.fftfreq(SHAPE[0])[:, None], np.fft.fftfreq(SHAPE[1])[None])[..., None]
    for number in range(first, first + count):
        noise = np.random.default_rng(number).standard_normal(SHAPE)
        spectrum = np.fft.fft2(noise, axes=(0, 1)) / (0.05 + waves)
        sharp, image = (
            np.fft.ifft2(spectrum * gain, axes=(0, 1)).real for gain in (1.0, np.where(waves > BLURRED_FROM, kept, 1.0))
        )
        found.append((0.5 + 0.15 * image / sharp.std()).clip(0, 1).astype(np.float32) ** np.float32(curve))
    return found


def of(volumes: list[np.ndarray], name: str) -> VolumeSet:
    return volume_set(volumes, name, spacing=SPACING)


def test_a_tone_and_a_blur_are_found_and_undone() -> None:
    real, drawn = of(tissue(24), "real"), tissue(24, first=50, kept=0.7, curve=0.7)
    told: list[tuple[int, int]] = []
    found = fit_calibration(of(drawn, "drawn"), real, progress=lambda *counts: told.append(counts))
    middle = [0.3, 0.5, 0.7]
    meant = np.interp(middle, *np.transpose(found.tone))
    np.testing.assert_allclose(meant, np.power(middle, 1 / 0.7), atol=0.02)
    blurred_from = round(len(found.gain) * BLURRED_FROM / 0.5)
    # The curve also makes up for the contrast that the blur took away, so that coarse waves are a little lowered.
    coarse, fine = np.mean(found.gain[: blurred_from - 1]), np.mean(found.gain[blurred_from + 1 :])
    assert fine / coarse == pytest.approx(1 / 0.7, rel=0.1) and 0.8 < coarse < 1.05
    assert told[-1] == (96, 96)

    # Others of the same kind, which the fit has not seen.
    others = tissue(24, first=200, kept=0.7, curve=0.7)
    before = appearance_of(of(others, "before"), real).synthetic
    after = appearance_of(of([calibrated(each, SPACING, found) for each in others], "after"), real).synthetic
    assert before.fine_detail.value is not None and before.fine_detail.value < 0.6
    assert after.fine_detail.value == pytest.approx(1, abs=0.1)
    assert after.spectrum.value is not None and after.spectrum.value < 0.05
    assert before.judge is not None and before.judge.value == pytest.approx(1, abs=0.02)
    assert after.judge is not None and after.judge.value is not None and after.judge.value < 0.95


def test_much_black_makes_no_point_twice() -> None:
    real = of(tissue(8), "real")
    black = [np.where(each > 0.6, each, 0) for each in tissue(8, first=20)]
    tone = fit_calibration(of(black, "drawn"), of(black, "drawn too")).tone
    assert tone[0] == (0, 0) and tone[-1] == (1, 1) and all(one[0] < other[0] for one, other in pairwise(tone))
    pale = of([0.2 + 0.6 * each for each in tissue(8)], "pale")
    assert len(fit_calibration(pale, real).tone) == 18  # black and white, beyond the mean of the volumes' own ends


def test_patients_count_alike_however_many_volumes_they_have() -> None:
    volumes, dark = tissue(8), [each * 0.5 for each in tissue(8, first=30)]
    once = volume_set([*volumes, dark[0]], "once", spacing=SPACING)
    names = [member.patient for member in once]
    often = volume_set([*volumes, *[dark[0]] * 30], "often", patients=[*names, *[names[-1]] * 29], spacing=SPACING)
    real = of(tissue(9, first=60), "real")
    one, other = (fit_calibration(each, real) for each in (once, often))
    np.testing.assert_allclose(one.tone, other.tone, atol=1e-6)
    np.testing.assert_allclose(one.gain, other.gain, rtol=1e-6)


def test_few_patients_and_a_blur_that_no_gain_mends_are_refused() -> None:
    real = of(tissue(8), "scans")
    with pytest.raises(InputError, match="few has volumes of 7 patients; a calibration needs 8"):
        fit_calibration(of(tissue(7), "few"), real)
    with pytest.raises(InputError, match=r"waves are .* times fainter in blurred than in scans"):
        fit_calibration(of(tissue(8, first=50, kept=0.1), "blurred"), real)
    with pytest.raises(InputError, match=r"waves are .* times fainter in scans than in sharp"):
        fit_calibration(of(tissue(8, first=50), "sharp"), of(tissue(8, kept=0.1), "scans"))
    for grey in (0.0, 0.5):
        flat = of([np.full(SHAPE, grey)] * 8, "flat")
        for pair in ((flat, real), (real, flat)):
            with pytest.raises(InputError, match="The volumes in flat have a single grey value each"):
                fit_calibration(*pair)
    with pytest.raises(InputError, match="prepare the real ones like the synthetic ones"):
        fit_calibration(volume_set(tissue(8), "thin", spacing=(0.75, 0.75, 1.0)), real)
    tall, small = (
        [volume_set([each[:side] for each in tissue(8)], name, spacing=spacing) for name in ("a", "b")]
        for side, spacing in ((64, (0.5, 1.0, 3.0)), (3, SPACING))
    )
    for pair in (tall, small):
        with pytest.raises(InputError, match="needs square ones, 16 a side at least"):
            fit_calibration(*pair)


@pytest.fixture(scope="module")
def drawn_by_a_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A model, a folder of what it drew for eight patients, and a folder of scans: the same in a darker tone."""
    folder = tmp_path_factory.mktemp("drawn")
    model, out, scans = folder / "model", folder / "out", folder / "scans"
    shutil.copytree(tiny_model, model)
    prepared = prepared_set(folder / "prepared", [prepared_case(name) for name in "abcdefgh"])
    rows = synthesize(CCELLAPipeline.from_pretrained(model, device="cpu", dtype="float32"), prepared, out)
    scans.mkdir()
    for row in rows:
        volume = SyntheticVolume.load(out / row.path)
        image = sitk.GetImageFromArray((volume.voxels**1.5).transpose(2, 1, 0))
        image.SetSpacing(volume.provenance.spacing)
        image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))  # RAS+
        sitk.WriteImage(image, str(scans / f"{row.id}.nii.gz"))
    return model, out, scans


@pytest.fixture
def own_model(drawn_by_a_model: tuple[Path, Path, Path], tmp_path: Path) -> tuple[Path, Path, Path]:
    """The same, with a copy of the model and a copy of what it drew, for a test to change."""
    drawn_by, out, scans = drawn_by_a_model
    return (
        shutil.copytree(drawn_by, tmp_path / "model"),
        shutil.copytree(out, tmp_path / "made"),
        scans,
    )


def calibrate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", "calibrate", *map(str, arguments)])


@pytest.mark.medium
def test_the_command_writes_it_into_the_model(
    own_model: tuple[Path, Path, Path], drawn_by_a_model: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    model, out, scans = own_model
    before = ModelFolder.open(model)
    write_json(model / INDEX_NAME, before.index.model_copy(update={"measured": {"adherence": 1}}))
    said = json.loads(calibrate(model, out, scans, "--json").stdout)
    after = ModelFolder.open(model)
    after.verify()
    assert said["sha256"] == after.sha256 != before.sha256 and after.index.measured == {}
    assert after.index.model_copy(update={"calibration": {}}) == before.index
    assert all(meant <= drawn for drawn, meant in said["tone"])

    # Once more from the same volumes gives the same.
    plain = calibrate(model, out, scans)
    assert plain.exit_code == 0 and f"Its hash is now {after.sha256[:12]}" in plain.stdout
    assert ModelFolder.open(model).sha256 == after.sha256

    pipeline = CCELLAPipeline.from_pretrained(model, device="cpu", dtype="float32")
    uncalibrated = CCELLAPipeline.from_pretrained(drawn_by_a_model[0], device="cpu", dtype="float32")
    report = "IMPRESSION: PI-RADS 4 lesion in the left apex."
    (one,), (other,) = (each(report, seed=1, output_range="0-1") for each in (uncalibrated, pipeline))
    np.testing.assert_allclose(
        other.voxels, calibrated(one.voxels, one.provenance.spacing, after.index.calibration["t2w"]), atol=1e-6
    )
    assert other.provenance.model_sha256 == after.sha256
    saved = pipeline.save_pretrained(tmp_path / "saved")
    assert saved.index.calibration == after.index.calibration


@pytest.mark.medium
def test_volumes_of_another_model_or_calibrated_ones_are_refused(
    own_model: tuple[Path, Path, Path], drawn_by_a_model: tuple[Path, Path, Path]
) -> None:
    (model, made, scans), out = own_model, drawn_by_a_model[1]
    index = ModelFolder.open(model).index

    def refused(*arguments: object, words: str) -> None:
        before = (model / INDEX_NAME).read_bytes()
        result = calibrate(model, *arguments)
        assert result.exit_code == 2 and words in result.stderr and "Traceback" not in result.stderr, result.stderr
        assert (model / INDEX_NAME).read_bytes() == before

    write_json(model / INDEX_NAME, index.model_copy(update={"version": "2"}))
    refused(out, scans, words="draw them with it")
    write_json(model / INDEX_NAME, index.model_copy(update={"default_num_inference_steps": 7}))
    refused(out, scans, words="draw them with it")

    write_json(model / INDEX_NAME, index)
    settings = json.loads((made / "synthesis.json").read_text(encoding="utf-8"))
    write_json(made / "synthesis.json", {**settings, "options": {**settings["options"], "guidance_scale": 5.0}})
    refused(made, scans, words="guidance 5.0, and the model's own is")
    refused(scans, scans, words="Give volumes of `ccella synthesize`, and then scans")
    refused(out, out, words="Give volumes of `ccella synthesize`, and then scans")
    refused(out, scans, "--sequence", "adc", words="There are no adc volumes")

    assert calibrate(model, out, scans).exit_code == 0
    write_json(made / "synthesis.json", {**settings, "model_sha256": ModelFolder.open(model).sha256})
    refused(made, scans, words="are calibrated already")


@pytest.mark.medium
def test_a_sequence_that_it_does_not_draw_and_a_broken_model_are_refused(
    own_model: tuple[Path, Path, Path], drawn_by_a_model: tuple[Path, Path, Path]
) -> None:
    (model, made, scans), out = own_model, drawn_by_a_model[1]
    table = made / "cases.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",t2w,", ",adc,"), encoding="utf-8")
    result = calibrate(model, made, scans, "--sequence", "adc")
    assert result.exit_code == 2 and "no adc" in result.stderr and ModelFolder.open(model).index.calibration == {}
    weights = model / "autoencoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    result = calibrate(model, out, scans)
    assert result.exit_code == 1 and "truncated" in result.stderr
    assert ModelFolder.open(model).index.calibration == {}


@pytest.mark.medium
def test_an_odd_scan_is_left_out_by_name(own_model: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, out, scans = own_model
    more = shutil.copytree(scans, tmp_path / "more")
    (more / "odd.nii.gz").write_bytes(b"no image")
    result = calibrate(model, out, more)
    assert result.exit_code == 3 and "Left out: odd.nii.gz" in result.stderr
    assert calibrate(model, out, scans).exit_code == 0


@pytest.mark.medium
def test_other_sequences_may_be_calibrated_and_it_can_be_taken_out_again(
    own_model: tuple[Path, Path, Path],
) -> None:
    """Of volumes that were drawn before the other sequence was calibrated, or after."""
    model, made, scans = own_model
    before = ModelFolder.open(model)
    other = Calibration(tone=((0, 0), (1, 0.9)), gain=(1, 1), finest_per_mm=0.5)
    both = {"sequences": ["t2w", "hbv"], "intensity_range": {"t2w": (0, 1), "hbv": (0, 1)}}
    two = before.index.model_copy(update=both)  # an index alone: nothing is drawn with it
    later = two.model_copy(update={"calibration": {"hbv": other}})
    write_json(model / INDEX_NAME, later)
    settings = json.loads((made / "synthesis.json").read_text(encoding="utf-8"))
    for drawn_with in (two, later):
        write_json(made / "synthesis.json", {**settings, "model_sha256": ModelFolder(model, drawn_with).sha256})
        assert calibrate(model, made, scans).exit_code == 0
        found = ModelFolder.open(model)
        assert set(found.index.calibration) == {"t2w", "hbv"} and found.index.calibration["hbv"] == other
    result = CliRunner().invoke(app, ["models", "uncalibrate", str(model)])
    assert result.exit_code == 0 and ModelFolder.open(model).sha256 == ModelFolder(model, two).sha256
    again = CliRunner().invoke(app, ["models", "uncalibrate", str(model)])
    assert again.exit_code == 2 and "has no calibration" in again.stderr


@pytest.mark.medium
def test_what_others_changed_in_the_meantime_is_kept(
    own_model: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out, scans = own_model
    fit = module.fit_calibration

    def meanwhile(*sets: VolumeSet, **more: object) -> Calibration:
        index = ModelFolder.open(model).index
        write_json(model / INDEX_NAME, index.model_copy(update={"description": "another"}))
        return fit(*sets, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "fit_calibration", meanwhile)
    result = calibrate(model, out, scans)
    assert result.exit_code == 1 and "was changed in the meantime" in result.stderr
    found = ModelFolder.open(model).index
    assert found.description == "another" and found.calibration == {}


def test_two_sets_of_one_name_are_two_sets() -> None:
    one, other = of(tissue(8), "name"), of([each**1.5 for each in tissue(8)], "name")
    assert fit_calibration(one, other).tone != fit_calibration(one, one).tone
