"""Files through the pipe, because worker and client see no disk in common: in chunks, each with the hash.

Volumes come to the client, which writes them; scans that are to be edited go to the worker, which keeps them in memory.
"""

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

CHUNK_BYTES = 1 << 19
"""Of a file a line: with base64 a third more, and well below what a worker takes for a line."""
MOST_BYTES = 1 << 32
"""Of a file; a volume of the most voxels that are read anywhere has a quarter of it."""
SCAN_SUFFIX = ".nrrd"
MOST_SCANS = 8
"""That are sent for one request: three sequences and a mask, and room."""


class TransferError(CCELLAError):
    """A file that did not come through as it was sent."""


def chunks_of(name: str, content: bytes) -> Iterator[dict[str, Any]]:
    """The content of the events ``file`` that bring a file, one after the other."""
    digest = hashlib.sha256(content).hexdigest()
    for offset in range(0, max(len(content), 1), CHUNK_BYTES):
        data = base64.b64encode(content[offset : offset + CHUNK_BYTES]).decode("ascii")
        yield {"name": name, "offset": offset, "size": len(content), "sha256": digest, "data": data}


def bare_nrrd(content: bytes) -> bytes:
    """A NRRD file without its comments and free words: what is left is grid and voxels, and no word about a patient."""
    header, gap, voxels = content.partition(b"\n\n")
    lines = [line for line in header.split(b"\n") if not line.startswith((b"#", b"content:")) and b":=" not in line]
    return b"\n".join(lines) + gap + voxels


class _Chunks:
    """Puts the chunks of files together."""

    def __init__(self) -> None:
        self._open: dict[str, bytearray] = {}

    def take(self, event: dict[str, Any], name: str) -> bytes | None:
        """One chunk; returns the file that it completes. Raises TransferError."""
        offset, size = event.get("offset"), event.get("size")
        content = self._open.setdefault(name, bytearray())
        if offset != len(content) or type(size) is not int or not offset <= size <= MOST_BYTES:
            raise self._damaged(name)
        try:
            content += base64.b64decode(event.get("data", ""), validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise self._damaged(name) from error
        if len(content) > size:
            raise self._damaged(name)
        if len(content) < size:
            return None
        if hashlib.sha256(content).hexdigest() != event.get("sha256"):
            raise self._damaged(name)
        return bytes(self._open.pop(name))

    def _damaged(self, name: str) -> TransferError:
        self._open.pop(name, None)
        return TransferError(f"The file {name} came damaged through the connection; try again.")


class SentScans:
    """Scans that came to a worker for its next job. They are kept in memory and never written."""

    def __init__(self) -> None:
        self._chunks = _Chunks()
        self._whole: dict[str, bytes] = {}

    def take(self, params: dict[str, Any]) -> None:
        """The parameters of one ``send``. Raises TransferError, as ``ReceivedFiles.take`` does."""
        name = params.get("name")
        if not (isinstance(name, str) and is_file_name(name) and name.endswith(SCAN_SUFFIX)):
            raise TransferError(f"The other computer sent a scan of a name that is not expected ({name!r}).")
        if len(self._whole) >= MOST_SCANS and name not in self._whole:
            raise TransferError(f"The other computer sent more than {MOST_SCANS} scans for one request.")
        self._whole.pop(name, None)
        content = self._chunks.take(params, name)
        if content is not None:
            self._whole[name] = content

    def claim(self) -> dict[str, bytes]:
        """The whole files by their names, for the job that begins; what comes from now on is for the next one."""
        whole, self._whole, self._chunks = self._whole, {}, _Chunks()
        return whole


class ReceivedFiles:
    """Puts the chunks of one request together and writes each file, whole and as it was sent, into a folder.

    Args:
        folder: of the client, made if needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chunks = _Chunks()
        self._written: set[str] = set()

    def take(self, event: dict[str, Any]) -> None:
        """One event ``file``.

        Raises:
            TransferError: chunks that do not follow each other, another hash, a name that is none of ours.
            SaveError: the disk refuses.
        """
        name = event.get("name")
        if not (isinstance(name, str) and is_file_name(name) and name.startswith(SYNTHETIC_PREFIX)):
            raise TransferError(f"The other computer sent a file of a name that is not expected ({name!r}).")
        content = self._chunks.take(event, name)
        if content is not None:
            self._write(name, content)

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

    def _write(self, name: str, content: bytes) -> None:
        path = self._folder / name
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with whole_file(path, private=path.suffix == ".json") as unfinished:
                unfinished.write_bytes(content)
        except OSError as error:
            reason = error.strerror or error
            raise SaveError(f"{path} cannot be written: {reason}; free disk space or choose another folder.") from error
        self._written.add(name)
