# ruff: noqa: N802, N803 - some names here are Slicer's
"""Missing packages: asked for once, installed by those who know how, and never at the cost of what Slicer has."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slicer

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = {"torch", "numpy", "SimpleITK"}
OTHERS = ("monai", "pydantic")  # two of many
TITLE = "CCELLA Generator"


class Computer:
    """Slicer's Python in which `lacking` is not installed yet, and all the ways to install something, each noted."""

    def __init__(self, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from CCELLAGeneratorLib import dependencies

        self.bench = bench
        self.ensure: Callable[[str], bool] = dependencies.ensure
        self.missing: Callable[[], list[str]] = dependencies.missing
        self.lacking: set[str] = set()
        self.versions: dict[str, str] = {}
        self.done: list[str] = []
        self.constraints: list[str] = []
        self.failure: Exception | None = None
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(importlib.metadata, "version", self._version)
        monkeypatch.setattr(slicer.util, "pip_install", self._pip_install)
        monkeypatch.setattr(type(bench.app), "extensionsManagerModel", lambda _app: self, raising=False)
        monkeypatch.delitem(sys.modules, "PyTorchUtils", raising=False)
        self._set_module("slicer.packaging", None)

    def has_packaging(self) -> None:
        """Slicer 5.11 and newer."""
        module = SimpleNamespace(load_requirements=self._load_requirements, pip_ensure=self._pip_ensure)
        self._set_module("slicer.packaging", module)

    def has_torch_extension(self) -> None:
        module = importlib.util.module_from_spec(ModuleSpec("PyTorchUtils", None))
        module.PyTorchUtilsLogic = lambda: self  # type: ignore[attr-defined]
        self._set_module("PyTorchUtils", module)

    def _set_module(self, name: str, module: Any) -> None:
        self._monkeypatch.setitem(sys.modules, name, module)
        if name.startswith("slicer."):
            self._monkeypatch.delattr(slicer, name.removeprefix("slicer."), raising=False)

    def _version(self, name: str) -> str:
        if name in self.lacking:
            raise importlib.metadata.PackageNotFoundError(name)
        return self.versions.get(name, "99.1")

    # As PyTorchUtilsLogic, and as the extensions manager.

    def installTorch(self, *, askConfirmation: bool, torchVersionRequirement: str) -> object:
        assert not askConfirmation
        return self._note(f"torch{torchVersionRequirement} by PyTorchUtils", "torch")

    def torchInstalled(self) -> bool:
        raise AssertionError("this would import torch")

    def installExtensionFromServer(self, name: str, restart: bool = True) -> bool:
        assert not restart, "Slicer would restart without asking"
        return bool(self._note(f"extension {name}"))

    # As slicer.packaging, with the names and defaults that it has.

    def _load_requirements(self, path: Path) -> list[str]:
        with open(path) as file:  # noqa: PTH123 - as Slicer does, in the system's encoding
            return [line.strip() for line in file if line.strip() and not line.startswith(("#", "-"))]

    def _pip_ensure(
        self,
        requirements: list[str],
        constraints: Path | None = None,
        skip_packages: list[str] | None = None,
        prompt_install: bool = True,
        prompt_restart: bool = True,
        requester: str | None = None,
        skip_in_testing: bool = True,
        show_progress: bool = True,
    ) -> None:
        assert requester == "CCELLAGenerator" and show_progress and skip_in_testing and not prompt_install
        assert constraints is not None
        self.constraints = constraints.read_text(encoding="utf-8").splitlines()
        names = [requirement.split(">=")[0] for requirement in requirements]
        try:
            self._note(f"{len(names)} by pip_ensure", *names)
        except subprocess.CalledProcessError as error:  # it says so itself, since Slicer 5.12
            slicer.util.errorDisplay("Package installation failed.", detailedText=str(error))
            raise RuntimeError("Package installation failed") from error

    # As slicer.util of releases before it.

    def _pip_install(self, arguments: list[str]) -> None:
        requirement, option, constraints = arguments
        assert option == "--constraint"
        self.constraints = Path(constraints).read_text(encoding="utf-8").splitlines()
        self._note(f"{requirement} by pip_install", requirement.split(">=")[0])

    def _note(self, what: str, *names: str) -> object:
        self.done.append(what)
        if self.failure is not None:
            raise self.failure
        self.lacking -= set(names)
        return True


@pytest.fixture
def computer(slicer_bench: Any, monkeypatch: pytest.MonkeyPatch) -> Computer:
    return Computer(slicer_bench, monkeypatch)


@pytest.fixture
def lines() -> list[str]:
    text = (ROOT / "CCELLAGenerator" / "Resources" / "requirements.txt").read_text(encoding="ascii")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


# What is missing.


def test_requirements_are_those_of_the_library(lines: list[str], computer: Computer) -> None:
    tomllib = pytest.importorskip("tomllib")  # of the standard library since Python 3.11
    of_library = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert {line.split(">=")[0] for line in of_library} >= LEFT_OUT
    assert lines == [line for line in of_library if line.split(">=")[0] not in LEFT_OUT]
    computer.lacking = {"torch"}
    assert computer.missing() == [line for line in of_library if line.startswith("torch")]


def test_requirements_can_be_read_by_slicer(lines: list[str]) -> None:
    for line in lines:
        name, minimum = line.split(">=")
        assert name.isidentifier() and all(part.isdecimal() for part in minimum.split("."))


def test_nothing_is_missing(computer: Computer) -> None:
    assert computer.missing() == []
    assert computer.ensure(TITLE)
    assert computer.done == [] and computer.bench.messages == []


@pytest.mark.parametrize(
    ("version", "old"),
    [("2.3.1", True), ("2.10.0+cu121", False), ("2.4", False), ("2.4.0rc1", False), ("1.13.1+cpu", True)],
)
def test_old_versions_are_missing_too(computer: Computer, version: str, old: bool) -> None:
    computer.versions["torch"] = version
    assert computer.missing() == (["torch>=2.4"] if old else [])


def test_looking_imports_nothing_heavy() -> None:
    program = (
        "import sys; from types import ModuleType, SimpleNamespace\n"
        "sys.modules['slicer'] = ModuleType('slicer')\n"
        "sys.modules['slicer.i18n'] = SimpleNamespace(tr=str)\n"
        "from CCELLAGeneratorLib import dependencies\n"
        "found = dependencies.missing()\n"
        "assert isinstance(found, list)\n"
        "print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))\n"
    )
    folder = ROOT / "CCELLAGenerator"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, capture_output=True, text=True)
    assert {"slicer", "CCELLAGeneratorLib"} <= set(loaded.stdout.split())
    assert not set(loaded.stdout.split()) & {"torch", "monai", "transformers", "numpy", "pydantic", "scipy"}


