"""What came from the field: odd cases are left out by name or used with a warning, and the others go on."""

from __future__ import annotations

import json
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_writing import write_slice
from killed import ending_its_process

from ccella_core.cases import prepare as module
from ccella_core.cases.case import Case, SourceCases
from ccella_core.cases.layouts import read_source
from ccella_core.cases.manifest import read_manifest
from ccella_core.cases.prepare import prepare
from ccella_core.cases.prepared import PreparedSet, PrepareSettings
from ccella_core.cases.prostatex import find_series
from ccella_core.cases.quality import write_quality_report
from ccella_core.errors import InputError
from ccella_core.imaging.intensity import adc_in_units, without_padding

SETTINGS = PrepareSettings(shape=(8, 8, 4), spacing=(2.0, 2.0, 4.0))
RAMP = np.broadcast_to(np.arange(1, 9, dtype=np.float32)[:, None, None] * 100, (8, 8, 4))


def write_image(path: Path, voxels: np.ndarray = RAMP, origin=(0.0, 0.0, 0.0)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    image.SetSpacing((2.0, 2.0, 4.0))
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return path


def case(folder: Path, name: str, voxels: np.ndarray = RAMP, **more) -> Case:
    images = {"t2w": write_image(folder / f"{name}.mha", voxels), **more.pop("images", {})}
    return Case(**{"id": name, "patient": name, "images": images, "pathology": "positive", "split": "train", **more})


def reasons(cases: list[Case], out: Path, settings: PrepareSettings = SETTINGS) -> tuple[PreparedSet, dict[str, str]]:
    prepared, refused = prepare(SourceCases(tuple(cases)), settings, out)
    return prepared, dict(refused)


# Reports


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ("x" * 30_039, "30039 characters"), ("\x01\x02", "no printable characters"),
        ("cut \ud83d", "not valid Unicode"),
        (r"{\rtf1\ansi FINDINGS: lesion.\par}", r"RTF \(rich text\), not plain text"),
        ("MSH|^~\\&|RIS\nOBX|1|TX|&GDT||Lesion.||||||F", "an HL7 message"), ("OBX|1|TX|&GDT||Lesion.||||||F", "HL7"),
        ("<html><body>Lesion</body></html>", "HTML or XML"), ('{"report": "Lesion."}', "JSON"), ("%PDF-1.4", "a PDF"),
    ],
)  # fmt: skip
def test_a_report_that_training_refuses_is_left_out_by_prepare(tmp_path, report, words):
    odd = case(tmp_path, "odd", reports=("Lesion, < 5 mm.",), report_source="given").model_copy(
        update={"reports": (report,)}
    )
    prepared, refused = prepare(SourceCases((case(tmp_path, "good"), odd)), SETTINGS, tmp_path / "out")
    assert [each.id for each in prepared.cases] == ["good"] and [each.id for each in refused] == ["odd"]
    assert re.search(words, refused[0].reason)


@pytest.mark.parametrize("word", ["nan", "NaN", "N/A", "-", "none", " null ", "–", "#N/A"])
def test_a_word_for_nothing_is_an_empty_cell_and_counted(tmp_path, word):
    write_image(tmp_path / "t2.mha")
    (tmp_path / "m.csv").write_text(
        f"case,t2w,pirads,report\na,t2.mha,4,{word}\nb,t2.mha,4,Lesion.\n", encoding="utf-8"
    )
    found = read_manifest(tmp_path / "m.csv")
    assert [each.reports for each in found.cases] == [(), ("Lesion.",)] and found.cases[0].report_source == "none"
    assert "1 cells in the column report hold a word for nothing" in found.warnings[0]


def test_a_report_of_a_word_for_nothing_alone_is_none(tmp_path):
    write_image(tmp_path / "t2.mha")
    (tmp_path / "a.txt").write_text("\n NaN \n")
    lines = [{"case": "a", "t2w": "t2.mha", "report_file": "a.txt"},
             {"case": "b", "t2w": "t2.mha", "reports": ["nan", "Lesion."]}]  # fmt: skip
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    cases, refused, _ = read_manifest(tmp_path / "m.jsonl")
    assert [each.reports for each in cases] == [(), ("Lesion.",)] and cases[0].report_source == "none" and not refused
    assert all("a word for nothing, and was left out" in each.warnings[0] for each in cases)


