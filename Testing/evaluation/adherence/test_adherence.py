"""Adherence with generators whose honesty is known, and a phantom reader that looks the truth up."""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.adherence import FIRST_PATIENT, check_model, generator_of, run_adherence
from ccella_core.evaluation.adherence.counterfactual import CHANGED_FACTS, ChangedFact, counterfactual_findings
from ccella_core.evaluation.adherence.measurements import REGION_OF_TISSUE, MeasuredFinding, Region, measure
from ccella_core.evaluation.adherence.phantom_reader import WINDOW, PhantomReaderValidation
from ccella_core.evaluation.adherence.report import AdherenceResult, adherence_markdown
from ccella_core.evaluation.adherence.scores import StatedFinding
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.networks.config import Variant
from ccella_core.networks.presets import published_denoiser
from ccella_core.phantom.patient import draw_patient
from ccella_core.phantom.render import DEFAULT_SHAPE, DEFAULT_SPACING, Rendering, render
from ccella_core.phantom.report import write_report
from ccella_core.provenance import Provenance

CASES, COUNTERFACTUALS = 6, 2
LESION_ML = 0.1


@functools.cache
def phantom_of(patient: int) -> Rendering:
    return render(draw_patient(patient), "t2w")


def mirrored(rendering: Rendering) -> Rendering:
    return Rendering(rendering.voxels[::-1], rendering.affine, rendering.labels[::-1])


@functools.cache
def honest_phantoms() -> dict[str, Rendering]:
    """What each report describes, also those with left and right exchanged."""
    known = {}
    for patient in range(FIRST_PATIENT, FIRST_PATIENT + CASES):
        findings = draw_patient(patient).findings
        known[write_report(findings, seed=patient)] = phantom_of(patient)
        known.setdefault(write_report(findings.mirrored(), seed=patient), mirrored(phantom_of(patient)))
    return known


class TruthReader:
    """Knows the label map of every volume that is shown to it here."""

    validation: PhantomReaderValidation | None = None
    fingerprint = "0123"

    @functools.cached_property
    def labels(self) -> dict[int, np.ndarray]:
        shown = [phantom_of(patient) for patient in range(FIRST_PATIENT, FIRST_PATIENT + CASES)]
        shown += [mirrored(rendering) for rendering in shown]
        return {zlib.crc32(rendering.voxels.tobytes()): rendering.labels for rendering in shown}

    def read(self, voxels: np.ndarray, affine: np.ndarray) -> MeasuredFinding:
        regions = REGION_OF_TISSUE[self.labels[zlib.crc32(voxels.tobytes())]]
        probability = np.moveaxis(np.eye(len(Region), dtype=np.float32)[regions], -1, 0)
        return measure(probability, DEFAULT_SPACING, LESION_ML)


class Generator:
    """Gives what ``choose`` makes of the report, and counts."""

    def __init__(self, choose: Callable[[str], Rendering], *, steps: int = 20, positive: float | None = 0.9) -> None:
        self.choose, self.steps, self.positive = choose, steps, positive
        self.seeds: list[int] = []

    def __call__(self, report: str, seed: int) -> SyntheticVolume:
        self.seeds.append(seed)
        rendering = self.choose(report)
        provenance = Provenance(
            model_name="fake",
            model_version="1",
            model_sha256="0" * 64,
            report=report,
            pathology_requested=None,
            predicted_positive_probability=self.positive,
            seed=seed,
            scheduler="unipc",
            num_inference_steps=self.steps,
            guidance_scale=1.0,
            shape=DEFAULT_SHAPE,
            spacing=DEFAULT_SPACING,
            device="cpu",
            dtype="float32",
        )
        return SyntheticVolume(rendering.voxels, rendering.affine, "t2w", provenance)


def honest(report: str) -> Rendering:
    return honest_phantoms()[report]


class Book:
    """A page for each report: volumes that say their page, and a phantom reader that looks up what the report says."""

    validation: PhantomReaderValidation | None = None
    fingerprint = "0123"

    def __init__(self) -> None:
        self.pages: dict[str, int] = {}
        self.readings: list[MeasuredFinding] = []
        for patient in map(draw_patient, range(FIRST_PATIENT, FIRST_PATIENT + CASES)):
            for findings in (patient.findings, *(counterfactual_findings(patient, what) for what in CHANGED_FACTS)):
                if findings is not None:
                    self.pages[write_report(findings, seed=patient.seed)] = len(self.readings)
                    self.readings.append(MeasuredFinding(**StatedFinding.by(findings).model_dump(), lesion_volume_ml=1))

    def render(self, report: str) -> Rendering:
        voxels = np.full(WINDOW, self.pages[report], np.float32)
        return Rendering(voxels, np.diag([*DEFAULT_SPACING, 1.0]), voxels.astype(np.uint8))

    def read(self, voxels: np.ndarray, affine: np.ndarray) -> MeasuredFinding:
        return self.readings[int(voxels[0, 0, 0])] if np.ptp(voxels) == 0 else TruthReader().read(voxels, affine)