# Asking.


def test_a_no_is_respected(computer: Computer) -> None:
    computer.lacking = {"torch", *OTHERS}
    computer.bench.answer(False)
    assert not computer.ensure(TITLE)
    assert computer.done == []
    assert [message.title for message in computer.bench.messages] == [TITLE]
    assert "Nothing was installed" in computer.bench.main_window.statusBar().currentMessage()


def test_the_question_says_what_and_how_large(computer: Computer) -> None:
    computer.lacking = {"torch", *OTHERS}
    computer.bench.answer(False)
    computer.ensure(TITLE)
    question = computer.bench.messages[0].text
    assert "torch, monai, pydantic" in question and "3 GB" in question and "0.1 GB" in question
    assert "restart" in question  # for the PyTorch extension, which is not there


def test_the_question_says_no_more_than_is_true(computer: Computer) -> None:
    computer.lacking = {"monai"}
    computer.bench.answer(False)
    computer.ensure(TITLE)
    question = computer.bench.messages[0].text
    assert "monai" in question and "PyTorch" not in question and "restart" not in question


def test_in_testing_mode_nothing_is_installed(computer: Computer) -> None:
    computer.has_packaging()
    computer.has_torch_extension()
    computer.lacking = {"torch", "monai"}
    computer.bench.app.setTestingEnabled(True)
    assert not computer.ensure(TITLE)
    assert computer.done == [] and computer.bench.messages == []


def test_a_python_that_is_too_old(computer: Computer, monkeypatch: pytest.MonkeyPatch) -> None:
    computer.lacking = {"monai"}
    monkeypatch.setattr(sys, "version_info", (3, 9, 10))
    assert not computer.ensure(TITLE)
    assert computer.done == []
    assert "Python 3.9" in computer.bench.messages[0].text and "Slicer 5.10" in computer.bench.messages[0].text


def test_an_intel_mac_is_told_before_it_is_asked(computer: Computer, monkeypatch: pytest.MonkeyPatch) -> None:
    computer.lacking = {"torch", "monai"}
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert not computer.ensure(TITLE)
    (message,) = computer.bench.messages
    assert message.kind == "critical" and "Intel" in message.text and computer.done == []
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    computer.bench.answer(False)
    assert not computer.ensure(TITLE)
    assert computer.bench.messages[-1].kind == "question"


# Installing.


def test_torch_first_and_then_the_rest(computer: Computer, lines: list[str]) -> None:
    computer.has_packaging()
    computer.has_torch_extension()
    computer.lacking = {"torch", *OTHERS}
    computer.bench.answer(True)
    assert computer.ensure(TITLE)
    assert computer.done == ["torch>=2.4 by PyTorchUtils", f"{len(lines)} by pip_ensure"]
    assert len(computer.bench.messages) == 1  # asked once
    assert computer.missing() == []


def test_what_slicer_has_is_pinned(computer: Computer) -> None:
    computer.has_packaging()
    computer.versions = {"numpy": "1.26.4", "SimpleITK": "2.4.0", "torch": "2.6.0+cu124"}
    computer.lacking = {"monai", "torchvision"}
    computer.bench.answer(True)
    assert computer.ensure(TITLE)
    assert computer.constraints == ["numpy==1.26.4", "SimpleITK==2.4.0", "torch==2.6.0+cu124", "torchvision<0"]


