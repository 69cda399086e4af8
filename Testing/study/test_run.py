"""A whole study at a tiny size: its numbers, its page, and that it goes on wherever it was stopped."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_study import SHAPE, SPACING, tiny_study
from typer.testing import CliRunner

from ccella_core.cases.prepared import PreparedCase, PrepareSettings, write_cases, write_index
from ccella_core.cli import app
from ccella_core.config import checked
from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.phantom_reader import PhantomReader, PhantomReaderNetwork
from ccella_core.evaluation.features.features import PhantomExtractor
from ccella_core.evaluation.images.images import ImageScores
from ccella_core.evaluation.privacy.report import PrivacyScores
from ccella_core.study.config import StudyConfig
from ccella_core.study.result import StudyResult
from ccella_core.study.run import run_study
from ccella_core.study.stages import Silent, StudyStep

pytestmark = pytest.mark.slow


class Stopped(Exception):
    pass


class StopsIn(Silent):
    """Ends the study in a stage, after so many of what it counts."""

    def __init__(self, key: str, after: int) -> None:
        self.key, self.after = key, after

    @contextmanager
    def stage(self, stage: StudyStep, number: int, total: int) -> Iterator[Callable[[int, int], None]]:
        def told(done: int, of: int) -> None:
            if stage.key == self.key and done >= self.after:
                raise Stopped

        yield told


class Follower(Silent):
    def __init__(self) -> None:
        self.begun: list[str] = []

    @contextmanager
    def stage(self, stage: StudyStep, number: int, total: int) -> Iterator[Callable[[int, int], None]]:
        self.begun.append(stage.key)
        yield lambda done, of: None


def configured(content: dict[str, Any]) -> StudyConfig:
    return checked(StudyConfig, content, "The configuration")


def result_in(folder: Path) -> StudyResult:
    return StudyResult.model_validate_json((folder / "study.json").read_bytes())


@pytest.fixture(scope="module")
def content(
    manifest: Path, phantom_reader: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    return tiny_study(manifest, phantom_reader, tiny_model, tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def work(content: dict[str, Any]) -> Path:
    """The folder of a study that was run once."""
    return run_study(configured(content)).parent


@pytest.fixture(scope="module")
def result(work: Path) -> StudyResult:
    return result_in(work)


def test_every_variant_is_trained_and_makes_volumes(result: StudyResult) -> None:
    assert result.cases.counts == {"train": 8, "validation": 4, "test": 8}
    assert result.cases.positive == {"train": 4, "validation": 2, "test": 4}
    assert result.names == ("ccella", "maisi", "decoupled")
    for each in result.variants:
        assert each.trained.steps == 4 + 2 and each.trained.validation_loss is not None
        assert each.of_test.count == 8 and each.of_train is not None and each.of_train.count == 8
    hashes = {each.model.sha256 for each in result.variants}
    assert len(hashes) == 3
    assert result.warnings[0].startswith("1 case was refused when the source was prepared; ")


def test_images_are_measured_beside_the_real_cases(work: Path, result: StudyResult) -> None:
    found = {(each.variant, each.name): each for each in result.measures if each.group == "images"}
    assert {name for _, name in found} == {
        "FID", "KID", "Precision", "Recall", "Density", "Coverage", "MS-SSIM of pairs",
    }  # fmt: skip
    own = ImageScores.model_validate_json((work / "variants" / "maisi" / "images" / "images.json").read_bytes())
    fid = found["maisi", "FID"]
    assert fid.number.value == own.extractors[0].distances.frechet and fid.extractor == own.extractors[0].extractor
    assert fid.number.n == "8 real, 8 synthetic" and fid.number.has_interval
    assert fid.reference is not None and fid.reference.value == pytest.approx(own.extractors[0].distances.frechet_floor)
    assert set(own.warnings) <= set(result.warnings)  # too few cases for a Fréchet distance


def test_the_class_head_is_scored_where_there_is_one(result: StudyResult) -> None:
    heads = [each for each in result.measures if each.group == "class_head"]
    assert {each.variant for each in heads} == {"ccella"} and len(heads) == 7
    assert heads[0].name == "AUROC" and heads[0].number.n == 8
    assert 0 <= (heads[0].number.value or 0) <= 1
    left_out = {each.stage: each.why_not for each in result.left_out}
    assert left_out["Score the class that maisi reads from reports"] == "it has no class head"


def test_adherence_is_read_from_every_variant(result: StudyResult) -> None:
    read = [each for each in result.measures if each.name == "Pathology as stated"]
    assert [each.variant for each in read] == ["ccella", "maisi", "decoupled"]
    assert all(each.number.n == 8 for each in read)
    (ceiling,) = {each.reference for each in read}
    assert ceiling is not None  # the same real cases for all


def test_copies_are_looked_for_among_volumes_of_training_reports(work: Path, result: StudyResult) -> None:
    found = [each for each in result.measures if each.group == "privacy" and each.variant == "maisi"]
    assert [(each.name, each.extractor) for each in found] == [
        ("Suspected copies", "either comparison"), ("Suspected copies", "aligned voxels"),
        ("Suspected copies", "phantom reader (stand-in)"), ("Authenticity", "phantom reader (stand-in)"),
    ]  # fmt: skip
    assert all(each.number.n == 8 and each.number.has_interval for each in found)
    assert found[1].reference is not None and found[1].reference.n == 12  # validation and test cases
    scores = PrivacyScores.model_validate_json((work / "variants/maisi/privacy/privacy.json").read_bytes())
    assert found[0].number.value == scores.suspected.value


def test_every_arm_is_compared_with_real_cases(result: StudyResult) -> None:
    arms = {(each.arm, each.variant, each.real_count): each for each in result.arm_scores}
    assert set(arms) == {
        ("real", None, 4), ("synthetic", "ccella", None), ("real+synthetic", "ccella", 4),
        ("synthetic", "decoupled", None), ("real+synthetic", "decoupled", 4),
    }  # fmt: skip
    assert all(each.networks == 2 and each.auroc.n == "8 cases, 2 seeds" for each in arms.values())
    assert arms["real+synthetic", "ccella", 4].synthetic_count == 8
    assert [(each.arm, each.variant) for each in result.differences] == [
        ("synthetic", "ccella"), ("real+synthetic", "ccella"), ("synthetic", "decoupled"),
        ("real+synthetic", "decoupled"),
    ]  # fmt: skip
    real = arms["real", None, 4].auroc.value
    for each in result.differences:
        own = arms[each.arm, each.variant, None if each.arm == "synthetic" else 4].auroc.value
        assert own is not None and real is not None and each.difference.value == pytest.approx(own - real)
        assert each.adjusted_p_value is not None and each.p_value is not None
        assert each.adjusted_p_value >= each.p_value
    left_out = {each.stage: each.why_not for each in result.left_out}
    assert left_out["Classifiers with volumes of maisi"] == "nothing tells which class its volumes have"


def test_the_page_shows_all_of_it(work: Path) -> None:
    text = (work / "study.html").read_text(encoding="utf-8")
    for words in ("Image quality", "Does the volume show what its report says?", "Were training cases copied?",
                  "What the volumes are worth to a classifier", "The same reports, by every variant", "Left out",
                  "SYNTHETIC - not for diagnosis"):  # fmt: skip
        assert words in text
    assert "<script" not in text and not re.search(r'(?:src|href)="http', text)


def test_a_finished_study_is_not_repeated(content: dict[str, Any], work: Path, result: StudyResult) -> None:
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file() and path.parent != work}
    follower = Follower()
    run_study(configured(content), follower)
    assert follower.begun == []
    after = {path: path.stat().st_mtime_ns for path in before if path.parent.name != "tables"}
    assert after.items() <= before.items()
    assert result_in(work) == result


def test_what_is_added_later_is_all_that_is_done(content: dict[str, Any], work: Path) -> None:
    follower = Follower()
    run_study(configured(content | {"classifiers": content["classifiers"] | {"real_counts": [4, 6]}}), follower)
    assert follower.begun == ["classifiers/real/6-real", "classifiers/both/ccella/6-real",
                              "classifiers/both/decoupled/6-real"]  # fmt: skip
    assert len(result_in(work).differences) == 8


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"synthesis": {"num_inference_steps": 3}},
            r"variants.ccella.model holds what was made with something else \(num_inference_steps was 2 and is 3\)",
        ),
        ({"images": {"seed": 1}}, r"variants.ccella.images holds what was made with .*images.seed was 0 and is 1"),
        ({"data": {"split_seed": 1}}, r"cases holds what was made with .*split_seed was 0 and is 1"),
    ],
)
def test_another_configuration_is_refused_by_name(
    content: dict[str, Any], work: Path, changes: dict[str, Any], said: str
) -> None:
    ((section, keys),) = changes.items()
    with pytest.raises(InputError, match=said):
        run_study(configured(content | {section: content[section] | keys}))


def test_other_weights_in_the_folder_of_the_phantom_reader_are_refused(
    content: dict[str, Any], work: Path, phantom_reader: Path, tmp_path: Path
) -> None:
    records = {part: json.loads((work / "variants" / "maisi" / part / "stage.json").read_bytes())["made_with"]
               for part in ("images", "adherence", "privacy")}  # fmt: skip
    own = PhantomReader.load(phantom_reader)
    assert records["adherence"]["phantom_reader_sha256"] == own.fingerprint
    extractor = {"phantom": PhantomExtractor(own).fingerprint}
    assert records["images"]["extractor_sha256"] == records["privacy"]["extractor_sha256"] == extractor
    torch.manual_seed(1)
    try:
        PhantomReader(PhantomReaderNetwork(own.config.filters), own.config).save(phantom_reader)
        with pytest.raises(InputError, match=r"\(extractor_sha256.phantom was \w+ and is \w+\)"):
            run_study(configured(content))
    finally:
        own.save(phantom_reader)
    run_study(configured(content))


def test_a_study_goes_on_wherever_it_was_stopped(content: dict[str, Any], result: StudyResult, tmp_path: Path) -> None:
    """Stopped in preparing, in encoding and in synthesizing, it ends with what one that never stopped has."""
    config = configured(
        content
        | {
            "output": str(tmp_path / "study"),
            "data": content["data"] | {"prepared": str(tmp_path / "prepared")},
            "variants": ["maisi"],
            "classifiers": None,
            "adherence": None,
            "privacy": None,
        }
    )
    for listener in (
        StopsIn("cases", 5),
        StopsIn("variants/maisi/training", 8),
        StopsIn("variants/maisi/of-test-reports", 3),
    ):
        with pytest.raises(Stopped):
            run_study(config, listener)
    volumes = tmp_path / "study" / "variants" / "maisi" / "of-test-reports" / "synthetic" / "volumes"
    made = {path: path.stat().st_mtime_ns for path in volumes.glob("*.nii.gz")}
    assert len(made) == 3
    run_study(config)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    alone, whole = result_in(tmp_path / "study"), {each.variant: each for each in result.variants}
    assert alone.variants[0].of_test.count == 8
    assert alone.variants[0].trained.validation_loss == whole["maisi"].trained.validation_loss
    of_whole = {each.name: each.number.value for each in result.measures
                if each.variant == "maisi" and each.group == "images"}  # fmt: skip
    assert {each.name: each.number.value for each in alone.measures} == pytest.approx(of_whole, rel=1e-4)


def prepared_folder(folder: Path, counts: dict[str, int], **changes: Any) -> Path:
    """Cases without images: enough to be refused."""
    write_index(folder, PrepareSettings(shape=SHAPE, spacing=SPACING))
    cases = [
        PreparedCase.model_validate(
            {
                "id": f"{split}{number}",
                "patient": f"{split}{number}",
                "split": split,
                "pathology": "positive" if number % 2 else "negative",
                "pirads": None,
                "reports": ("A report.",),
                "report_source": "given",
                "fields": None,
                "source_spacing_mm": SPACING,
                "source_shape": SHAPE,
                "has_regions": False,
                "sha256": {},
                **changes,
            }
        )
        for split, count in counts.items()
        for number in range(count)
    ]
    write_cases(folder, cases)
    return folder


ENOUGH = {"train": 8, "validation": 4, "test": 8}


@pytest.mark.parametrize(
    ("counts", "changes", "said"),
    [
        (ENOUGH | {"test": 6}, {}, "needs cases of 8 test patients at least; there are 6"),
        (ENOUGH | {"validation": 3}, {"classifiers": {"real_counts": [4]}}, "2 positive and as many negative cases"),
        (ENOUGH, {"classifiers": {"real_counts": [9]}}, r"real_counts has 9, and there are 8 training cases"),
        (ENOUGH, {"adherence": {}}, "What the report of test0 says is not known"),
        (ENOUGH, {"sequence": "adc"}, "were prepared without adc"),
    ],
)  # fmt: skip
def test_too_little_is_said_before_anything_is_trained(
    tmp_path: Path, counts: dict[str, int], changes: dict[str, Any], said: str
) -> None:
    data = {"prepared": prepared_folder(tmp_path / "prepared", counts), "sequence": changes.pop("sequence", "t2w")}
    config = configured({"output": tmp_path / "study", "data": data, "variants": ["maisi"], **changes})
    with pytest.raises(InputError, match=said):
        run_study(config)
    assert not list((tmp_path / "study").rglob("stage.json"))


def test_the_command_says_what_it_does(content: dict[str, Any], work: Path, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    # The sizes that an earlier test added are there as well.
    file.write_text(yaml.safe_dump(json.loads(configured(content).model_dump_json())), encoding="utf-8")
    done = CliRunner().invoke(app, ["study", str(file)])
    assert done.exit_code == 3 and "Left out: broken: " in done.stderr, done.output
    assert "    done  Train maisi" in done.stderr
    assert "left out  Score the class that maisi reads from reports: it has no class head" in done.stderr
    assert str(work / "study.html") in done.stdout
    shown = CliRunner().invoke(app, ["study", str(file), "--show-config", "--set", "synthesis.num_inference_steps=7"])
    assert yaml.safe_load(shown.stdout)["synthesis"]["num_inference_steps"] == 7
    wrong = CliRunner().invoke(app, ["study", str(file), "--set", "variants=[ccela]"])
    assert wrong.exit_code == 2 and "variants.0" in wrong.stderr and "Traceback" not in wrong.stderr


def test_a_volume_that_is_damaged_between_two_stages_is_left_out_by_name(
    content: dict[str, Any], work: Path, tmp_path: Path
) -> None:
    """A test case and a synthetic volume: every stage that is left goes on without them, and the end says so."""
    own = content | {
        "data": content["data"] | {"prepared": str(tmp_path / "prepared")},
        "output": str(tmp_path / "study"),
        "variants": ["ccella"],
    }
    shutil.copytree(content["data"]["prepared"], tmp_path / "prepared")
    with pytest.raises(Stopped):
        run_study(configured(own), StopsIn("variants/ccella/images", 1))
    study = tmp_path / "study"
    synthetic = study / "variants" / "ccella" / "of-test-reports" / "synthetic"
    (tmp_path / "prepared" / "volumes" / "case0_t2w.nii.gz").write_bytes(b"damaged")
    (synthetic / "volumes" / "SYNTHETIC_case13_t2w.nii.gz").unlink()
    run_study(configured(own))
    result = result_in(study)
    assert {"broken", "case13", f"case13 of {synthetic}", f"case0 of {tmp_path / 'prepared'}"} == set(
        result.cases_left_out
    )
    fid = next(each for each in result.measures if each.name == "FID")
    assert fid.number.n == "8 real, 7 synthetic"
    assert f"- case13 of {synthetic}: " in (study / "study.md").read_text(encoding="utf-8")
    again = run_study(configured(own))  # all stages are done: what they left out is still said
    assert result_in(again.parent).cases_left_out == result.cases_left_out
