"""How volumes are given to the published extractors: our way, or that of the scripts of one of the two releases."""

from __future__ import annotations

from typing import Literal, get_args

from ccella_core.errors import InputError

ProtocolName = Literal["own", "published", "published++"]
"""``published`` is CCELLA's (arXiv 2506.10230), ``published++`` that of CCELLA++ (arXiv 2507.06384)."""
PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)
STANDARDISED: frozenset[ProtocolName] = frozenset({"own", "published++"})
"""Protocols that bring a whole volume to mean 0 and standard deviation 1; all treat real and synthetic ones alike."""


def check_protocol(protocol: str, kinds: tuple[str, ...] | list[str], slices: int | None) -> None:
    """Whether a protocol says what is asked for.

    Args:
        protocol: one of PROTOCOLS.
        kinds: names of extractors.
        slices: how many of each plane; ``None`` where it was not said.

    Raises:
        InputError: there is no such protocol; or a published one, with an extractor or slices that are not its own.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"There is no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}.")
    if protocol == "own":
        return
    if "phantom" in kinds:
        raise InputError(
            f"The protocol {protocol} is measured with medicalnet and radimagenet; the stand-in phantom is no part of "
            "it."
        )
    if slices is not None:
        raise InputError(f"The protocol {protocol} takes all slices of each volume and plane; leave out the slices.")


def named(name: str, protocol: ProtocolName) -> str:
    """An extractor's name or fingerprint with the protocol, so that numbers of two are never taken for one's."""
    return name if protocol == "own" else f"{name}, protocol {protocol}"
