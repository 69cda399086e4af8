"""Files that come through the pipe, because worker and client see no disk in common: in chunks, each with the hash."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ccella_core.errors import CCELLAError, SaveError
from ccella_core.files import whole_file
from ccella_core.limits import SYNTHETIC_PREFIX, is_file_name

CHUNK_BYTES = 1 << 20
"""Of a file a line: with base64 a third more, and well below what a client takes for a line."""
MOST_BYTES = 1 << 32
"""Of a file; a volume of the most voxels that are read anywhere has a quarter of it."""


class TransferError(CCELLAError):
    """A file that did not come through as it was sent."""


def chunks_of(name: str, content: bytes) -> Iterator[dict[str, Any]]:
    """The content of the events ``file`` that bring a file, one after the other."""
    digest = hashlib.sha256(content).hexdigest()
    for offset in range(0, max(len(content), 1), CHUNK_BYTES):
        data = base64.b64encode(content[offset : offset + CHUNK_BYTES]).decode("ascii")
        yield {"name": name, "offset": offset, "size": len(content), "sha256": digest, "data": data}


class ReceivedFiles:
    """Puts the chunks of one request together and writes each file, whole and as it was sent, into a folder.

    Args:
        folder: of the client, made if needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, bytearray] = {}
        self._written: set[str] = set()

    def take(self, event: dict[str, Any]) -> None:
        """One event ``file``.

        Raises:
            TransferError: chunks that do not follow each other, another hash, a name that is none of ours.
            SaveError: the disk refuses.
        """
        name, offset, size = event.get("name"), event.get("offset"), event.get("size")
        if not (isinstance(name, str) and is_file_name(name) and name.startswith(SYNTHETIC_PREFIX)):
            raise TransferError(f"The other computer sent a file of a name that is not expected ({name!r}).")
        content = self._open.setdefault(name, bytearray())
        if offset != len(content) or type(size) is not int or not offset <= size <= MOST_BYTES:
            raise self._damaged(name)
        try:
            content += base64.b64decode(event.get("data", ""), validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise self._damaged(name) from error
        if len(content) > size:
            raise self._damaged(name)
        if len(content) == size:
            self._write(name, bytes(self._open.pop(name)), event.get("sha256"))

    def here(self, value: dict[str, Any]) -> dict[str, Any]:
        """The worker's value with ``volumes`` that name the received files by their paths on this computer.

        Raises:
            TransferError: one of them never came.
        """
        volumes = [
            {**volume, **self._paths(volume), "labels": volume.get("labels") and self._paths(volume["labels"])}
            for volume in value.get("volumes", [])
        ]
        return {**value, "volumes": volumes}

    def _paths(self, entry: dict[str, Any]) -> dict[str, str]:
        return {kind: str(self._folder / self._checked(entry.get(kind))) for kind in ("path", "sidecar")}

    def _checked(self, name: object) -> str:
        if name not in self._written:
            raise TransferError(f"The file {name} did not come from the other computer; try again.")
        return str(name)

    def _write(self, name: str, content: bytes, digest: object) -> None:
        if hashlib.sha256(content).hexdigest() != digest:
            raise self._damaged(name)
        path = self._folder / name
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with whole_file(path, private=path.suffix == ".json") as unfinished:
                unfinished.write_bytes(content)
        except OSError as error:
            reason = error.strerror or error
            raise SaveError(f"{path} cannot be written: {reason}; free disk space or choose another folder.") from error
        self._written.add(name)

    def _damaged(self, name: str) -> TransferError:
        self._open.pop(name, None)
        return TransferError(f"The file {name} came damaged from the other computer; try again.")
