"""What the bytes of a document hold and the driver hides when it decodes them.

The driver keeps the last value of a name that occurs twice, drops the options of a regular expression that
it does not know, and a DBRef's database that is null. Whether it hid anything shows when what was decoded is
encoded again; what it hid, and where the value of a field stands, is for a walk over the bytes to say. The
format: https://bsonspec.org/spec.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import bson

from migration_assets.source.connection import CODEC, Document

_STRING, _DOCUMENT, _ARRAY, _NULL, _REGEX, _CODE_WITH_SCOPE = 0x02, 0x03, 0x04, 0x0A, 0x0B, 0x0F
_FIXED: Mapping[int, int] = {
    **dict.fromkeys((0x06, _NULL, 0x7F, 0xFF), 0),
    0x08: 1,
    0x10: 4,
    **dict.fromkeys((0x01, 0x09, 0x11, 0x12), 8),
    0x07: 12,
    0x13: 16,
}
"""Bytes of the values of types that always have the same."""
_SIZED: Mapping[int, int] = {
    **dict.fromkeys((_DOCUMENT, _ARRAY, _CODE_WITH_SCOPE), 0),
    **dict.fromkeys((_STRING, 0x0D, 0x0E), 4),
    0x05: 5,
    0x0C: 16,
}
"""Bytes that a value has besides the length that it begins with."""
_OPTIONS = frozenset(b"ilmsux")
"""The options that a regular expression can have."""


def are_whole(documents: Sequence[Document], data: bytes) -> bool:
    """Tells whether decoded documents hold all that their BSON did.

    To encode them again costs about 7 microseconds each, half of what decoding does.

    Args:
        documents: Documents as the driver decoded them.
        data: The BSON that they were decoded from, one after the other.
    """
    return b"".join([bson.encode(each, codec_options=CODEC) for each in documents]) == data


def hidden(document: bytes) -> str | None:
    """Returns what the driver hides of a document that it can decode, None where it hides nothing."""
    return _hidden(document, 0, names_count=True)


def elements(document: bytes, start: int = 0) -> Iterator[tuple[int, bytes, int, int]]:
    """Yields type, name, start and end of the value of each field.

    Args:
        document: BSON.
        start: Where in it the document begins.
    """
    position = start + 4
    while kind := document[position]:
        stop = document.index(0, position + 1)
        end = _end(document, kind, stop + 1)
        yield kind, document[position + 1 : stop], stop + 1, end
        position = end


def _end(document: bytes, kind: int, start: int) -> int:
    if kind in _FIXED:
        return start + _FIXED[kind]
    if kind == _REGEX:
        return document.index(0, document.index(0, start) + 1) + 1
    return start + _SIZED[kind] + int.from_bytes(document[start : start + 4], "little")


def _hidden(document: bytes, start: int, *, names_count: bool) -> str | None:
    names: dict[bytes, int] = {}
    for kind, name, at, end in elements(document, start):
        if names_count and name in names:
            return "a field occurs twice"
        names[name] = kind
        found = None
        if kind in (_DOCUMENT, _ARRAY):
            found = _hidden(document, at, names_count=kind == _DOCUMENT)
        elif kind == _CODE_WITH_SCOPE:
            scope = at + 8 + int.from_bytes(document[at + 4 : at + 8], "little")
            found = _hidden(document, scope, names_count=True)
        elif kind == _REGEX:
            options = document[document.index(0, at) + 1 : end - 1]
            if len(set(options) & _OPTIONS) < len(options):
                found = "a regular expression has an option that there is not"
        if found is not None:
            return found
    is_reference = b"$id" in names and names.get(b"$ref") == _STRING
    return (
        "a DBRef has null for a database" if is_reference and names.get(b"$db") == _NULL else None
    )
