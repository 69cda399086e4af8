"""Every string that a user reads goes through ``slicer.i18n``; what does not is listed here, with reasons."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[2] / "CCELLAGenerator"
WORDS = re.compile(r"[^\W\d_]{2,} |[^\W\d_]{3,}[!?…]$")
TRANSLATING = {"_", "translate"}
NOT_FOR_USERS = {"info", "exception"}  # of logging
UNTRANSLATED = {
    "CCELLAGenerator.py": {"The contributors to CCELLA for 3D Slicer", "PI-RADS 2."}
    | {"PI-RADS 5 lesion in the left peripheral zone, 20 mm."},
    # What other programs write in English.
    "errors.py": {"exit abnormally", "fatal python error", "fatal exception", "out of memory"}
    | {"cannot allocate memory", "not enough memory"},
    # Names that are stored: a scene reads the same on every computer.
    "sample_data.py": {"SYNTHETIC prostate T2 (CCELLA)", "SYNTHETIC t2w sample (ccella-demo)"},
    "examinations.py": {
        "seed ",
        " (EDITED FROM ",
        "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
        "~SCT^41216001^Prostate~^^~Anatomic codes - DICOM master list~^^~^^",
        "Segmentation category and type - 3D Slicer General Anatomy list~SCT^49755003^Morphologically Altered Structure"
        "~SCT^52988006^Lesion~^^~Anatomic codes - DICOM master list~SCT^41216001^Prostate~^^",
    },
    "volumes.py": {"SYNTHETIC – CCELLA", " seed ", " (EDITED FROM "}
    | {r"(?:.EDITED_FROM_| \(EDITED FROM )([0-9a-f]+)"},  # by which such a name is known again
}


def untranslated(file: Path) -> Iterator[str]:
    """Strings of more than a word that are neither docstrings nor within a call that translates or logs them."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    settled: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            settled.add(node.value)
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in TRANSLATING | NOT_FOR_USERS:
                settled |= set(ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in settled:
            is_xml = node.value.startswith("<")
            if WORDS.search(node.value) and not is_xml:
                yield node.value


@pytest.mark.parametrize("file", sorted(MODULE.rglob("*.py")), ids=lambda file: file.name)
def test_what_a_user_reads_can_be_translated(file: Path) -> None:
    assert set(untranslated(file)) == UNTRANSLATED.get(file.name, set())


def test_a_string_that_was_forgotten_is_found(tmp_path: Path) -> None:
    file = tmp_path / "forgotten.py"
    file.write_text('label.text = "Not translated"\nother.text = _("Translated text")\nf"{n} lines of it"\n')
    assert list(untranslated(file)) == ["Not translated", " lines of it"]