def run(
    generator: Generator,
    out: Path | None = None,
    *,
    cases: int = CASES,
    counterfactuals: int = COUNTERFACTUALS,
    changed_facts: Sequence[ChangedFact] = ("side",),
    seed: int = 0,
) -> AdherenceResult:
    return run_adherence(
        generator,
        TruthReader(),
        out=out,
        cases=cases,
        counterfactuals=counterfactuals,
        changed_facts=changed_facts,
        seed=seed,
    )


@pytest.mark.medium
def test_an_honest_generator_adheres() -> None:
    result = run(Generator(honest))
    scores = result.generated
    positive = sum(case.stated.has_lesion for case in result.cases[:CASES])
    assert 0 < positive < CASES
    assert scores.pathology == Estimate.of_share([True] * CASES)
    assert scores.sensitivity == Estimate.of_share([True] * positive)
    assert scores.side.count == scores.side.n > 0
    assert scores.level.value == scores.zone.value == 1
    assert scores.gland_volume_ml.r.value is not None and scores.gland_volume_ml.r.value > 0.999
    assert scores == result.phantoms
    assert result.counterfactuals == {"side": Estimate.of_share([True] * COUNTERFACTUALS)}
    assert result.class_head == Estimate.of_share(
        number < positive for number in range(CASES)
    )  # it calls everything positive


@pytest.mark.medium
def test_a_generator_that_ignores_the_report_does_not() -> None:
    result = run(Generator(lambda report: phantom_of(FIRST_PATIENT), positive=None))
    stated = StatedFinding.by(draw_patient(FIRST_PATIENT).findings)
    alike = sum(case.stated.has_lesion == stated.has_lesion for case in result.cases[:CASES])
    assert result.generated.pathology.count == alike < CASES
    assert result.generated.gland_volume_ml.r.value is None
    assert result.generated.gland_volume_ml.error.value is not None and result.generated.gland_volume_ml.error.value > 1
    assert result.counterfactuals["side"].count == 0
    assert result.class_head.n == 0
    assert result.phantoms.pathology.value == 1


@pytest.mark.medium
def test_a_generator_that_mixes_up_the_sides_is_found_out() -> None:
    result = run(Generator(lambda report: mirrored(honest(report))))
    assert result.generated.pathology.value == 1
    assert result.generated.side.count == 0 < result.generated.side.n
    assert result.counterfactuals["side"].count == 0


def test_every_changed_fact_is_followed_by_a_generator_that_reads(tmp_path: Path) -> None:
    book = Book()
    generator = Generator(book.render)
    result = run_adherence(generator, book, cases=CASES, counterfactuals=COUNTERFACTUALS, out=tmp_path)
    assert list(result.counterfactuals) == list(CHANGED_FACTS)
    assert all(share.count == share.n for share in result.counterfactuals.values())
    assert (
        result.counterfactuals["pathology"]
        == result.counterfactuals["volume"]
        == Estimate.of_share([True] * COUNTERFACTUALS)
    )
    assert (
        len(generator.seeds) == len(result.cases) == CASES + sum(share.n for share in result.counterfactuals.values())
    )
    assert all((case.phantom is None) == (case.changed_fact is not None) for case in result.cases)
    assert "| base and apex | 100.0% (" in (tmp_path / "adherence.md").read_text(encoding="utf-8")
    assert Image.open(tmp_path / "counterfactual.png").size[0] >= 1200


def test_no_changed_fact_is_followed_by_a_generator_that_does_not_read() -> None:
    book = Book()
    page = next(iter(book.pages))
    result = run_adherence(
        Generator(lambda report: book.render(page)), book, cases=CASES, counterfactuals=COUNTERFACTUALS
    )
    assert all(share.count == 0 < share.n for share in result.counterfactuals.values())


def test_a_counterfactual_has_the_same_noise() -> None:
    generator = Generator(honest)
    result = run(generator, seed=100)
    counterfactuals = result.cases[CASES:]
    assert generator.seeds[:CASES] == list(range(100, 100 + CASES))
    assert [100 + case.patient - FIRST_PATIENT for case in counterfactuals] == generator.seeds[CASES:]


@pytest.mark.medium
def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    first = Generator(honest)
    run(first, tmp_path, cases=3, counterfactuals=0)
    lines = tmp_path / "cases.jsonl"
    lines.write_text(lines.read_text(encoding="utf-8")[:-20], encoding="utf-8")  # stopped while it wrote
    second, told = Generator(honest), []
    result = run_adherence(
        second, TruthReader(), cases=5, counterfactuals=0, out=tmp_path, progress=lambda *at: told.append(at)
    )
    assert (len(first.seeds), second.seeds) == (3, [2, 3, 4])
    assert told == [(n, 5) for n in range(1, 6)]
    third = Generator(honest)
    assert run(third, tmp_path, cases=5, counterfactuals=0) == result
    assert third.seeds == [0]  # by which it is seen that the model is the same


