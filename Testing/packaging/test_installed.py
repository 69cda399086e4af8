"""The extension configured, built and installed by CMake against a stand-in for Slicer, and used from there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from patience import PATIENCE_SECONDS

pytestmark = pytest.mark.medium

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parent / "slicer_stand_in"
MODULES = Path("lib", "Slicer-5.13", "qt-scripted-modules")
COMPONENT = "RuntimeLibraries"  # the one that Slicer's macro gives to scripted modules
MISSING = [name for name in ("PySide6", "slicer_core") if find_spec(name) is None]  # what the Slicer bench needs


def cmake_program() -> str:
    """CMake from the path or from the package of that name on PyPI; the test is skipped where neither is found."""
    beside_python = str(Path(sys.executable).parent)
    found = shutil.which("cmake") or shutil.which("cmake", path=beside_python)
    if found is None:
        pytest.skip("CMake is not installed: `pip install cmake` makes this test run.")
    return found


def cmake(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [cmake_program(), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=PATIENCE_SECONDS)


def succeed(*arguments: str | Path) -> str:
    done = cmake(*arguments)
    if "CMAKE_C_COMPILER" in done.stderr or "CMAKE_CXX_COMPILER" in done.stderr:
        pytest.skip("No C and C++ compiler: Slicer's `project(…)` asks CMake for both.")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extension") / "build"
    succeed("-S", ROOT, "-B", folder, f"-DSlicer_DIR={STAND_IN}", "-DCMAKE_BUILD_TYPE=Release")
    succeed("--build", folder, "--config", "Release")
    return folder


@pytest.fixture(scope="module")
def installed(build: Path) -> Path:
    prefix = build.parent / "Präfix mit Leerzeichen"
    succeed("--install", build, "--config", "Release", "--component", COMPONENT, "--prefix", prefix)
    return prefix / MODULES


def files_below(folder: Path, *patterns: str, under: Path | None = None) -> dict[str, bytes]:
    """Content by path, relative to `under` or the folder itself; what Python leaves behind is left out."""
    found = (file for pattern in patterns for file in folder.glob(pattern))
    return {
        file.relative_to(under or folder).as_posix(): file.read_bytes()
        for file in found
        if file.is_file() and "__pycache__" not in file.parts
    }


def shipped() -> dict[str, bytes]:
    """All that must be installed, and nothing else, by the place it takes there."""
    module = files_below(ROOT / "CCELLAGenerator", "**/*.py", "Resources/**/*")
    library = files_below(ROOT / "ccella_core", "**/*.py", "py.typed", "templates/*", under=ROOT)
    data = files_below(ROOT / "Resources", "Models/**/*", under=ROOT)
    assert all((module, library, data))
    assert not (module.keys() & library.keys() or module.keys() & data.keys())
    return module | library | data


def test_the_package_holds_every_file_and_no_other(installed: Path) -> None:
    wanted, found = shipped(), files_below(installed, "**/*")
    assert wanted.keys() - found.keys() == set(), "not installed"
    assert found.keys() - wanted.keys() == set(), "installed by mistake"
    assert [name for name, content in wanted.items() if found[name] != content] == []


def test_the_build_tree_is_laid_out_like_the_package(build: Path, installed: Path) -> None:
    assert files_below(build / MODULES, "**/*").keys() == files_below(installed, "**/*").keys()


def test_slicer_is_given_the_modules_own_test(build: Path) -> None:
    assert "py_CCELLAGenerator" in (build / "CCELLAGenerator" / "CTestTestfile.cmake").read_text(encoding="utf-8")


def python(program: str, modules: Path) -> list[str]:
    """A command that runs `program` with the standard library, `modules` and installed packages, in this order.

    With -S no .pth file is read, so an editable install of this very checkout is not found.
    """
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    paths = [str(modules), *dict.fromkeys(packages)]
    return [sys.executable, "-I", "-S", "-c", f"import sys; sys.path += {paths!r}\n{program}"]


def answer_of(program: str, modules: Path) -> Any:
    """What `program` prints as JSON on its last line."""
    done = subprocess.run(python(program, modules), cwd=modules.parent, capture_output=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("tree", ["build", "installed"])
def test_the_library_and_its_model_are_found_beside_the_module(tree: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(tree)
    modules = folder / MODULES if tree == "build" else folder
    program = """
