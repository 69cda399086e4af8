"""Writes what stands between marks in README.md and the pages of docs from its source: make docs

A block begins with ``<!-- generated: NAME -->`` and ends with ``<!-- end -->``, each on a line of its own; `BLOCKS` has
the names. A test renders every block and compares. A new source is one function here.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import table_of_keys

from ccella_core.errors import InputError

if TYPE_CHECKING:
    from ccella_core.evaluation.adherence.report import AdherenceResult

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "Resources" / "Models" / "ccella-demo"
BLOCK = re.compile(r"(?m)^(<!-- generated: (?P<name>[^\n]+?) -->\n)(?P<content>.*?)^(?P<end><!-- end -->)$", re.DOTALL)
MARK = re.compile(r"(?m)^<!-- (?:generated: .*|end) -->$")


def pages() -> list[Path]:
    """Every page that may hold blocks."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def rendered(text: str) -> str:
    """The page with every block as its source has it now.

    Raises:
        InputError: a block has no source, or a mark has no other to go with.
    """
    found = list(BLOCK.finditer(text))
    if 2 * len(found) != len(MARK.findall(text)) or any(MARK.search(block["content"]) for block in found):
        raise InputError("A page has a `<!-- generated: … -->` without its `<!-- end -->`, or the other way round.")
    if unknown := sorted({block["name"] for block in found} - BLOCKS.keys()):
        raise InputError(f"Nothing generates {', '.join(unknown)}; there are {', '.join(sorted(BLOCKS))}.")
    return BLOCK.sub(lambda block: f"{block[1]}{BLOCKS[block['name']]().strip()}\n{block['end']}", text)


def keys(name: str) -> str:
    """Every key of a training's configuration."""
    return "\n".join(["| key | default | meaning |", "| --- | --- | --- |",
                      *table_of_keys.rows(table_of_keys.CONFIGURATIONS[name])])  # fmt: skip


@cache
def measured() -> AdherenceResult:
    """What ``record_measured.py`` kept in the demonstration model."""
    from ccella_core.evaluation.adherence.report import AdherenceResult
    from ccella_core.models.model import ModelFolder

    return AdherenceResult.model_validate({**ModelFolder.open(DEMO).index.measured["adherence"], "cases": []})


def adherence() -> str:
    """What the phantom reader sees in volumes of the demonstration model, and in phantoms."""
    from ccella_core.evaluation.adherence.report import agreement_table

    columns = {"generated": measured().generated, "phantoms of the same patients": measured().phantoms}
    return agreement_table(columns, phantom_reader=None)


def counterfactuals() -> str:
    """How many volumes of the demonstration model follow one changed fact."""
    from ccella_core.evaluation.adherence.report import counterfactual_table

    return counterfactual_table(measured())


def confusions() -> str:
    """What was stated, and what the phantom reader sees in volumes of the demonstration model."""
    from ccella_core.evaluation.adherence.report import confusion_tables

    return "\n\n".join(confusion_tables(measured().generated))


def floors() -> str:
    """Which folders and modules of the library may import which others."""
    table = runpy.run_path(str(ROOT / "Testing" / "test_architecture.py"))["FLOORS"]
    rows = [
        f"| {number} | {', '.join(f'`{part}`' for part in sorted(parts))} |" for number, parts in enumerate(table, 1)
    ]
    return "\n".join(["| floor | folders and modules |", "| ---: | --- |", *reversed(rows)])


BLOCKS: dict[str, Callable[[], str]] = {
    **{f"keys of {name}": partial(keys, name) for name in table_of_keys.CONFIGURATIONS},
    "floors": floors,
    "demonstration model, adherence": adherence,
    "demonstration model, counterfactuals": counterfactuals,
    "demonstration model, confusions": confusions,
}


def main() -> None:
    """Write the pages that are not up to date."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (new := rendered(text)) != text:
            page.write_text(new, encoding="utf-8", newline="\n")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
