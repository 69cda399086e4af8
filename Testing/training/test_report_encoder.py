"""Training of the report encoder: its tokenizer, the facts it learns from, and that it goes on where it stopped."""

from __future__ import annotations

import pytest
import torch
from latent_cases import Heard

from ccella_core.errors import NonFiniteError
from ccella_core.phantom.fields import StructuredFields
from ccella_core.phantom.patient import draw_findings
from ccella_core.phantom.report import write_report
from ccella_core.runs.checkpoint import Checkpoints
from ccella_core.training.reading import facts
from ccella_core.training.report_encoder import (
    LabelledReport,
    ReportEncoderTraining,
    train_report_encoder,
    train_tokenizer,
)

TINY = ReportEncoderTraining(
    vocabulary=400, width=16, layers=1, heads=2, max_tokens=64, steps=4, batch_size=4, learning_rate=1e-2,
    checkpoint_every=2,
)  # fmt: skip
FINDINGS = [draw_findings(seed) for seed in range(40)]
REPORTS = [write_report(one, seed=seed) for seed, one in enumerate(FINDINGS)]
TOLD = [
    LabelledReport(report, StructuredFields.from_findings(one), one.pathology == "positive")
    for report, one in zip(REPORTS, FINDINGS, strict=True)
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(REPORTS, TINY.vocabulary)


def read_back(tokenizer, text: str) -> str:
    """What the tokens say, without the spaces that stand before each word and mark."""
    return "".join(tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True).split())


def test_every_report_ends_with_the_end_token(tokenizer):
    ids = tokenizer(REPORTS[0])["input_ids"]
    assert ids[-1] == tokenizer.eos_token_id and ids.count(tokenizer.eos_token_id) == 1
    assert len(tokenizer) == TINY.vocabulary


@pytest.mark.parametrize("text", ["12", "21", "1.2", "45.7", "PI-RADS 4", "9 x 14 mm"])
def test_numbers_survive(tokenizer, text):
    assert read_back(tokenizer, text) == text.lower().replace(" ", "")


def test_capitals_are_dropped(tokenizer):
    shouted = tokenizer("IMPRESSION: Left APEX")["input_ids"]
    assert shouted == tokenizer("impression: left apex")["input_ids"]


@pytest.mark.parametrize("text", ["前列腺左侧病灶", "😀", "Läsion", "простата", "\u200b", "a\u0301"])
def test_no_text_is_unknown(tokenizer, text):
    assert tokenizer.unk_token is None
    ids = tokenizer(text)["input_ids"]
    assert len(ids) > 1 and None not in ids
    assert tokenizer.mask_token_id not in ids


def test_chinese_and_emoji_read_back(tokenizer):
    assert read_back(tokenizer, "前列腺") == "前列腺"
    assert read_back(tokenizer, "😀") == "😀"


def test_the_same_reports_give_the_same_tokenizer(tokenizer):
    # A run that goes on trains it again, and its weights belong to these very numbers.
    assert train_tokenizer(REPORTS, TINY.vocabulary).get_vocab() == tokenizer.get_vocab()


@pytest.mark.medium
def test_two_reports_are_soon_learned(tmp_path):
    heard, config = Heard(), TINY.model_copy(update={"steps": 40, "checkpoint_every": 5})
    train_report_encoder(TOLD[:2], config, tmp_path / "run", logger=heard)
    losses = [values["loss"] for values in heard.steps]
    assert len(losses) == 40 and losses[-1] < 0.6 * losses[4]


@pytest.mark.medium
def test_a_stopped_run_that_goes_on_reads_reports_the_same(tmp_path, stopped_at_first_save):
    whole = train_report_encoder(TOLD, TINY, tmp_path / "whole")
    with stopped_at_first_save():
        train_report_encoder(TOLD, TINY, tmp_path / "stopped")
    resumed = train_report_encoder(TOLD, TINY, tmp_path / "stopped")
    states = [Checkpoints(tmp_path / name).latest() for name in ("whole", "stopped")]
    torch.testing.assert_close(states[0]["model"], states[1]["model"], rtol=0, atol=0)
    assert torch.equal(whole.encode(REPORTS[:3]), resumed.encode(REPORTS[:3]))


@pytest.mark.medium
def test_a_finished_run_that_is_started_again_writes_the_same_files(tmp_path):
    """Caches of what the encoder says hang on its files: another byte, and all reports would have to be read again."""
    for copy in ("first", "again"):
        encoder = train_report_encoder(TOLD, TINY, tmp_path / "run")
        encoder.save_pretrained(tmp_path / copy, tmp_path / copy)
        encoder.encode(REPORTS[:1])
        encoder.save_pretrained(tmp_path / f"{copy}, used", tmp_path / f"{copy}, used")
    files = sorted(file.name for file in (tmp_path / "first").iterdir())
    assert {"model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(files)
    for name in files:
        assert len({(tmp_path / copy / name).read_bytes() for copy in ("first", "again", "first, used")}) == 1, name


def test_the_encoder_is_frozen_and_of_fixed_length(tmp_path):
    encoder = train_report_encoder(TOLD, TINY, tmp_path / "run")
    embeddings = encoder.encode(["", "PI-RADS 4 lesion", "前列腺 😀"])
    assert embeddings.shape == (3, TINY.max_tokens, TINY.width)
    assert not embeddings.requires_grad
    assert encoder.count_tokens(REPORTS[0] * 20).truncated


def test_nan_is_never_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "NUMBER_WEIGHT", float("nan"))
    with pytest.raises(NonFiniteError, match="at step 0"):
        train_report_encoder(TOLD, TINY, tmp_path / "run")
    assert not (tmp_path / "run").exists()
