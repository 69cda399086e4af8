"""What a network costs, counted without its weights and without computing anything.

The network runs on torch's ``meta`` device, where a tensor has a shape and no values. So every operation takes place
that would take place, and can be counted: no formula has to follow the network's code.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


class Cost(NamedTuple):
    """Of one run, in float32."""

    operations: int
    """Floating-point operations of matrix products, convolutions and attention, two a multiply-add."""
    peak_bytes: int
    """Most memory that activations take at once, without the parameters."""


def cost_of(run: Callable[[], Tensor], parameters: Iterable[Tensor]) -> Cost:
    """The cost of ``run``, which calls a network that was built and is fed on the ``meta`` device.

    Args:
        run: what is counted.
        parameters: of the network; views of them are no activations.
    """
    # Gradients off, yet not inference_mode, in which torch hides from us what a compound operation is made of.
    with torch.no_grad(), _Counter(parameters) as counter:
        run()
    return Cost(counter.operations, counter.peak_bytes)


class _Counter(TorchDispatchMode):
    """Sees every operation of its thread."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__()
        self.operations = self.peak_bytes = self._held = 0
        self._parameters = {parameter.untyped_storage()._cdata for parameter in parameters}
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.operations += int(count(*args, **kwargs, out_val=output))
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                self._hold(leaf.untyped_storage())
        # While it convolves, oneDNN or cuDNN holds copies of input and output in a layout of its own.
        copies = func.overloadpacket == torch.ops.aten.convolution
        workspace = args[0].nbytes + output.nbytes if copies else 0
        self.peak_bytes = max(self.peak_bytes, self._held + workspace)
        return output

    def _hold(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive or key in self._parameters:
            return
        self._alive.add(key)
        self._held += size
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self._held -= size
