"""Makes a text encoder for a small model of one that others have trained: its vocabulary cut to what is needed.

The published model reads with a language model that has read far more than reports. A BERT of a few million weights is
one too, and half of its weights are the vocabulary of all that it was ever shown. Kept are the pieces of words that
reports are made of, those that English needs most, and every single character, so that no word becomes unknown that
was not. A text all of whose pieces are kept is read exactly as before; any other in smaller pieces.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.files import sha256_of
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.models.weights import WEIGHTS_NAME
from ccella_core.phantom.vocabulary import REPORT_WORDS

NUMBERS = range(301)  # each by itself, or millilitres and millimetres would be spelt
ANY_LENGTH = 1  # of reports; nothing is encoded here
CONTINUES = "##"  # what the pieces of a WordPiece vocabulary begin with that go on with a word
UNUSED = "[unused"  # places that BERT's vocabularies keep free


class PretrainedEncoder(StrictModel):
    """A text encoder that others have trained, and what is kept of it."""

    folder: Path = Field(description="with config.json, model.safetensors and a WordPiece tokenizer, as BERT's")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="what model.safetensors must hash to")
    vocabulary: int = Field(gt=0, description="pieces that are kept; fewer than there are make the file smaller")
    source: str = Field(min_length=1, description="whose it is and under which licence; the model tells it")
    storage: Literal["float32", "int8"] = Field("int8", description="of the weights on the disk")


def import_encoder(config: PretrainedEncoder, reports: Iterable[str], folder: Path) -> None:
    """Write the text encoder with the vocabulary that is kept.

    Args:
        config: which, and how much of it.
        reports: in the words of what it will read; each of their pieces is kept, and those of `REPORT_WORDS`.
        folder: of the result, with the tokenizer.

    Raises:
        InputError: the weights are others, the tokenizer is no WordPiece, or the vocabulary has no room for what must
            be kept.
        ModelError: there is no text encoder in the folder, or none that is read.
    """
    weights = config.folder / WEIGHTS_NAME
    if config.sha256 is not None and weights.is_file() and sha256_of(weights) != config.sha256:
        raise InputError(f"{weights} is not the file that the recipe names: its SHA-256 is another.")
    encoder = ReportEncoder.from_pretrained(config.folder, max_tokens=ANY_LENGTH)
    model, tokenizer = encoder.parts()
    kept = kept_pieces(tokenizer, [*reports, *REPORT_WORDS, *map(str, NUMBERS)], config.vocabulary)
    embeddings = model.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    embeddings.weight.data = embeddings.weight.data[list(kept.values())].clone()
    model.config.vocab_size = embeddings.num_embeddings = len(kept)
    model.config.pad_token_id = list(kept).index(tokenizer.pad_token)
    smaller = ReportEncoder(model, _with_vocabulary(tokenizer, list(kept)), max_tokens=ANY_LENGTH)
    folder.mkdir(parents=True, exist_ok=True)
    smaller.save_pretrained(folder, folder, storage_dtype=torch.int8 if config.storage == "int8" else None)


def kept_pieces(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], count: int) -> dict[str, int]:
    """Which pieces are kept, in their order, with the numbers that they had.

    First what must be: special tokens, single characters, the pieces of the texts. Then the first of the others:
    BERT's vocabularies are ordered by how often English text has a piece.

    Raises:
        InputError: the tokenizer is no WordPiece, or ``count`` is too small for what must be kept.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if not tokenizer.is_fast or _description(tokenizer)["model"]["type"] != "WordPiece":
        raise InputError("Only the vocabulary of a WordPiece tokenizer, as BERT's, can be cut.")
    needed = {piece for piece in vocabulary if len(piece.removeprefix(CONTINUES)) == 1}
    needed.update(tokenizer.all_special_tokens)
    for text in texts:
        needed.update(tokenizer.tokenize(text))
    if len(needed) > count:
        raise InputError(f"The vocabulary needs at least {len(needed)} pieces, not {count}.")
    in_order = sorted(vocabulary, key=vocabulary.__getitem__)
    others = [piece for piece in in_order if piece not in needed and not piece.startswith(UNUSED)]
    kept = needed.union(others[: count - len(needed)])
    return {piece: vocabulary[piece] for piece in in_order if piece in kept}


def _description(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    return dict(json.loads(tokenizer.backend_tokenizer.to_str()))


def _with_vocabulary(tokenizer: PreTrainedTokenizerBase, pieces: list[str]) -> PreTrainedTokenizerFast:
    """The same tokenizer with these pieces, numbered from 0."""
    number = {piece: place for place, piece in enumerate(pieces)}
    content = _description(tokenizer)
    content["model"]["vocab"] = number
    content["truncation"] = content["padding"] = None
    for token in content["added_tokens"]:
        token["id"] = number[token["content"]]
    for token in content["post_processor"]["special_tokens"].values():
        token["ids"] = [number[name] for name in token["tokens"]]
    named = {
        f"{name}_token": str(token)
        for name in ("unk", "sep", "pad", "cls", "mask")
        if (token := getattr(tokenizer, f"{name}_token")) is not None
    }
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(content)), **named)