def test_slicer_before_5_11(computer: Computer) -> None:
    computer.lacking = set(OTHERS)
    computer.bench.answer(True)
    assert computer.ensure(TITLE)
    assert computer.done == ["monai>=1.5 by pip_install", "pydantic>=2 by pip_install"]
    assert {"numpy==99.1", "SimpleITK==99.1", "torch==99.1"} <= set(computer.constraints)


def test_without_the_torch_extension_it_is_installed_and_a_restart_asked_for(computer: Computer) -> None:
    computer.has_packaging()
    computer.lacking = {"torch", "monai"}
    computer.bench.answer(True)
    assert not computer.ensure(TITLE)
    assert computer.done == ["extension PyTorch"]
    assert "restart Slicer" in computer.bench.messages[-1].text and len(computer.bench.messages) == 2


def test_what_slicer_has_shown_is_not_shown_again(computer: Computer, caplog: pytest.LogCaptureFixture) -> None:
    computer.has_packaging()
    computer.lacking = {"monai"}
    computer.failure = subprocess.CalledProcessError(1, ["pip", "install"])
    computer.bench.answer(True)
    assert not computer.ensure(TITLE)
    assert [message.kind for message in computer.bench.messages] == ["question", "critical"]
    assert computer.bench.messages[1].text == "Package installation failed."
    assert "pip download --dest wheels" in caplog.text
    assert "without internet" in computer.bench.main_window.statusBar().currentMessage()
    computer.failure = None
    computer.bench.answer(True)
    assert computer.ensure(TITLE)  # the next press works


@pytest.mark.parametrize("what", ["extension", "torch", "pip_install"])
def test_without_internet_it_is_said_what_to_do(computer: Computer, what: str) -> None:
    if what != "extension":
        computer.has_torch_extension()
    computer.lacking = {"torch"} if what in ("extension", "torch") else {"monai"}
    computer.failure = subprocess.CalledProcessError(1, ["pip", "install"])
    computer.bench.answer(True)
    assert not computer.ensure(TITLE)
    message = computer.bench.messages[-1]
    assert message.kind == "critical" and message.title == TITLE
    assert "could not be installed" in message.text and "exit status 1" in message.text
    assert "pip download --dest wheels" in message.text
    assert "pip install --no-index --find-links wheels" in message.text
    assert '"torch>=2.4" "numpy==99.1" -r' in message.text and "requirements.txt" in message.text
    computer.failure = None
    computer.has_packaging()
    computer.has_torch_extension()
    computer.bench.answer(True)
    assert computer.ensure(TITLE)  # the next press works


def test_a_torch_that_was_not_installed_after_all(computer: Computer, monkeypatch: pytest.MonkeyPatch) -> None:
    computer.has_torch_extension()
    monkeypatch.setattr(computer, "_note", lambda *_what: None)
    computer.lacking = {"torch"}
    computer.bench.answer(True)
    assert not computer.ensure(TITLE)
    assert "installed nothing" in computer.bench.messages[-1].text


def test_an_installation_that_changes_nothing_is_no_success(
    computer: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    computer.has_packaging()
    monkeypatch.setattr(computer, "_note", lambda *_what: None)
    computer.lacking = {"monai"}
    computer.bench.answer(True)
    assert not computer.ensure(TITLE)
    assert "still missing: monai>=1.5" in computer.bench.messages[-1].text


def test_progress_is_shown_and_goes_away(computer: Computer, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def pip_install(arguments: list[str]) -> None:
        dialogs = [widget for widget in computer.bench.app.topLevelWidgets() if widget.className() == "QProgressDialog"]
        shown.append([(dialog.labelText, dialog.value, dialog.maximum) for dialog in dialogs if dialog.visible])
        computer._pip_install(arguments)

    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    computer.lacking = set(OTHERS)
    computer.bench.answer(True)
    assert computer.ensure(TITLE)
    assert shown == [[("Installing monai>=1.5", 0, 2)], [("Installing pydantic>=2", 1, 2)]]
    assert not [widget for widget in computer.bench.app.topLevelWidgets() if widget.visible]


@pytest.mark.medium
def test_pip_gives_up_rather_than_replace_what_is_pinned(
    slicer_bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from CCELLAGeneratorLib import dependencies

    _make_wheel(tmp_path, "modest", "Requires-Dist: numpy>=1\n")
    _make_wheel(tmp_path, "greedy", "Requires-Dist: numpy>=9999\n")
    _make_wheel(tmp_path, "numpy", version="9999.0")
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(dependencies._pins()), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--find-links", str(tmp_path)]

    def install(name: str, *more: str) -> subprocess.CompletedProcess:
        return subprocess.run([*pip, name, *more], capture_output=True, text=True, check=False)

    assert "Would install greedy-1.0 numpy-9999.0" in install("greedy").stdout  # what the pins are there for
    pinned = install("greedy", "--constraint", str(constraints))
    assert pinned.returncode != 0 and "Would install" not in pinned.stdout
    assert "Would install modest-1.0\n" in install("modest", "--constraint", str(constraints)).stdout


def _make_wheel(folder: Path, name: str, requires: str = "", version: str = "1.0") -> None:
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
        )
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")
