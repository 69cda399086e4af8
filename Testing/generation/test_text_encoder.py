"""The report encoder, with a T5 and a BERT of a few thousand weights."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

from ccella_core.errors import InputError, ModelError, NonFiniteError
from ccella_core.generation.report_text import MAX_REPORT_CHARACTERS, NULL_REPORT, check_report
from ccella_core.generation.text_encoder import ReportEncoder, TokenCount
from ccella_core.models.weights import load_tensors, save_tensors

SENTENCES = [
    "the prostate is enlarged",
    "no suspicious lesion is seen",
    "impression: PI-RADS 4 lesion in the left apex",
]
MAX_TOKENS = 8


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    specials = ["<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(SENTENCES, trainers.WordLevelTrainer(special_tokens=specials))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=MAX_TOKENS
    )


def tiny_t5_config() -> T5Config:
    return T5Config(
        vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    )


@pytest.fixture
def encoder() -> ReportEncoder:
    torch.manual_seed(0)
    return ReportEncoder(T5EncoderModel(tiny_t5_config()), tiny_tokenizer(), max_tokens=MAX_TOKENS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole T5 (encoder and decoder), as it lies on the hub."""
    torch.manual_seed(0)
    T5ForConditionalGeneration(tiny_t5_config()).save_pretrained(tmp_path / "t5")
    tiny_tokenizer().save_pretrained(tmp_path / "t5")
    return tmp_path / "t5"


def tiny_bert(folder: Path) -> Path:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=64, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=16,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def count_calls(encoder: ReportEncoder) -> list[int]:
    """The batch size of every call of the model from now on."""
    calls: list[int] = []
    encoder._loaded_model().register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    return calls


def test_check_report_strips() -> None:
    assert check_report("  Läsion links, 4 × 5 mm \n") == "Läsion links, 4 × 5 mm"
    plain = "ADC <900, b>1400 & T2 dark; PI-RADS </= 3; see A&E notes; signal (T2/ADC) <-> dark."
    assert check_report(plain) == plain
    assert len(check_report("a" * MAX_REPORT_CHARACTERS)) == MAX_REPORT_CHARACTERS


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (None, "NoneType"),
        (b"lesion", "bytes"),
        ("", "empty"),
        (" \n\t", "empty"),
        ("a" * 100_000, "100000 characters"),
        ("lesion\0", "NUL"),
        ("\x01\x02\u200b", "no printable"),
        ("lesion \ud800", "Unicode"),
        ("<Findings><L>Left, 12 mm.</L></Findings>", "HTML or XML"),
        ("ADC &lt;900, b &amp; w", "HTML or XML"),
        (r"\section*{Findings} Left lesion.", "LaTeX"),
        ("\x1b[31mPI-RADS 5\x1b[0m", "coloured for a terminal"),
    ],
)
def test_check_report_refuses(report: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_report(report)


def test_shape_and_agreement_with_the_model(encoder: ReportEncoder) -> None:
    embeddings = encoder.encode([SENTENCES[0]])
    assert embeddings.shape == (1, MAX_TOKENS, encoder.width) == (1, MAX_TOKENS, 16)
    assert embeddings.dtype == torch.float32 and not embeddings.requires_grad
    ids = tiny_tokenizer()(SENTENCES[0], return_tensors="pt")["input_ids"]
    alone = encoder._loaded_model()(input_ids=ids).last_hidden_state  # no padding at all
    torch.testing.assert_close(embeddings[:, : ids.shape[1]], alone, rtol=0, atol=1e-5)


def test_a_batch_equals_one_by_one(encoder: ReportEncoder) -> None:
    reports = [*SENTENCES, NULL_REPORT, "the left apex", SENTENCES[0]]
    together = encoder.encode(reports)
    for row, report in zip(together, reports, strict=True):
        fresh = ReportEncoder(encoder._loaded_model(), tiny_tokenizer(), max_tokens=MAX_TOKENS)
        torch.testing.assert_close(fresh.encode([report])[0], row, rtol=0, atol=1e-5)
    assert not torch.allclose(together[0], together[1])


def test_the_end_of_a_long_report_is_kept(encoder: ReportEncoder) -> None:
    ending = "PI-RADS 4 lesion in left"  # 7 tokens with the end-of-text token: "PI", "-", "RADS" …
    long = "the prostate is enlarged " * 5 + ending
    short = encoder.count_tokens(ending)
    assert short == TokenCount(8, MAX_TOKENS, False)
    assert encoder.count_tokens(long) == TokenCount(28, MAX_TOKENS, True)
    torch.testing.assert_close(encoder.encode([long]), encoder.encode([ending]))


def test_null_report_is_encoded_like_any(encoder: ReportEncoder) -> None:
    assert encoder.count_tokens(NULL_REPORT) == TokenCount(1, MAX_TOKENS, False)
    assert encoder.encode([NULL_REPORT]).abs().sum() > 0


@pytest.mark.parametrize("reports", [[], "one text", ["  "], [SENTENCES[0], 3]])
def test_encode_refuses(encoder: ReportEncoder, reports: list[str]) -> None:
    with pytest.raises(InputError):
        encoder.encode(reports)


def test_memory_cache_spares_the_model(encoder: ReportEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_calls(encoder)
    first = encoder.encode([SENTENCES[0], SENTENCES[0], f" {SENTENCES[0]} "])
    assert calls == [1]
    assert torch.equal(encoder.encode([SENTENCES[0]])[0], first[2]) and calls == [1]
    monkeypatch.setattr("ccella_core.generation.report_cache.MEMORY_CACHE_REPORTS", 2)
    encoder.encode(SENTENCES)  # more reports than the memory keeps still come back whole
    assert len(encoder._cache) == 2
    encoder.encode([SENTENCES[0]])
    assert calls == [1, 2, 1]


def test_disk_cache(encoder: ReportEncoder, tmp_path: Path) -> None:
    model = encoder._loaded_model()

    def fresh(max_tokens: int = MAX_TOKENS) -> ReportEncoder:
        return ReportEncoder(model, tiny_tokenizer(), max_tokens=max_tokens, cache_dir=tmp_path / "cache")

    calls = count_calls(encoder)
    expected = fresh().encode([SENTENCES[0]])
    assert torch.equal(fresh().encode([SENTENCES[0]]), expected) and calls == [1]
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:50])  # corrupt: computed and written again
    assert torch.equal(fresh().encode([SENTENCES[0]]), expected) and calls == [1, 1]
    assert torch.equal(fresh().encode([SENTENCES[0]]), expected) and calls == [1, 1]
    fresh(max_tokens=6).encode([SENTENCES[0]])  # another length is another embedding
    with torch.no_grad():
        next(model.parameters()).add_(1)
    fresh().encode([SENTENCES[0]])  # and so are other weights
    assert calls == [1, 1, 1, 1] and len(list((tmp_path / "cache").iterdir())) == 3


