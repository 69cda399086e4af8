"""The documentation holds together: links lead somewhere, named files are there, and the README stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
MOST_WORDS_IN_THE_README = 900
OWN_FOLDERS = ("ccella_core/", "CCELLAGenerator/", "CCELLAGeneratorLib/", "Testing/", "Resources/", "docs/")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The names under which GitHub finds the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Relative targets of links and pictures."""
    found = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8")))
    return [target for target in found if "://" not in target]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_pictures_are_there(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def test_links_are_found() -> None:
    assert len(links(ROOT / "README.md")) >= 20 and "glossary" in anchors(ROOT / "docs" / "architecture.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_are_there(page: Path) -> None:
    named = re.findall(r"`([\w./-]+)`", without_code(page.read_text(encoding="utf-8")))
    for name in named:
        if name.startswith(OWN_FOLDERS):
            folder = ROOT / "CCELLAGenerator" if name.startswith("CCELLAGeneratorLib/") else ROOT
            assert (folder / name).exists(), name


def test_the_readme_is_read_to_the_end() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= MOST_WORDS_IN_THE_README
    _title, first, _rest = text.split("\n\n", 2)
    assert first.startswith("![") and "docs/pictures/" in first
    assert "not for diagnosis" in text


def test_the_targets_that_readme_and_contributing_name_are_there() -> None:
    """``make demo`` and ``make test`` are the two commands that a newcomer types."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set()
    for name in ("README.md", "CONTRIBUTING.md"):
        named |= set(re.findall(r"(?m)(?:`|^)make ([a-z-]+)", (ROOT / name).read_text(encoding="utf-8")))
    assert {"demo", "test"} <= named
    missing = [target for target in sorted(named) if not re.search(rf"^{target}:", makefile, re.MULTILINE)]
    assert not missing


def test_the_architecture_page_names_every_folder() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    library = ROOT / "ccella_core"
    folders = [file.parent for file in library.rglob("__init__.py") if file.parent != library]
    assert [folder for folder in folders if f"{folder.name}/" not in text] == []
