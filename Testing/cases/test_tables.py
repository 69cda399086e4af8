"""Tables as people write them: one row that cannot be read costs no other, and lines keep their numbers."""

from __future__ import annotations

import pytest

from ccella_core.cases.tables import read_any_text, read_table
from ccella_core.errors import InputError


def table(tmp_path, text):
    (tmp_path / "table.csv").write_bytes(text.encode())
    return read_table(tmp_path / "table.csv")


@pytest.mark.parametrize("bad", ['2,"never closed', '2,"in" between', '"2" ,b'])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_row_with_a_quotation_mark_too_many_costs_no_other(tmp_path, bad, end):
    rows = table(tmp_path, end.join(["id,text", '1,"on\ntwo lines"', bad, "3,c", '4,"d, e"']) + end).rows
    assert [row.cells for row in rows[:1] + rows[2:]] == [
        {"id": "1", "text": "on\ntwo lines"}, {"id": "3", "text": "c"}, {"id": "4", "text": "d, e"}
    ]  # fmt: skip
    assert [row.line for row in rows] == [2, 4, 5, 6]
    assert rows[1].cells.startswith("this cannot be read as CSV (")


def test_a_mark_that_is_closed_by_the_next_row_is_named_where_it_began(tmp_path):
    rows = table(tmp_path, 'id,text\n1,"never closed\n2,"b"\n3,c\n').rows
    assert rows[0].line == 2 and rows[0].cells.startswith("this cannot be read as CSV")
    assert [row.cells for row in rows[1:]] == [{"id": "2", "text": "b"}, {"id": "3", "text": "c"}]


def test_the_first_line_of_excel_is_no_header(tmp_path):
    found = table(tmp_path, 'sep=;\nid;text\n1;a\n"2;b\n')
    assert found.columns == ["id", "text"] and found.rows[0].line == 3
    assert found.rows[1].line == 4 and isinstance(found.rows[1].cells, str)


def test_a_table_of_which_hardly_a_row_can_be_read_is_none(tmp_path):
    with pytest.raises(InputError, match=r"table\.csv, line 102: cannot be read as CSV"):
        table(tmp_path, "id,text\n" + '"1" 2,a\n' * 500)


def test_columns_that_were_emptied_are_none(tmp_path):
    found = table(tmp_path, "case,t2w,,\na,x.mha,,\nb,y.mha\nc,z.mha,,4\n")
    assert found.columns == ["case", "t2w"]
    assert [row.cells for row in found.rows] == [
        {"case": "a", "t2w": "x.mha"}, {"case": "b", "t2w": "y.mha"}, "there are 4 cells under 2 columns"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Поражение 5 мм в левой доле.", "cp1251"),
        ("前列腺左侧外周带病变。", "gb18030"),
        ("前立腺の左葉に病変。", "shift-jis"),
    ],
)
def test_letters_of_another_encoding_are_not_taken_for_accents(tmp_path, text, encoding):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    with pytest.raises(InputError, match=r"a\.txt is neither UTF-8 nor Latin-1"):
        read_any_text(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes("Läsion, 5 mm, in der äußeren Zone.".encode("cp1252"))
    assert read_any_text(tmp_path / "a.txt") == "Läsion, 5 mm, in der äußeren Zone."
