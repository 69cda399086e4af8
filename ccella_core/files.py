"""Paths that can be used, files that are either whole or not there, and their hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccella_core.errors import InputError, SaveError

if TYPE_CHECKING:  # `ccella --help` answers without pydantic
    from pydantic import BaseModel

READ_BLOCK_BYTES = 1 << 20
MOST_BYTES_READ = 256 << 20
"""Of a file that is read whole; the largest, tables of prepared cases, take some MiB for a thousand cases."""
OWNER_ALONE = 0o600
MOST_BYTES_OF_A_NAME = 255
"""Of a file or folder, on every file system in use."""


@contextmanager
def whole_file(final: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside ``final``; what is written there gets the final name when the block ends well.

    The temporary file keeps the extension, because most writers choose the format by it. It is flushed to the disk
    before it is renamed, and removed if anything fails, so a reader never sees half a file. ``OSError`` passes through.
    ``private``: readable by its owner alone, where the system knows such a thing; for what holds a report.
    """
    temporary = final.with_name(f".{uuid.uuid4().hex[:12]}{''.join(final.suffixes).lower()}")
    try:
        if private:  # before anything is in it
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ALONE))
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replace_folder(final: Path) -> Iterator[Path]:
    """The same for a folder; one that is there already is replaced. ``OSError`` passes through."""
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:12]}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(final, ignore_errors=True)
        temporary.replace(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def usable_path(path: Path) -> Path:
    """A path as a person gave it, with ``~`` as their home; whether anything is there is not asked.

    Raises:
        InputError: no file system has such a path: a name is too long, holds a NUL character, or its links lead round
            in a circle; or it begins with the home of nobody.
    """
    shown = f"{str(path)[:60]}…" if len(str(path)) > 60 else str(path)
    if path.parts and path.parts[0].startswith("~") and not Path(path.parts[0]).exists():
        try:
            path = path.expanduser()
        except RuntimeError as error:
            raise InputError(f"There is no home folder {path.parts[0]}; write out the path {shown}.") from error
    if any(len(os.fsencode(part)) > MOST_BYTES_OF_A_NAME for part in path.parts):
        raise InputError(f"The path {shown} has a name of more than {MOST_BYTES_OF_A_NAME} bytes; use a shorter one.")
    try:
        path.stat()
    except ValueError as error:
        raise InputError(f"The path {shown!r} holds a character that no path can have.") from error
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise InputError(f"The path {shown} cannot be used: {error.strerror}; choose another.") from error
    return path


def read_bytes(path: Path) -> bytes:
    """All that a file of settings, tables or reports holds.

    Raises:
        OSError: it cannot be read, is a pipe or a device, which might never end, or is far too large.
    """
    if not path.is_file() and path.exists() and not path.is_dir():
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    if path.is_file() and path.stat().st_size > MOST_BYTES_READ:
        raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES_READ >> 20} MiB", str(path))
    return path.read_bytes()


def read_text(path: Path) -> str:
    """The same as text in UTF-8, a byte order mark left out. Raises OSError and UnicodeDecodeError."""
    return read_bytes(path).decode("utf-8-sig").replace("\r\n", "\n")


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file in UTF-8 with line feeds, whole or not at all; the folder is made.

    Args:
        path: the file.
        text: what it will hold.
        private: readable by its owner alone; for what holds a report.

    Raises:
        SaveError: the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, private=private) as unfinished:
            unfinished.write_text(text, encoding="utf-8", newline="\n")
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = getattr(error, "strerror", None) or error
        raise SaveError(f"{path} cannot be written: {reason}; free disk space or choose another folder.") from error


def write_json(path: Path, content: BaseModel | dict[str, Any] | list[Any], *, private: bool = False) -> None:
    """Write a pydantic model, or what JSON can hold, as ``write_text`` does. Raises SaveError."""
    if isinstance(content, (dict, list)):
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    else:
        text = content.model_dump_json(indent=2)
    write_text(path, text + "\n", private=private)


def prepare_folder(folder: Path) -> None:
    """Make ``folder`` and write into it, before minutes are spent on what would be lost. Raises SaveError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        reason = getattr(error, "strerror", None) or error
        raise SaveError(f"Nothing can be written into {folder}: {reason}; choose another folder.") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
