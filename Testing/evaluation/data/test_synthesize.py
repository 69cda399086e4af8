"""A synthetic data set: which volumes there are, from which reports and seeds, and that a stop loses nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import PATIENCE_SECONDS
from prepared_cases import REPORTS, prepared_case, prepared_set
from typer.testing import CliRunner

from ccella_core.cases.prepared import PreparedSet
from ccella_core.cli import app
from ccella_core.errors import InputError, NonFiniteError
from ccella_core.evaluation.classifier.class_head import evaluate_class_head
from ccella_core.evaluation.classifier.data import labelled
from ccella_core.evaluation.data.synthesize import seed_of, synthesize
from ccella_core.evaluation.data.synthetic_set import (
    SyntheticCase,
    read_left_out,
    read_synthesis_settings,
    read_table,
)
from ccella_core.evaluation.data.volume_set import open_volume_set
from ccella_core.generation.options import GenerationOptions
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.imaging.label_map import LabelMap
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.models.report_profile import ReportProfile
from ccella_core.networks import ConditionalDenoiser, DenoiserConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedSet:
    cases = [
        prepared_case("a"),
        prepared_case("b", pathology="negative", pirads=2, reports=REPORTS[1:]),
        prepared_case("c", reports=(), report_source="none"),
        prepared_case("held-out", split="test"),
    ]
    return prepared_set(tmp_path / "prepared", cases)


def told_about(pipeline: CCELLAPipeline, variant: str) -> CCELLAPipeline:
    """The same model in another variant."""
    config, text = pipeline.denoiser.config, variant == "decoupled"
    adapter = config.adapter if text else None
    denoiser = ConditionalDenoiser(DenoiserConfig(variant=variant, unet=config.unet, adapter=adapter))
    return CCELLAPipeline(
        denoiser=denoiser,
        autoencoder=pipeline.autoencoder,
        autoencoder_config=pipeline.autoencoder_config,
        scheduler_config=pipeline.scheduler_config,
        encoder=pipeline.encoder if text else None,
        index=pipeline.index,
        device="cpu",
    )


def volumes_of(out: Path, rows: tuple[SyntheticCase, ...]) -> list[SyntheticVolume]:
    return [SyntheticVolume.load(out / row.path) for row in rows]


@pytest.mark.medium
def test_one_volume_of_every_case_of_the_split(tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path):
    told: list[tuple[int, int]] = []
    out = tmp_path / "out"
    rows = synthesize(tiny_pipeline, prepared, out, seed=5, progress=lambda *counts: told.append(counts))
    assert [(row.id, row.case, row.patient, row.split, row.pathology) for row in rows] == [
        (name, name, f"patient of {name}", "train", "negative" if name == "b" else "positive") for name in "abc"
    ]
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    volumes = volumes_of(out, rows)
    assert [volume.provenance.report for volume in volumes] == [REPORTS[0], REPORTS[1], ""]
    assert [volume.provenance.seed for volume in volumes] == [row.seed for row in rows] == [
        seed_of(5, name, 1) for name in "abc"
    ]  # fmt: skip
    assert len({row.seed for row in rows}) == 3
    for row, volume in zip(rows, volumes, strict=True):
        assert row.path == f"volumes/SYNTHETIC_{row.id}_t2w.nii.gz"
        assert volume.provenance.pathology_requested is None
        (alone,) = tiny_pipeline(volume.provenance.report, seed=row.seed, allow_null=True)
        np.testing.assert_array_equal(volume.voxels, alone.voxels)
    assert [member.case for member in open_volume_set(out)] == ["a", "b", "c"]
    settings = read_synthesis_settings(out)
    assert (settings.pathology, settings.split) == ("report", "train")
    assert settings.options == GenerationOptions(
        seed=5, num_inference_steps=2, scheduler="dpm++", guidance_scale=1.0, output_range="0-1"
    )


def test_the_class_is_read_from_reports_and_not_from_their_absence(
    tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path
):
    out = tmp_path / "out"
    rows = synthesize(tiny_pipeline, prepared, out, num_inference_steps=1)
    read = [volume.provenance.predicted_positive_probability for volume in volumes_of(out, rows)]
    assert read[2] is not None, "the head answers the null report like any"
    assert [row.predicted_positive_probability for row in rows] == [*read[:2], None]
    classes = ["positive" if probability >= 0.5 else "negative" for probability in read[:2]]
    assert [row.predicted_pathology for row in rows] == [*classes, None]
    assert read_table(out) == rows
    head = evaluate_class_head(out, resamples=10)
    assert (head.scores.cases, head.without_prediction) == (2, 1)
    with pytest.raises(InputError, match=r"c of .* has no predicted class; a classifier needs one"):
        labelled(open_volume_set(out), "synthetic", "predicted")


@pytest.mark.medium
def test_several_a_case_take_one_wording_after_the_other(
    tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path
):
    rows = synthesize(tiny_pipeline, prepared, tmp_path / "out", split=None, per_case=3, num_inference_steps=1)
    assert [row.id for row in rows] == [f"{case}_{n}" for case in ("a", "b", "c", "held-out") for n in (1, 2, 3)]
    assert len({row.seed for row in rows}) == len(rows) == 12
    reports = [volume.provenance.report for volume in volumes_of(tmp_path / "out", rows)]
    assert reports[:9] == [REPORTS[0], REPORTS[1], REPORTS[0], *[REPORTS[1]] * 3, *[""] * 3]


@pytest.mark.medium
def test_sequences_and_labels_of_an_examination_lie_beside_each_other(
    labelled_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path
):
    out = tmp_path / "out"
    rows = synthesize(labelled_pipeline, prepared, out, num_inference_steps=1, sequences=["adc", "t2w"])
    assert [(row.id, row.sequence) for row in rows] == [(name, each) for name in "abc" for each in ("t2w", "adc")]
    assert [row.labels for row in rows] == [f"volumes/SYNTHETIC_{row.id}-labels.nii.gz" for row in rows]
    assert read_table(out) == rows and not list(out.glob("volumes/*hbv*"))
    labels = [LabelMap.load(out / row.labels) for row in rows[::2]]
    assert [each.provenance.seed for each in labels] == [row.seed for row in rows[::2]]
    assert [member.case for member in open_volume_set(out, sequence="adc")] == ["a", "b", "c"]
    whole = (out / rows[0].labels).read_bytes()
    (out / rows[0].labels).write_bytes(whole[:-9])
    assert synthesize(labelled_pipeline, prepared, out, num_inference_steps=1, sequences=["adc", "t2w"]) == rows
    np.testing.assert_array_equal(LabelMap.load(out / rows[0].labels).voxels, labels[0].voxels)
    with pytest.raises(InputError, match="another synthesis"):
        synthesize(labelled_pipeline, prepared, out, num_inference_steps=1, labels=False)
    plain = synthesize(labelled_pipeline, prepared, tmp_path / "plain", num_inference_steps=1, labels=False)
    assert {row.labels for row in plain} == {None} and len(plain) == 9


def test_seeds_depend_on_each_of_three_things_and_on_nothing_else():
    assert seed_of(0, "case", 1) == 2948603956378607445
    seeds = {seed_of(seed, case, number) for seed in range(3) for case in "abc" for number in (1, 2)}
    assert len(seeds) == 18 and all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("variant", "source", "reads", "requested"),
    [
        ("decoupled", None, True, ["positive", "negative", "positive"]),
        ("radmaisi", None, False, ["positive", "negative", "positive"]),
        ("maisi", None, False, [None] * 3),
        ("ccella", "case", True, ["positive", "negative", "positive"]),
    ],
)
def test_each_variant_is_told_what_it_wants(
    tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path, variant: str, source: Any, reads: bool,
    requested: list[str | None],
):  # fmt: skip
    pipeline = tiny_pipeline if variant == "ccella" else told_about(tiny_pipeline, variant)
    rows = synthesize(pipeline, prepared, tmp_path / "out", pathology_source=source, num_inference_steps=1)
    made = [volume.provenance for volume in volumes_of(tmp_path / "out", rows)]
    assert [each.pathology_requested for each in made] == requested
    assert [each.report for each in made] == ([REPORTS[0], REPORTS[1], ""] if reads else [""] * 3)
    has_head = variant == "ccella"
    assert [row.predicted_pathology is not None for row in rows] == [has_head, has_head, False]
    assert read_table(tmp_path / "out") == rows


def test_the_table_holds_every_row(tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path):
    out = tmp_path / "out"
    for pipeline in (tiny_pipeline, told_about(tiny_pipeline, "maisi")):
        rows = synthesize(pipeline, prepared, out, num_inference_steps=1)
        assert read_table(out) == rows
        shutil.rmtree(out)


@pytest.mark.medium
def test_what_is_whole_stays_and_what_is_damaged_is_made_again(
    tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path
):
    out = tmp_path / "out"
    rows = synthesize(tiny_pipeline, prepared, out, per_case=2, num_inference_steps=1)
    images = [out / row.path for row in rows]
    before = {path: path.stat().st_mtime_ns for path in images}
    images[0].write_bytes(images[0].read_bytes()[:100])  # as a full disk leaves it
    images[1].unlink()
    sidecar = images[2].with_name("SYNTHETIC_b_1_t2w.json")
    sidecar.write_text("{", encoding="utf-8")
    content = json.loads(images[3].with_name("SYNTHETIC_b_2_t2w.json").read_text(encoding="utf-8"))
    content["provenance"]["seed"] = 1  # the noise of something else
    images[3].with_name("SYNTHETIC_b_2_t2w.json").write_text(json.dumps(content), encoding="utf-8")
    (out / "cases.csv").unlink()
    told: list[tuple[int, int]] = []
    again = synthesize(
        tiny_pipeline, prepared, out, per_case=2, num_inference_steps=1, progress=lambda *counts: told.append(counts)
    )
    assert again == rows == read_table(out) and told[0] == (2, 6) and told[-1] == (6, 6)
    volumes_of(out, again)
    assert [path.stat().st_mtime_ns == before[path] for path in images] == [False] * 4 + [True] * 2


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tiny_model: Path, prepared: PreparedSet, tmp_path: Path):
    alone = synthesize(CCELLAPipeline.from_pretrained(tiny_model, device="cpu"), prepared, tmp_path / "one", seed=3)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ccella_core",
        "synthesize", str(prepared.folder), "--model", str(tiny_model), "--out", str(tmp_path / "two"), "--seed", "3",
        "--device", "cpu", "--json",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    printed = json.loads(ended.stdout)
    assert printed["volumes"] == 3, "only the first process prints"
    assert printed["reports_outside"] is None, "a model without a profile of its reports cannot tell"
    assert read_synthesis_settings(tmp_path / "two") == read_synthesis_settings(tmp_path / "one")
    for together, one in zip(read_table(tmp_path / "two"), alone, strict=True):
        rounding = {"sha256": "", "predicted_positive_probability": None}
        assert together.model_copy(update=rounding) == one.model_copy(update=rounding)
        voxels = [SyntheticVolume.load(tmp_path / run / one.path).voxels for run in ("one", "two")]
        np.testing.assert_allclose(*voxels, atol=1e-4)


@pytest.mark.slow
def test_killed_and_started_again_it_ends_with_the_same_table(tiny_model: Path, tmp_path: Path):
    prepared = prepared_set(tmp_path / "prepared", [prepared_case(f"case{number}") for number in range(16)])
    command = [
        sys.executable, "-m", "ccella_core", "synthesize", str(prepared.folder), "--model", str(tiny_model),
        "--out", str(tmp_path / "killed"), "--steps", "20", "--device", "cpu",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(list(tmp_path.glob("killed/volumes/*.json"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait(PATIENCE_SECONDS)
    with pytest.raises(InputError, match="let `ccella synthesize` finish first"):
        read_table(tmp_path / "killed")
    told: list[tuple[int, int]] = []
    pipeline = CCELLAPipeline.from_pretrained(tiny_model, device="cpu")
    rows = synthesize(
        pipeline, prepared, tmp_path / "killed", num_inference_steps=20, progress=lambda *counts: told.append(counts)
    )
    assert 2 <= told[0][0] < 16 and told[-1] == (16, 16)
    assert rows == synthesize(pipeline, prepared, tmp_path / "whole", num_inference_steps=20)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, "options.seed was 0 and is 1"),
        ({"num_inference_steps": 3}, "options.num_inference_steps was 1 and is 3"),
        ({"per_case": 2, "split": "test"}, "per_case was 1 and is 2; split was train and is test"),
        ({"pathology_source": "case"}, "pathology was report and is case"),
    ],
)
def test_a_folder_never_mixes_two_syntheses(
    tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path, changes: dict[str, Any], words: str
):
    synthesize(tiny_pipeline, prepared, tmp_path / "out", num_inference_steps=1)
    with pytest.raises(InputError, match=f"holds another synthesis .{words}"):
        synthesize(tiny_pipeline, prepared, tmp_path / "out", **{"num_inference_steps": 1, **changes})


def test_other_cases_are_another_synthesis(tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path):
    synthesize(tiny_pipeline, prepared, tmp_path / "out", num_inference_steps=1)
    fewer = prepared_set(tmp_path / "fewer", list(prepared.cases[1:]))
    with pytest.raises(InputError, match="source was "):
        synthesize(tiny_pipeline, fewer, tmp_path / "out", num_inference_steps=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": "validation"}, "no cases of the split validation"),
        ({"per_case": 0}, "whole number from 1 up, not 0"),
        ({"seed": -1}, "A seed is a whole number"),
        ({"scheduler": "magic"}, "no scheduler 'magic'"),
        ({"num_inference_steps": 0}, "from 1 to 1000"),
        ({"guidance_scale": -1.0}, "from 0 up"),
        ({"shape": (8, 8, 8)}, "takes its shape from the cases and the model"),
        ({"output_range": "int16"}, "takes its output range from"),
    ],
)
def test_bad_arguments_are_explained_and_leave_nothing(
    tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path, changes: dict[str, Any], words: str
):
    with pytest.raises(InputError, match=words):
        synthesize(tiny_pipeline, prepared, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_bad_cases_and_variants_are_explained(tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path):
    bad = prepared_set(tmp_path / "bad", [prepared_case("odd", reports=("\0",))])
    with pytest.raises(InputError, match=r"No volume could be made of any case .*NUL"):
        synthesize(tiny_pipeline, bad, tmp_path / "out")
    with pytest.raises(InputError, match="does not read the pathology from a report"):
        synthesize(told_about(tiny_pipeline, "radmaisi"), prepared, tmp_path / "out", pathology_source="report")
    with pytest.raises(InputError, match="takes no pathology"):
        synthesize(told_about(tiny_pipeline, "maisi"), prepared, tmp_path / "out", pathology_source="case")
    result = CliRunner().invoke(app, ["synthesize", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2 and "holds no prepared cases" in result.stderr


def test_an_odd_case_is_left_out_by_name_and_tried_again(
    tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    odd = prepared_case("odd", reports=("fine", "\0"))
    mixed = prepared_set(tmp_path / "mixed", [*prepared.cases, odd])
    call, broken = type(tiny_pipeline).__call__, [True]

    def sometimes(self: CCELLAPipeline, report: str | None, *rest: Any, **more: Any) -> Any:
        if broken and report == REPORTS[1]:
            raise NonFiniteError("A network gave NaN.")
        return call(self, report, *rest, **more)

    monkeypatch.setattr(type(tiny_pipeline), "__call__", sometimes)
    out = tmp_path / "out"
    rows = synthesize(tiny_pipeline, mixed, out, per_case=2, num_inference_steps=1)
    assert [row.id for row in rows] == ["a_1", "c_1", "c_2", "odd_1"]
    reasons = {each.id: each.reason for each in read_left_out(out)}
    assert reasons.keys() == {"a_2", "b_1", "b_2", "odd_2"} and reasons["b_1"] == "A network gave NaN."
    assert "NUL characters" in reasons["odd_2"]
    broken.clear()
    again = synthesize(tiny_pipeline, mixed, out, per_case=2, num_inference_steps=1)
    assert len(again) == 7 and [each.id for each in read_left_out(out)] == ["odd_2"] and read_table(out) == again


def test_a_model_that_is_given_the_class_leaves_out_cases_without_one(
    tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path
):
    unknown = prepared_case("unknown", pathology=None, pirads=None)
    out, decoupled = tmp_path / "out", told_about(tiny_pipeline, "decoupled")
    mixed = prepared_set(tmp_path / "mixed", [unknown, *prepared.cases])
    assert [row.id for row in synthesize(decoupled, mixed, out, num_inference_steps=1)] == ["a", "b", "c"]
    assert read_left_out(out) == [("unknown", "Its pathology is unknown, and tiny must be given one.")]
    rows = synthesize(tiny_pipeline, mixed, tmp_path / "reads", num_inference_steps=1)
    assert [row.id for row in rows] == ["unknown", "a", "b", "c"]
    alone = prepared_set(tmp_path / "alone", [unknown])
    with pytest.raises(InputError, match="The pathology of all 1 cases of the split train is unknown, and tiny must"):
        synthesize(decoupled, alone, tmp_path / "none", num_inference_steps=1)
    assert not (tmp_path / "none").exists()


def test_too_little_memory_is_no_fault_of_a_case(
    tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: Any, **__: Any) -> Any:
        raise InputError("There is too little memory.") from MemoryError()

    monkeypatch.setattr(type(tiny_pipeline), "__call__", full)
    with pytest.raises(InputError, match="too little memory"):
        synthesize(tiny_pipeline, prepared, tmp_path / "out", num_inference_steps=1)
    assert not read_left_out(tmp_path / "out")


def test_the_table_says_which_report_is_worded_otherwise(
    tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = synthesize(tiny_pipeline, prepared, tmp_path / "unknown", num_inference_steps=1)
    assert {row.report_is_outside for row in rows} == {None}
    profile = ReportProfile.of([[REPORTS[1]]] * 40)
    monkeypatch.setattr(tiny_pipeline, "report_profile", profile)
    rows = synthesize(tiny_pipeline, prepared, tmp_path / "out", num_inference_steps=1)
    assert [row.report_is_outside for row in rows] == [True, False, None] and read_table(tmp_path / "out") == rows
    warnings = [volume.provenance.warnings for volume in volumes_of(tmp_path / "out", rows)]
    assert [any("worded unlike" in warning for warning in each) for each in warnings] == [True, False, False]


@pytest.mark.medium
def test_the_command(tiny_model: Path, prepared: PreparedSet, tmp_path: Path):
    arguments = [str(prepared.folder), "--model", str(tiny_model), "--out", str(tmp_path / "out"), "--split", "all"]
    result = CliRunner().invoke(app, ["synthesize", *arguments, "--steps", "1", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "4 synthetic volumes are in" in result.stdout and "not for diagnosis" in result.stdout
    assert "Making volumes: 4 of 4" in result.stderr
    assert len(read_table(tmp_path / "out")) == 4
    mixed = prepared_set(tmp_path / "mixed", [prepared_case("whole"), prepared_case("odd", reports=("\0",))])
    arguments = [str(mixed.folder), "--model", str(tiny_model), "--out", str(tmp_path / "of-mixed")]
    result = CliRunner().invoke(app, ["synthesize", *arguments, "--steps", "1", "--device", "cpu"])
    assert result.exit_code == 3 and "Left out: odd: The report contains NUL" in result.stderr
    assert "1 synthetic volumes are in" in result.stdout


def test_another_grid_is_said(
    tiny_pipeline: CCELLAPipeline, prepared: PreparedSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    prepared.settings = prepared.settings.model_copy(update={"shape": (32, 16, 8)})
    synthesize(tiny_pipeline, prepared, tmp_path / "out", num_inference_steps=1)
    assert "tiny makes volumes of 16 x 16 x 8 voxels at 1 x 1 x 3 mm" in caplog.text and "32 x 16 x 8" in caplog.text
