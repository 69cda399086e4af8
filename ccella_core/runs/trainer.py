"""One training: the part that every training here shares, whatever it trains and on however many processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from ccella_core.errors import InputError, NonFiniteError
from ccella_core.runs.batches import Batches
from ccella_core.runs.checkpoint import (
    KEPT,
    Checkpoints,
    averaged_weights,
    load_checkpoint,
    save_checkpoint,
    state_explained,
)
from ccella_core.runs.logging import SilentLog, TrainLogger
from ccella_core.runs.metrics import StepMetrics, StepRecord
from ccella_core.runs.schedules import RunSettings, Schedule

GRADIENT_CLIP = 1.0
FUSED_ON = ("cuda", "cpu")
"""Devices on which AdamW updates all weights in one kernel: on processors in a quarter of the time."""


TrainStep = Callable[[Any], tuple[Tensor, Mapping[str, Tensor]]]
"""From a micro-batch on the device to its loss and what else is to be logged of it: scalars on the device.

A loss is summed over the micro-batches of a step and averaged over the processes, and so are the other numbers.
"""


class Trainer:
    """Optimiser, schedule, average and checkpoints of a network; goes on from the last checkpoint where there is one.

    Nothing random is kept between steps: what a step draws follows from ``seed`` and its number alone, so that a run
    that was stopped draws what one that never stopped would have drawn.

    Args:
        model: what is trained; parameters that need no gradient stay as they are. It is moved to the device.
        folder: of the checkpoints, written every ``checkpoint_every`` steps and after the last.
        settings: steps, learning rate (of AdamW), checkpoints, seed.
        schedule: makes the learning rate's schedule.
        gradient_clip: the largest norm of the gradient.
        ema_decay: of an average of the weights (EMA); ``None``: none is kept.
        accelerator: processes, device and precision; by default one process in full precision.
        kept: how many of the last checkpoints stay.
        slower: parts of the model that learn at a share of the learning rate, and that share.
        fetch_every: steps whose numbers are fetched from the device together; by default one on processors, more on
            a GPU, which a step would wait for.
    """

    def __init__(
        self,
        model: nn.Module,
        folder: Path,
        settings: RunSettings,
        *,
        schedule: Schedule,
        gradient_clip: float = GRADIENT_CLIP,
        ema_decay: float | None = None,
        accelerator: Accelerator | None = None,
        kept: int = KEPT,
        slower: Mapping[nn.Module, float] | None = None,
        fetch_every: int | None = None,
    ) -> None:
        self.accelerator = accelerator or Accelerator()
        self.checkpoints = Checkpoints(folder, kept=kept)
        self.steps, self.seed, self._every = settings.steps, settings.seed, settings.checkpoint_every
        self._clip = gradient_clip
        self.network = model.to(self.accelerator.device)
        fused = self.accelerator.device.type in FUSED_ON
        groups = _groups(model, settings.learning_rate, slower or {})
        optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=fused)
        # Not prepared by Accelerate, whose schedules advance once a process and not once a step.
        self._schedule = schedule(optimiser)
        self._average = EMAModel(model.parameters(), decay=ema_decay, foreach=True) if ema_decay else None
        self.step, self.best_score = 0, float("inf")
        self._metrics = StepMetrics(self.accelerator, every=fetch_every)
        self._logger: TrainLogger = SilentLog()
        self.model, self._optimiser = self.accelerator.prepare(model, optimiser)
        self._resume()
        self.model.train()

    @property
    def unfinished(self) -> bool:
        """Whether steps are left."""
        return self.step < self.steps

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def fit(
        self,
        step: TrainStep,
        batches: Batches,
        logger: TrainLogger | None = None,
        after_step: Callable[[Trainer], None] | None = None,
    ) -> None:
        """Train until the last step, going on from the one that is done; leaves the network on the CPU, ready for use.

        It has the averaged weights then, where there is an average. A step's data are made while the device still
        computes the step before, and no step waits for numbers from the device: those are fetched ``fetch_every``
        steps at once, and all that are left before anything is validated or saved.

        Args:
            step: the loss of a micro-batch, with ``self.model``.
            batches: of all steps.
            logger: receives every step, in order.
            after_step: called after every step, to validate now and then; before the checkpoint, if one is due.

        Raises:
            NonFiniteError: loss or gradient became NaN or infinite; the last checkpoint is whole.
            SaveError: a checkpoint or the log could not be written; the checkpoint before it is whole.
        """
        self._logger = logger or SilentLog()
        accelerator = self.accelerator
        data = batches(
            range(self.step, self.steps),
            accelerator.device,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        with closing(data):
            for micro_batches in data:
                self._update(step, send_to_device(micro_batches, accelerator.device, non_blocking=True))
                if after_step is not None:
                    after_step(self)
                self._save_if_due()
        self._finish()

    def _update(self, step: TrainStep, micro_batches: Sequence[Any]) -> None:
        """One step of the optimiser. A micro-batch after the other, so that a batch may be larger than the memory."""
        self._optimiser.zero_grad()
        values: dict[str, Tensor] = {}
        for number, micro_batch in enumerate(micro_batches, start=1):
            with self._gathering(is_last=number == len(micro_batches)):
                loss, others = step(micro_batch)
                self.accelerator.backward(loss)
            for name, value in {"loss": loss, **others}.items():
                values[name] = values[name] + value.detach() if name in values else value.detach()
        values["gradient_norm"] = self.accelerator.clip_grad_norm_(self.model.parameters(), self._clip)
        records = self._metrics.add(self.step + 1, values, self.learning_rate)
        self._require_finite(records)
        self._optimiser.step()
        if not self._optimiser.step_was_skipped:
            self._schedule.step()
        if self._average is not None:
            self._average.step(self.network.parameters())
        self.step += 1
        self._log(records)

    def settle(self) -> None:
        """Wait for the device, and log every step that is done.

        Raises:
            NonFiniteError: in one of them, loss or gradient became NaN or infinite.
        """
        records = self._metrics.rest()
        self._require_finite(records)
        self._log(records)

    def _log(self, records: Sequence[StepRecord]) -> None:
        for record in records:
            self._logger.step(record.step, record.values, ended=record.ended)

    def _require_finite(self, records: Sequence[StepRecord]) -> None:
        """Where several steps are fetched at once, weights may have taken the bad step; checkpoints never do."""
        # A scaler itself leaves out steps whose gradients overflow in float16.
        names = ("loss", "gradient_norm") if self.accelerator.scaler is None else ("loss",)
        for record in records:
            for name in names:
                if not np.isfinite(value := record.values[name]):
                    # The checkpoint keeps the old rate with the optimiser: going on from it would not help.
                    raise NonFiniteError(
                        f"The {name.removesuffix('_norm')} became {value} at step {record.step - 1}; the last "
                        f"checkpoint is whole. Lower the learning rate, remove {self.checkpoints.folder} and start "
                        "again."
                    )

    def _save_if_due(self) -> None:
        if self.step % self._every and self.step != self.steps:
            return
        self.settle()
        if self.accelerator.is_main_process:
            self.checkpoints.save(self.step, self._state())

    def _gathering(self, *, is_last: bool) -> AbstractContextManager[Any]:
        """Processes exchange gradients once a step, with the last micro-batch."""
        return nullcontext() if is_last else self.accelerator.no_sync(self.model)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the network has the averaged weights, where there is an average, and does not learn.

        Every step before it is logged. Raises NonFiniteError, see ``settle``.
        """
        self.settle()
        parameters = list(self.network.parameters())
        if self._average is not None:
            self._average.store(parameters)
            self._average.copy_to(parameters)
        self.model.eval()
        try:
            yield
        finally:
            if self._average is not None:
                self._average.restore(parameters)
            self.model.train()

    def keep_if_best(self, score: float) -> bool:
        """Keep the weights apart if ``score`` (lower is better) is the best so far; returns whether it was.

        Raises NonFiniteError and SaveError, as ``fit`` does.
        """
        self.settle()
        if not score < self.best_score:
            return False
        self.best_score = score
        if self.accelerator.is_main_process:
            save_checkpoint(self.checkpoints.best, self._state())
        return True

    def _finish(self) -> None:
        if self._average is not None:
            self._average.copy_to(self.network.parameters())
        self.accelerator.wait_for_everyone()
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False).to("cpu").eval()

    def _state(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {
            "model": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "step": self.step,
            "best_score": self.best_score,
        }

    def _resume(self) -> None:
        if (state := self.checkpoints.latest()) is None:
            return
        with state_explained(self.checkpoints.folder):
            self.network.load_state_dict(state["model"])
            self._optimiser.load_state_dict(state["optimiser"])
            self._schedule.load_state_dict(state["schedule"])
            if self._average is not None:
                self._average.load_state_dict(state["average"])
                self._average.to(self.accelerator.device)
            if self.accelerator.scaler is not None and state["scaler"] is not None:
                self.accelerator.scaler.load_state_dict(state["scaler"])
            self.step, self.best_score = int(state["step"]), float(state["best_score"])


def _groups(model: nn.Module, rate: float, slower: Mapping[nn.Module, float]) -> list[dict[str, Any]]:
    """The parameters that learn, those at the full rate first, for an optimiser."""
    slow = [([each for each in part.parameters() if each.requires_grad], share) for part, share in slower.items()]
    apart = {id(parameter) for parameters, _ in slow for parameter in parameters}
    rest = [each for each in model.parameters() if each.requires_grad and id(each) not in apart]
    return [{"params": rest}, *({"params": parameters, "lr": rate * share} for parameters, share in slow)]


def load_trained(folder: Path, model: nn.Module, *, best: bool = False) -> int:
    """Fill ``model`` with the weights for use that a run left in ``folder``; returns the step they are of.

    Raises:
        InputError: there is no checkpoint, or it is damaged.
    """
    checkpoints = Checkpoints(folder)
    state = load_checkpoint(checkpoints.best) if best else checkpoints.latest()
    if state is None:
        raise InputError(f"There is no checkpoint in {folder}; has the training begun?")
    with state_explained(folder):
        averaged_weights(state, model)
        return int(state["step"])
