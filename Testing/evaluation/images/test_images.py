"""Image metrics together: known answers, mode collapse, what is written, and the sentences for bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.metrics import FIDMetric
from typer.testing import CliRunner, Result
from volume_sets import SLICE, FirstVoxels, smooth_volumes, volume_set, with_features

from ccella_core.cli import app
from ccella_core.errors import InputError, SaveError
from ccella_core.evaluation.features import features
from ccella_core.evaluation.images.images import ImageScores, evaluate_images, images_markdown, save_image_scores


def rows(count: int, *, seed: int = 0, mean: float = 0.5, sd: float = 0.05) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, sd, (count, 3)).clip(0, 1)


def test_a_set_and_itself() -> None:
    volumes = volume_set(with_features(rows(24)))
    scores = evaluate_images(volumes, volumes, [FirstVoxels()], pairs=3)
    (found,) = scores.extractors
    assert found.distances.frechet == pytest.approx(0, abs=1e-9)
    assert abs(found.distances.kernel.mean) < 0.002
    assert found.coverage is not None and (found.coverage.precision, found.coverage.recall) == (1, 1)
    assert scores.diversity.generated == scores.diversity.real
    assert found.extractor_sha256 == FirstVoxels.fingerprint
    assert (scores.real_volumes, scores.synthetic_volumes, found.slices, scores.warnings) == (24, 24, 1, ())


@pytest.mark.medium
def test_shifted_gaussians_have_the_closed_form_and_monais_number() -> None:
    real, synthetic = rows(400), rows(300, seed=1, mean=0.7, sd=0.1)
    found = evaluate_images(
        volume_set(with_features(real)), volume_set(with_features(synthetic)), [FirstVoxels()], pairs=1
    ).extractors[0]
    assert found.distances.frechet == pytest.approx(3 * (0.2**2 + 0.05**2), rel=0.1)
    monai = float(FIDMetric()(torch.from_numpy(synthetic), torch.from_numpy(real)))
    assert found.distances.frechet == pytest.approx(monai, rel=1e-4)
    assert found.distances.frechet > 100 * found.distances.frechet_floor
    assert found.coverage is not None and found.real_coverage is not None
    assert found.coverage.precision < 0.2 < 0.6 < found.real_coverage.precision


def test_mode_collapse_shows_in_recall_coverage_and_similarity() -> None:
    real = smooth_volumes(30)
    noise = np.random.default_rng(0).normal(0, 1e-5, (30, *real[0].shape))
    scores = evaluate_images(
        volume_set(real, "real"), volume_set(real[0] + noise, "collapsed"), [FirstVoxels(8)], pairs=10
    )
    (found,) = scores.extractors
    assert found.coverage is not None and found.real_coverage is not None
    assert found.coverage.precision == 1
    assert found.coverage.recall < 0.1 < 0.9 < found.real_coverage.recall
    assert found.coverage.coverage < 0.3 < 0.9 < found.real_coverage.coverage
    assert scores.diversity.generated.mean > 0.99 > 0.9 > scores.diversity.real.mean


def test_slices_of_a_volume_stay_in_one_half() -> None:
    """Slices repeat: halves that shared volumes would be the same, and the floor zero."""
    volumes = [np.broadcast_to(volume[:, :, SLICE : SLICE + 1], volume.shape) for volume in with_features(rows(16))]
    (found,) = evaluate_images(volume_set(volumes), volume_set(volumes), [FirstVoxels(slices=4)], pairs=1).extractors
    (whole,) = evaluate_images(volume_set(volumes), volume_set(volumes), [FirstVoxels()], pairs=1).extractors
    assert (found.slices, found.distances.real, whole.distances.real) == (4, 64, 16)
    assert found.distances.frechet_floor > 0.5 * whole.distances.frechet_floor > 0
    assert found.coverage == whole.coverage


def test_volumes_of_a_patient_stay_in_one_half() -> None:
    """Each patient's four volumes are the same: halves that shared patients would be much alike."""
    volumes = with_features(np.repeat(rows(12), 4, axis=0))
    patients = np.repeat([f"patient {number}" for number in range(12)], 4)
    (known,) = evaluate_images(*[volume_set(volumes, patients=patients)] * 2, [FirstVoxels()], pairs=1).extractors
    (unknown,) = evaluate_images(*[volume_set(volumes)] * 2, [FirstVoxels()], pairs=1).extractors
    assert known.distances.frechet_floor > 2 * unknown.distances.frechet_floor


def test_few_volumes_are_said_to_be_few() -> None:
    volumes = volume_set(with_features(rows(5)))
    scores = evaluate_images(volumes, volumes, [FirstVoxels(8)], pairs=1)
    assert scores.extractors[0].coverage is None and scores.extractors[0].real_coverage is None
    assert "first voxels: 5 patients are too few for 8 features" in scores.warnings[0]
    assert "need 6 volumes on each side, and 12 real patients" in scores.warnings[1]


