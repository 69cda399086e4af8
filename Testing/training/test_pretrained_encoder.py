"""A text encoder that others have trained, made small: what is kept is read as before, and no word is unknown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from ccella_core.errors import InputError, ModelError
from ccella_core.generation.text_encoder import ReportEncoder, load_tokenizer
from ccella_core.training import pretrained_encoder
from ccella_core.training.frozen_networks import text_encoder_source
from ccella_core.training.pretrained_encoder import PretrainedEncoder, import_encoder, kept_pieces
from ccella_core.training.train_text_encoder import TextEncoderConfigFile, train

SPECIAL = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [mark + letter for letter in "abcdefghilmnoprstuvwy0123456789.é" for mark in ("", "##")]
FREQUENT = ["the", "of", "and", "##ing", "house", "river"]
OF_REPORTS = ["pro", "##state", "lesion", "left", "right", "zone", "mm"]
PIECES = [*SPECIAL, *LETTERS, *FREQUENT, *OF_REPORTS]
REPORTS = ["Lesion of the left prostate", "12 mm, right zone"]
NEEDED = 5 + len(LETTERS) + 9
"""Special tokens, letters, and the pieces of the reports that are neither."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A BERT of a few thousand weights, with the tokenizer that BERTs have."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, PIECES.index(name)) for name in ("[CLS]", "[SEP]")]
    )
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    path = tmp_path_factory.mktemp("pretrained")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(path)
    config = BertConfig(
        vocab_size=len(PIECES), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, pad_token_id=0,
    )  # fmt: skip
    BertModel(config).save_pretrained(path)
    return path


@pytest.fixture(autouse=True)
def few_words(monkeypatch) -> None:
    monkeypatch.setattr(pretrained_encoder, "REPORT_WORDS", [])
    monkeypatch.setattr(pretrained_encoder, "NUMBERS", range(0))


def pretrained(folder: Path, **changes: object) -> PretrainedEncoder:
    return PretrainedEncoder(**{"folder": folder, "vocabulary": NEEDED + 1, "source": "nobody's", **changes})


def test_what_must_be_kept_is_and_then_what_is_most_frequent(folder):
    kept = kept_pieces(load_tokenizer(folder), REPORTS, NEEDED + 1)
    assert len(kept) == NEEDED + 1
    assert {*OF_REPORTS, *LETTERS, "[PAD]", "the", "of", "and"} <= kept.keys()
    assert not {"[unused0]", "house", "river"} & kept.keys()
    assert all(PIECES[number] == piece for piece, number in kept.items())
    assert list(kept.values()) == sorted(kept.values())
    assert len(kept_pieces(load_tokenizer(folder), REPORTS, 10_000)) == len(PIECES) - 1


def test_words_that_are_kept_are_read_exactly_as_before(folder, tmp_path):
    import_encoder(pretrained(folder, storage="float32"), REPORTS, tmp_path)
    before, after = (ReportEncoder.from_pretrained(path, max_tokens=32) for path in (folder, tmp_path))
    texts = [*REPORTS, "", "the prostate and the lesion", "left and right: 1.2 mm"]
    assert torch.equal(before.encode(texts), after.encode(texts))
    assert after.count_tokens("lesion") == before.count_tokens("lesion")


def test_a_word_that_is_not_kept_is_spelt_and_never_unknown(folder, tmp_path):
    import_encoder(pretrained(folder), REPORTS, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.tokenize("house") == ["h", "##o", "##u", "##s", "##e"]
    assert tokenizer.tokenize("été") == ["é", "##t", "##é"]
    assert tokenizer.tokenize("house é")[0] != tokenizer.unk_token
    assert tokenizer.pad_token_id == 0 == json.loads((tmp_path / "config.json").read_text())["pad_token_id"]


def test_eight_bits_read_nearly_the_same(folder, tmp_path):
    for storage in ("float32", "int8"):
        import_encoder(pretrained(folder, storage=storage), REPORTS, tmp_path / storage)
    exact, small = (ReportEncoder.from_pretrained(tmp_path / name, max_tokens=16) for name in ("float32", "int8"))
    # Of unit variance, as a layer norm leaves them.
    error = (exact.encode(REPORTS) - small.encode(REPORTS)).abs()
    assert 0 < error.mean() < 0.02 and error.max() < 0.1


def test_it_is_a_run_whose_folder_a_training_takes(folder, tmp_path):
    config = TextEncoderConfigFile(
        output=tmp_path / "run", phantom_reports={"count": 3}, pretrained=pretrained(folder, vocabulary=10_000)
    )
    train(config)
    first = (tmp_path / "run" / "text_encoder" / "model.safetensors").read_bytes()
    train(config)
    assert (tmp_path / "run" / "text_encoder" / "model.safetensors").read_bytes() == first
    source = text_encoder_source(str(tmp_path / "run"))
    assert source.load(32).width == 16
    recipe = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    assert recipe["pretrained"]["source"] == "nobody's"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vocabulary": 20}, f"needs at least {NEEDED} pieces, not 20"),
        ({"sha256": "0" * 64}, "its SHA-256 is another"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_left(folder, tmp_path, changes, words):
    config = TextEncoderConfigFile(
        output=tmp_path / "run", phantom_reports={"count": 3}, pretrained=pretrained(folder, **changes)
    )
    with pytest.raises(InputError, match=words) as refused:
        import_encoder(config.pretrained, REPORTS, tmp_path / "run" / "text_encoder")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_folder_without_an_encoder_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere is not in"):
        import_encoder(pretrained(tmp_path / "nowhere"), REPORTS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_kind_of_tokenizer_is_refused(folder, tmp_path):
    words = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    with pytest.raises(InputError, match="WordPiece"):
        kept_pieces(PreTrainedTokenizerFast(tokenizer_object=words), REPORTS, 100)


def test_either_is_trained_or_taken(folder, tmp_path):
    with pytest.raises(ValueError, match="either text_encoder or pretrained"):
        TextEncoderConfigFile(output=tmp_path)
