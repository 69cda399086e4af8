"""Bytes of an image file, whole: what its header announces is there, and what was compressed has its checksum."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, Concatenate, ParamSpec, TypeVar

from ccella_core.errors import InputError

OnWarning = Callable[[str], None]
Arguments = ParamSpec("Arguments")
Read = TypeVar("Read")

MOST_VOXELS = 1 << 27
"""512 x 512 x 512: five times a large scan of a prostate. More is a wrong header, or made to fill the memory."""
BLOCK_BYTES = 1 << 20
TRAILING_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"


def opened(path: Path) -> BinaryIO:
    """A regular file, open for reading. Raises InputError where it is none (a pipe, a device, a folder) or denied."""
    try:
        if not path.exists():
            raise InputError(f"There is no scan {path}.")
        if not path.is_file():
            raise InputError(f"{path} is neither a file nor a folder of one; give an image file.")
        return path.open("rb")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from error


def opened_unpacked(path: Path) -> BinaryIO:
    """The same of a format that nobody packs as a whole. Raises InputError where it is packed."""
    file = opened(path)
    if file.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
        file.close()
        raise InputError(f"{path} is packed (gzip); unpack it first.")
    file.seek(0)
    return file


def first_bytes(path: Path, count: int) -> bytes:
    """The beginning of a file, unpacked where it is gzip; less where it is damaged. Raises InputError as ``opened``."""
    with opened(path) as file:
        if not path.stat().st_size:  # also what a system makes up as it is read, which may wait for ever
            return b""
        start = file.read(count)
        if not start.startswith(GZIP_MAGIC):
            return start
        file.seek(0)
        try:
            return gzip.GzipFile(fileobj=file).read(count)
        except (OSError, EOFError, zlib.error):
            return b""


def check_size(path: Path, shape: tuple[int, ...]) -> None:
    """Raises InputError for an axis without voxels, and for more voxels than any scan has."""
    total = 1
    for size in shape:
        total *= size
    text = " x ".join(map(str, shape))
    if min(shape, default=0) < 1:
        raise InputError(f"The header of {path} announces {text or 'no'} voxels: it is damaged.")
    if total > MOST_VOXELS:
        raise InputError(f"The header of {path} announces {text} voxels, more than any scan of a prostate has.")


def read_announced(stream: Any, path: Path, announced: int, on_warning: OnWarning, *, before: bytes = b"") -> bytearray:
    """All that a stream holds, when it is what the header announces.

    Args:
        stream: the file, or an unpacker of it, with ``read1``.
        path: for messages.
        announced: bytes, ``before`` included.
        on_warning: hears of bytes that follow.
        before: what was read of it already.

    Raises:
        InputError: less is there, a checksum does not fit, or much more follows.
    """
    data = bytearray(before)
    try:
        while len(data) <= announced + TRAILING_BYTES and (block := stream.read1(BLOCK_BYTES)):
            data += block
    except EOFError as error:
        raise incomplete(path, len(data), announced) from error
    except (OSError, zlib.error) as error:
        if len(data) >= announced and isinstance(error, gzip.BadGzipFile) and "Not a gzipped file" in str(error):
            on_warning(f"{path.name} has something behind its end that is not packed; it is not read.")
        elif len(data) < announced and "CRC" not in str(error):
            raise InputError(
                f"{path} is damaged after {len(data)} of {announced} bytes ({error}); get it again."
            ) from error
        else:
            raise InputError(f"{path} is damaged: its checksum does not fit ({error}); get it again.") from error
    if len(data) < announced:
        raise incomplete(path, len(data), announced)
    if (more := len(data) - announced) > TRAILING_BYTES:
        raise InputError(
            f"{path} holds more than {TRAILING_BYTES} bytes beyond the {announced} that its header announces."
        )
    if more:
        on_warning(f"{path.name} holds {more} bytes more than its header announces; they are not read.")
        del data[announced:]
    return data


def unpacked(data: BinaryIO, encoding: str, path: Path) -> Any:
    """A stream that unpacks ``raw``, ``gzip``, ``zlib`` or ``bzip2``. Raises InputError for another encoding."""
    if encoding == "raw":
        return data
    if encoding == "gzip":
        return gzip.GzipFile(fileobj=data)
    if encoding == "bzip2":
        return bz2.BZ2File(data)
    if encoding == "zlib":
        return _Zlib(data)
    raise InputError(f"The voxels of {path} are written as {encoding!r}; save it again as .nii.gz.")


class _Zlib:
    """What MetaImage calls compressed: a zlib stream without a header of its own, or a gzip one."""

    def __init__(self, data: BinaryIO) -> None:
        self._data, self._unpacker = data, zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    def read1(self, size: int) -> bytes:
        while not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail or self._data.read(size)
            if not packed:
                raise EOFError
            if block := self._unpacker.decompress(packed, size):
                return block
        return b""


def incomplete(path: Path, got: int, announced: int) -> InputError:
    """The sentence for a file that ends early."""
    return InputError(f"{path} is incomplete: {got} of {announced} bytes are there; get it again.")


def damage_explained(
    read: Callable[Concatenate[Path, Arguments], Read],
) -> Callable[Concatenate[Path, Arguments], Read]:
    """A reader of a DICOM file, whose first argument it is, that raises InputError alone.

    pydicom parses a value when it is first asked for, and raises whatever its parser meets; a value may also be of
    another type than its element's, or several where one belongs.
    """

    @wraps(read)
    def explained(path: Path, *arguments: Arguments.args, **keywords: Arguments.kwargs) -> Read:
        try:
            return read(path, *arguments, **keywords)
        except (InputError, MemoryError):
            raise
        except Exception as error:
            raise InputError(
                f"{path} is damaged DICOM: a value of its header cannot be read ({short_words(error)}); get it again."
            ) from error

    return explained


def short_words(error: Exception) -> str:
    """The first line of what an exception says, or what it is called."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
