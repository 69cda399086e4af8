"""The summary page: well-formed, with the numbers of the run, whatever is there of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from ccella_core.runs.summary import write_summary


def fill(folder, steps: int) -> None:
    records = []
    for step in range(1, steps + 1):
        records.append({"step": step, "kind": "step", "loss": 1 / step, "loss/denoising": 1 / step, "loss/focal": 3.0,
                        "learning_rate": 1e-4, "gradient_norm": 2.0, "seconds": (step - 1) % 50 + 1.0})  # fmt: skip
        if step % 20 == 0:
            records.append({"step": step, "kind": "validation", "loss": abs(step - 40) + 0.5, "loss/denoising": 0.5,
                            "accuracy": 0.75, "auroc": 0.8, "seconds": 1.0})  # fmt: skip
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def parsed(folder) -> ET.Element:
    text = write_summary(folder).read_text(encoding="utf-8")
    return ET.fromstring(text.removeprefix("<!DOCTYPE html>"))


def text_of(element: ET.Element) -> str:
    return " ".join(element.itertext())


@pytest.mark.medium
def test_numbers_and_charts(tmp_path):
    fill(tmp_path, 100)
    about = {"name": "run <1>", "parameters": 1234567, "device": "cpu", "processes": 2,
             "data": {"folder": "prepared", "cases": {"train": 80, "validation": 10}},
             "software": {"torch": "2.13"}}  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(about), encoding="utf-8")
    (tmp_path / "config.yaml").write_text("name: run <1>\n", encoding="utf-8")
    root = parsed(tmp_path)
    said = text_of(root)
    for words in ("Training of run <1>", "100 steps", "80 train, 10 validation", "1,234,567", "2 on cpu", "torch 2.13"):
        assert words in said
    assert "loss 0.5000 after step 40" in said
    assert "0.03 h, 1 s a step" in said, "two processes of fifty seconds each"
    headings = [element.text for element in root.iter("h2")]
    assert headings[:3] == ["What", "Denoising loss", "Class loss (focal)"] and "AUROC of the class" in headings
    assert headings[-1] == "Configuration"
    svg = "{http://www.w3.org/2000/svg}svg"
    assert len(list(root.iter(svg))) == 6


@pytest.mark.medium
def test_pictures_are_labelled_synthetic(tmp_path):
    fill(tmp_path, 3)
    (tmp_path / "pictures").mkdir()
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as file:
        for step in range(1, 21):
            (tmp_path / "pictures" / f"{step}.png").touch()
            file.write(
                json.dumps({"step": step, "kind": "picture", "file": f"pictures/{step}.png", "seconds": 1.0}) + "\n"
            )
    root = parsed(tmp_path)
    assert "SYNTHETIC - not for diagnosis" in text_of(root)
    shown = [image.get("src") for image in root.iter("img")]
    assert len(shown) == 6 and shown[0] == "pictures/1.png" and shown[-1] == "pictures/20.png"


@pytest.mark.medium
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_run_that_hardly_began_has_a_page(tmp_path, steps):
    if steps:
        fill(tmp_path, steps)
    assert ("No step was recorded yet" in text_of(parsed(tmp_path))) == (steps == 0)
