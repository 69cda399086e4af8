"""What is wrong with a configuration is said in our words: no name of a library's type or class reaches a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccella_core.config import read_settings
from ccella_core.errors import InputError
from ccella_core.training.train_autoencoder import AutoencoderConfigFile

GOOD = "data: d\noutput: o\nautoencoder: {steps: 3}\n"
LIBRARY_WORDS = ("Input should", "valid ", "Tuple", "unicode string", "while ", "lax-or", "pathlib", "Error", "tag:")


def refusal(text: str, folder: Path) -> str:
    file = folder / "config.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_settings(AutoencoderConfigFile, file)
    said = str(caught.value)
    assert not any(words in said for words in LIBRARY_WORDS) and "\n" not in said, said
    return said.removeprefix("The configuration cannot be used: ").removeprefix(f"{file} cannot be read as YAML: ")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("steps: 3", "steps: three", "autoencoder.steps: a whole number is expected (got 'three')."),
        ("steps: 3", "steps: 1:30", "autoencoder.steps: a whole number is expected (got '1:30')."),
        ("steps: 3", "steps: -012", "autoencoder.steps: must be above 0 (got -12)."),
        ("steps: 3", "steps: 3.5", "autoencoder.steps: a whole number is expected (got 3.5)."),
        ("steps: 3", "steps: 0", "autoencoder.steps: must be above 0 (got 0)."),
        ("steps: 3", "steps: 999999999", "autoencoder.steps: must be at most 100000000 (got 999999999)."),
        ("steps: 3", "steps: 3, learning_rate: fast", "autoencoder.learning_rate: a number is expected (got 'fast')."),
        ("steps: 3", "steps: 3, learning_rate: -1", "autoencoder.learning_rate: must be above 0 (got -1)."),
        (
            "steps: 3",
            "steps: 3, learning_rate: .nan",
            "autoencoder.learning_rate: a finite number is expected (got nan).",
        ),
        ("steps: 3", "steps: 3, crop: [64, 64]", "entry 3 of autoencoder.crop is missing."),
        ("steps: 3", "steps: 3, crop: 64", "autoencoder.crop: a list is expected (got 64)."),
        ("{steps: 3}", "text", "autoencoder: keys and values are expected (got 'text')."),
        ("data: d", "data: 7", "data: a path is expected (got 7); data: a list is expected (got 7)."),
        ("data: d", "data: [{folder: x, repeat: 0}]", "data.0.repeat: must be above 0 (got 0)."),
        ("data: d", "data: d\nname: 2020-01-01", "name: a text is expected (got datetime.date(2020, 1, 1))."),
        (
            "data: d",
            "data: d\nmixed_precision: fp8",
            "mixed_precision: choose 'no', 'auto', 'fp16' or 'bf16' (got 'fp8').",
        ),
        ("data: d", "data: d\nsequences: [t1]", "sequences.0: choose 't2w', 'hbv' or 'adc' (got 't1')."),
        ("data: d", "data: d\nsequences: []", "sequences: too few entries, at least 1 needed (got [])."),
        ("data: d\n", "", "data is missing."),
        ("output: o", "ouptut: o", "output is missing; there is no key ouptut; did you mean output."),
    ],
)
def test_a_value_that_does_not_fit(before: str, after: str, said: str, tmp_path: Path) -> None:
    assert refusal(GOOD.replace(before, after), tmp_path) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\n\tdata: d\n", "line 2, column 1: a tab; indent with spaces."),
        ("name: a: b\n", "line 1, column 8: a second colon; put the text in quotation marks, or begin a new line."),
        ("data: [1, 2\n", "line 2, column 1: a bracket is not closed, or a value is missing."),
        ("a: 'x\n", "line 2, column 1: a quotation mark is not closed."),
        ("a: @x\n", "line 1, column 4: the text that begins with @ must stand in quotation marks."),
        ("a: !foo x\n", "line 1, column 4: the tag !foo; write plain values."),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: a second document begins; leave one."),
        ("a:\n  b: 1\n c: 2\n", "line 3, column 2: the line is indented unlike those above, or lacks its colon."),
        ("? [1]\n: 2\n", "line 1, column 3: a key is a list; keys are texts."),
        ("<<: 7\n", "line 1, column 5: what stands there is no YAML."),
        ("a: 1\na: 2\n", "the key a stands twice."),
        ("a: &x 1\nb: *x\n", "the alias *x: write the part out."),
        ("a: " + "[" * 100, "it is nested too deeply."),
        ("a: \x01", "it holds characters that no text has."),
        ("a: 2020-99-99\n", "a date or number in it is none; put texts in quotation marks."),
        ("a: !!timestamp x\n", "a date or number in it is none; put texts in quotation marks."),
    ],
)
def test_a_text_that_is_no_yaml(text: str, said: str, tmp_path: Path) -> None:
    assert refusal(text, tmp_path) == said
