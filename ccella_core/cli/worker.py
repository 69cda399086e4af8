"""``ccella worker``: generate for a client at the other end of stdin and stdout, such as one that came by SSH."""

from __future__ import annotations

import os
from typing import Annotated

import typer

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def worker(
    online: Annotated[bool, typer.Option("--online", help="Downloads that are asked for may use the network.")] = False,
) -> None:
    """Serve a program that speaks the worker's protocol, for instance on another computer by SSH; docs/worker.md."""
    os.environ.update(dict.fromkeys(OFFLINE, "0" if online else "1"))  # before a library reads it
    from ccella_core.worker.__main__ import main

    main([])