def test_lone_surrogates_cost_their_line(tmp_path):
    write_image(tmp_path / "t2.mha")
    lines = [{"case": "a", "t2w": "t2.mha", "pirads": 4},
             {"case": "b", "t2w": "t2.mha", "pirads": 4, "report": "\ud83d"},
             {"case": "c\udc00", "t2w": "t2.mha", "pirads": 4}]  # fmt: skip
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    cases, refused = read_manifest(tmp_path / "m.jsonl")[:2]
    assert [each.id for each in cases] == ["a"] and [name for name, _ in refused] == ["b", "c?"]


def test_rare_line_ends_in_a_report_divide_nothing(tmp_path):
    reports = ("One.\u2028Two.\u0085Three.\x0bFour.",)
    prepare(SourceCases((case(tmp_path, "a", reports=reports, report_source="given"),)), SETTINGS, tmp_path / "out")
    assert PreparedSet.open(tmp_path / "out").cases[0].reports == reports


# Facts


@pytest.mark.parametrize(
    ("column", "value"),
    [("gland_volume_ml", "308"), ("gland_volume_ml", "0"), ("age_years", "640"), ("psa_ng_ml", "-1"), ("isup", "9"),
     ("psa_ng_ml", "high")],
)  # fmt: skip
def test_a_fact_out_of_range_is_a_warning_that_reaches_table_and_page(tmp_path, column, value):
    write_image(tmp_path / "t2.mha")
    (tmp_path / "m.csv").write_text(f"case,t2w,pirads,split,{column}\na,t2.mha,4,train,{value}\n", encoding="utf-8")
    found = read_manifest(tmp_path / "m.csv")
    prepared, refused = prepare(found, SETTINGS, tmp_path / "out")
    assert not refused and getattr(prepared.cases[0].fields, column) is None and prepared.cases[0].fields.pirads == 4
    (warning,) = prepared.cases[0].warnings
    assert warning.startswith(f"{column} is '{value}', not a number from ")
    assert f"{column} is" in write_quality_report(prepared, refused).read_text(encoding="utf-8")


def test_a_manifest_line_without_a_name_does_not_print_its_report(tmp_path):
    write_image(tmp_path / "t2.mha")
    (tmp_path / "m.jsonl").write_text('{"t2w": "t2.mha", "pirads": 4, "report": "Secret."}')
    ((name, reason),) = read_manifest(tmp_path / "m.jsonl").refused
    assert name == "line 1" and "case is missing" in reason and "Secret" not in reason


# Scans and masks


def test_padding_is_left_out_and_said(tmp_path):
    padded = RAMP.copy()
    padded[0] = -32768
    prepared, _ = reasons([case(tmp_path, "plain", RAMP), case(tmp_path, "padded", padded)], tmp_path / "out")
    _, odd = prepared.cases
    assert odd.warnings == ("12% of the t2w's voxels are padding (-32768) and were left out.",)
    np.testing.assert_allclose(np.unique(prepared.voxels(odd, "t2w")), [0, *np.linspace(1 / 6, 1, 6)], atol=0.01)


@pytest.mark.parametrize(("value", "is_padding"), [(-1024, True), (-1, True), (65535, True), (0, False), (100, False)])
def test_what_padding_is(value, is_padding):
    voxels = np.linspace(0, 2000, 1000)
    voxels[:100] = value
    mended, real = without_padding(voxels, lambda _: None)
    assert bool((~real).any()) == is_padding
    assert mended.min() >= 0 and mended.max() <= 2000


@pytest.mark.parametrize(("factor", "unit"), [(1e-6, "mm²/s"), (1e-3, "10⁻³ mm²/s"), (1.0, None)])
def test_an_adc_in_another_unit_is_brought_to_its_own(factor, unit):
    adc, warnings = np.linspace(0, 2500, 1000), []
    np.testing.assert_allclose(adc_in_units(adc * factor, warnings.append), adc, rtol=1e-5)
    assert len(warnings) == (unit is not None) and all(unit in warning for warning in warnings)


@pytest.mark.parametrize("factor", [10.0, 100.0, 1 / 2500, 0.05, 1e-9])
def test_an_adc_of_no_known_unit_is_asked_about(factor):
    with pytest.raises(InputError, match="In which unit is it"):
        adc_in_units(np.linspace(0, 2500, 1000) * factor, lambda _: None)


