"""Manifests: what people write is understood, what is wrong is refused with its line and column, nothing is lost."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from ccella_core.cases.case import Case, StructuredFields, safe_id, with_own_names
from ccella_core.cases.manifest import read_manifest, write_manifest
from ccella_core.errors import InputError
from ccella_core.limits import is_file_name


@pytest.fixture
def folder(tmp_path):
    """Three empty files to name in a manifest; what is in them is for others to judge."""
    for name in ("a.mha", "b.mha", "c.mha"):
        (tmp_path / name).touch()
    return tmp_path


def listing(folder, text, name="cases.csv", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return read_manifest(folder / name)[:2]


def test_every_column_is_read(folder):
    (folder / "report.txt").write_text("Größe 12 mm.\n", encoding="utf-8")
    cases, refused = listing(
        folder,
        "case,patient,t2w,adc,hbv,report_file,pirads,split,spacing,gland,lesion,age_years,psa_ng_ml,isup\n"
        "one,anna,a.mha,b.mha,c.mha,report.txt,4,Val,0.5x0.5x3,b.mha,c.mha,64,7.3,2\n",
    )
    assert not refused
    assert cases == (
        Case(
            id="one",
            patient="anna",
            images={"t2w": folder / "a.mha", "adc": folder / "b.mha", "hbv": folder / "c.mha"},
            reports=("Größe 12 mm.",),
            report_source="given",
            pathology="positive",
            pirads=4,
            split="validation",
            spacing_mm=(0.5, 0.5, 3.0),
            gland=folder / "b.mha",
            lesion=folder / "c.mha",
            fields=StructuredFields(age_years=64, psa_ng_ml=7.3, pirads=4, isup=2),
        ),
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_european_excel_writes_semicolons_and_decimal_commas(folder, encoding):
    text = (
        "case;t2w;report;pirads;spacing_x;spacing_y;spacing_z;psa_ng_ml\r\n"
        '7;a.mha;"Zwei, Zeilen;\nhier";2;0,5;0,5;3;7,3\r\n'
    )
    (case,), refused = listing(folder, text, encoding=encoding)
    assert not refused
    assert (case.id, case.patient, case.pathology) == ("7", "7", "negative")
    assert case.reports == ("Zwei, Zeilen;\nhier",)
    assert case.spacing_mm == (0.5, 0.5, 3.0)
    assert case.fields == StructuredFields(psa_ng_ml=7.3, pirads=2)


def test_every_bad_line_is_refused_and_the_good_ones_stay(folder):
    cases, refused = listing(
        folder,
        "case,t2w,report,pirads,pathology\n"
        'good,a.mha,"two\nlines",4,\n'
        "absent,none.mha,,2,\n"
        "score,a.mha,,9,\n"
        "good,b.mha,,1,\n"
        "short,a.mha,,1\n"
        "at once,a.mha,,4,unknown\n"
        "both,a.mha,,2,positive\n",
    )
    assert [case.id for case in cases] == ["good"]
    reasons = {(name, reason.split(": ", 1)[0]): reason for name, reason in refused}
    assert "t2w: there is no" in reasons["absent", "cases.csv, line 4"]
    assert "pirads: " in reasons["score", "cases.csv, line 5"]
    assert "stands on line 2 already" in reasons["good", "cases.csv, line 6"]
    assert "4 cells under 5 columns" in reasons["line 7", "cases.csv, line 7"]
    assert "pathology says unknown, and pirads 4" in reasons["at once", "cases.csv, line 8"]
    assert "PI-RADS 2 is negative" in reasons["both", "cases.csv, line 9"]


def test_a_class_may_be_unknown_and_is_not_negative_then(folder):
    lines = [
        {"case": "empty", "t2w": "a.mha"},
        {"case": "word", "t2w": "a.mha", "pathology": "Unknown", "fields": {"age_years": 60}},
        {"case": "denied", "t2w": "a.mha", "fields": {"lesions": []}},
        {"case": "both", "t2w": "a.mha", "pathology": "unknown", "fields": {"pirads": 2}},
        {"case": "grade", "t2w": "a.mha", "pathology": "positive", "positive_means": "cspca"},
    ]
    path = folder / "unknown.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    cases, refused, warnings = read_manifest(path)
    assert [(case.id, case.pathology, case.positive_means) for case in cases] == [
        ("empty", None, "pirads"), ("word", None, "pirads"), ("grade", "positive", "cspca")
    ]  # fmt: skip
    reasons = dict(refused)
    assert "there are no lesions, but the pathology is unknown" in reasons["denied"]
    assert "pathology says unknown, and pirads 2" in reasons["both"]
    assert "2 of 3 cases state no pirads and no pathology" in warnings[0]
    assert read_manifest(write_manifest(cases, folder / "again.jsonl")).cases == cases


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("case,t2w,pi_rads\none,a.mha,4\n", "no column 'pi_rads'; the nearest is 'pirads'"),
        ("case,adc\none,a.mha\n", "no column 't2w'"),
        ("case,t2w,t2w\none,a.mha,b.mha\n", "twice"),
        ('case,t2w,"report\none,a.mha,never closed\n', "line 1: this cannot be read as CSV"),
        ("case,t2w\n" + '"one" 1,a.mha\n' * 200, "line 102: cannot be read as CSV"),
        ("", "no column 'case'"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_as_a_whole(folder, text, words):
    with pytest.raises(InputError, match=words):
        listing(folder, text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_unicode_is_read(folder, encoding):
    (case,), refused = listing(folder, "case,t2w,report,pirads\none,a.mha,Größe,4\n", encoding=encoding)
    assert not refused and case.reports == ("Größe",)


def test_another_encoding_is_read_and_named(folder):
    (folder / "cases.csv").write_bytes("case,t2w,report,pirads\none,a.mha,Größe “12” mm,4\n".encode("cp1252"))
    found = read_manifest(folder / "cases.csv")
    assert found.cases[0].reports == ("Größe “12” mm",)
    assert found.warnings == ("cases.csv is not UTF-8 and was read as Latin-1 (Windows-1252); look at its accents.",)


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"%PDF-1.4", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", bytes(range(4)) * 50])
def test_what_is_no_table_is_said(folder, start):
    (folder / "cases.csv").write_bytes(start + b"\xff" * 300)
    with pytest.raises(InputError, match=r"cases.csv is (an|a|no) "):
        read_manifest(folder / "cases.csv")


def test_json_lines_keep_wordings_and_fields_and_refuse_the_rest(folder):
    good = {"case": 12, "t2w": "a.mha", "reports": ["one\u2028way", "another"], "fields": {"pirads": 3, "lesions": []}}
    bad = [{"case": "x", "t2w": "a.mha", "pirad": 3}, ["no", "object"], {"case": "y", "pirads": 3}]
    lines = [json.dumps(good, ensure_ascii=False), "{not json", *map(json.dumps, bad)]
    (case,), refused = listing(folder, "\n".join(lines), "cases.jsonl")
    assert case.id == "12" and case.pirads == 3 and case.pathology == "positive"
    assert case.reports == ("one\u2028way", "another")
    assert case.fields == StructuredFields(pirads=3, lesions=())
    words = ["line 2: this is not JSON", "nearest is 'pirads'", "line 4: this is not an object", "t2w is missing"]
    assert len(refused) == len(words)
    assert all(word in reason for word, (_, reason) in zip(words, refused, strict=True))


def test_one_odd_line_of_json_costs_that_line(folder):
    lines = [
        {"case": "good", "t2w": "a.mha", "pirads": 4},
        {"case": "psa", "t2w": "a.mha", "pirads": 4, "psa_ng_ml": 10**400},
        {"case": "size", "t2w": "a.mha", "pirads": 4, "fields": {"lesions": [{"size_mm": 10**400}]}},
        {"case": "spacing", "t2w": "a.mha", "pirads": 4, "spacing_x": 10**400},
        {"case": "column", "t2w": "a.mha", "pirads": 4, "\ud800": 1},
    ]
    cases, refused = listing(folder, "\n".join(map(json.dumps, lines)), "cases.jsonl")
    assert [case.id for case in cases] == ["good", "psa", "size"]
    assert all("is taken as not known" in case.warnings[0] for case in cases[1:])
    reasons = dict(refused)
    assert reasons["spacing"].startswith("cases.jsonl, line 4: spacing_x: ")
    assert "a column's name holds halves of characters" in reasons["column"]


def test_a_long_cell_costs_no_other_row(folder):
    cases, refused = listing(folder, f"case,t2w,report,pirads\na,a.mha,{'x' * 200_000},2\nb,b.mha,ok,2\n")
    assert [len(case.reports[0]) for case in cases] == [200_000, 2] and not refused


def test_what_is_written_is_read_as_the_same_cases(folder):
    cases, _ = listing(
        folder,
        "case,patient,t2w,gland,report,pirads,split,spacing,age_years\n"
        "one,anna,a.mha,b.mha,Müller,5,test,0.5x0.5x3,70\n"
        "two,anna,c.mha,,,1,test,,\n",
    )
    written = (cases[0].model_copy(update={"report_source": "written"}), cases[1])
    again = read_manifest(write_manifest(written, folder / "again.jsonl"))
    assert again.cases == written and not again.refused
    assert '"t2w": "a.mha"' in (folder / "again.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["a/b", "CON", "con.txt", "..", "", "=1+1", "COM1.txt", "lpt² .a", "~x", "a\x7f", "x" * 200, "end.", " a"]
)
def test_unsafe_names_become_safe_and_stay_apart(name):
    assert not is_file_name(name)
    assert is_file_name(safe_id(name))
    assert safe_id(name) == safe_id(name) != safe_id(name + "-")


def test_ids_that_differ_only_in_case_are_told_apart_whatever_their_order():
    cases = [Case(id=name, patient="p", images={"t2w": Path(name)}, pathology="negative") for name in ("Ab", "aB", "c")]
    ids = [case.id for case in with_own_names(cases)]
    assert len({name.casefold() for name in ids}) == 3 and ids[2] == "c"
    assert [case.id for case in with_own_names(cases[::-1])] == ids[::-1]


@pytest.mark.parametrize(
    "change",
    [
        {"id": "a/b"},
        {"images": {"adc": "a.mha"}},
        {"pirads": 2},
        {"reports": ("text",)},
        {"report_source": "given"},
        {"reports": (" ",), "report_source": "given"},
        {"spacing_mm": (0.5, 0.5, float("nan"))},
        {"pirads": 4, "fields": {"pirads": 5}},
        {"colour": "red"},
    ],
)
def test_a_case_that_contradicts_itself_is_refused(change):
    facts = {"id": "a", "patient": "p", "images": {"t2w": "a.mha"}, "pathology": "positive"}
    Case(**facts)
    with pytest.raises(ValidationError):
        Case(**{**facts, **change})


def test_an_object_that_says_a_thing_twice_is_refused(tmp_path):
    path = tmp_path / "cases.jsonl"
    path.write_text('{"id": "a", "t2w": "a.nii", "pirads": 2, "pirads": 5}\n', encoding="utf-8")
    _, refused, _ = read_manifest(path)
    assert "pirads stands there twice" in str(refused)


def test_true_is_no_score(tmp_path):
    path = tmp_path / "cases.jsonl"
    path.write_text('{"case": "a", "t2w": "a.nii", "pirads": true}\n', encoding="utf-8")
    cases, refused, warnings = read_manifest(path)
    assert not any(case.pirads for case in cases)
    assert "must be a number, not true" in f"{refused} {warnings}"
