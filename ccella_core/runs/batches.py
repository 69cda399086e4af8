"""The order in which cases are seen, from the seed and the step alone."""

from __future__ import annotations

import numpy as np


def shuffled_rows(count: int, step: int, *, batch_size: int, seed: int) -> list[int]:
    """Rows of the global batch of ``step`` (from 0), of ``count``.

    They come in an order that is drawn anew for every epoch; a batch may reach over the end of one.
    """
    rows = []
    orders: dict[int, np.ndarray] = {}
    for number in range(step * batch_size, (step + 1) * batch_size):
        epoch, position = divmod(number, count)
        if epoch not in orders:
            orders[epoch] = np.random.default_rng([seed, 1, epoch]).permutation(count)
        rows.append(int(orders[epoch][position]))
    return rows
