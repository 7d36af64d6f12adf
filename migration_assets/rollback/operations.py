"""Operations: the changes of PostgreSQL as MongoDB writes, one line of canonical Extended JSON each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import bson
from bson import json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from bson.json_util import JSONMode, JSONOptions

from migration_assets.identity import canonical
from migration_assets.source.connection import CODEC, Document

_EXACT: JSONOptions = JSONOptions(
    json_mode=JSONMode.CANONICAL,
    tz_aware=False,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
"""Reads back exactly what was decoded with ``CODEC``."""


def parsed(text: str) -> Any:
    """Returns the BSON value that canonical Extended JSON stands for."""
    return json_util.loads(text, json_options=_EXACT)


@dataclass(frozen=True, slots=True)
class Insert:
    """A row that PostgreSQL gained becomes a document.

    Attributes:
        document: The document with its `_id`.
    """

    document: Document

    @property
    def identifier(self) -> Any:
        """The `_id` of the document."""
        return self.document["_id"]


@dataclass(frozen=True, slots=True)
class Update:
    """Some fields of a document change.

    Attributes:
        identifier: The `_id` of the document.
        before: What the touched fields held when it was migrated; a missing field is not in it.
        set: The fields that get a value.
        unset: The fields that go.
    """

    identifier: Any
    before: Document
    set: Document = field(default_factory=dict)
    unset: tuple[str, ...] = ()

    @property
    def touched(self) -> frozenset[str]:
        """The fields that change."""
        return frozenset(self.set) | frozenset(self.unset)


@dataclass(frozen=True, slots=True)
class Delete:
    """A document whose row PostgreSQL lost goes.

    Attributes:
        identifier: The `_id` of the document.
        before: The document as it was migrated, whole.
    """

    identifier: Any
    before: Document


@dataclass(frozen=True, slots=True)
class PairChange:
    """An array of ids gains and loses elements, whatever else stands in it.

    Attributes:
        identifier: The `_id` of the document that holds the array.
        field: The array.
        add: Elements that come in unless they are there.
        pull: Elements that go, in every form in which the array holds them.
    """

    identifier: Any
    field: str
    add: tuple[Any, ...] = ()
    pull: tuple[Any, ...] = ()


Operation = Insert | Update | Delete | PairChange

KINDS: Mapping[str, type[Operation]] = {
    "insert": Insert,
    "update": Update,
    "delete": Delete,
    "pairs": PairChange,
}


def kind_of(operation: Operation) -> str:
    """Returns the name of an operation's kind."""
    return next(name for name, kind in KINDS.items() if isinstance(operation, kind))


def line_of(operation: Operation) -> str:
    """Returns an operation as a line of canonical Extended JSON, without its end.

    Raises:
        ValueError: MongoDB could not hold it, or it could not be read back as it is.
    """
    document: Document = {"op": kind_of(operation), "_id": operation.identifier}
    match operation:
        case Insert():
            document["document"] = operation.document
        case Update():
            document |= {"before": operation.before, "set": operation.set}
            document["unset"] = list(operation.unset)
        case Delete():
            document["before"] = operation.before
        case PairChange():
            document |= {"field": operation.field, "add": list(operation.add)}
            document["pull"] = list(operation.pull)
    try:
        line = canonical(document)
        is_exact = bson.encode(parsed(line), codec_options=CODEC) == bson.encode(
            document, codec_options=CODEC
        )
    except (BSONError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"MongoDB cannot hold it ({type(error).__name__})") from None
    if not is_exact:
        raise ValueError("it looks like Extended JSON itself")
    return line


def operation_of(line: str) -> Operation:
    """Returns the operation that :func:`line_of` wrote.

    Raises:
        ValueError: The line is none.
    """
    document = parsed(line)
    match document["op"]:
        case "insert":
            return Insert(document["document"])
        case "update":
            return Update(
                document["_id"], document["before"], document["set"], tuple(document["unset"])
            )
        case "delete":
            return Delete(document["_id"], document["before"])
        case "pairs":
            return PairChange(
                document["_id"], document["field"], tuple(document["add"]), tuple(document["pull"])
            )
        case other:
            raise ValueError(f"no kind of operation is called {other!r}")


def same(left: Any, right: Any) -> bool:
    """Tells whether two BSON values are the same in type, value and order of fields."""
    return canonical(left) == canonical(right)


def picked(document: Mapping[str, Any], names: Sequence[str] | frozenset[str]) -> Document:
    """Returns the named fields of a document, in its order."""
    return {name: value for name, value in document.items() if name in names}
