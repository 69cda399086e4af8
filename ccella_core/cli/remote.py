"""Both ends of generating elsewhere: ``--on user@host``, which asks once, and ``ccella worker`` over there."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ccella_core.errors import InputError

if TYPE_CHECKING:
    from ccella_core.generation.remote_pipeline import RemotePipeline

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def connect(host: str, model: str, device: str, dtype: str, *, leaves: Sequence[str], agreed: bool) -> RemotePipeline:
    """A pipeline there, once the user has agreed.

    Args:
        host: ``user@host``.
        model: a name or a folder, there.
        device: there.
        dtype: which is the other computer's own business.
        leaves: kinds of what is going to be sent, of ``client.consent``.
        agreed: ask nothing.

    Raises:
        InputError: no host, a precision, or nobody to ask.
        RemoteError: it cannot be reached, or has no ``ccella`` of this release.
        Cancelled: the user did not agree.
    """
    from ccella_core.client.consent import not_agreed
    from ccella_core.client.ssh import check_host

    name = check_host(host)
    if dtype != "auto":
        raise InputError("The other computer chooses the precision itself; leave --dtype out.")
    asked = () if agreed else not_agreed(_stored(), name, leaves)
    if asked:
        _ask(name, asked)
    from ccella_core.generation.remote_pipeline import RemotePipeline

    pipeline = RemotePipeline(name, model=model, device=device)
    if asked:
        _remember(name, asked)  # a host that was reached, not each slip of the pen
    return pipeline


def _ask(host: str, kinds: Sequence[str]) -> None:
    from ccella_core.client.consent import words
    from ccella_core.errors import Cancelled

    said = f"These leave this computer for {host}: {words(kinds)}. Nothing is left there."
    if not sys.stdin.isatty():
        raise InputError(f"{said} Agree to it with --yes.")
    if not typer.confirm(f"{said} This is asked once for a host and for each kind. Go on?", err=True):
        raise Cancelled("Nothing was sent.")


def _file() -> Path:
    import platformdirs

    return platformdirs.user_config_path("ccella", appauthor=False) / "hosts.json"


def _stored() -> str:
    from ccella_core.files import read_text

    try:
        return read_text(_file())
    except (OSError, ValueError):
        return ""


def _remember(host: str, kinds: Sequence[str]) -> None:
    from ccella_core.client.consent import with_agreed
    from ccella_core.files import write_text

    write_text(_file(), with_agreed(_stored(), host, kinds) + "\n")


def worker(
    online: Annotated[bool, typer.Option("--online", help="Downloads that are asked for may use the network.")] = False,
) -> None:
    """Serve a program that speaks the worker's protocol, for instance on another computer by SSH; docs/worker.md."""
    os.environ.update(dict.fromkeys(OFFLINE, "0" if online else "1"))  # before a library reads it
    from ccella_core.worker.__main__ import main

    main([])
