"""A table of reports: every kind that is read, and every bad row by its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

HEADER = "name,report,report_file,pathology,seed,count,steps"


@pytest.fixture
def batch(slicer_bench: Any) -> Any:
    """The module that reads tables, imported once Slicer's stand-ins are there."""
    from CCELLAGeneratorLib.generation import batch

    return batch


def write(folder: Path, text: str, encoding: str = "utf-8", name: str = "reports.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_every_kind_of_table(batch: Any, tmp_path: Path, delimiter: str, encoding: str, line_end: str) -> None:
    lines = [
        HEADER.replace(",", delimiter),
        delimiter.join(["Fall Ä", '"PI-RADS 4, links;', 'zweite ""Zeile"" "', "", "positive", "0", "2", "30"]),
        "",
        delimiter.join(["", "Unauffällig.", "", "", "", "", ""]),
    ]
    text = line_end.join(lines).replace(f"links;{delimiter}", f"links;{line_end}")
    first, second = batch.read_rows(write(tmp_path, text, encoding))
    assert first == batch.BatchRow(2, "Fall Ä", f'PI-RADS 4, links;{line_end}zweite "Zeile"', "positive", 0, 2, 30)
    assert second == batch.BatchRow(5, "line5", "Unauffällig.")


def test_reports_in_files(batch: Any, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    write(tmp_path / "texts", "Läsion\nlinks \n", "utf-8-sig", "a.txt")
    absolute = write(tmp_path, "rechts", name="b.txt")
    rows = batch.read_rows(write(tmp_path, f"Report_File\ntexts/a.txt\n{absolute}\n"))
    assert [row.report for row in rows] == ["Läsion\nlinks", "rechts"]


@pytest.mark.parametrize(
    ("text", "pathology"), [("Negative", "negative"), ("0.25", 0.25), ('"0,25"', 0.25), ("1", 1.0), ("", None)]
)
def test_pathology(batch: Any, tmp_path: Path, text: str, pathology: Any) -> None:
    (row,) = batch.read_rows(write(tmp_path, f"report,pathology\nText,{text}\n"))
    assert row.pathology == pathology and type(row.pathology) is type(pathology)


def test_every_bad_row_is_named(batch: Any, tmp_path: Path) -> None:
    write(tmp_path, "  \n", name="empty.txt")
    write(tmp_path, "Läsion", "latin-1", name="latin.txt")
    rows = {
        "a,Text,,maybe,,,": "the pathology is .* not maybe",
        "b,Text,,1.5,,,": "the pathology is .* not 1.5",
        "c,Text,,nan,,,": "the pathology is .* not nan",
        "d,Text,,,-1,,": "seed is a whole number from 0 to .* not -1",
        "e,Text,,,9223372036854775808,,": "seed is a whole number",
        "f,Text,,,,0,": "count is a whole number from 1 to 64, not 0",
        "g,Text,,,,65,": "count is a whole number from 1 to 64, not 65",
        "h,Text,,,,,2.5": "steps is a whole number from 1 to 1000, not 2.5",
        "i,Text,,,,,²": "steps is a whole number",
        "j,,,,,,": "needs a report or a report_file",
        "k,Text,empty.txt,,,,": "needs a report or a report_file",
        "l,,missing.txt,,,,": "There is no file .*missing.txt",
        "m,,empty.txt,,,,": "empty.txt is empty",
        "n,,latin.txt,,,,": None,
        "o/p,Text,,,,,": "the name o/p",
        "SYNTHETIC_q,Text,,,,,": "the name SYNTHETIC_q",
        f"{'r' * 101},Text,,,,,": "the name r+ is too long",
        "s,Text, with commas,,,,,": "8 cells, but the header has 7",
        'u,"Text" open,,,,,': "this cannot be read as CSV",
        "t,Text,,,,,": None,
        "T,Text,,,,,": "the name T is that of line 21 too",
    }
    read = batch.read_rows(write(tmp_path, "\n".join([HEADER, *rows])))
    assert [row.line for row in read] == list(range(2, len(rows) + 2))
    for row, words in zip(read, rows.values(), strict=True):
        assert bool(row.problem) == bool(words) and re.search(words or "^$", row.problem), row.problem
    bad = [text for text, words in rows.items() if words][:3]
    with pytest.raises(batch.BatchError) as caught:
        batch.read_rows(write(tmp_path, "\n".join([HEADER, *bad])))
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == ["Line 2", "Line 3", "Line 4"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no rows"),
        (b"report\n", "no rows"),
        (b"report\n\n  \n", "no rows"),
        (b"text\nx\n", r"not known \(text\); known are name, report"),
        (b"report,,name\nx,y,z\n", "not known"),
        (b"report,report\nx,y\n", "twice"),
        (b"name,seed\nx,1\n", "needs a column"),
        (b'report\n"never ends\n', "Line 2: this cannot be read as CSV"),
        (b'"report\nx\n', "is not a table: this cannot be read as CSV"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is no text"),
    ],
)
def test_files_that_are_no_table(batch: Any, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "reports.csv"
    path.write_bytes(content)
    with pytest.raises(batch.BatchError, match=words):
        batch.read_rows(path)


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_no_file_at_all(batch: Any, tmp_path: Path, name: str) -> None:
    with pytest.raises(batch.BatchError, match="no file"):
        batch.read_rows(tmp_path / name)


def test_the_limits_are_the_library_s(batch: Any) -> None:
    from ccella_core import limits
    from ccella_core.generation.options import options_of
    from ccella_core.generation.sampling.schedulers import SchedulerConfig

    assert batch.LIMITS is limits and SchedulerConfig().num_train_timesteps == limits.MAX_STEPS
    last = limits.MAX_COUNT
    assert len(options_of({"seed": 2**63 - last, "count": last}).seeds) == last


def test_every_name_that_is_read_is_one_that_the_worker_takes(batch: Any, tmp_path: Path) -> None:
    from ccella_core.errors import InputError
    from ccella_core.worker.output import checked_name

    names = [f"a{chr(code)}b" for code in range(1, 0x180)] + ["x" * 100, "x" * 101, ".", "..", "a.", ".a", "Fall Ä"]
    refused = 0
    for name in names:
        try:
            (row,) = batch.read_rows(write(tmp_path, f'name;report\n"{name.replace(chr(34), chr(34) * 2)}";Text\n'))
        except batch.BatchError:
            refused += 1
        else:
            try:
                assert checked_name(row.name) == row.name
            except InputError as error:
                pytest.fail(str(error))
    assert 60 < refused < 90  # what cannot be printed, the nine that file systems refuse, too long, dots at an end