import json
import ccella_core
from ccella_core.models.search import default_search_paths, find_models
models = [str(model.path) for model in find_models(default_search_paths({})[-1:])]
print(json.dumps([ccella_core.__file__, *models]))
"""
    expected = [modules / "ccella_core" / "__init__.py", modules / "Resources" / "Models" / "ccella-demo"]
    assert [Path(found) for found in answer_of(program, modules)] == expected


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_slicer_loads_and_opens_the_module_from_the_package_without_what_it_installs(
    installed: Path, tmp_path: Path
) -> None:
    lines = (installed / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    not_there_yet = ["torch", *(line.partition(">=")[0] for line in lines if line and not line.startswith("#"))]
    program = f"""
import json
from importlib.abc import MetaPathFinder
class NotInstalled(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {[*not_there_yet, "PIL"]!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, NotInstalled())
from pathlib import Path
import pytest
import slicer
sys.path.append({str(ROOT / "Testing")!r})
import slicer_bench.fixtures
from slicer_bench.bench import Bench
with pytest.MonkeyPatch.context() as patch:
    bench = Bench(Path({str(tmp_path)!r}), patch)
    bench.load_module(Path({str(installed / "CCELLAGenerator.py")!r}))
    from CCELLAGeneratorLib import dependencies
    dependencies.missing = lambda: ["torch>=2.4"]
    bench.app.startupCompleted.emit()
    ui = bench.open_module().ui
    ui.writeReportButton.click()
    assert "PI-RADS" in ui.reportEdit.plainText and bench.complaints() == []
    ours = ("CCELLAGenerator", "CCELLAGeneratorLib", "ccella_core")
    print(json.dumps([module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] in ours]))
"""
    loaded = [Path(file) for file in answer_of(program, installed)]
    assert installed / "CCELLAGenerator.py" in loaded
    assert [file for file in loaded if installed not in file.parents] == []


def test_the_worker_runs_from_the_package(installed: Path) -> None:
    program = "import runpy; runpy.run_module('ccella_core.worker', run_name='__main__', alter_sys=True)"
    command = python(program, installed)
    with subprocess.Popen(command, cwd=installed.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin and worker.stdout
        watch = Timer(PATIENCE_SECONDS, worker.kill)  # a worker that says nothing would be waited for without end
        watch.start()
        worker.stdin.write(b'{"id": 1, "method": "describe", "params": {"model_folders": []}}\n')
        worker.stdin.flush()
        events = []
        for line in worker.stdout:
            events.append(json.loads(line))
            if events[-1].get("id") == 1:
                break
        worker.stdin.close()
        worker.wait()
        watch.cancel()
    assert events[0]["event"] == "ready"
    assert events[-1]["event"] == "result", events[-1]
    (demo,) = [model for model in events[-1]["value"]["models"] if model["origin"] == "shipped"]
    assert (demo["name"], demo["problem"]) == ("ccella-demo", None)
    assert Path(demo["path"]) == installed / "Resources" / "Models" / "ccella-demo"


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ("slicerMacroBuildScriptedModule(NAME M SCRIPTS M.py N.py)", "given nonexistent file 'N.py'"),
        ("slicerMacroBuildScriptedModule(NAME M SCRIPTS M.py RESOURCES Resources)", "nonexistent file 'Resources'"),
        ("slicerMacroBuildScriptedModule(NAME M SCRIPTS ../M.py)", "is not a path below"),
        ("slicerMacroBuildScriptedModule(NAME M SCRIPT M.py)", "Unknown keywords"),
        ("slicerMacroBuildScriptedModule(SCRIPTS M.py)", "NAME is mandatory"),
        ("slicer_add_python_unittest(SCRIPT N.py)", "given nonexistent file 'N.py'"),
        ("include(${Slicer_EXTENSION_GENERATE_CONFIG})", "EXTENSION_HOMEPAGE is either NOT defined or empty"),
    ],
)
def test_the_stand_in_is_as_strict_as_slicer(tmp_path: Path, call: str, complaint: str) -> None:
    (tmp_path / "M.py").touch()
    lines = [
        "cmake_minimum_required(VERSION 3.16.3...3.28)",
        "project(M NONE)",
        "find_package(Slicer REQUIRED)",
        "include(${Slicer_USE_FILE})",
        call,
    ]
    (tmp_path / "CMakeLists.txt").write_text("\n".join(lines), encoding="utf-8")
    done = cmake("-S", tmp_path, "-B", tmp_path / "build", f"-DSlicer_DIR={STAND_IN}")
    assert done.returncode != 0
    assert complaint in " ".join(done.stderr.split())
