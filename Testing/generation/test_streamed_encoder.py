"""A text encoder whose weights stay on the disk: the numbers of the whole one, in the memory of a layer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

from ccella_core.errors import InputError, ModelError
from ccella_core.generation import streamed_encoder
from ccella_core.generation.streamed_encoder import is_too_large, layer_values
from ccella_core.generation.text_encoder import ReportEncoder

REPORTS = ["No lesion.", "A PI-RADS 5 lesion in the left peripheral zone."]
WIDTH, FEED_FORWARD, LAYERS, WORDS = 16, 32, 3, 40
BLOCK = 4 * WIDTH * WIDTH + 3 * WIDTH * FEED_FORWARD + 2 * WIDTH


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """An encoder-decoder in bfloat16 and in two files, as FLAN-T5-XXL comes, with the tiny model's tokenizer."""
    config = T5Config(
        vocab_size=WORDS, d_model=WIDTH, d_kv=4, d_ff=FEED_FORWARD, num_layers=LAYERS, num_heads=4,
        feed_forward_proj="gated-gelu", pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("t5") / "t5"
    T5ForConditionalGeneration(config).to(torch.bfloat16).save_pretrained(out, max_shard_size="20KB")
    assert len(list(out.glob("*.safetensors"))) > 1
    for file in (tiny_model / "tokenizer").iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    return out


def load(folder: Path, *, stream: bool | None) -> ReportEncoder:
    return ReportEncoder.from_pretrained(folder, max_tokens=16, stream=stream)


def test_the_numbers_are_those_of_the_whole_encoder(folder: Path, tmp_path: Path) -> None:
    whole, streamed = load(folder, stream=False), load(folder, stream=True)
    expected = whole.encode(REPORTS)
    assert expected.std() > 0.1
    for _again in range(2):
        torch.testing.assert_close(streamed.encode(REPORTS), expected, rtol=1e-6, atol=1e-6)
        streamed = load(folder, stream=True)
    model, _ = streamed.parts()
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}, "nothing stays in memory"
    assert streamed._key("a report") == whole._key("a report"), "what one of them encoded, the other recalls"
    assert streamed.width == WIDTH and streamed.device == torch.device("cpu")


def test_what_it_writes_is_read_whole_and_streamed(folder: Path, tmp_path: Path) -> None:
    streamed = load(folder, stream=True)
    for name in ("encoder", "tokenizer"):
        (tmp_path / name).mkdir()
    streamed.save_pretrained(tmp_path / "encoder", tmp_path / "tokenizer", storage_dtype=torch.bfloat16)
    assert len(list((tmp_path / "encoder").glob("*.safetensors"))) == LAYERS + 2
    stored = [tensor for file in (tmp_path / "encoder").glob("*.safetensors") for tensor in load_file(file).values()]
    assert {tensor.dtype for tensor in stored} == {torch.bfloat16}
    for stream in (False, True):
        again = ReportEncoder.from_pretrained(
            tmp_path / "encoder", tokenizer_source=tmp_path / "tokenizer", max_tokens=16, stream=stream
        )
        torch.testing.assert_close(again.encode(REPORTS), streamed.encode(REPORTS), rtol=1e-6, atol=1e-6)
    with pytest.raises(InputError, match="not written in 8 bits"):
        streamed.save_pretrained(tmp_path / "encoder", tmp_path / "tokenizer", storage_dtype=torch.int8)


def test_only_the_encoder_is_counted(folder: Path) -> None:
    counts = layer_values(folder)
    assert counts["shared"] == WORDS * WIDTH and counts["encoder.block.1"] == BLOCK
    assert sum(counts.values()) == sum(p.numel() for p in load(folder, stream=False).parts()[0].parameters())


def test_it_is_chosen_where_memory_is_short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_of_all = 4 * sum(layer_values(folder).values())
    for free, expected in ((bytes_of_all, True), (2 * bytes_of_all, False)):
        monkeypatch.setattr(
            streamed_encoder.psutil, "virtual_memory", lambda free=free: SimpleNamespace(available=free)
        )
        assert is_too_large(folder, torch.device("cpu"), torch.float32) is expected
        assert is_too_large(folder, torch.device("cpu"), torch.bfloat16) is False
        model, _ = load(folder, stream=None).parts()
        assert (next(model.parameters()).device.type == "meta") is expected


def test_a_missing_weight_is_said(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    tensors: dict[str, torch.Tensor] = {}
    for file in folder.iterdir():
        if file.suffix == ".safetensors":
            tensors |= load_file(file)
        elif file.name != "model.safetensors.index.json":
            (broken / file.name).write_bytes(file.read_bytes())
    del tensors["encoder.block.1.layer.1.DenseReluDense.wo.weight"]
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks the weight 'encoder\.block\.1\.layer\.1\.DenseReluDense\.wo\.weight'"):
        load(broken, stream=True)
