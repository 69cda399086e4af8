"""``--on user@host``: another computer, and that its user agreed, once, to what is sent there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ccella_core.errors import InputError

if TYPE_CHECKING:
    from ccella_core.generation.remote_pipeline import RemotePipeline


def connect(host: str, model: str, device: str, dtype: str, *, agreed: bool) -> RemotePipeline:
    """A pipeline there, once the user has agreed.

    Args:
        host: ``user@host``.
        model: a name or a folder, there.
        device: there.
        dtype: which is the other computer's own business.
        agreed: ask nothing.

    Raises:
        InputError: no host, a precision, or nobody to ask.
        RemoteError: it cannot be reached, or has no ``ccella`` of this release.
        Cancelled: the user did not agree.
    """
    from ccella_core.client.ssh import check_host

    name = check_host(host)
    if dtype != "auto":
        raise InputError("The other computer chooses the precision itself; leave --dtype out.")
    if not agreed and name not in _hosts():
        _ask(name)
    from ccella_core.generation.remote_pipeline import RemotePipeline

    pipeline = RemotePipeline(name, model=model, device=device)
    if not agreed:
        _remember(name)  # a host that was reached, not each slip of the pen
    return pipeline


def _ask(host: str) -> None:
    from ccella_core.client.ssh import LEAVES_THIS_COMPUTER
    from ccella_core.errors import Cancelled

    said = f"These leave this computer for {host}: {LEAVES_THIS_COMPUTER}. Nothing is left there."
    if not sys.stdin.isatty():
        raise InputError(f"{said} Agree to it with --yes.")
    if not typer.confirm(f"{said} This is asked once for a host. Go on?", err=True):
        raise Cancelled("Nothing was sent.")


def _file() -> Path:
    import platformdirs

    return platformdirs.user_config_path("ccella", appauthor=False) / "hosts.json"


def _hosts() -> list[str]:
    from ccella_core.files import read_text

    try:
        hosts = json.loads(read_text(_file()))
    except (OSError, ValueError):
        return []
    return [host for host in hosts if isinstance(host, str)] if isinstance(hosts, list) else []


def _remember(host: str) -> None:
    from ccella_core.files import write_json

    write_json(_file(), sorted({*_hosts(), host}))
