"""The report encoder: a frozen language model that turns a report into one vector a token, and remembers it.

The published model reads reports with the encoder of google/flan-t5-xxl. Any Hugging Face encoder will do: a denoiser
is bound to the one it was trained with.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from ccella_core.errors import CCELLAError, InputError, ModelError, NonFiniteError, first_line
from ccella_core.generation.report_cache import ReportCache, encoder_fingerprint
from ccella_core.generation.report_text import NULL_REPORT, check_report
from ccella_core.generation.streamed_encoder import T5_FAMILY, StreamedWeights, can_stream, is_too_large
from ccella_core.models.encoder_files import folder_of, refuse_pickles
from ccella_core.models.untrusted import refuse_code, refuse_depth
from ccella_core.models.weights import WEIGHTS_NAME, load_tensors, save_tensors, stored_as_int8

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

DEFAULT_MAX_TOKENS = 512  # the published model's
ENCODE_BATCH = 4  # bounds the memory of the activations when thousands of reports are encoded in one call


@dataclass(frozen=True)
class TokenCount:
    """How long a report is to the encoder; ``truncated`` means that its beginning will not be read."""

    tokens: int
    limit: int
    truncated: bool


class ReportEncoder:
    """A frozen encoder and its tokenizer.

    ``max_tokens`` is the fixed length to which every report is padded (on the right) or truncated (on the left: the
    impression stands at the end of a report). ``cache_dir`` keeps embeddings between runs. ``device`` and ``weights``
    are given where the weights stay on the disk. Raises ``InputError`` for a length the model cannot read, a tokenizer
    without padding token, and a T5 in float16.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_tokens: int,
        cache_dir: Path | None = None,
        device: torch.device | None = None,
        weights: StreamedWeights | None = None,
    ) -> None:
        positions = getattr(model.config, "max_position_embeddings", None)
        if max_tokens < 1 or (positions is not None and max_tokens > positions):
            raise InputError(f"This text encoder reads 1 to {positions or 'any number of'} tokens, not {max_tokens}.")
        if tokenizer.pad_token_id is None:
            raise InputError("This tokenizer has no padding token, so reports cannot be brought to one length.")
        _refuse_half_precision_t5(model.config.model_type, model.dtype)
        tokenizer.truncation_side = "left"
        tokenizer.padding_side = "right"
        self._model: PreTrainedModel | None = model.eval().requires_grad_(False)
        self._weights = weights
        self._tokenizer = tokenizer
        self._fingerprint: str | None = None
        self.max_tokens = max_tokens
        self.width: int = model.config.hidden_size
        self.device: torch.device = device or model.device
        self._cache = ReportCache(cache_dir, shape=(max_tokens, self.width))

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        tokenizer_source: str | Path | None = None,
        local_files_only: bool = True,
        cache_dir: Path | None = None,
        stream: bool | None = None,
    ) -> ReportEncoder:
        """Load an encoder from a folder, or by its Hugging Face name from the local cache (or the network, if allowed).

        ``dtype`` of the weights: bfloat16 on a GPU and float32 elsewhere unless given. Of an encoder-decoder only the
        encoder is kept. ``stream``: leave the weights of a T5 on the disk and read a layer when its turn comes; by
        default where the whole would take too much of the free memory. Raises ``ModelError`` if the weights are
        missing, incomplete or pickled, ``InputError`` for float16 with a T5.
        """
        from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding

        folder = folder_of(source, local_files_only)
        tokenizer_folder = folder if tokenizer_source is None else folder_of(tokenizer_source, local_files_only)
        refuse_pickles(folder)
        refuse_code(folder)
        device = torch.device(device)
        if dtype is None:
            dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        one_file = folder / WEIGHTS_NAME
        try:
            refuse_depth(folder)
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            _refuse_half_precision_t5(config.model_type, dtype)
            if can_stream(folder) and (is_too_large(folder, device, dtype) if stream is None else stream):
                weights = StreamedWeights(folder, config, dtype)
                logger.info("%s is larger than the memory allows: each layer is read from the disk", folder.name)
                return cls(
                    weights.encoder(device),
                    load_tokenizer(tokenizer_folder),
                    max_tokens=max_tokens,
                    cache_dir=cache_dir,
                    device=device,
                    weights=weights,
                )
            loader = AutoModelForTextEncoding if config.model_type in T5_FAMILY else AutoModel
            if one_file.is_file() and stored_as_int8(one_file):
                model = loader.from_config(config, trust_remote_code=False)
                missing = _fill(model, load_tensors(one_file))
                model = model.to(dtype)
            else:
                model, loading = loader.from_pretrained(
                    folder,
                    config=config,
                    dtype=dtype,
                    use_safetensors=True,
                    local_files_only=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                )
                missing = loading["missing_keys"]
            tokenizer = load_tokenizer(tokenizer_folder)
        except CCELLAError:
            raise
        except Exception as error:  # whatever a library raises while it builds from a configuration
            raise ModelError(f"Cannot load the text encoder in {folder}: {first_line(error)}") from error
        # Transformers fills what a file lacks with random numbers; only the pooler is never used here.
        missing = [name for name in missing if "pooler" not in name]
        if missing:
            raise ModelError(f"The text encoder in {folder} lacks {len(missing)} weights, the first {missing[0]!r}.")
        if len(tokenizer) > (known := model.get_input_embeddings().weight.shape[0]):
            raise ModelError(
                f"The tokenizer in {tokenizer_folder} has {len(tokenizer)} tokens, and the text encoder in {folder} "
                f"knows {known}: they do not belong together."
            )
        if model.config.is_encoder_decoder and config.model_type not in T5_FAMILY:
            model = model.get_encoder()
        try:
            with torch.inference_mode():
                model(input_ids=torch.zeros(1, 1, dtype=torch.long))
        except Exception as error:  # settings that do not fit each other are met by the first token
            raise ModelError(f"The text encoder in {folder} cannot read: {first_line(error)}") from error
        return cls(model.to(device), tokenizer, max_tokens=max_tokens, cache_dir=cache_dir)

    def count_tokens(self, report: str) -> TokenCount:
        """The report's length in tokens, the end-of-text token included, before truncation."""
        tokens = len(self._tokenizer(report.strip(), truncation=False, verbose=False)["input_ids"])
        return TokenCount(tokens, self.max_tokens, tokens > self.max_tokens)

    def encode(self, reports: Sequence[str]) -> torch.Tensor:
        """(B, max_tokens, width) float32 on the encoder's device, a row a report; ``NULL_REPORT`` is encoded like any.

        The padding mask is given to the encoder itself and goes no further: the published adapter was trained to attend
        to the padding as well. Raises ``InputError`` for a report that ``check_report`` refuses, and for a new one
        after ``release``; ``NonFiniteError`` if the encoder overflows.
        """
        if isinstance(reports, str):
            raise InputError("Give a list of reports, not one text.")
        texts = [report if report == NULL_REPORT else check_report(report) for report in reports]
        if not texts:
            raise InputError("Give at least one report to encode.")
        known = {text: found for text in texts if (found := self._cache.recall(self._key(text))) is not None}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        for start in range(0, len(new), ENCODE_BATCH):
            batch = new[start : start + ENCODE_BATCH]
            for text, embedding in zip(batch, self._run(batch), strict=True):
                known[text] = embedding
                self._cache.keep(self._key(text), embedding)
        return torch.stack([known[text].to(self.device, torch.float32) for text in texts])

    def release(self) -> None:
        """Free the model. Reports already encoded stay available; others raise ``InputError``."""
        self._key(NULL_REPORT)  # the fingerprint needs the weights
        self._model = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def save_pretrained(
        self, text_encoder_dir: Path, tokenizer_dir: Path, *, storage_dtype: torch.dtype | None = None
    ) -> None:
        """Write the model (safetensors) and the tokenizer, each to its folder of a model.

        ``storage_dtype`` rounds the weights on the disk, bfloat16 for a T5, int8 for the smallest file; ``None`` keeps
        their type. Raises OSError where the disk refuses.
        """
        if storage_dtype is not None and storage_dtype != torch.int8:
            _refuse_half_precision_t5(self._loaded_model().config.model_type, storage_dtype)
        try:
            if self._weights is not None:
                self._weights.save(text_encoder_dir, storage_dtype)
            else:
                _save_whole(self._loaded_model(), text_encoder_dir, storage_dtype)
        except SafetensorError as error:  # the disk is full: what calls this explains every OSError
            raise OSError(f"{text_encoder_dir} could not be written: {first_line(error)}") from error
        if self._tokenizer.is_fast:
            # It remembers how its last call cut and padded, and would write that: the same encoder, other files.
            self._tokenizer.backend_tokenizer.no_truncation()
            self._tokenizer.backend_tokenizer.no_padding()
        self._tokenizer.save_pretrained(tokenizer_dir)

    def parts(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The model and its tokenizer, to make others of them. Raises InputError after ``release``."""
        return self._loaded_model(), self._tokenizer

    def _loaded_model(self) -> PreTrainedModel:
        if self._model is None:
            raise InputError("The text encoder has been released: load it again to encode a new report.")
        return self._model

    @torch.inference_mode()
    def _run(self, texts: list[str]) -> list[torch.Tensor]:
        model = self._loaded_model()
        tokens = self._tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        # bfloat16, never float16: activations inside T5 exceed 65504 and would become infinite.
        on_gpu = self.device.type == "cuda"
        with torch.autocast("cuda", torch.bfloat16) if on_gpu else contextlib.nullcontext():
            output = model(
                input_ids=tokens["input_ids"].to(self.device), attention_mask=tokens["attention_mask"].to(self.device)
            )
        embeddings = output.last_hidden_state
        if not torch.isfinite(embeddings).all():
            raise NonFiniteError("The text encoder gave NaN or infinity: load it in bfloat16 or float32.")
        return [embedding.clone() for embedding in embeddings.cpu()]  # clones, so that one does not keep all in memory

    def _key(self, text: str) -> str:
        if self._fingerprint is None:
            model = self._loaded_model()
            whole = ((name, value, value.dtype) for name, value in sorted(model.state_dict().items()))
            self._fingerprint = encoder_fingerprint(model.config, self._weights or whole, self.device, self._tokenizer)
        return hashlib.sha256(f"{self._fingerprint}\n{self.max_tokens}\n{text}".encode()).hexdigest()


def _fill(model: PreTrainedModel, tensors: dict[str, torch.Tensor]) -> list[str]:
    """Give the model its weights; returns the names of those that it did not get. ValueError where one does not fit."""
    own = model.state_dict()
    for name, tensor in tensors.items():
        if name in own and (own[name].shape != tensor.shape or not tensor.isfinite().all()):
            raise ValueError(f"its weight {name} has another shape, or is NaN or infinite")
    model.load_state_dict(tensors, strict=False)
    filled = {own[name].data_ptr() for name in tensors if name in own}  # tied weights stand in the file once
    return [name for name, tensor in own.items() if tensor.data_ptr() not in filled]


def _save_whole(model: PreTrainedModel, folder: Path, storage_dtype: torch.dtype | None) -> None:
    if storage_dtype is not None and storage_dtype != torch.int8:
        model = copy.deepcopy(model)
        torch.nn.Module.to(model, storage_dtype)
    one_file: dict[str, Any] = {"max_shard_size": "1TB"} if storage_dtype == torch.int8 else {}
    model.save_pretrained(folder, **one_file)
    if storage_dtype == torch.int8:
        # Rewritten rather than written: the library knows which weights are tied and stand in the file once.
        weights = folder / WEIGHTS_NAME
        save_tensors(load_tensors(weights), weights, dtype=torch.int8, owner=type(model).__name__)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder; nothing in it is ever run, asked about or fetched. Raises ``ModelError``."""
    from transformers import AutoTokenizer

    refuse_code(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer(["a"], truncation=False, verbose=False)  # settings of another type are met by the first text
        return tokenizer
    except Exception as error:  # the library for tokenizers raises bare exceptions
        raise ModelError(f"Cannot load the tokenizer in {folder}: {first_line(error)}") from error


def _refuse_half_precision_t5(model_type: str, dtype: torch.dtype) -> None:
    if model_type in T5_FAMILY and dtype == torch.float16:
        raise InputError("A T5 encoder overflows in float16: use bfloat16 or float32.")
