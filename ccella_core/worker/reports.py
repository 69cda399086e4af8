"""How long a report is to a model: ``count_tokens``. It reads the tokenizer and no weights."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ccella_core.errors import InputError
from ccella_core.generation.report_text import check_report
from ccella_core.generation.text_encoder import TokenCount, load_tokenizer
from ccella_core.models.model import ModelFolder
from ccella_core.models.search import resolve_model
from ccella_core.worker.params import CountTokensParams, read_params
from ccella_core.worker.tasks import Task, WorkerState

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def count_tokens(task: Task, state: WorkerState) -> dict[str, Any]:
    """The report's length, the end-of-text token included, as the model's own encoder counts it."""
    params = read_params(CountTokensParams, task)
    model = resolve_model(params.model)
    if "tokenizer" not in model.index.components:
        raise InputError(f"The model {model.index.name} reads no report.")
    report = check_report(params.report) if params.report.strip() else ""  # asked while it is being written
    tokens = len(_tokenizer(model, state)(report, truncation=False, verbose=False)["input_ids"])
    limit = model.index.max_report_tokens
    return asdict(TokenCount(tokens, limit, tokens > limit))


def _tokenizer(model: ModelFolder, state: WorkerState) -> PreTrainedTokenizerBase:
    if model.sha256 not in state.tokenizers:
        with state.importing:
            state.tokenizers[model.sha256] = load_tokenizer(model.component_path("tokenizer"))
    return state.tokenizers[model.sha256]
