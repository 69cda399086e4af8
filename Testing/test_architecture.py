"""Imports run one way, heavy libraries are loaded late, and the two floors of the house do not know each other's."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "ccella_core"
SLICER_MODULE = ROOT / "CCELLAGenerator"

# From the ground up: a module or folder may import from the lines above its own, and from itself.
# The folders of `evaluation` stand for themselves. A new module or folder needs its place here.
FLOORS: list[set[str]] = [
    {"errors", "limits"},
    {"files"},
    {"config", "devices", "fingerprints", "parallel", "progress", "provenance"},
    {"client", "imaging", "models", "networks", "phantom", "report_page"},
    {"gland"},
    {"generation", "runs"},
    {"cases", "published"},
    {"training", "evaluation.statistics"},
    {"evaluation.data"},
    {"evaluation.adherence", "evaluation.classifier", "evaluation.readers"},
    {"evaluation.features"},
    {"evaluation.images"},
    {"evaluation.privacy"},
    {"study", "worker"},
    {"cli"},
    {"__main__"},
]
FLOOR_OF = {part: number for number, parts in enumerate(FLOORS) for part in parts}
MOST_LOOSE_MODULES, MOST_FILES_A_FOLDER, MOST_LINES = 10, 18, 310

OF_SLICER = {"slicer", "qt", "ctk", "vtk"}
HEAVY = {"torch", "monai", "transformers", "diffusers"}
LIGHT_MODULES = [
    "ccella_core",
    "ccella_core.models.model",
    "ccella_core.models.search",
    "ccella_core.generation.options",
    "ccella_core.cli",
    "ccella_core.cli.options",
    "ccella_core.worker.params",
    "ccella_core.worker.requested",
]
NUMPY_ONLY_MODULES = [
    "ccella_core.phantom.findings",
    "ccella_core.phantom.report",
    "ccella_core.imaging.dicom.export",
    "ccella_core.cases.tables",
    "ccella_core.generation.markup",
]


class Import(NamedTuple):
    module: str  # in full
    at_once: bool  # when the importing module is itself imported: neither inside a function nor for type checkers


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path) -> Iterator[Import]:
    package = module_name(file) if file.name == "__init__.py" else module_name(file).rpartition(".")[0]

    def visit(node: ast.AST, at_once: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(relative, package) if node.level else relative
            # `from package import name` may mean a module or something in one.
            for alias in node.names:
                is_module = (ROOT / base.replace(".", "/") / f"{alias.name}.py").is_file()
                yield Import(f"{base}.{alias.name}" if is_module else base, at_once)
        for child in ast.iter_child_nodes(node):
            late = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_type_checking(node)
            yield from visit(child, at_once and not late)

    return visit(ast.parse(file.read_text(encoding="utf-8")), True)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def part_of(module: str) -> str | None:
    """The file or folder of the library that `module` belongs to; None for the package itself and other packages."""
    package, *parts = module.split(".")
    if package != "ccella_core" or not parts or parts == ["evaluation"]:
        return None
    return ".".join(parts[: 2 if parts[0] == "evaluation" else 1])


def python_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.py") if "__pycache__" not in file.parts)


LIBRARY_FILES = [file for file in python_files(LIBRARY) if part_of(module_name(file))]


def test_every_module_has_its_floor() -> None:
    unlisted = {part_of(module_name(file)) for file in LIBRARY_FILES} - FLOOR_OF.keys()
    assert not unlisted, f"give these a floor in {Path(__file__).name}: {sorted(map(str, unlisted))}"


@pytest.mark.parametrize("file", LIBRARY_FILES, ids=module_name)
def test_imports_run_downwards(file: Path) -> None:
    """Training and evaluation stand apart: what both need lies beneath them, in ``runs`` and ``networks``."""
    part = part_of(module_name(file))
    for module, _ in imports_of(file):
        target = part_of(module)
        if target is None or target == part:
            continue
        assert FLOOR_OF[target] < FLOOR_OF[part], f"{part} must not import {module}"
        assert not (part.startswith("evaluation") and target == "training"), f"{part} must not import {module}"


def test_a_folder_is_seen_at_a_glance_and_a_file_read_in_one_sitting() -> None:
    loose = [file.name for file in LIBRARY.glob("*.py") if not file.name.startswith("__")]
    assert len(loose) <= MOST_LOOSE_MODULES, sorted(loose)
    for root in (LIBRARY, SLICER_MODULE):
        for folder in {file.parent for file in python_files(root)}:
            assert len(list(folder.glob("*.py"))) <= MOST_FILES_A_FOLDER, folder
        long = {file.name: lines for file in python_files(root) if (lines := _lines(file)) > MOST_LINES}
        assert not long


def _lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def test_no_two_public_classes_share_a_name() -> None:
    """A word means one thing, in the library and in the Slicer module alike."""
    places: dict[str, list[str]] = {}
    for file in (*python_files(LIBRARY), *python_files(SLICER_MODULE)):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module_name(file))
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}


@pytest.mark.medium
def test_no_imports_in_a_circle() -> None:
    graph = {
        module_name(file): {module for module, at_once in imports_of(file) if at_once and part_of(module)}
        for file in LIBRARY_FILES
    }
    for module, targets in graph.items():
        targets.discard(module)
        if (LIBRARY.parent / module.replace(".", "/") / "__init__.py").is_file():
            continue
        # A folder's own files may import each other past its __init__, which gathers them.
        targets.discard(module.rpartition(".")[0])
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("file", python_files(LIBRARY), ids=module_name)
def test_the_library_has_never_heard_of_slicer(file: Path) -> None:
    assert not {module.partition(".")[0] for module, _ in imports_of(file)} & OF_SLICER


@pytest.mark.skipif(not SLICER_MODULE.is_dir(), reason="there is no CCELLAGenerator folder")
def test_the_slicer_module_has_never_heard_of_torch() -> None:
    for file in python_files(SLICER_MODULE):
        found = {module.partition(".")[0] for module, _ in imports_of(file)} & HEAVY
        assert not found, f"{file.relative_to(ROOT)} imports {sorted(found)}"


def packages_loaded_by(module: str) -> set[str]:
    """Top-level packages that `import module` adds to a fresh interpreter."""
    program = (
        "import sys; before = set(sys.modules); "
        f"import {module}; print(*{{name.partition('.')[0] for name in set(sys.modules) - before}})"
    )
    command = [sys.executable, "-c", program]
    return set(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, encoding="utf-8").stdout.split())


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_importing_is_cheap(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not in this tree")
    assert not packages_loaded_by(module) & HEAVY


@pytest.mark.parametrize("module", NUMPY_ONLY_MODULES)
def test_what_slicer_runs_itself_needs_only_numpy(module: str) -> None:
    others = packages_loaded_by(module) - set(sys.stdlib_module_names) - {"numpy", "ccella_core"}
    assert not others


def test_the_package_offers_its_two_names_late() -> None:
    import ccella_core

    assert {"CCELLAPipeline", "SyntheticVolume"} <= set(dir(ccella_core))
    assert ccella_core.SyntheticVolume.__module__ == "ccella_core.imaging.volume"
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        _ = ccella_core.Nonsense


def test_popups_come_from_slicer_alone() -> None:
    """``slicer.util`` keeps them out of tests and of a Slicer without a window; a message box of one's own does not."""
    for file in (SLICER_MODULE).rglob("*.py"):
        named = {
            node.attr
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute)
        }
        assert not named & {"QMessageBox", "QInputDialog", "QErrorMessage", "ctkMessageBox", "exec_"}, file.name
