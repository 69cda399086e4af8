"""What the module needs of a client, so that another one, such as a test's, can stand in for the worker's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .errors import ClientError


class Client(Protocol):
    """Answers requests through callbacks, in Qt's event loop and never from within a call."""

    host: str
    """The other computer that the worker runs on; empty for this one."""

    def request(
        self,
        method: str,
        params: dict[str, Any],
        *,
        on_result: Callable[[dict[str, Any]], None],
        on_error: Callable[[ClientError], None],
        on_progress: Callable[[dict[str, Any]], None] | None = None,
        on_preview: Callable[[bytes], None] | None = None,
    ) -> int:
        """Send a request; what is needed for it is started.

        Args:
            method: of the protocol, as ``params`` are.
            params: of the method.
            on_result: gets the answer's "value". Either it or `on_error` is called in the end, once, unless the client
                is closed before.
            on_error: gets the reason why there is no answer.
            on_progress: gets each event as the protocol has it.
            on_preview: gets a PNG of the volume as it forms.

        Returns:
            The request's number, for `cancel`.
        """
        ...

    def cancel(self, request_id: int) -> None:
        """Stop a request: `on_error` gets the code "cancelled" within a second. An unknown number is no error."""
        ...

    def use(self, host: str) -> None:
        """End the worker, and run the next one on another computer, or on this one where ``host`` is empty."""
        ...

    def close(self) -> None:
        """End everything at once; no callback comes after this. A new request starts anew."""
        ...
