"""A question to the worker that waits until the user has stopped changing what it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

PAUSE_MS = 400
"""Longer than between two keys, shorter than it takes to look up."""

QueryParams = dict[str, Any]


class DebouncedQuery:
    """Asks about the parameters that were put last, and passes on no answer but to those.

    Args:
        ask: called as ``ask(**params, onResult=…, onError=…)``.
        on_answer: gets the answer, or ``None`` where there is none: not yet, no longer, or the worker could not tell.
    """

    def __init__(self, ask: Callable[..., object], on_answer: Callable[[QueryParams | None], None]) -> None:
        self._ask = ask
        self._on_answer = on_answer
        self._params: QueryParams | None = None
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._send)

    def put(self, params: QueryParams | None, *, again: bool = False) -> None:
        """Ask after a pause, unless ``params`` are those of the last query and not ``again``; with ``None`` never."""
        if params == self._params and not again:
            return
        if params != self._params:
            self._on_answer(None)
        self._params = params
        if params is None:
            self._timer.stop()
        else:
            self._timer.start(PAUSE_MS)

    def close(self) -> None:
        """Nothing is asked or passed on any more."""
        self._timer.stop()
        self._params = None

    def _send(self) -> None:
        self._timer.stop()
        params = self._params
        self._ask(
            **params,
            onResult=lambda value: self._receive(params, value),
            onError=lambda _error: self._receive(params, None),
        )

    def _receive(self, params: QueryParams, value: QueryParams | None) -> None:
        if params is self._params:
            self._on_answer(value)
