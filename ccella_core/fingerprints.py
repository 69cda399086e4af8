"""Whether a folder holds results of the same run: what differs is named, and another run's folder is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ccella_core.errors import InputError


def refuse_other(
    folder: Path, before: dict[str, Any], now: dict[str, Any], *, what: str, may_change: tuple[str, ...] = ()
) -> None:
    """Refuse to go on in a folder whose results were made otherwise.

    Args:
        folder: where they lie.
        before: what they were made with, as JSON has it.
        now: what is asked for.
        what: what the folder holds, for instance ``"a training with another configuration"``.
        may_change: beginnings of keys that change nothing in the results.

    Raises:
        InputError: a key differs; each one is named with both values.
    """
    different = differences(before, now, may_change=may_change)
    if different:
        raise InputError(
            f"{folder} holds {what} ({'; '.join(different)}). "
            "Go on with what it was begun with, or name another folder."
        )


def differences(before: dict[str, Any], now: dict[str, Any], *, may_change: tuple[str, ...] = ()) -> list[str]:
    """Every key whose value is another now, in words, those inside sections with dots.

    Args:
        before: values as JSON has them.
        now: the others.
        may_change: beginnings of keys that are passed over.
    """
    before, now = flat(before), flat(now)
    return [
        f"{key} was {before.get(key)} and is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(may_change)
    ]


def flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The same values without sections: their keys are joined by dots."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
