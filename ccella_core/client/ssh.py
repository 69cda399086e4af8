"""A worker on another computer, started by SSH: the command, and what its failures mean. Standard library only.

The user's own SSH does all of it, with the user's own configuration: addresses, ports and keys are there. Nobody is
asked for a password, and a host key that is not known yet is never accepted here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ccella_core.errors import InputError

HOST = re.compile(r"([A-Za-z0-9_][\w.+-]*@)?[A-Za-z0-9_\[][\w.:%\[\]-]*")
"""``user@host``, or a name of the user's SSH configuration. What begins with a hyphen would be an option."""
OPTIONS = (
    "BatchMode=yes",  # asks nothing
    "StrictHostKeyChecking=yes",  # whatever the user's configuration says
    "ConnectTimeout=10",
    "ServerAliveInterval=5",  # a lost connection is noticed after three of them
    "ServerAliveCountMax=3",
    "ControlPath=none",  # a connection of its own, which ends with it
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
)
REMOTE_COMMAND = ("ccella", "worker")
NOT_FOUND, NO_SUCH_COMMAND, SSH_FAILED = 127, 2, 255
"""Exit codes: of a shell that knows no ``ccella``, of a ``ccella`` that knows no ``worker``, and of SSH itself."""


class Explained(NamedTuple):
    """A sentence that says what happened, and one that says what to do."""

    message: str
    hint: str


def check_host(host: str) -> str:
    """``host`` without spaces around it. Raises InputError where SSH could take it for something else."""
    name = host.strip()
    if not HOST.fullmatch(name):
        raise InputError(
            f"{name!r} is no other computer: write user@host, or a name of your SSH configuration, in which port and "
            "key can be given."
        )
    return name


def ssh_command(host: str, *, online: bool = False) -> list[str]:
    """Program and arguments that start a worker there.

    Args:
        host: checked.
        online: it may use the network, for a download.
    """
    options = [part for option in OPTIONS for part in ("-o", option)]
    return ["ssh", "-T", *options, "--", host, *REMOTE_COMMAND, *(["--online"] if online else [])]


def explain(host: str, exit_code: int, last_lines: Sequence[str], *, was_ready: bool) -> Explained:
    """Why the worker there is not to be had, or no more.

    Args:
        host: as it was given.
        exit_code: of ``ssh``; a negative number, or 128 and more, where it was killed.
        last_lines: of what it wrote to stderr.
        was_ready: whether the worker had answered before.
    """
    said = "\n".join(last_lines)
    again = "Try again: that connects anew."
    if was_ready:
        if 0 <= exit_code <= NOT_FOUND:  # the worker's own
            return Explained(f"The generating process on {host} ended unexpectedly (exit code {exit_code}).", again)
        return Explained(f"The connection to {host} was lost, or the process there was ended.", again)
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
        return Explained(
            f"{host} has another host key than before, so nothing was sent there.",
            "Ask who runs it whether that is right, and only then replace the key in your known_hosts file.",
        )
    if "Host key verification failed" in said or "host key is known" in said:
        return Explained(
            f"The host key of {host} is not known on this computer, so nothing was sent there.",
            f"Type “ssh {host}” in a terminal, compare the fingerprint that it shows, accept it, and try again.",
        )
    if "Permission denied" in said or "Too many authentication failures" in said:
        return Explained(
            f"{host} did not let this computer in.",
            f"Set up a key for which “ssh {host}” asks for no password; passwords are not handled here.",
        )
    if exit_code == NOT_FOUND or "command not found" in said or "is not recognized" in said:
        return Explained(
            f"There is no ccella on {host}.",
            f"Install the same release there, so that “ssh {host} ccella --version” answers.",
        )
    if exit_code == NO_SUCH_COMMAND and "No such command" in said:
        return Explained(
            f"The ccella on {host} is older than this one and has no worker for others.", same_release(host)
        )
    if exit_code == SSH_FAILED or exit_code < 0 or exit_code > SSH_FAILED:
        return Explained(
            f"{host} cannot be reached{_reason(last_lines)}.",
            f"Check the name and the network: “ssh {host}” in a terminal should answer.",
        )
    return Explained(
        f"The generating process on {host} could not be started (exit code {exit_code}){_reason(last_lines)}.",
        same_release(host),
    )


def same_release(host: str) -> str:
    """What to do where the two sides are not of one release."""
    return f"Install the release of this computer on {host} too."


def _reason(last_lines: Sequence[str]) -> str:
    """The last of SSH's own words, as a part of a sentence."""
    words = next((line.strip() for line in reversed(last_lines) if line.strip()), "")
    return f": {words.removeprefix('ssh: ').rstrip('.')}" if words else ""
