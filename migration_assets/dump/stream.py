"""A file of a dump as a stream of BSON documents, with errors that name file and position."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

from migration_assets.errors import MigrationError

GZIP = b"\x1f\x8b"
"""How a file compressed by gzip begins."""
TERMINATOR = b"\xff\xff\xff\xff"
"""What stands in an archive instead of the length of another document."""

_SMALLEST = 5
_LARGEST = 16 * 1024 * 1024 + 16 * 1024
"""Bytes of the largest document that MongoDB itself writes."""


class DumpError(MigrationError):
    """A dump is not as mongodump writes it."""


@dataclass(slots=True)
class Stream:
    """A file, read from its beginning.

    Attributes:
        path: The file.
        file: It, open.
        is_packed: It is compressed by gzip.
        offset: Bytes read so far, after unpacking.
    """

    path: Path
    file: BufferedIOBase
    is_packed: bool
    offset: int = 0

    def read(self, size: int) -> bytes:
        """Returns the next bytes, fewer at the end.

        Raises:
            DumpError: The file cannot be read or unpacked.
        """
        try:
            data = self.file.read(size)
        except EOFError:
            raise self.error("the compressed file is cut off") from None
        except (gzip.BadGzipFile, zlib.error):
            raise self.error("the file is no gzip from here on") from None
        except OSError as error:
            raise _unreadable(self.path, error) from None
        self.offset += len(data)
        return data

    def document(self) -> bytes | None:
        """Returns the next document, or the terminator as it is; None at the end of the file.

        Raises:
            DumpError: Something else stands there, or the file ends within it.
        """
        start = self.offset
        head = self.read(4)
        if not head or head == TERMINATOR:
            return head or None
        size = int.from_bytes(head, "little", signed=True)
        if len(head) == len(TERMINATOR) and not _SMALLEST <= size <= _LARGEST:
            raise self.error(f"no BSON document begins here: its length would be {size:,}", start)
        body = self.read(size - len(head)) if len(head) == len(TERMINATOR) else b""
        if len(head) + len(body) < max(size, _SMALLEST):
            raise self.error("the file ends in the middle of a document", start)
        if body[-1]:
            raise self.error("the document here does not end where its length says", start)
        return head + body

    def error(self, what: str, offset: int | None = None) -> DumpError:
        """Returns an error at a position, where reading stands if none is given."""
        unpacked = " after unpacking" if self.is_packed else ""
        place = self.offset if offset is None else offset
        return DumpError(
            f"{what} (byte {place:,}{unpacked})",
            where=str(self.path),
            next_step="Copy the file again from where the dump was made, or make the dump anew",
        )


@contextmanager
def opened(path: Path, *, is_packed: bool) -> Iterator[Stream]:
    """Opens a file of a dump.

    Args:
        path: The file.
        is_packed: It is compressed by gzip.

    Raises:
        DumpError: It cannot be opened.
    """
    try:
        file: BufferedIOBase = gzip.GzipFile(path) if is_packed else path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from None
    with file:
        yield Stream(path, file, is_packed)


def _unreadable(path: Path, error: OSError) -> DumpError:
    return DumpError(
        f"the file cannot be read: {error.strerror or type(error).__name__}",
        where=str(path),
        next_step="Check the path and the rights of the file, then start again",
    )
