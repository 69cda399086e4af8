"""What library and clients agree on: which names files can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccella_core.limits import MAX_NAME_CHARACTERS, is_file_name


@pytest.mark.parametrize("name", ["a", "Läsion links 5 mm", "x" * MAX_NAME_CHARACTERS, "前立腺" * 20, "a.b"])
def test_names_that_files_can_have(name: str, tmp_path: Path) -> None:
    assert is_file_name(name)
    (tmp_path / f".0123456789ab.SYNTHETIC_{name}_seed{2**63 - 1}_t2w.nii").touch()


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "..",
        "a/b",
        "a\\b",
        "a:b",
        "a\0b",
        "a\nb",
        "CON",
        "nul.txt",
        "Com1",
        "lpt³.a",
        ".a",
        "a.",
        " a",
        "=a",
        "-a",
        "@a",
        "~a",
        "a\x7f",
        "a\ud800",
        "x" * (MAX_NAME_CHARACTERS + 1),
        "前立腺" * 30,
        "😀" * 60,
    ],
)
def test_names_that_they_cannot(name: str) -> None:
    assert not is_file_name(name)