def test_masks_that_lie_elsewhere_or_are_none(tmp_path):
    mask = np.zeros(RAMP.shape, np.float32)
    mask[2:6, 2:6, 1:3] = 1
    good = write_image(tmp_path / "gland.mha", mask)
    cases = [
        case(tmp_path, "far", gland=write_image(tmp_path / "far_gland.mha", mask, origin=(500, 0, 0))),
        case(tmp_path, "half", gland=write_image(tmp_path / "half_gland.mha", mask, origin=(11, 0, 0))),
        case(tmp_path, "lesion", gland=good, lesion=write_image(tmp_path / "far_lesion.mha", mask, origin=(0, 0, 90))),
        case(tmp_path, "percent", gland=write_image(tmp_path / "p.mha", mask * 0.7)),
        case(tmp_path, "alone", lesion=good),
        case(tmp_path, "good", gland=good),
    ]
    prepared, refused = reasons(cases, tmp_path / "out")
    assert {each.id: each.has_regions for each in prepared.cases} == {"alone": False, "good": True}
    assert "gland lies outside the scan" in refused["far"] and "outside the scan" in refused["half"]
    assert "lesion lies outside the scan" in refused["lesion"] and "threshold it" in refused["percent"]
    assert "mask of the lesion is not used" in prepared.cases[0].warnings[0]


# Runs


def test_any_fault_costs_one_case(tmp_path, monkeypatch):
    plain = module.read_scan

    def faulty(path, *rest):
        if path.stem == "odd":
            raise RuntimeError("something\nthat nobody thought of")
        return plain(path, *rest)

    monkeypatch.setattr(module, "read_scan", faulty)
    prepared, refused = reasons([case(tmp_path, "odd"), case(tmp_path, "good")], tmp_path / "out")
    assert [each.id for each in prepared.cases] == ["good"] and "that nobody thought of" in refused["odd"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes otherwise")
def test_a_process_that_is_killed_costs_the_case_in_its_hands(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "prepare_case", ending_its_process)
    cases = [case(tmp_path, name) for name in ("a", "killer", "b", "c")]
    prepared, refused = prepare(SourceCases(tuple(cases)), SETTINGS, tmp_path / "out", jobs=2)
    assert [each.id for each in prepared.cases] == ["a", "b", "c"]
    assert [each.id for each in refused] == ["killer"] and "The system ended the process" in refused[0].reason


def test_a_folder_that_changes_meanwhile_costs_one_case(tmp_path):
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "gone.dcm").symlink_to(tmp_path / "nowhere")
    odd = case(tmp_path, "odd").model_copy(update={"images": {"t2w": tmp_path / "dicom"}})
    prepared, refused = reasons([case(tmp_path, "a"), odd], tmp_path / "out")
    assert [each.id for each in prepared.cases] == ["a"] and "There is no DICOM series" in refused["odd"]


