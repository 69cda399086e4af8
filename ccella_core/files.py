"""Paths that can be used, files that are either whole or not there, and folders that a process has for itself."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccella_core.errors import InputError, SaveError

if TYPE_CHECKING:  # `ccella --help` answers without pydantic
    from pydantic import BaseModel

READ_BLOCK_BYTES = 1 << 20
MOST_BYTES_READ = 256 << 20
"""Of a file that is read whole; the largest, tables of prepared cases, take some MiB for a thousand cases."""
OWNER_ALONE = 0o600
UNKNOWN_START = 0
LOCK_NAME = ".ccella.lock"
MOST_BYTES_OF_A_NAME = 255
"""Of a file or folder, on every file system in use."""


@contextmanager
def whole_file(final: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside ``final``; what is written there gets the final name when the block ends well.

    The temporary file keeps the extension, because most writers choose the format by it. It is flushed to the disk
    before it is renamed, and removed if anything fails, so a reader never sees half a file. ``OSError`` passes through.
    ``private``: readable by its owner alone, where the system knows such a thing; for what holds a report.
    """
    temporary = hidden_name(final.parent, "".join(final.suffixes).lower())
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
    final.parent.mkdir(parents=True, exist_ok=True)
    sweep(final.parent)
    temporary = hidden_name(final.parent)
    temporary.mkdir()
    try:
        yield temporary
        if final.exists():
            former = hidden_name(final.parent, f"{FORMER}{final.name}")
            final.rename(former)
            try:
                temporary.rename(final)
            except OSError:
                former.rename(final)
                raise
            shutil.rmtree(former, ignore_errors=True)
        else:
            temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that half of it is never found. ``OSError`` passes through; then it is whole."""
    sweep(folder.parent)
    removed = hidden_name(folder.parent)
    folder.rename(removed)
    shutil.rmtree(removed, ignore_errors=True)


_HIDDEN_NAME = re.compile(r"\.ccella-([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}(.*)")
"""Of what is not finished: the machine and the process that made it, when that was started, a random part, an end."""
FORMER = ".former-"
"""Beginning of the end of a folder's hidden name while another takes its place."""
START_TOLERANCE = 2
"""Seconds by which the start of one process may seem to differ, where the clock of the system was set meanwhile."""


def hidden_name(folder: Path, end: str = "") -> Path:
    """A new name in ``folder`` for what is not finished, by which ``sweep`` knows whose; ``end``: an extension, say."""
    start = _start_of_this_process()
    return folder / f".ccella-{_machine()}-{os.getpid()}-{start}-{uuid.uuid4().hex[:8]}{end}"


def sweep(folder: Path, *, deeply: bool = False) -> None:
    """Remove what processes of this machine left unfinished in ``folder`` when they died.

    A folder that was about to be replaced at that moment gets its name back. What cannot be removed stays.

    Args:
        folder: need not be there.
        deeply: in the folders within as well.
    """
    for path in list(folder.rglob(".ccella-*") if deeply else folder.glob(".ccella-*")):
        known = _HIDDEN_NAME.fullmatch(path.name)
        if known is None or known[1] != _machine() or _is_running(int(known[2]), int(known[3])):
            continue
        name = known[4].removeprefix(FORMER) if known[4].startswith(FORMER) else None
        with suppress(OSError):
            if name is not None and not path.with_name(name).exists():
                path.rename(path.with_name(name))
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _machine() -> str:
    """Eight hexadecimal digits of those whose processes can be told apart by their numbers: a host, or a container."""
    numbers = Path("/proc/self/ns/pid")  # of Linux alone
    inside = numbers.readlink() if numbers.is_symlink() else ""
    return hashlib.sha256(f"{socket.gethostname()} {inside}".encode()).hexdigest()[:8]


def _start_of_this_process() -> int:
    """In seconds since 1970; unknown in Slicer's own Python, where this is imported before anything is installed."""
    try:
        import psutil
    except ImportError:
        return UNKNOWN_START
    return int(psutil.Process().create_time())


def _is_running(number: int, start: int) -> bool:
    try:
        import psutil
    except ImportError:  # in Slicer, whose worker may be on another computer
        return True
    if start == UNKNOWN_START:
        return psutil.pid_exists(number)
    try:
        process = psutil.Process(number)
        return abs(process.create_time() - start) <= START_TOLERANCE and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True  # it is another user's


@contextmanager
def locked(file: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock while the block lasts; it ends with its process, however that ends.

    Args:
        file: is there only while it is held; its folder is there.
        wait: until another process lets go of it.

    Raises:
        InputError: another process holds it, and ``wait`` was not asked for.
        OSError: there can be no lock in this folder.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise InputError(f"Another process works in {file.parent}; wait for it, or name another folder.") from error
    try:
        yield
    finally:
        if os.name != "nt":  # where the library removes it
            file.unlink(missing_ok=True)  # while it is held: whoever opened it before looks again
        lock.release()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """``output_folder``, swept, and with other processes of this software kept out of it while the block lasts.

    Raises:
        InputError: another process works in it.
        SaveError: nothing can be written there.
    """
    with output_folder(folder), locked(folder / LOCK_NAME):
        sweep(folder, deeply=True)
        yield


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """``prepare_folder``; one that was made, and in which nothing was written in the end, is removed."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    prepare_folder(folder)
    try:
        yield
    finally:
        with suppress(OSError):  # the first that is not empty
            for each in made:
                each.rmdir()


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

    Raises OSError: it cannot be read, is a pipe or a device, which might never end, or is far too large.
    """
    if _regular(path).is_file() and path.stat().st_size > MOST_BYTES_READ:
        raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES_READ >> 20} MiB", str(path))
    return path.read_bytes()


def _regular(path: Path) -> Path:
    if not path.is_file() and path.exists() and not path.is_dir():
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    return path


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
    write_texts({path: text}, private=private)


def write_texts(texts: Mapping[Path, str], *, private: bool = False) -> None:
    """The same for files that belong together: where one cannot be written, all stay as they were. Raises SaveError."""
    path = Path()
    try:
        with ExitStack() as unfinished:
            for path, text in texts.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = unfinished.enter_context(whole_file(path, private=private))
                temporary.write_text(text, encoding="utf-8", newline="\n")
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
    """Make ``folder``, sweep it and write into it, before minutes are spent on what would be lost. Raises SaveError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        sweep(folder)
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        reason = getattr(error, "strerror", None) or error
        raise SaveError(f"Nothing can be written into {folder}: {reason}; choose another folder.") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal. Raises OSError, also for a pipe or a device."""
    with _regular(path).open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(READ_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
