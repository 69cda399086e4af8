"""How long a report is to a model, and whether it is worded as the model's: ``count_tokens``. It reads no weights."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ccella_core.errors import InputError
from ccella_core.generation.report_text import check_report
from ccella_core.generation.text_encoder import TokenCount, load_tokenizer
from ccella_core.models.model import ModelFolder
from ccella_core.models.report_profile import read_profile
from ccella_core.models.search import resolve_model
from ccella_core.worker.params import CountTokensParams, read_params
from ccella_core.worker.tasks import Task, WorkerState

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def count_tokens(task: Task, state: WorkerState) -> dict[str, Any]:
    """The report's length, the end-of-text token included, as the model's own encoder counts it; and its wording."""
    params = read_params(CountTokensParams, task)
    model = resolve_model(params.model)
    if "tokenizer" not in model.index.components:
        raise InputError(f"The model {model.index.name} reads no report.")
    report = check_report(params.report) if params.report.strip() else ""  # asked while it is being written
    tokens = len(_tokenizer(model, state)(report, truncation=False, verbose=False)["input_ids"])
    limit = model.index.max_report_tokens
    return {**asdict(TokenCount(tokens, limit, tokens > limit)), "outside": _outside(report, model, state)}


def _outside(report: str, model: ModelFolder, state: WorkerState) -> dict[str, Any] | None:
    """How a report is worded unlike those that the model was trained on; ``None`` where it is like them."""
    if model.sha256 not in state.profiles:
        state.profiles[model.sha256] = read_profile(model)
    profile = state.profiles[model.sha256]
    wording = profile.wording(report) if profile is not None else None
    if wording is None or not wording.is_outside:
        return None
    return {
        "new_share": round(wording.new_share, 3),
        "new_words": list(wording.new_words),
        "language": wording.language,
        "model_language": wording.model_language,
    }


def _tokenizer(model: ModelFolder, state: WorkerState) -> PreTrainedTokenizerBase:
    if model.sha256 not in state.tokenizers:
        with state.importing:
            state.tokenizers[model.sha256] = load_tokenizer(model.component_path("tokenizer"))
    return state.tokenizers[model.sha256]