def test_a_refused_run_does_not_stop_the_corrected_one(tmp_path):
    wrong = case(tmp_path, "a", spacing_mm=(1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="None of the 1 cases"):
        prepare(SourceCases((wrong,)), SETTINGS.model_copy(update={"shape": (4, 4, 4)}), tmp_path / "out")
    assert len(reasons([case(tmp_path, "a")], tmp_path / "out")[0].cases) == 1


@pytest.mark.parametrize("change", [{"shape": (0, 8, 8)}, {"shape": (8, 8, 10**6)}, {"spacing": (0, 1, 1)},
                                    {"spacing": (float("nan"), 1, 1)}, {"spacing": (1e-30, 1, 1)},
                                    {"sequences": ("t2w", "t2w")}])  # fmt: skip
def test_settings_that_cannot_be_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        PrepareSettings(**change)


@pytest.mark.parametrize("name", ["../../x", "/x", "a/b", "..", "x" * 300, "a\0b", "CON"])
def test_a_table_altered_by_hand_leads_nowhere_else(tmp_path, name):
    prepare(SourceCases((case(tmp_path, "a"),)), SETTINGS, tmp_path / "out")
    table = tmp_path / "out" / "cases.jsonl"
    table.write_text(table.read_text().replace('"id":"a"', f'"id":{json.dumps(name)}'))
    with pytest.raises(InputError, match="cannot be the name of a case"):
        PreparedSet.open(tmp_path / "out")


def test_a_case_that_stands_twice_is_noticed(tmp_path):
    prepare(SourceCases((case(tmp_path, "a"),)), SETTINGS, tmp_path / "out")
    table = tmp_path / "out" / "cases.jsonl"
    table.write_text(table.read_text() * 2)
    with pytest.raises(InputError, match="stands twice"):
        PreparedSet.open(tmp_path / "out")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_what_holds_reports_is_its_owners_alone(tmp_path):
    prepared, _ = reasons([case(tmp_path, "a", reports=("Lesion.",), report_source="given")], tmp_path / "out")
    page = write_quality_report(prepared, ())
    for path in (tmp_path / "out" / "cases.jsonl", page):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


# Archives


COLUMNS = (
    "patient_id,study_id,patient_age,psa,prostate_volume,histopath_type,lesion_PIRADS,lesion_ISUP,case_ISUP,case_csPCa"
)


def picai(folder: Path, *lines: str) -> Path:
    for line in lines:
        name = "_".join(line.split(",")[:2])
        write_image(folder / "images" / name.split("_")[0] / f"{name}_t2w.mha")
    (folder / "marksheet.csv").write_text("\n".join((COLUMNS, *lines)) + "\n", encoding="utf-8")
    return folder


def test_the_user_chooses_what_positive_means(tmp_path, caplog):
    folder = picai(
        tmp_path, '1,10,64,8,50,MRBx,"4,2","1,0",1,NO', "2,20,64,8,50,MRBx,5,3,3,YES", "3,30,64,8,50,,2,,0,NO"
    )
    with caplog.at_level("INFO", "ccella_core"):
        by_score, by_tissue = read_source(folder).cases, read_source(folder, positive="cspca").cases
    assert [each.pathology for each in by_score] == ["positive", "positive", "negative"]
    assert [each.pathology for each in by_tissue] == ["negative", "positive", "negative"]
    assert [each.pirads for each in by_tissue] == [4, 5, 2]
    assert [(lesion.pirads, lesion.isup) for lesion in by_score[0].fields.lesions] == [(4, 1), (2, 0)]
    assert by_score[2].fields.isup is None, "no tissue was taken: 0 is the table's default"
    assert "positive means PI-RADS 3 to 5" in caplog.text and "positive means clinically significant" in caplog.text
    prepared, _ = prepare(SourceCases(tuple(each.model_copy(update={"split": "train"}) for each in by_tissue)),
                          SETTINGS, tmp_path / "out")  # fmt: skip
    assert prepared.positive_means == ("cspca",) and prepared.cases[0].pirads == 4
    page = write_quality_report(prepared, ()).read_text(encoding="utf-8")
    assert "Positive means clinically significant cancer in the histology" in page


def test_what_macos_puts_beside_a_file_is_no_scan(tmp_path):
    folder = picai(tmp_path, "1,10,64,8,50,MRBx,5,3,3,YES")
    (folder / "images" / "1" / "._1_10_t2w.mha").write_bytes(b"\0\5\x16\7")
    source = read_source(folder)
    assert [each.id for each in source.cases] == ["1_10"] and not source.refused


def test_an_experts_mask_goes_before_a_networks(tmp_path):
    folder = picai(tmp_path, "1,10,64,8,50,MRBx,5,3,3,YES")
    lesions = tmp_path / "picai_labels" / "csPCa_lesion_delineations"
    for maker in ("AI/Bosma22a", "human_expert/Newer26", "human_expert/original", "human_expert/resampled"):
        write_image(lesions / maker / "1_10.nii.gz")
        expected = maker if maker != "human_expert/original" else "human_expert/original"
        assert read_source(folder).cases[0].lesion == lesions / expected / "1_10.nii.gz"


def test_series_go_by_number_and_never_come_from_two_examinations(tmp_path):
    patient = tmp_path / "ProstateX-0001"
    voxels = np.arange(16, dtype=np.uint16).reshape(4, 4)

    def series(folder: str, number: int, description: str, study: str) -> None:
        for index in range(2):
            write_slice(patient / folder / f"{index}.IMA", 3.0 * index, voxels + index, number=number, study=study,
                        series=f"{study}{number}", description=description)  # fmt: skip

    series("01-05-2012-NA-MR-1/4.000000-t2tsetra-1", 4, "t2_tse_tra", "1")
    series("01-05-2012-NA-MR-1/10.000000-t2tsetra-2", 10, "t2_tse_tra", "1")
    assert find_series(patient)["t2w"].name.startswith("10.")
    series("06-05-2013-NA-MR-2/4.000000-t2tsetra-3", 4, "t2_tse_tra", "2")
    assert find_series(patient)["t2w"].parent.name.startswith("06-05-2013"), "the latest"
    series("01-05-2012-NA-MR-1/7.000000-ADC-4", 7, "ep2d_diff_tra_DYNDIST_ADC", "1")
    warnings: list[str] = []
    found = find_series(patient, warnings.append)
    assert {path.parent.name for path in found.values()} == {"01-05-2012-NA-MR-1"} and len(found) == 2
    assert warnings == ["of its 2 examinations the one in 01-05-2012-NA-MR-1 was taken"]
