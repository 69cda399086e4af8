"""How long a report is to a model: ``count_tokens``. It reads the tokenizer and no weights."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from transformers import AutoTokenizer

from ccella_core.errors import BundleError, InputError
from ccella_core.generation.text_encoder import TokenCount, check_report
from ccella_core.models.model import Bundle
from ccella_core.models.search import resolve_bundle
from ccella_core.worker.params import CountTokensParams, read_params
from ccella_core.worker.tasks import State, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def count_tokens(task: Task, state: State) -> dict[str, Any]:
    """The report's length, the end-of-text token included, as the bundle's own encoder counts it."""
    asked = read_params(CountTokensParams, task)
    bundle = resolve_bundle(asked.bundle)
    if "tokenizer" not in bundle.index.components:
        raise InputError(f"The model {bundle.index.name} reads no report.")
    report = check_report(asked.report) if asked.report.strip() else ""  # asked while it is being written
    tokens = len(_tokenizer(bundle, state)(report, truncation=False, verbose=False)["input_ids"])
    limit = bundle.index.max_report_tokens
    return asdict(TokenCount(tokens, limit, tokens > limit))


def _tokenizer(bundle: Bundle, state: State) -> PreTrainedTokenizerBase:
    if bundle.sha256 not in state.tokenizers:
        folder = bundle.component_path("tokenizer")
        try:
            with state.importing:
                state.tokenizers[bundle.sha256] = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise BundleError(f"Cannot read the tokenizer in {folder}: {str(error).splitlines()[0]}") from error
    return state.tokenizers[bundle.sha256]
