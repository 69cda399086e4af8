"""What Slicer is asked to install for the worker: all that it imports, and nothing that Slicer brings itself."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "CCELLAGenerator" / "Resources" / "requirements.txt"
NOT_RUN_IN_SLICER = {
    "cli",
    "cases",
    "runs",
    "training",
    "evaluation",
    "study",
    "phantom",
    "report_page.py",
    "__main__.py",
}
INSTALLED_OTHERWISE = {"torch", "numpy", "simpleitk"}  # a pip call that replaced one of these would break Slicer
ASKED_FOR_BY_MONAI_ONLY = {"einops"}
OPTIONAL = {"taps"}  # finds the gland where somebody has installed it
FOR_SETTINGS_FILES_ONLY = {"yaml"}  # which the worker reads none of
DISTRIBUTION_OF = {"PIL": "pillow"}  # where the import has another name


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def bounds(lines: list[str]) -> dict[str, str]:
    """Distribution and the rest of each requirement."""
    pairs = (re.fullmatch(r"([\w.-]+)(.*)", line) for line in lines)
    return {normalised(pair[1]): pair[2] for pair in pairs if pair}


def required() -> dict[str, str]:
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return bounds([line for line in lines if not line.startswith("#")])


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, but for what only type checkers read."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from _run(child)


def imported_by_the_worker() -> set[str]:
    core = ROOT / "ccella_core"
    found = set()
    for file in core.rglob("*.py"):
        if file.relative_to(core).parts[0] in NOT_RUN_IN_SLICER:
            continue
        for node in _run(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
    packages = {name.partition(".")[0] for name in found} - sys.stdlib_module_names - {"ccella_core"}
    return {normalised(DISTRIBUTION_OF.get(package, package)) for package in packages}


def test_what_the_worker_imports_is_installed() -> None:
    assert (
        imported_by_the_worker() | ASKED_FOR_BY_MONAI_ONLY
    ) - INSTALLED_OTHERWISE - FOR_SETTINGS_FILES_ONLY - OPTIONAL <= required().keys()


def test_what_slicer_brings_is_left_alone() -> None:
    assert required().keys() & INSTALLED_OTHERWISE == set()


def test_bounds_are_those_of_the_library() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = project.partition("\ndependencies = [")[2].partition("\n]")[0]
    assert required().items() <= bounds(re.findall(r'"(.+?)"', block)).items()
