"""What is published as the extension: a small repository of one commit, and what is wrong with it in words."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("CMakeLists.txt", "CCELLAGenerator", "docs/extension_index.md", "Resources/Screenshots")


@pytest.fixture(scope="module")
def publish(docs_tool: Callable[[str], ModuleType]) -> ModuleType:
    return docs_tool("publish")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What the checks look at, without git."""
    for name in NEEDED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    return tmp_path


def test_this_tree_is_ready(publish: ModuleType, tree: Path) -> None:
    assert list(publish.problems_of(tree)) == []


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("CCELLAGenerator/CMakeLists.txt", ("Lib/dependencies.py", "Lib/other.py"), "dependencies.py is in no list"),
        ("CCELLAGenerator/CMakeLists.txt", ("Lib/dependencies.py", "Lib/other.py"), "other.py, which is not there"),
        ("CMakeLists.txt", ("Screenshots/panel.png", "Screenshots/gone.png"), "gone.png, which is no picture"),
        ("CMakeLists.txt", ("raw.githubusercontent.com", "example.org"), "which is no picture of this repository"),
        ("docs/extension_index.md", ('"tier": 1', '"level": 1'), "other fields than the schema's: level, tier"),
        ("docs/extension_index.md", ('"scm_url": "https://', '"scm_url": "http://'), "name different repositories"),
    ],
)
def test_what_is_wrong_is_said(publish: ModuleType, tree: Path, file: str, change: tuple[str, str], said: str) -> None:
    path = tree / file
    text = path.read_text(encoding="utf-8")
    assert change[0] in text
    path.write_text(text.replace(*change), encoding="utf-8")
    assert any(said in problem for problem in publish.problems_of(tree))


def test_a_repository_that_is_too_large_is_said(
    publish: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "MOST_BYTES", 1000)
    (problem,) = publish.problems_of(tree)
    assert problem.startswith("Checkout and history take") and problem.endswith("of at most 0 MB.")


def test_one_commit_of_what_is_committed(publish: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{kind}_NAME", "Somebody")
        monkeypatch.setenv(f"GIT_{kind}_EMAIL", "somebody@example.org")
    here, out = tmp_path / "here", tmp_path / "out"
    for name in ("a.txt", "Testing/data/large.npz", "Testing/test_a.py", "ccella_core/__init__.py"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text('__version__ = "9.9"\n', encoding="utf-8")
    publish.git(here, "init", "-q")
    with pytest.raises(SystemExit, match="not committed"):
        publish.write_repository(here, out)
    publish.git(here, "add", "--all")
    publish.git(here, "commit", "-q", "-m", "first")
    out.mkdir()
    (out / "from_before").touch()
    publish.write_repository(here, out)
    log = subprocess.run(["git", "log", "--format=%s"], cwd=out, check=True, capture_output=True, encoding="utf-8")
    assert log.stdout.split("\n") == ["CCELLA for 3D Slicer 9.9", ""]
    assert sorted(publish.git(out, "ls-files").split()) == ["Testing/test_a.py", "a.txt", "ccella_core/__init__.py"]
    assert not (out / "from_before").exists()
