"""Implanted lesions are where and what the report says, darker or brighter than what was there, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from typer.testing import CliRunner

from ccella_core.cases.implant import ImplantSettings, implant
from ccella_core.cases.implant_lesion import LEVELS, GlandMap, largest_diameter
from ccella_core.cases.prepare import write_volume
from ccella_core.cases.prepared import (
    WHITE,
    PreparedCase,
    PreparedSet,
    PrepareSettings,
    regions_path,
    volume_path,
    write_cases,
    write_index,
)
from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.phantom.fields import LesionFields, StructuredFields
from ccella_core.phantom.known_report import technique_in, write_known_report
from ccella_core.training.data.mirror import mirrored_report

SHAPE, SPACING = (64, 56, 18), (1.0, 1.0, 3.0)
SEQUENCES = ("t2w", "hbv", "adc")
OWN = LesionFields(side="left", level="mid", significant=True)


def add_case(folder: Path, name: str, *, split: str = "train", gland: bool = True, **more) -> PreparedCase:
    """A gland of 48 x 40 x 42 mm: T2 0.5, high b 0.2, ADC 1500, with texture."""
    x, y, z = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in SHAPE), indexing="ij", sparse=True)
    inside = (x / 24) ** 2 + (y / 20) ** 2 + (z / 7) ** 2 < 1
    rng = np.random.default_rng(0)
    written = {
        volume_path(name, sequence): np.round((level + rng.normal(0, 0.02, SHAPE)) * WHITE).astype(np.uint16)
        for sequence, level in zip(SEQUENCES, (0.5, 0.2, 0.5), strict=True)
    }
    if gland:
        written[regions_path(name)] = inside.astype(np.uint8)
    hashes = {path: write_volume(folder / path, voxels, np.eye(4)) for path, voxels in written.items()}
    described = {
        "id": name, "patient": f"of {name}", "split": split, "pathology": None, "pirads": None, "reports": (),
        "report_source": "none", "fields": None, "source_spacing_mm": (0.5, 0.5, 3.0), "source_shape": (9, 9, 9),
        "has_regions": gland, "sha256": hashes, **more,
    }  # fmt: skip
    return PreparedCase.model_validate(described)


def prepared_in(folder: Path, *cases: PreparedCase) -> PreparedSet:
    write_index(folder, PrepareSettings(sequences=SEQUENCES, shape=SHAPE, spacing=SPACING))
    write_cases(folder, list(cases))
    return PreparedSet.open(folder)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> PreparedSet:
    folder = tmp_path_factory.mktemp("prepared")
    known = StructuredFields(age_years=61, gland_volume_ml=21, isup=0)
    report = write_known_report(known, technique="3 T, no endorectal coil")
    assert report is not None
    return prepared_in(
        folder,
        add_case(folder, "A", fields=known, reports=(report,), report_source="written"),
        add_case(folder, "B", fields=StructuredFields(lesions=(OWN,)), pathology="positive", positive_means="cspca"),
        add_case(folder, "C", split="validation"),
        add_case(folder, "D", gland=False),
    )


@pytest.fixture(scope="module")
def made(source, tmp_path_factory) -> PreparedSet:
    return implant(source, ImplantSettings(copies=8, wordings=3), tmp_path_factory.mktemp("made") / "new")[0]


def test_training_cases_with_a_gland_give_copies_of_the_same_patient(made):
    assert [case.id for case in made.cases] == [f"{name}-implanted{copy}" for name in "AB" for copy in range(1, 9)]
    assert {(case.patient, case.split, case.report_source) for case in made.cases} == {
        ("of A", "train", "written"), ("of B", "train", "written"),
    }  # fmt: skip
    assert all("implanted" in case.warnings[-1] and case.source_spacing_mm == (0.5, 0.5, 3.0) for case in made.cases)


def test_the_words_are_true_of_the_mask(made):
    """Measured anew where there is one lesion, so that the mask is its own."""
    seen = set()
    for case in made.cases:
        (gland, mask), named = made.regions(case), [each for each in case.fields.lesions if each.size_mm]
        assert mask.any() and not (mask & ~gland).any()
        if len(named) > 1:
            continue
        (lesion,) = named
        x, y, z = (axis.mean() for axis in np.nonzero(mask))
        middle, low, high = 31.5, *np.flatnonzero(gland.any(axis=(0, 1)))[[0, -1]]
        assert (lesion.side == "left") == (x < middle)
        assert LEVELS[int(3 * (z + 0.5 - low) / (high + 1 - low))] == lesion.level
        assert largest_diameter(mask, SPACING) == pytest.approx(lesion.size_mm, rel=0.2)
        if lesion.zone == "peripheral":
            assert y < 30 and GlandMap(gland, SPACING).depth[mask].mean() < 8
        else:
            assert y > 24 and GlandMap(gland, SPACING).depth[mask].mean() > 3
        assert 5 <= lesion.size_mm <= 28 and (lesion.pirads == 5) == (lesion.size_mm >= 15)
        seen |= {lesion.side, lesion.zone, lesion.level}
    assert {"left", "right", "peripheral", "transition", *LEVELS} == seen


def test_a_lesion_is_dark_on_t2_and_adc_and_bright_on_high_b_and_nothing_else_changes(source, made):
    for case in made.cases:
        original = next(each for each in source.cases if each.patient == case.patient)
        gland, mask = made.regions(case)
        size = max(each.size_mm or 0 for each in case.fields.lesions)
        scores = {each.pirads for each in case.fields.lesions if each.pirads}
        for sequence in SEQUENCES:
            before, after = source.voxels(original, sequence), made.voxels(case, sequence)
            reach = binary_dilation(mask, np.ones((9, 9, 7)))
            assert np.array_equal(before[~reach | ~gland], after[~reach | ~gland])
            ratio = after[mask].mean() / before[mask].mean()
            if size < 10:
                assert (ratio > 1.05) if sequence == "hbv" else (ratio < 0.95)
            elif scores == {3}:
                assert (ratio > 1.2) if sequence == "hbv" else (ratio < 0.9)
            else:
                assert (ratio > 1.3) if sequence == "hbv" else (ratio < 0.85)


def test_the_report_names_the_lesions_and_nothing_that_nobody_knows(made):
    for case in made.cases:
        of_a = case.patient == "of A"
        new = [each for each in case.fields.lesions if each.size_mm]
        assert case.pathology == "positive" and case.positive_means == "pirads"
        assert len(case.reports) == 3
        for report in case.reports:
            assert all(f"{each.size_mm:.0f} mm" in report and each.side in report.lower() for each in new)
            assert all(f"PI-RADS {each.pirads}" in report for each in new)
            assert "BPH" not in report and "rectum" not in report and "ISUP" not in report
            assert ("3 T, no endorectal coil" in report and "61" in report) == of_a
        if of_a:
            assert case.pirads == max(each.pirads for each in new) and case.knows_lesion
        else:
            # Its own lesion has no score and no outline.
            assert case.pirads is None and not case.knows_lesion and case.fields.lesions[-1] == OWN
            assert all((each.side, each.level) != (OWN.side, OWN.level) for each in new)


@pytest.mark.medium  # starts two processes
def test_the_same_seed_gives_the_same_cases_and_another_does_not(source, made, tmp_path):
    settings = ImplantSettings(copies=1, wordings=3)
    again, _ = implant(source, settings, tmp_path / "again", jobs=2)
    assert again.cases == (made.cases[0], made.cases[8])
    other, _ = implant(source, settings.model_copy(update={"seed": 1}), tmp_path / "other")
    assert other.cases[0].sha256 != made.cases[0].sha256


def test_the_command_makes_the_same(source, made, tmp_path):
    out = tmp_path / "out"
    options = ["--out", str(out), "--copies", "1", "--wordings", "3", "--jobs", "1", "--json"]
    said = CliRunner().invoke(app, ["implant", str(source.folder), *options])
    assert said.exit_code == 0, said.output
    assert PreparedSet.open(out).cases[1] == made.cases[8] and (out / "quality.html").is_file()


def test_a_case_with_a_damaged_file_is_left_out_by_name(tmp_path):
    folder = tmp_path / "prepared"
    prepared_in(folder, *(add_case(folder, name) for name in ("cut", "good", "pipe")))
    (folder / volume_path("cut", "t2w")).write_bytes(b"cut")
    pipe = folder / regions_path("pipe")
    pipe.unlink()
    pipe.symlink_to("/dev/zero")  # as a pipe, it never ends
    command = ["implant", str(folder), "--out", str(tmp_path / "out"), "--copies", "1", "--jobs", "1"]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 3 and "2 were left out" in said.output, said.output
    assert "Left out: cut-implanted1: " in said.output and "pipe or a device" in said.output
    assert [case.id for case in PreparedSet.open(tmp_path / "out").cases] == ["good-implanted1"]
    (folder / volume_path("good", "adc")).unlink()
    with pytest.raises(InputError, match=r"None of the cases in .* can be used .*cut_t2w.nii.gz is missing or damaged"):
        implant(PreparedSet.open(folder), ImplantSettings(copies=1), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_cannot_be_used_is_refused(source, made, tmp_path):
    settings = ImplantSettings(copies=1)
    with pytest.raises(InputError, match=r"No training case in .* has a mask of the gland"):
        implant(PreparedSet(source.folder, source.settings, source.cases[2:]), settings, tmp_path / "out")
    with pytest.raises(InputError, match="holds no training cases"):
        implant(PreparedSet(source.folder, source.settings, source.cases[2:3]), settings, tmp_path / "out")
    with pytest.raises(InputError, match=r"holds other cases \(A\); choose another folder"):
        implant(source, settings, source.folder)
    tiny = tmp_path / "tiny"
    case = add_case(tiny, "T")
    speck = np.zeros(SHAPE, np.uint8)
    speck[30:32, 30:32, 9] = 1
    path = regions_path("T")
    hashes = {**case.sha256, path: write_volume(tiny / path, speck, np.eye(4))}
    with pytest.raises(InputError, match="No lesion fits into a gland"):
        implant(prepared_in(tiny, case.model_copy(update={"sha256": hashes})), settings, tmp_path / "none")
    assert not (tmp_path / "none").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("zone", ["peripheral", "transition", None])
@pytest.mark.parametrize("level", [*LEVELS, None])
@pytest.mark.parametrize("shows", [(), ("t2w",), SEQUENCES])
def test_the_report_of_the_mirrored_patient_is_the_mirrored_report(zone, level, shows):
    lesions = (
        LesionFields(side="left", zone=zone, level=level, size_mm=14, pirads=4),
        LesionFields(side="right", zone=zone, level=level, size_mm=9, pirads=3, significant=True),
    )
    known = StructuredFields(lesions=lesions, pirads=4)
    for seed in range(40):
        report = write_known_report(known, seed=seed, shows=shows)
        assert mirrored_report(report) == write_known_report(known.mirrored(), seed=seed, shows=shows)
        assert shows or ("T2" not in report and "ADC" not in report)


def test_the_technique_is_found_in_every_layout():
    known = StructuredFields(age_years=61, gland_volume_ml=30)
    for seed in range(12):
        report = write_known_report(known, seed=seed, technique="1.5 T with endorectal coil, Philips Achieva")
        assert technique_in(report) == "1.5 T with endorectal coil, Philips Achieva"
        assert technique_in(write_known_report(known, seed=seed)) is None
