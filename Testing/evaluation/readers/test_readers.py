"""Reader studies: blind and resumable on the disk, and scores whose answers are known."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.evaluation.readers.report import save_reader_result
from ccella_core.evaluation.readers.scores import evaluate_readers
from ccella_core.evaluation.readers.sheets import Answer, Design, ReaderStudy

SYNTHETIC, REAL = [f"s{number}" for number in range(6)], [f"r{number}" for number in range(6)]


def study(folder: Path, design: Design = "single", seed: int = 1) -> ReaderStudy:
    return ReaderStudy.make(folder / "study", SYNTHETIC, REAL, design=design, seed=seed)


def answer(case: str, says: bool = True, **changes: Any) -> Answer:
    content = {"confidence": 3, "quality": 4, "pirads": None, "location": None, "seconds": 10.04}
    return Answer(case=case, says_synthetic=says, **{**content, **changes})


def read_all(made: ReaderStudy, reader: str, wrong: tuple[str, ...] = (), **changes: Any) -> None:
    """A reader who is right but for the cases whose first volume is named."""
    while (case := made.next_case(reader)) is not None:
        right = case.volumes[0] not in wrong
        made.save(reader, answer(case.name, case.is_synthetic == right, confidence=5 if right else 1, **changes))


def test_order_and_names_say_nothing(tmp_path: Path) -> None:
    made = study(tmp_path)
    assert [case.name for case in made.cases] == [f"case {number:02}" for number in range(1, 13)]
    truth = [case.is_synthetic for case in made.cases]
    assert sum(truth) == 6 and truth != sorted(truth) and truth != sorted(truth, reverse=True)
    open_text = (made.folder / "study.json").read_text(encoding="utf-8")
    assert "synthetic" not in open_text and not any(f'"{name}"' in open_text for name in (*SYNTHETIC, *REAL))
    orders = {reader: [case.name for case in made.order(reader)] for reader in ("Anna", "Ben")}
    assert orders["Anna"] != orders["Ben"] and sorted(orders["Anna"]) == sorted(orders["Ben"])
    assert [case.name for case in ReaderStudy.open(made.folder).order("Anna")] == orders["Anna"]


def test_of_pairs_the_left_one_is_synthetic_as_often_as_not(tmp_path: Path) -> None:
    made = study(tmp_path, "pairs")
    assert sum(case.is_synthetic for case in made.cases) == 3 and len(made.cases) == 6
    for case in made.cases:
        left, right = case.volumes
        assert left.startswith("s") == case.is_synthetic and left[1] == right[1] and left != right


def test_a_study_goes_on_where_it_was_left(tmp_path: Path) -> None:
    made = study(tmp_path)
    first = made.next_case("Anna")
    assert first is not None and made.readers() == []
    made.save("Anna", answer(first.name, location=(1, -2, 3.5), pirads=4))
    again = ReaderStudy.open(made.folder)
    assert again == made and again.readers() == ["Anna"]
    assert again.answers("Anna") == [answer(first.name, location=(1.0, -2.0, 3.5), pirads=4, seconds=10.0)]
    second = again.next_case("Anna")
    assert second == made.order("Anna")[1] and again.next_case("Ben") == made.order("Ben")[0]


@pytest.mark.parametrize(
    ("synthetic", "real", "design", "words"),
    [
        ([], REAL, "single", "no synthetic case"),
        (SYNTHETIC, [], "single", "no real case"),
        (["a", "a"], REAL, "single", "in the study twice"),
        (["a"], ["a"], "single", "in the study twice"),
        (SYNTHETIC, REAL[:2], "pairs", "6 synthetic and 2 real volumes; for pairs give as many"),
    ],
)
def test_studies_that_cannot_be_made(
    tmp_path: Path, synthetic: list[str], real: list[str], design: Design, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        ReaderStudy.make(tmp_path / "study", synthetic, real, design=design)
    assert not (tmp_path / "study").exists()


def test_a_second_study_is_not_written_over_the_first(tmp_path: Path) -> None:
    study(tmp_path)
    with pytest.raises(InputError, match="holds a study already; go on with it"):
        study(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"confidence": 0}, "confidence is a whole number from 1 to 5, not 0"),
        ({"quality": 6}, "quality is a whole number from 1 to 5, not 6"),
        ({"quality": 2.5}, "quality is a whole number"),
        ({"pirads": True}, "PI-RADS is a whole number"),
        ({"location": (1, 2)}, "three numbers"),
        ({"location": (1, 2, float("nan"))}, "three numbers"),
        ({"seconds": -1}, "seconds are a number from 0"),
        ({"case": "case 99"}, "The study has no case 99"),
        ({"says": None}, "not a bool"),
    ],
)
def test_answers_that_are_none_are_not_kept(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    made = study(tmp_path)
    with pytest.raises(InputError, match=words):
        made.save("Anna", answer(**{"case": "case 01", **changes}))
    assert made.answers("Anna") == [] and made.readers() == []


def test_a_case_is_answered_once(tmp_path: Path) -> None:
    made = study(tmp_path)
    made.save("Anna", answer("case 01"))
    with pytest.raises(InputError, match="Anna has answered case 01 already"):
        made.save("Anna", answer("case 01", says=False))
    for name in ("", "../Anna", "A/B", "Anna.", "x" * 41):
        with pytest.raises(InputError, match="A reader's name has up to 40 letters"):
            made.save(name, answer("case 02"))


def damage(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")


def test_files_of_another_study_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    made, other = study(tmp_path / "a"), study(tmp_path / "b")
    read_all(made, "Anna")
    sheet = made.folder / "answers" / "Anna.json"
    whole = sheet.read_text(encoding="utf-8")
    (other.folder / "answers").mkdir()
    (other.folder / "answers" / "Anna.json").write_text(whole, encoding="utf-8")
    with pytest.raises(InputError, match=r"Anna\.json holds answers of another study"):
        evaluate_readers(other.folder)
    content = json.loads(whole)["answers"]
    for answers, words in (
        ([*content, content[0]], "answers a case twice"),
        ([{**content[0], "case": "case 99"}], "answers case 99, which the study does not have"),
        ([{**content[0], "quality": 9}], "is damaged: .*quality"),
        ([{"case": "case 01"}], "is damaged"),
        (7, "is damaged"),
    ):
        damage(sheet, answers=answers)
        with pytest.raises(InputError, match=words):
            evaluate_readers(made.folder)
    sheet.write_text(whole[:-20], encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        evaluate_readers(made.folder)
    damage(other.folder / "key.json", study="f" * 32)
    with pytest.raises(InputError, match="is the key of another study"):
        ReaderStudy.open(other.folder)
    with pytest.raises(InputError, match="is not the folder of a reader study"):
        ReaderStudy.open(tmp_path)


def test_nothing_is_shown_before_the_last_case(tmp_path: Path) -> None:
    made = study(tmp_path)
    with pytest.raises(InputError, match="Nobody has answered anything"):
        evaluate_readers(made.folder)
    read_all(made, "Anna")
    made.save("Ben", answer("case 03"))
    with pytest.raises(InputError, match="Ben has answered 1 of 12 cases; results are shown after the last one"):
        evaluate_readers(made.folder)


def test_scores_of_known_answers(tmp_path: Path) -> None:
    made = study(tmp_path)
    read_all(made, "Anna")
    read_all(made, "Ben", wrong=("s0", "s1", "r0"), seconds=30.0)
    result = evaluate_readers(made.folder)
    assert (result.cases, result.synthetic, [each.reader for each in result.readers]) == (12, 6, ["Anna", "Ben"])
    anna, ben = result.readers
    assert (anna.accuracy.value, anna.auroc.value) == (1, 1)
    # Wilson: of 9 in 12, 0.4677 to 0.9111.
    assert (ben.accuracy.value, ben.accuracy.n) == (0.75, 12)
    assert (ben.accuracy.low, ben.accuracy.high) == (pytest.approx(0.4677, abs=1e-4), pytest.approx(0.9111, abs=1e-4))
    assert (ben.synthetic_found.count, ben.real_found.count) == (4, 5)
    # Four synthetic ones lie above all; two lie (unsure: real) above the five sure real ones, below the unsure sixth.
    assert ben.auroc.value == pytest.approx((4 * 6 + 2 * 5) / 36)
    assert ben.roc == [(0, 0), (0, pytest.approx(4 / 6)), (pytest.approx(1 / 6), pytest.approx(4 / 6)),
                       (pytest.approx(1 / 6), 1), (1, 1)]  # fmt: skip
    assert ben.seconds == (30, 30, 30) and anna.quality_synthetic == 4
    kappa = {each.question: each.kappa for each in result.agreement}
    # 9 of 12 alike; Anna calls 6 synthetic, Ben 5: by chance (6·5 + 6·7) / 144 = 1/2.
    assert kappa["synthetic or real"].value == pytest.approx((0.75 - 0.5) / 0.5)
    assert kappa["PI-RADS"].n == 0 and kappa["PI-RADS"].value is None
    assert [row.case for row in result.answers if not row.is_right and row.reader == "Ben"] == [
        case.name for case in made.order("Ben") if case.volumes[0] in ("s0", "s1", "r0")
    ]


def test_three_readers_have_fleiss_kappa_too(tmp_path: Path) -> None:
    made = study(tmp_path, "pairs")
    for reader, wrong in (("A", ()), ("B", ("s1", "r1")), ("C", ())):
        read_all(made, reader, wrong, pirads=4)
    agreement = [each for each in evaluate_readers(made.folder).agreement if each.question == "synthetic or real"]
    assert [each.readers for each in agreement] == [["A", "B"], ["A", "C"], ["B", "C"], ["A", "B", "C"]]
    assert agreement[1].kappa.value == 1 and agreement[3].kappa.n == 6
    # One of six cases is two against one, of 9 and 9 words: (16/18 - 1/2) / (1/2), the words not quite as often.
    assert 0.7 < agreement[3].kappa.value < 0.8  # type: ignore[operator]


@pytest.mark.medium
def test_the_command_writes_page_and_tables(tmp_path: Path) -> None:
    made = study(tmp_path)
    read_all(made, "Anna", wrong=("s0",), location=(1.5, 2, 3))
    read_all(made, "Ben")
    done = CliRunner().invoke(app, ["evaluate", "readers", str(made.folder), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "| Anna | 91.7% (11/12; 95 % 65% to 99%) |" in done.stdout
    with (tmp_path / "out" / "cases.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24 and rows[0]["right_mm"] == "1.5" and rows[-1]["right_mm"] == ""
    page = (tmp_path / "out" / "readers.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2 and "SYNTHETIC - not for diagnosis" in page and "<script" not in page
    as_json = CliRunner().invoke(app, ["evaluate", "readers", str(made.folder), "--json"])
    assert json.loads(as_json.stdout) == json.loads((made.folder / "readers.json").read_text(encoding="utf-8"))
    nothing = CliRunner().invoke(app, ["evaluate", "readers", str(tmp_path)])
    assert nothing.exit_code == 2 and "is not the folder of a reader study" in nothing.stderr


def test_names_are_escaped_on_the_page(tmp_path: Path) -> None:
    made = ReaderStudy.make(tmp_path / "study", ["<b>s</b>"], ["r"], design="single", seed=1)
    read_all(made, "Anna")
    page = save_reader_result(evaluate_readers(made.folder), tmp_path).read_text(encoding="utf-8")
    assert "&lt;b&gt;s&lt;/b&gt;" in page and "<b>s" not in page


def test_sheets_need_the_standard_library_only() -> None:
    program = (
        "import sys; before = set(sys.modules); import ccella_core.evaluation.readers.sheets; "
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["ccella_core"]
