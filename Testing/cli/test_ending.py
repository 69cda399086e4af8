"""How ``ccella`` begins and ends as a process: its exit codes, Ctrl-C at any moment, a poor console and its help."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ccella_command import ccella, generate

from ccella_core.__main__ import main as script
from ccella_core.cli import train
from ccella_core.errors import Cancelled

ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_training_without_some_cases_ends_with_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train._PREPARE, "denoiser", lambda *_: (None, lambda: tmp_path))
    for left_out, code in (({"case7": "It is damaged."}, 3), ({}, 0)):
        (tmp_path / "run.json").write_text(json.dumps({"data": {"left_out": left_out}}), encoding="utf-8")
        result = ccella("train", "denoiser")
        assert result.exit_code == code and f"The run is in {tmp_path}" in result.stdout
        assert ("Left out: case7: It is damaged." in result.stderr) == bool(left_out)


def test_other_failures_end_with_1(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    result = generate(tiny_model, file / "folder")
    assert result.exit_code == 1 and "Nothing can be written" in result.stderr
    result = generate(tmp_path / "nowhere", tmp_path)
    assert result.exit_code == 1 and "There is no folder" in result.stderr


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Cancelled("Stopped.")])
def test_stopping_ends_with_130(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("ccella_core.generation.pipeline.sample", stop)
    result = generate(tiny_model, tmp_path, "--seed", 7)
    assert result.exit_code == 130 and "Stopped." in result.stderr and list(tmp_path.iterdir()) == []


def test_stopping_while_python_imports_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stopping(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "ccella_core.cli", Stopping("ccella_core.cli"))
    with pytest.raises(SystemExit) as ended:
        script()
    assert ended.value.code == 130 and capsys.readouterr().err == "Stopped.\n"


def test_ctrl_c_while_a_library_is_imported_cannot_be_swallowed() -> None:
    """Nor by code that catches everything, as some libraries do around their own imports."""
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # as where the tests run in the foreground
        "class Swallows:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'ccella_core.cli':\n"
        "            try:\n                signal.raise_signal(signal.SIGINT)\n"
        "            except BaseException:\n                pass\n"
        "sys.meta_path.insert(0, Swallows())\n"
        "sys.argv = ['ccella', '--version']\n"
        "from ccella_core.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr, ended.stdout) == (130, "Stopped.\n", "")


def test_nothing_is_imported_before_ctrl_c_is_met() -> None:
    program = (
        "import sys\nbefore = set(sys.modules)\n"
        "import ccella_core.__main__\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["ccella_core", "ccella_core.__main__"]


def test_the_script_is_what_meets_ctrl_c() -> None:
    assert '\nccella = "ccella_core.__main__:main"\n' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [[], ["generate"], ["models"], ["phantom"]])
def test_help_tells_the_exit_codes(command: list[str]) -> None:
    result = ccella(*command, "--help")
    assert result.exit_code == 0 and "Exit codes" in result.stdout


def test_help_works_as_a_module_without_heavy_libraries() -> None:
    program = (
        "import runpy, sys\n"
        "sys.argv = ['ccella', '--help']\n"
        "try:\n    runpy.run_module('ccella_core', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'torch', 'monai', 'transformers', 'diffusers', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    assert "generate" in result.stdout and "models" in result.stdout


def test_a_poor_console_gets_question_marks_not_a_traceback(tiny_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ccella_core", "models", "show", str(tmp_path / "Größe")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, env=environment)
    assert result.returncode == 1 and b"Traceback" not in result.stderr and b"There is no folder" in result.stderr


@pytest.mark.parametrize(("options", "said"), [([], False), (["-W", "default"], True)])
def test_warnings_of_libraries_reach_those_who_ask_for_them(options: list[str], said: bool) -> None:
    code = (
        "import sys, warnings; import ccella_core.cli as cli; sys.argv = ['ccella']; "
        "cli.app = lambda: warnings.warn('of a library'); cli.main()"
    )
    run = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=True)
    assert ("of a library" in run.stderr) == said