def test_training_cases_are_said_to_be_such() -> None:
    real, synthetic = volume_set(with_features(rows(14)), "real"), volume_set(with_features(rows(12, seed=1)), "made")
    for volumes, training in ((real, 5), (synthetic, 2)):
        volumes.members = [
            replace(member, split="train" if number < training else "test") for number, member in enumerate(volumes)
        ]
    of_real, of_synthetic = evaluate_images(real, synthetic, [FirstVoxels()], pairs=1).warnings
    assert of_real.startswith("5 of 14 real volumes are of training cases") and "(`--real-split test`)" in of_real
    assert of_synthetic.startswith("2 of 12 synthetic volumes are") and "(`--synthetic-split test`)" in of_synthetic
    real.members, synthetic.members = real.members[5:], synthetic.members[2:]
    assert not any("training cases" in each for each in evaluate_images(real, synthetic, [FirstVoxels()]).warnings)


def test_what_is_written(tmp_path: Path) -> None:
    real, synthetic = volume_set(with_features(rows(14)), "scans"), volume_set(with_features(rows(6, seed=1)), "made")
    stages: list[str] = []

    class Stage:
        def __init__(self, words: str) -> None:
            stages.append(words)

        def __enter__(self) -> Stage:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def __call__(self, done: int, total: int) -> None:
            assert done <= total

    scores = evaluate_images(real, synthetic, [FirstVoxels()], pairs=2, stage=Stage)  # type: ignore[arg-type]
    assert stages == ["first voxels, real", "first voxels, synthetic", "Similarity of pairs", "Spectra"]
    save_image_scores(scores, tmp_path)
    assert ImageScores.model_validate_json((tmp_path / "images.json").read_bytes()) == scores
    text = (tmp_path / "images.md").read_text(encoding="utf-8")
    assert text == images_markdown(scores)
    assert "6 synthetic and 14 real volumes of 16 x 16 x 12 voxels and 1 x 1 x 3 mm" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| first voxels | 6, 14 |")]
    assert f"| {scores.extractors[0].distances.frechet:.4g} |" in line and line.count("±") == 2
    with pytest.raises(SaveError, match="cannot be written"):
        save_image_scores(scores, tmp_path / "images.md")


def test_an_interrupted_run_goes_on_and_a_seed_gives_the_same(tmp_path: Path) -> None:
    volumes, first, second = volume_set(with_features(rows(8))), FirstVoxels(), FirstVoxels()
    once = evaluate_images(volumes, volumes, [first], pairs=2, cache=tmp_path)
    assert evaluate_images(volumes, volumes, [second], pairs=2, cache=tmp_path) == once
    assert second.calls == 0


def test_sets_that_cannot_be_compared() -> None:
    good = volume_set(with_features(rows(8)), "good")
    with pytest.raises(InputError, match="16 x 16 x 12 voxels of 1 x 1 x 3 mm and spaced of 16 x 16 x 12 voxels of 2"):
        evaluate_images(good, volume_set(with_features(rows(8)), "spaced", spacing=(2.0, 1.0, 3.0)), [FirstVoxels()])
    with pytest.raises(InputError, match="and larger of 20 x 16 x 12 voxels"):
        evaluate_images(good, volume_set([np.zeros((20, 16, 12))] * 8, "larger"), [FirstVoxels()])
    with pytest.raises(InputError, match=r"The volumes in single are of too few patients \(1\)"):
        evaluate_images(good, volume_set(with_features(rows(1)), "single"), [FirstVoxels()])
    with pytest.raises(InputError, match="at least one feature extractor"):
        evaluate_images(good, good, [])
    broken = with_features(rows(8))
    broken[2][0, 0, 0] = np.inf
    with pytest.raises(InputError, match="broken 2 in broken holds NaN or infinite"):
        evaluate_images(good, volume_set(broken, "broken"), [FirstVoxels()])


def write_images(folder: Path, volumes: list[np.ndarray], affine: np.ndarray | None = None) -> Path:
    folder.mkdir()
    for number, volume in enumerate(volumes):
        image = nib.Nifti1Image(volume, np.diag([1.0, 1.0, 3.0, 1.0]) if affine is None else affine)
        nib.save(image, folder / f"{number:02}.nii.gz")
    return folder


def ccella(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", "images", *[str(argument) for argument in arguments]])


@pytest.fixture
def fake_extractor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "load_extractors", lambda kind, weights=None, **options: (FirstVoxels(),))
    monkeypatch.setattr(features, "available_kinds", lambda: ("medicalnet",))