def test_a_cache_that_cannot_be_written_does_not_matter(encoder: ReportEncoder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    cached = ReportEncoder(
        encoder._loaded_model(), tiny_tokenizer(), max_tokens=MAX_TOKENS, cache_dir=tmp_path / "file" / "cache"
    )
    assert torch.equal(cached.encode(SENTENCES), encoder.encode(SENTENCES))


def test_release_keeps_what_was_encoded(encoder: ReportEncoder, tmp_path: Path) -> None:
    before = encoder.encode([SENTENCES[0]])
    encoder.release()
    encoder.release()
    assert torch.equal(encoder.encode([SENTENCES[0]]), before)
    with pytest.raises(InputError, match="released"):
        encoder.encode([SENTENCES[1]])
    with pytest.raises(InputError, match="released"):
        encoder.save_pretrained(tmp_path / "model", tmp_path / "tokenizer")


def test_from_pretrained_takes_the_encoder_and_saves_it_again(folder: Path, tmp_path: Path) -> None:
    encoder = ReportEncoder.from_pretrained(folder, max_tokens=MAX_TOKENS)
    whole = T5ForConditionalGeneration.from_pretrained(folder).get_encoder()
    tokens = tiny_tokenizer()(SENTENCES[0], return_tensors="pt", padding="max_length")
    torch.testing.assert_close(encoder.encode([SENTENCES[0]]), whole(**tokens).last_hidden_state)
    encoder.save_pretrained(tmp_path / "text_encoder", tmp_path / "tokenizer")
    assert (tmp_path / "text_encoder" / "model.safetensors").exists()
    again = ReportEncoder.from_pretrained(
        str(tmp_path / "text_encoder"), tokenizer_source=tmp_path / "tokenizer", max_tokens=MAX_TOKENS
    )
    assert torch.equal(again.encode(SENTENCES), encoder.encode(SENTENCES))
    assert again._key("a") == encoder._key("a")  # the cache outlives the copy


def test_bfloat16_weights_give_float32_embeddings(folder: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"max_tokens": MAX_TOKENS, "dtype": torch.bfloat16, "cache_dir": tmp_path / "cache"}
    embeddings = ReportEncoder.from_pretrained(folder, **options).encode(SENTENCES)
    assert embeddings.dtype == torch.float32
    assert torch.equal(ReportEncoder.from_pretrained(folder, **options).encode(SENTENCES), embeddings)
    exact = ReportEncoder.from_pretrained(folder, max_tokens=MAX_TOKENS).encode(SENTENCES)
    torch.testing.assert_close(embeddings, exact, rtol=0, atol=0.05)
    assert not torch.equal(embeddings, exact)


@pytest.mark.parametrize("family", ["t5", "bert"])
def test_eight_bits_on_the_disk_are_read_as_float(folder: Path, tmp_path: Path, family: str) -> None:
    if family == "bert":
        folder = tiny_bert(tmp_path / "bert")
    exact = ReportEncoder.from_pretrained(folder, max_tokens=MAX_TOKENS)
    small = tmp_path / "small"
    exact.save_pretrained(small, small, storage_dtype=torch.int8)
    assert exact._loaded_model().dtype == torch.float32  # what is saved is a copy
    weights = "model.safetensors"
    whole = tmp_path / "whole"
    exact.save_pretrained(whole, whole)
    assert (small / weights).stat().st_size < 0.6 * (whole / weights).stat().st_size  # tiny: half of it is header
    read = ReportEncoder.from_pretrained(small, max_tokens=MAX_TOKENS)
    before, after = exact.encode(SENTENCES), read.encode(SENTENCES)
    assert after.dtype == torch.float32 and not torch.equal(before, after)
    assert (before - after).abs().mean() < 0.02 * before.abs().mean()
    read.save_pretrained(tmp_path / "again", tmp_path / "again", storage_dtype=torch.int8)
    assert (tmp_path / "again" / weights).read_bytes() == (small / weights).read_bytes()
    in_half = ReportEncoder.from_pretrained(small, max_tokens=MAX_TOKENS, dtype=torch.bfloat16)
    assert in_half._loaded_model().dtype == torch.bfloat16


def test_eight_bits_that_are_of_something_else_are_refused(folder: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    ReportEncoder.from_pretrained(folder, max_tokens=MAX_TOKENS).save_pretrained(small, small, storage_dtype=torch.int8)
    whole = load_tensors(small / "model.safetensors")
    some = {name: tensor for name, tensor in whole.items() if "wo" not in name}
    save_tensors(some, small / "model.safetensors", dtype=torch.int8, owner="T5")
    with pytest.raises(ModelError, match=r"lacks 1 weights, the first 'encoder\.block\.0\.layer\.1"):
        ReportEncoder.from_pretrained(small)
    other = {**whole, "shared.weight": torch.zeros(3, 3)}
    save_tensors(other, small / "model.safetensors", dtype=torch.int8, owner="T5")
    with pytest.raises(ModelError, match=r"Cannot load .* shared\.weight has another shape"):
        ReportEncoder.from_pretrained(small)


def test_float16_is_refused_for_t5(folder: Path) -> None:
    with pytest.raises(InputError, match="overflows in float16"):
        ReportEncoder.from_pretrained(folder, dtype=torch.float16)
    with pytest.raises(InputError, match="overflows in float16"):
        ReportEncoder(T5EncoderModel(tiny_t5_config()).half(), tiny_tokenizer(), max_tokens=MAX_TOKENS)


def test_another_family(tmp_path: Path) -> None:
    tiny_bert(tmp_path)
    encoder = ReportEncoder.from_pretrained(tmp_path, max_tokens=MAX_TOKENS)
    assert encoder.encode([*SENTENCES, NULL_REPORT]).shape == (4, MAX_TOKENS, 12)
    with pytest.raises(InputError, match="1 to 16 tokens, not 17"):
        ReportEncoder.from_pretrained(tmp_path, max_tokens=17)


def test_missing_encoder_says_how_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as of_folder:
        ReportEncoder.from_pretrained(tmp_path / "encoder")
    assert str(tmp_path / "encoder") in str(of_folder.value)
    assert "hf download google/flan-t5-xxl" in str(of_folder.value) and "--local-dir" in str(of_folder.value)
    with pytest.raises(ModelError, match="hf download nobody/no-such-encoder --include") as of_name:
        ReportEncoder.from_pretrained("nobody/no-such-encoder")
    assert "hub" in str(of_name.value)


def test_pickles_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):
        ReportEncoder.from_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(ModelError, match=r"pickle \(pytorch_model.bin\)"):
        ReportEncoder.from_pretrained(folder)


def test_damaged_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-200])
    with pytest.raises(ModelError, match="truncated or damaged"):
        ReportEncoder.from_pretrained(broken)
    BertModel(
        BertConfig(vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4)
    ).save_pretrained(tmp_path / "bert")
    shutil.copy(tmp_path / "bert" / "model.safetensors", weights)  # the weights of something else
    with pytest.raises(ModelError, match="lacks"):
        ReportEncoder.from_pretrained(broken)


def test_an_overflow_is_not_passed_on(encoder: ReportEncoder) -> None:
    with torch.no_grad():
        next(encoder._loaded_model().parameters()).fill_(float("nan"))
    with pytest.raises(NonFiniteError):
        encoder.encode(SENTENCES)


def test_a_full_disk_is_the_disk_s_refusal(encoder: ReportEncoder, tmp_path: Path, monkeypatch) -> None:
    """What saves an encoder explains every OSError; the error of the library that writes is none."""

    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("ccella_core.generation.text_encoder._save_whole", full)
    with pytest.raises(OSError, match=r"model could not be written: .*No space left"):
        encoder.save_pretrained(tmp_path / "model", tmp_path / "tokenizer")
