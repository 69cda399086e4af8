"""The collection of cases from the field, each read by the real command; other tests build the same kinds anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.imaging.scans import as_mask, read_scan

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
pytestmark = [
    pytest.mark.medium,
    pytest.mark.skipif(not CASES.is_dir(), reason="the collection of cases ../shared/cases is not here"),
]


def found(pattern: str) -> Path:
    (path,) = CASES.glob(pattern)
    return path


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("01*/manifest.csv", 3, ("is incomplete: 48794 of 98656 bytes",)),
        ("02*/manifest.csv", 3, ("is incomplete: 98135 of 196960 bytes",)),
        ("02*/manifest-nii.csv", 3, ("is incomplete: 98480 of 196960 bytes",)),
        ("03*/complex.csv", 3, ("holds complex numbers",)),
        ("03*/surrogate.jsonl", 3, ("line 2: report: it holds halves of characters",)),
        ("08*/picai", 0, ("positive",)),
        ("09*/picai", 0, ()),
        ("10*/picai", 0, ("20011_2000101: prostate_volume is '308'", "3 have warnings")),
        ("11*/prostatex-latin1", 0, ("was read as Latin-1",)),
        ("11*/prostatex-semicolon", 0, ()),
        ("12*/series-4-and-10", 0, ()),
        ("12*/two-studies", 0, ("of its 2 examinations the one in",)),
        ("13*/ima", 0, ()),
        ("14*/far.csv", 2, ("lies outside the scan",)),
        ("14*/units.csv", 2, ("1000 x 1000 x 3000 mm", "0.001 x 0.001 x 0.003 mm")),
        ("14*/lesion-only.csv", 0, ("mask of the lesion is not used",)),
        ("15*/gland.csv", 2, ("holds probabilities",)),
        ("15*/mask-nan.csv", 2, ("holds NaN",)),
        ("16*/mm2-s.csv", 0, ("mm²/s",)),
        ("16*/x10.csv", 2, ("In which unit is it?",)),
        ("18*/manifest.csv", 0, ("hold a word for nothing",)),
        ("19*/control.jsonl", 3, ("printable",)),
        ("19*/long.csv", 3, ("30039 characters",)),
        ("26*/manifest.csv", 0, ("are padding (-32768) and were left out",)),
    ],
)
def test_prepare(
    source: str, code: int, said: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CASES)  # the manifests name files from there
    options = ["--out", str(tmp_path), "--shape", "64", "64", "32", "--spacing", "1.5", "1.5", "3"]
    sequences = ["--sequences", "t2w,adc"] if source.startswith("16") else []
    ended = CliRunner().invoke(app, ["prepare", str(found(source).relative_to(CASES)), *options, *sequences])
    assert ended.exit_code == code and "Traceback" not in ended.output, ended.output
    assert all(words in ended.output for words in said), ended.output


@pytest.mark.parametrize(
    ("scan", "said"),
    [
        ("04*/one-slice.dcm", "is one slice, not a three-dimensional scan; give the folder"),
        ("05*/dwi-two-b.dcm", r"has 2 images at each place \(b-values 0, 1400\); keep one"),
        ("05*/dwi-slice-major.dcm", r"has 2 images at each place \(b-values 0, 1400\); keep one"),
        ("05*/seg-two-zones.dcm", "is a segmentation, not a scan"),
        ("06*/three-b-values", r"has 3 images at each place \(b-values 0, 400, 1400\); keep one"),
        ("06*/two-files-one-place", "has 2 images at each place"),
        ("06*/no-positions", "does not say where 12 of its 12 images lie"),
        ("07*/sheared", "shifted against each other, by 11.0 mm"),
        ("22*/half.mha", "is incomplete: 49002 of 98304 bytes"),
        ("22*/layers.seg.nrrd", "has 2 layers; export each segment"),
        ("22*/one-of-a-series.dcm", "is one slice"),
        ("22*/t2.zip", "is an archive"),
        ("22*/two-sizes", "06.dcm in .* has 48 x 48 voxels, the others 64 x 64"),
    ],
)
def test_what_is_no_scan_is_refused_in_our_words(scan: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_scan(found(scan))


@pytest.mark.parametrize(
    ("scan", "warnings"),
    [
        ("05*/t2-frames-interleaved.dcm", 0),
        ("05*/adc-slope-by-frame.dcm", 0),
        ("06*/every-slice-twice", 1),
        ("06*/one-slice-copied", 1),
        ("22*/nifti2.nii.gz", 0),
        ("22*/sheared.nii.gz", 1),
    ],
)
def test_what_can_be_read_is_read_where_it_lies(scan: str, warnings: int) -> None:
    told: list[str] = []
    image = read_scan(found(scan), told.append)
    assert image.GetSize() == (64, 64, 12) and image.GetSpacing() == pytest.approx((1, 1, 3), abs=0.01)
    assert len(told) == warnings, told


def test_segments_are_taken_together() -> None:
    told: list[str] = []
    as_mask(found("05*/seg-two-zones.dcm"), told.append)
    assert "2 segments" in told[0]


@pytest.mark.parametrize(("report", "words"), [("report.rtf", None), ("report.hl7", "an HL7 message, not plain text")])
def test_markup_is_taken_out_or_refused(report: str, words: str | None, tiny_model: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(
        app,
        ["generate", "--model", str(tiny_model), "--device", "cpu", "--steps", "1", "--out", str(tmp_path),
         "--report-file", str(found(f"25*/{report}"))],
    )  # fmt: skip
    assert ended.exit_code == (0 if words is None else 2), ended.output
    assert ("its text was taken out" if words is None else words) in ended.stderr