@pytest.mark.medium
def test_what_is_left_in_the_folder(tmp_path: Path) -> None:
    result = run(Generator(honest), tmp_path)
    assert AdherenceResult.model_validate_json((tmp_path / "adherence.json").read_bytes()) == result
    table = (tmp_path / "adherence.md").read_text(encoding="utf-8")
    assert table == adherence_markdown(result)
    assert f"| Pathology as stated | 100.0% ({CASES}/{CASES}; 95 % 61% to 100%)" in table
    negative = sum(not case.stated.has_lesion for case in result.cases[:CASES])
    assert f"| negative | {negative} | 0 |" in table
    assert f"| left and right | 100.0% ({COUNTERFACTUALS}/{COUNTERFACTUALS};" in table
    assert Image.open(tmp_path / "adherence.png").size[0] >= 1200
    assert len(list((tmp_path / "slices").glob("SYNTHETIC_1*.png"))) == CASES + COUNTERFACTUALS
    assert len(list((tmp_path / "slices").glob("SYNTHETIC_PHANTOM_*.png"))) == CASES
    assert (
        json.loads((tmp_path / "cases.jsonl").read_text(encoding="utf-8").splitlines()[0])["patient"] == FIRST_PATIENT
    )


@pytest.mark.medium
def test_cases_of_different_origin_are_not_mixed(tmp_path: Path) -> None:
    run(Generator(honest), tmp_path, cases=1, counterfactuals=0)
    for cases in (1, 2):  # also where nothing is left to make
        with pytest.raises(InputError, match="another folder"):
            run(Generator(honest, steps=30), tmp_path, cases=cases, counterfactuals=0)
    with pytest.raises(InputError, match="another seed"):
        run(Generator(honest), tmp_path, cases=1, counterfactuals=0, seed=7)


def test_readings_of_another_phantom_reader_are_not_mixed(tmp_path: Path) -> None:
    class Other(TruthReader):
        fingerprint = "4567"

    assert run(Generator(honest), tmp_path, cases=2, counterfactuals=0).phantom_reader_sha256 == TruthReader.fingerprint
    for cases in (2, 3):  # also where nothing is left to read
        with pytest.raises(
            InputError, match=r"holds cases that were .* otherwise \(phantom reader was 0123 and is 4567\)"
        ):
            run_adherence(Generator(honest), Other(), cases=cases, counterfactuals=0, out=tmp_path)


def test_cases_of_another_version_are_not_read(tmp_path: Path) -> None:
    run(Generator(honest), tmp_path, cases=1, counterfactuals=0)
    lines = tmp_path / "cases.jsonl"
    older = json.loads(lines.read_text(encoding="utf-8"))
    older["request"] = older.pop("changed_fact")
    lines.write_text(json.dumps(older), encoding="utf-8")
    with pytest.raises(InputError, match="another version or for another reader; choose another folder"):
        run(Generator(honest), tmp_path, cases=1, counterfactuals=0)


def test_at_least_one_case_is_needed() -> None:
    with pytest.raises(InputError, match="at least one case"):
        run(Generator(honest), cases=0)


@pytest.mark.parametrize(
    ("sequence", "variant", "said"),
    [
        ("t2w", "decoupled", "fake does not make its volumes from the report alone; let `ccella synthesize`"),
        ("t2w", "maisi", "fake does not make its volumes from the report alone"),
        ("adc", "ccella", "fake makes adc volumes, and t2w ones are read"),
    ],
)
def test_a_model_whose_volumes_cannot_be_read_is_refused(sequence: str, variant: Variant, said: str) -> None:
    index = SimpleNamespace(
        name="fake", sequences=[sequence], native_shape=WINDOW, native_spacing_mm=DEFAULT_SPACING,
        default_num_inference_steps=2, default_scheduler="dpm++",
    )  # fmt: skip

    def model(of: Variant) -> Any:
        denoiser = SimpleNamespace(config=published_denoiser(of))
        return SimpleNamespace(index=index, denoiser=denoiser, scheduler_config=SchedulerConfig())

    with pytest.raises(InputError, match=said):
        check_model(model(variant))
    index.sequences = ["t2w"]
    check_model(model("ccella"))


def test_a_pipeline_is_asked_for_what_the_report_says() -> None:
    calls = []

    def pipeline(report: str, **settings: object) -> list[SyntheticVolume]:
        calls.append((report, settings))
        return [Generator(lambda _: phantom_of(FIRST_PATIENT))(report, 5)]

    assert generator_of(pipeline, num_inference_steps=7)("a report", 5).provenance.seed == 5
    t2w_alone = {"pathology": None, "sequences": ["t2w"], "labels": False}
    assert calls == [("a report", {**t2w_alone, "seed": 5, "num_inference_steps": 7})]
