"""What an index, a name or a table tells to be a mistake is refused before PyTorch or a model is loaded."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ccella_core.cli import app
from ccella_core.cli.generate import _report_text
from ccella_core.errors import InputError
from ccella_core.worker.requested import generate
from ccella_core.worker.tasks import Task, WorkerState

SLOW = ("ccella_core.generation.pipeline", "ccella_core.worker.generation", "ccella_core.devices")


@pytest.fixture(autouse=True)
def _nothing_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever imports one of these gets an ImportError."""
    for name in SLOW:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--report", ""), "The report is empty"),
        (("--report", "<html><body>x</body></html>"), "HTML"),
        ((), "reads a report; give one"),
        (("--report", "x", "--device", "abacus"), "There is no device 'abacus'; choose auto, cpu"),
        (("--report", "x", "--dtype", "int9"), "There is no precision 'int9'; choose auto, float32"),
        (("--report", "x", "--sequences", "adc"), "draws t2w, and no adc"),
        (("--report", "x", "--strength", "0.5"), "give a scan, or leave it out"),
    ],
)
def test_generate(options: tuple[str, ...], words: str, tiny_model: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["generate", "--model", str(tiny_model), "--out", str(tmp_path / "new"), *options])
    assert result.exit_code == 2 and words in result.stderr and not (tmp_path / "new").exists()


def test_synthesize_and_evaluate(tmp_path: Path) -> None:
    for command in (
        ("synthesize", tmp_path, "--out", tmp_path, "--model", tmp_path),
        ("evaluate", "images", tmp_path, tmp_path, "--out", tmp_path / "scores"),
        ("evaluate", "adherence", "--out", tmp_path / "scores"),
    ):
        result = CliRunner().invoke(app, [*map(str, command), "--device", "abacus"])
        assert result.exit_code == 2 and "There is no device 'abacus'" in result.stderr, command


@pytest.mark.parametrize(
    ("params", "words"),
    [({"report": ""}, "The report is empty"), ({"report": None}, "reads a report"), ({"device": "x"}, "no device 'x'")],
)
def test_worker(params: dict[str, object], words: str, tiny_model: Path, tmp_path: Path) -> None:
    told: list[str] = []
    asked = {"model": str(tiny_model), "report": "x", "output_dir": str(tmp_path), **params}
    task = Task(1, "generate", asked, lambda event, **content: told.append(event))
    with pytest.raises(InputError, match=words):
        generate(task, WorkerState())
    assert not told


@pytest.mark.parametrize(("content", "said"), [("<p>a</p>", "HTML or XML"), (" ", "is empty"), ("1 2", "no words")])
def test_a_report_that_cannot_be_used_is_named_by_its_file(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=rf"a\.txt: The report .*{said}"):
        _report_text(None, tmp_path / "a.txt")
