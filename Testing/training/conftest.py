"""What the tests of the trainings share: a run that is stopped right after it first saved, and exact comparison."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from ccella_core.runs.checkpoint import Checkpoints

sys.path.append(str(Path(__file__).parent))  # latent_cases


class Stopped(Exception):
    pass


@pytest.fixture
def stopped_at_first_save(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """``with stopped_at_first_save(): train(…)`` ends the training once a checkpoint is written."""

    save = Checkpoints.save

    def save_and_stop(checkpoints: Checkpoints, step: int, state: dict[str, Any]) -> None:
        save(checkpoints, step, state)
        raise Stopped

    @contextmanager
    def stop() -> Iterator[None]:
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(Checkpoints, "save", save_and_stop)
            yield

    return stop


@pytest.fixture
def assert_same_weights() -> Callable[[torch.nn.Module, torch.nn.Module], None]:
    """Fails unless two networks agree to the last bit."""

    def check(a: torch.nn.Module, b: torch.nn.Module) -> None:
        torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0, atol=0)

    return check
