"""Training of a small T5 encoder on phantom reports, for models that must fit into a few megabytes.

The published model reads reports with a general-purpose language model, FLAN-T5-XXL; the demonstration cannot ship one.
Its own encoder learns two things at once from written reports: to fill in masked words, and to state the
facts in the report. It is frozen afterwards, as the published one is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field, model_validator
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from ccella_core.config import BatchSize, LearningRate, MaxTokens, Seed, Steps, StrictModel
from ccella_core.devices import check_trainable
from ccella_core.errors import InputError
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.networks.config import Blocks, Width
from ccella_core.phantom.fields import StructuredFields
from ccella_core.runs.batches import Batches, DataLoading
from ccella_core.runs.logging import TrainLogger
from ccella_core.runs.schedules import one_cycle
from ccella_core.runs.trainer import Trainer
from ccella_core.training.reading.facts import FactHeads, facts_of, stated_facts

PAD, END, MASK = "<pad>", "</s>", "<mask>"
LEAST_VOCABULARY = 258
"""A token for every byte, so that no text is unknown; the special ones and a few words come on top."""
MASKED_SHARE = 0.15  # of the tokens, as BERT
TOKENIZER_REPORTS = 3000  # enough to have met every word, and soon read


class ReportEncoderTraining(StrictModel):
    """Size of the encoder and how it is trained."""

    vocabulary: int = Field(gt=LEAST_VOCABULARY, le=2**20, description="tokens that it knows")
    width: Width = Field(description="of a token; the denoiser's `adapter.text_width`")
    layers: Blocks = Field(description="of the T5 encoder")
    heads: Width = Field(description="of attention in each; divides `width`")
    max_tokens: MaxTokens = Field(description="to which reports are cut on the left")
    steps: Steps = Field(description="of the optimiser")
    batch_size: BatchSize = Field(description="reports a step")
    learning_rate: LearningRate = Field(description="of AdamW, at its highest")
    seed: Seed = Field(0, description="of all that is drawn at random")
    checkpoint_every: Steps = Field(50, description="steps")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> ReportEncoderTraining:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of the {self.heads} heads")
        return self


def train_tokenizer(reports: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: common words whole, no text unknown.

    It drops capitals: what the encoder learns must not hang on how a heading is written.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END, MASK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(reports, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, mask_token=MASK)


class _Learner(nn.Module):
    """The encoder with what it needs only while it learns: a word for each masked token, a value for each fact."""

    def __init__(self, encoder: T5EncoderModel) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.d_model
        self.word = nn.Linear(width, encoder.config.vocab_size)
        # A fact stands in one or two words of a hundred: each has a query of its own that finds them.
        self.facts = FactHeads(width)
        self.query = nn.Parameter(torch.randn(len(self.facts), width))

    def forward(
        self, tokens: Tensor, attention: Tensor, masked: Tensor, words: Tensor, facts: dict[str, Tensor]
    ) -> Tensor:
        hidden = self.encoder(input_ids=tokens, attention_mask=attention).last_hidden_state
        loss = F.cross_entropy(self.word(hidden.flatten(0, 1).index_select(0, masked)), words)
        scores = torch.einsum("bld,fd->bfl", hidden, self.query) / hidden.shape[-1] ** 0.5
        found = scores.masked_fill(attention[:, None] == 0, -torch.inf).softmax(dim=-1) @ hidden
        return loss + self.facts.loss(found, facts)


class LabelledReport(NamedTuple):
    """A report, and what it states as far as that is known."""

    text: str
    fields: StructuredFields
    positive: bool | None


def train_report_encoder(
    reports: Sequence[LabelledReport],
    config: ReportEncoderTraining,
    checkpoints: Path,
    *,
    loading: DataLoading | None = None,
    logger: TrainLogger | None = None,
) -> ReportEncoder:
    """Train tokenizer and encoder, going on from the last of ``checkpoints`` where there is one.

    Args:
        reports: what it learns from.
        config: size, steps, seed.
        checkpoints: folder of the training states.
        loading: how the reports come to the device.
        logger: receives every step.

    Raises:
        InputError: there are no reports.
        NonFiniteError: the loss became NaN or infinite; the last checkpoint is whole.
    """
    if not reports:
        raise InputError("There are no reports to learn from; give phantom_reports or data.")
    torch.manual_seed(config.seed)
    tokenizer = train_tokenizer((report.text for report in reports[:TOKENIZER_REPORTS]), config.vocabulary)
    tokenizer.truncation_side, tokenizer.model_max_length = "left", config.max_tokens
    learner = _Learner(
        _new_encoder(config, len(tokenizer), pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id)
    )
    trainer = Trainer(learner, checkpoints, config, schedule=one_cycle(config, rising=0.1))
    facts = [stated_facts(report.fields, positive=report.positive) for report in reports]
    make = partial(_batch, [report.text for report in reports], facts, tokenizer, config)
    batches = Batches(make, config.batch_size, loading or DataLoading(), shared=False)
    trainer.fit(partial(_loss, trainer), batches, logger)
    return ReportEncoder(learner.encoder, tokenizer, max_tokens=config.max_tokens)


class ReportBatch(NamedTuple):
    """Reports with masked words, as they are sent to the device."""

    tokens: Tensor
    attention: Tensor
    masked: Tensor
    """(M,): which of the tokens, counted over all reports, are masked."""
    words: Tensor
    """(M,): what they were."""
    facts: dict[str, Tensor]
    seed: int
    """Of the step's dropout."""
    chance: np.ndarray
    """State of the processor's generator of random numbers after the mask was drawn."""


def _batch(
    texts: Sequence[str],
    facts: Sequence[dict[str, float]],
    tokenizer: PreTrainedTokenizerFast,
    config: ReportEncoderTraining,
    step: int,
    places: Sequence[int],
) -> list[ReportBatch]:
    rng = np.random.default_rng([config.seed, step])
    seed = int(rng.integers(2**62))
    rows = rng.integers(len(texts), size=len(places))
    encoded = tokenizer(
        [texts[row] for row in rows], padding=True, truncation=True, max_length=config.max_tokens, return_tensors="pt"
    )
    tokens, attention = encoded.input_ids, encoded.attention_mask
    chance = torch.Generator().manual_seed(seed)
    chosen = (torch.rand(tokens.shape, generator=chance) < MASKED_SHARE) & attention.bool()
    return [
        ReportBatch(
            tokens=torch.where(chosen, tokenizer.mask_token_id, tokens),
            attention=attention,
            masked=chosen.flatten().nonzero()[:, 0],
            words=tokens[chosen],
            facts=facts_of([facts[row] for row in rows]),
            seed=seed,
            chance=chance.get_state().numpy(),
        )
    ]


def _loss(trainer: Trainer, batch: ReportBatch) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(batch.seed)
    torch.set_rng_state(torch.from_numpy(batch.chance))
    return trainer.model(batch.tokens, batch.attention, batch.masked, batch.words, batch.facts), {}


def check_encoder(config: ReportEncoderTraining) -> None:
    """Refuse an encoder that this computer cannot hold while it is trained. Raises InputError."""
    with torch.device("meta"):
        check_trainable(_new_encoder(config, config.vocabulary), torch.device("cpu"))


def _new_encoder(config: ReportEncoderTraining, vocabulary: int, **tokens: int | None) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary,
            d_model=config.width,
            d_kv=config.width // config.heads,
            d_ff=4 * config.width,
            num_layers=config.layers,
            num_heads=config.heads,
            dropout_rate=0.05,
            feed_forward_proj="gated-gelu",
            **tokens,  # type: ignore[arg-type]  # ids of tokens
        )
    )
