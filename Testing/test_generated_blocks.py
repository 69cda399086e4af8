"""What stands between marks in the documentation is what its source gives: `make docs` changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from ccella_core.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def tool(docs_tool: Callable[[str], ModuleType]) -> ModuleType:
    return docs_tool("generated_blocks")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_generated_blocks_are_up_to_date(tool: ModuleType, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert tool.rendered(text) == text, "run: make docs"


def test_every_page_is_looked_at_and_every_table_of_keys_stands_somewhere(tool: ModuleType) -> None:
    assert tool.pages() == PAGES
    texts = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    there = set(re.findall(r"^<!-- generated: (.+) -->$", texts, re.MULTILINE))
    assert {name for name in tool.BLOCKS if name.startswith("keys of ")} <= there <= tool.BLOCKS.keys()


def test_blocks_are_replaced_and_all_else_stays(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "BLOCKS", {"a": lambda: "| 1 |\n| 2 |\n", "b": lambda: r"\1"})
    page = "# Title\n<!-- generated: a -->\nold\n<!-- end -->\ntext\n\n<!-- generated: b -->\n<!-- end -->\n"
    new = tool.rendered(page)
    assert new == (
        "# Title\n<!-- generated: a -->\n| 1 |\n| 2 |\n<!-- end -->\ntext\n\n<!-- generated: b -->\n\\1\n<!-- end -->\n"
    )
    assert tool.rendered(new) == new


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("<!-- generated: weather -->\n<!-- end -->\n", "Nothing generates weather; there are .*keys of"),
        ("<!-- generated: weather -->\ntext\n", "without its `<!-- end -->`"),
        ("<!-- end -->\n", "without its `<!-- end -->`"),
        ("<!-- generated: a -->\n<!-- generated: a -->\n<!-- end -->\n<!-- end -->\n", "without its"),
    ],
)
def test_marks_that_cannot_be_followed_are_refused(tool: ModuleType, page: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        tool.rendered(page)