@pytest.mark.medium
@pytest.mark.usefixtures("fake_extractor")
def test_the_command(tmp_path: Path) -> None:
    real = write_images(tmp_path / "real", with_features(rows(6)))
    synthetic = write_images(tmp_path / "synthetic", with_features(rows(6, seed=1)))
    result = ccella(real, synthetic, "--out", tmp_path / "out", "--pairs", 2, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == (tmp_path / "out" / "images.md").read_text(encoding="utf-8").strip()
    assert "Similarity of pairs: 4 of 4" in result.stderr
    as_json = ccella(real, synthetic, "--out", tmp_path / "out", "--pairs", 2, "--device", "cpu", "--json")
    assert json.loads(as_json.stdout) == json.loads((tmp_path / "out" / "images.json").read_bytes())


@pytest.mark.medium
@pytest.mark.usefixtures("fake_extractor")
def test_bad_input_ends_with_2_and_a_sentence(tmp_path: Path) -> None:
    good = write_images(tmp_path / "good", with_features(rows(4)))
    (tmp_path / "empty").mkdir()
    single = write_images(tmp_path / "single", with_features(rows(1)))
    turned = write_images(tmp_path / "turned", with_features(rows(4)), np.diag([-1.0, -1.0, 3.0, 1.0]))
    for folder, words in (
        (tmp_path / "nowhere", "There is no folder"),
        (tmp_path / "empty", "There are no images in"),
        (single, "of too few patients (1)"),
        (turned, "(RAS+)"),
    ):
        result = ccella(good, folder, "--out", tmp_path / "out", "--pairs", 1, "--device", "cpu")
        assert result.exit_code == 2 and words in result.stderr, result.output
        assert "Traceback" not in result.output and not result.stdout
    assert ccella(good, good, "--out", tmp_path / "out", "--real-split", "test").exit_code == 2


@pytest.mark.medium
@pytest.mark.usefixtures("fake_extractor")
def test_an_odd_volume_is_left_out_by_name(tmp_path: Path) -> None:
    good = write_images(tmp_path / "good", with_features(rows(6)))
    holed = with_features(rows(6))
    holed[1][5, 5, 5] = np.nan
    odd = write_images(tmp_path / "odd", [*holed, np.zeros((8, 8, 8), np.float32)])
    (odd / "00.nii.gz").write_bytes(b"damaged")  # the first gives no shape
    result = ccella(good, odd, "--out", tmp_path / "out", "--pairs", 1, "--device", "cpu")
    said = " ".join(result.stderr.split())
    assert result.exit_code == 3, result.output
    assert "Left out: 01.nii.gz: " in said
    assert "Left out: 06.nii.gz" in said and "must have one shape" in said
    assert "Left out: 00.nii.gz" in said and "3 left out." in said
    scores = json.loads((tmp_path / "out" / "images.json").read_bytes())
    assert scores["synthetic_volumes"] == 4
    assert "3 volumes in" in scores["warnings"][0] and "00.nii.gz, 01.nii.gz, 06.nii.gz" in scores["warnings"][0]


@pytest.mark.medium
def test_what_cannot_be_compared_is_refused_before_the_stand_in_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "load_extractors", lambda *_, **__: pytest.fail("an extractor was loaded"))
    monkeypatch.setattr(features, "available_kinds", lambda: ("phantom",))
    good = write_images(tmp_path / "good", with_features(rows(4)))
    larger = write_images(tmp_path / "larger", [np.full((20, 16, 12), 0.5, np.float32)] * 4)
    fine = write_images(tmp_path / "fine", with_features(rows(4)), np.diag([0.5, 0.5, 0.5, 1.0]))
    thin = write_images(tmp_path / "thin", [np.full((16, 16, 2), 0.5, np.float32)] * 4)
    for real, synthetic, more, words in (
        (good, larger, (), "prepare the real ones like the synthetic ones"),
        (thin, thin, ("--extractor", "medicalnet"), "Structural similarity needs 3 voxels along each axis"),
        (good, good, ("--extractor", "vgg"), "There is no feature extractor 'vgg'"),
        (good, good, ("--device", "abacus"), "abacus"),
        (good, good, (), "The extractor phantom is a stand-in and cannot read these volumes"),
        (fine, fine, (), "`ccella models import-extractor medicalnet FILE`"),
    ):
        result = ccella(real, synthetic, "--out", tmp_path / "out", *more)
        assert result.exit_code == 2 and words in " ".join(result.stderr.split()), result.output


def test_the_stand_in_is_loaded_last_and_stands_where_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(kind: str, *_: object, **__: object) -> tuple[FirstVoxels]:
        loaded.append(kind)
        extractor = FirstVoxels()
        extractor.name = extractor.fingerprint = kind
        return (extractor,)

    monkeypatch.setattr(features, "load_extractors", load)
    monkeypatch.setattr("ccella_core.evaluation.adherence.phantom_reader.WINDOW", (16, 16, 12))
    good = write_images(tmp_path / "good", with_features(rows(4)))
    chosen = ["--extractor", "phantom", "--extractor", "medicalnet", "--extractor", "phantom", "--pairs", 1]
    result = ccella(good, good, "--out", tmp_path / "out", *chosen, "--json", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert loaded == ["medicalnet", "phantom"]
    assert [each["extractor"] for each in json.loads(result.stdout)["extractors"]] == ["phantom", "medicalnet"]
