"""What CMake and the index of extensions are told, against what is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "CCELLAGenerator"
NAME = "CCELLAGenerator"
RAW_MAIN = "https://raw.githubusercontent.com/ccella/SlicerCCELLAGenerator/main/"
ICON_SIZE = (128, 128)  # what the Extension Manager shows
# Fields of slicer-extension-catalog-entry-schema-v1.0.1.json; it allows no others.
ENTRY_FIELDS = {
    "$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies", "build_subdirectory", "enabled",
    "tier",
}  # fmt: skip


def cmake_list(variable: str) -> list[str]:
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(rf"^set\({variable}\s(.*?)\)$", text, re.MULTILINE | re.DOTALL)
    assert found, f"CCELLAGenerator/CMakeLists.txt sets no {variable}"
    return found[1].replace("${MODULE_NAME}", NAME).split()


def metadata() -> dict[str, str]:
    """The lines ``set(EXTENSION_… "…")``, read as text, as the index's own checks read them."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"\n;]+)"\)$', text, re.MULTILINE))


def index_entry() -> dict[str, object]:
    text = (ROOT / "docs" / "extension_index.md").read_text(encoding="utf-8")
    (entry,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    return json.loads(entry)


@pytest.mark.parametrize(
    ("variable", "pattern"), [("MODULE_PYTHON_SCRIPTS", "**/*.py"), ("MODULE_PYTHON_RESOURCES", "Resources/**/*")]
)
def test_every_file_of_the_module_is_listed_once_and_is_there(variable: str, pattern: str) -> None:
    listed = cmake_list(variable)
    present = {file.relative_to(MODULE).as_posix() for file in MODULE.glob(pattern) if file.is_file()}
    assert len(listed) == len(set(listed))
    assert present - set(listed) == set(), f"to be added to {variable}"
    assert set(listed) - present == set(), f"to be removed from {variable}"
    assert listed == sorted(listed)


def test_the_extension_describes_itself() -> None:
    entries = metadata()
    assert entries.keys() == {
        "HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS",
    }  # fmt: skip
    assert entries["HOMEPAGE"] in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert entries["CATEGORY"] == "Image Synthesis"
    assert entries["DEPENDS"] == "PyTorch"
    assert entries["DESCRIPTION"].count(".") <= 2
    assert "not for diagnosis" in entries["DESCRIPTION"]


def test_the_icon_and_the_screenshots_are_where_their_addresses_point() -> None:
    entries = metadata()
    icon, *screenshots = [entries["ICONURL"], *entries["SCREENSHOTURLS"].split(" ")]
    assert icon.startswith(RAW_MAIN)
    with Image.open(ROOT / icon.removeprefix(RAW_MAIN)) as picture:
        assert (picture.format, picture.size) == ("PNG", ICON_SIZE)
    assert len(screenshots) == 2
    for screenshot in screenshots:
        assert screenshot.startswith(RAW_MAIN)
        with Image.open(ROOT / screenshot.removeprefix(RAW_MAIN)) as picture:
            picture.verify()


def test_the_entry_for_the_index_agrees_with_cmake() -> None:
    entry = index_entry()
    project = re.search(r"^project\((\w+)\)$", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert project and project[1] == NAME
    assert not NAME.startswith("Slicer")
    assert f"`{NAME}.json`" in (ROOT / "docs" / "extension_index.md").read_text(encoding="utf-8")
    assert entry.keys() <= ENTRY_FIELDS
    assert entry["category"] == metadata()["CATEGORY"]
    assert entry["build_dependencies"] == metadata()["DEPENDS"].split(" ")
    assert entry["scm_url"] == metadata()["HOMEPAGE"] == f"https://github.com/ccella/Slicer{NAME}"
    assert RAW_MAIN.endswith(f"/{entry['scm_revision']}/")
