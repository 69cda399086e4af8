"""What leaves this computer for another one, and to which of it the user has agreed. Standard library only.

The decision is made here for panel and command line; each keeps the text in its own settings, and asks in its own way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

REPORT, SCAN = "report", "scan"
LEAVES_THIS_COMPUTER = {
    REPORT: "the reports that you generate from",
    SCAN: "the scans that you edit, with the masks of what may change",
}
"""Kinds of what leaves, and their words. A new kind is asked about, whatever was agreed to before."""


def not_agreed(stored: str, host: str, kinds: Sequence[str]) -> tuple[str, ...]:
    """Those of ``kinds`` that may not leave for ``host`` before the user agrees.

    Args:
        stored: what ``with_agreed`` gave before, in any state: what cannot be read is no agreement.
        host: as ``check_host`` gives it.
        kinds: of ``LEAVES_THIS_COMPUTER``.
    """
    return tuple(kind for kind in kinds if kind not in _read(stored).get(host, ()))


def with_agreed(stored: str, host: str, kinds: Sequence[str]) -> str:
    """The text to keep once the user has agreed that ``kinds`` leave for ``host``; other hosts' stay as they are."""
    agreed = _read(stored)
    agreed[host] = sorted({*agreed.get(host, ()), *kinds})
    return json.dumps(agreed, sort_keys=True)


def words(kinds: Sequence[str]) -> str:
    """What leaves, as a part of a sentence."""
    return " and ".join(LEAVES_THIS_COMPUTER[kind] for kind in kinds)


def _read(stored: str) -> dict[str, list[str]]:
    try:
        agreed = json.loads(stored)
    except (TypeError, ValueError, RecursionError):
        return {}
    if isinstance(agreed, list):  # of hosts alone, from the time when nothing but reports was sent
        agreed = {host: [REPORT] for host in agreed if isinstance(host, str)}
    if not isinstance(agreed, dict):
        return {}
    lists = {host: kinds for host, kinds in agreed.items() if isinstance(kinds, list)}
    return {host: [kind for kind in kinds if kind in (REPORT, SCAN)] for host, kinds in lists.items()}
