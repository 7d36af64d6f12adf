"""What PostgreSQL must write of the rows of plain documents, a column at a time.

A column accepts values of its own type as they are (section 5). A document with any other value, or with one
that takes a closer look, is odd: of its row nothing is said here, it is for the ``judge``. So is a document
that has another row: only what is equal here is settled.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import Any, TypeVar

import bson as driver
import numpy as np
import orjson
import polars as pl
import sqlalchemy as sa
from bson import ObjectId
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from migration_assets.arrow import slices
from migration_assets.model import Missing, Rule, Source, fields, sources
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.documents import (
    Documents,
    Identities,
    Mask,
    Numbers,
    at_each_byte,
)
from migration_assets.validation.extended_json import json_text, relaxed, storable
from migration_assets.validation.field_places import (
    UNDERSTOOD,
    FieldPlaces,
    Found,
    Places,
    object_ids_in,
)
from migration_assets.validation.identities import object_id_uuid
from migration_assets.validation.judge import FIRST_TIMESTAMP, LAST_TIMESTAMP
from migration_assets.validation.known_ids import KnownIds
from migration_assets.validation.postgres_text import array_text, timestamp_text
from migration_assets.validation.uuids import OBJECT_ID_SIZE, uuid_texts, uuids_of

Made = TypeVar("Made")

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict,
    tz_aware=False,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
)
SOURCE_ID = "uuid_map"
"""What the source id that the map gives a row is called beside the columns of its table."""

_FIRST_PLAIN_TIME, _LAST_PLAIN_TIME = -62_135_596_800_000, 253_402_300_799_999
"""The years 1 to 9999 in milliseconds since 1970: a time beyond them is written in another way."""
_LENGTH = 4
"""Bytes of the length that a text or a document begins with."""
_ARRAY_BEGINS = 6
"""Where the array begins in a document whose only field has an empty name."""
_HEX = re.compile("[0-9a-fA-F]{24}").fullmatch
_JSON_OPTIONS = (
    orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
)


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of documents.

    Attributes:
        rows: Their rows, in their order: ``id``, ``SOURCE_ID`` and the columns, each as text.
        are_odd: Of which of them the row says nothing but whose it is.
        references: How many references each of the others has.
    """

    rows: pl.DataFrame
    are_odd: Mask
    references: Numbers


class ExpectedRows:
    """Makes the rows of the documents of a collection.

    Args:
        table: The entity table.
        documents: By collection, the documents that references held as text may point to.
        has_hex_texts: Tells whether a collection has a text for an `_id` that might be an ObjectId as well.
    """

    def __init__(
        self,
        table: sa.Table,
        documents: Mapping[str, KnownIds],
        has_hex_texts: Callable[[str], bool],
    ) -> None:
        self._columns = {
            name: source for name, source in sources(table).items() if source.rule is not Rule.KEY
        }
        self._documents, self._has_hex_texts = documents, has_hex_texts
        of_columns = {source.field for source in sources(table).values()}
        self._elsewhere = sorted(fields(table) - of_columns)
        self._finder = FieldPlaces(usual_kinds(table))

    def of(self, documents: Documents, identities: Identities) -> Expected:
        """Returns the rows of documents."""
        found = self._finder.find(documents)
        are_odd = ~found.are_whole
        references = np.zeros(len(documents), dtype=np.int64)
        for name in self._elsewhere:
            _leave_out_others(found, name, are_odd)
        rows = {"id": identities.ids, SOURCE_ID: identities.source_ids}
        for name, source in self._columns.items():
            places = found.fields[source.field]
            are_null = places.are_null()
            stands_for_null = None
            if source.missing is Missing.EMPTY_ARRAY:
                stands_for_null = "{}"
            elif source.rule is not Rule.JSON and source.missing is not Missing.NULL:
                are_odd |= are_null
            at = np.flatnonzero(~are_null & ~are_odd)
            values = _Values(found.data, places, at, are_odd, references)
            series = self._column(source, values) if at.size else pl.Series(dtype=pl.String)
            rows[name] = _spread(series, at, len(documents), stands_for_null)
        return Expected(pl.DataFrame(rows), are_odd, references)

    def _column(self, source: Source, values: _Values) -> pl.Series:
        match source.rule:
            case Rule.TEXT | Rule.ENUM:
                return values.texts(source.longest)
            case Rule.INTEGER | Rule.BIGINT:
                return values.integers()
            case Rule.BOOLEAN:
                return values.booleans()
            case Rule.TIMESTAMP:
                return values.times()
            case Rule.JSON:
                return values.json()
            case Rule.TEXT_ARRAY:
                return pl.Series(list(map(array_text, values.arrays(str))), dtype=pl.String)
            case Rule.REFERENCE:
                return values.ids()
            case Rule.REFERENCE_ARRAY:
                return values.arrays_of_ids()
            case Rule.REFERENCE_TEXT:
                texts = self._resolved(source, values, [[each] for each in values.texts(None)])
                return pl.Series([each[0] if each else None for each in texts], dtype=pl.String)
            case _:
                texts = self._resolved(source, values, values.arrays(str))
                return pl.Series(list(map(array_text, texts)), dtype=pl.String)

    def _resolved(
        self, source: Source, values: _Values, arrays: Sequence[Sequence[str | None]]
    ) -> list[list[str]]:
        """Returns the UUIDs of ObjectIds given as text; a document with another text, or of none, is odd."""
        collection = str(source.references)
        known, keys = self._documents[collection], list[list[bytes]]()
        may_be_id = self._has_hex_texts(collection)  # then a text may be an `_id` itself
        for number, array in enumerate(arrays):
            is_plain = all(each is not None and _HEX(each) for each in array)
            if array and (may_be_id or not is_plain):
                values.leave(number)
            keys.append([_uuid_of_text(str(each)) for each in array] if is_plain else [])
        are_known = [[key in known for key in each] for each in keys]  # all of them are to be noted
        if known.ask():
            are_known = [[key in known for key in each] for each in keys]
        for number, each in enumerate(are_known):
            if not all(each):
                values.leave(number)
        values.count(list(map(len, keys)))
        texts = iter(uuid_texts(b"".join(chain.from_iterable(keys))).to_list())
        return [list(islice(texts, len(each))) for each in keys]


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of a field that are there.

    Attributes:
        data: The documents.
        places: Where the values of all documents stand in it.
        at: Numbers of the documents whose values they are.
        are_odd: Which of all documents are odd; a value that takes a closer look makes its document so.
        references: How many references each document has.
    """

    data: bytes
    places: Places
    at: Numbers
    are_odd: Mask
    references: Numbers

    @property
    def starts(self) -> Numbers:
        """Where the values begin."""
        return self.places.starts[self.at]

    def leave(self, numbers: Mask | int) -> None:
        """Leaves documents out, given among those of ``at``."""
        self.are_odd[self.at[numbers]] = True

    def count(self, references: list[int] | int) -> None:
        """Counts references."""
        self.references[self.at] += references

    def texts(self, longest: int | None) -> pl.Series:
        """Returns texts; one that is not UTF-8 is null."""
        starts, ends = self.starts + _LENGTH, self.places.ends[self.at] - 1
        found = slices(self.data, starts, ends).cast(pl.String, strict=False)
        if found.null_count():
            self.leave(found.is_null().to_numpy())
        if longest is not None:
            self.leave(ends - starts > longest)
        return found

    def integers(self) -> pl.Series:
        """Returns integers of either size."""
        short, long = (at_each_byte(self.data, dtype)[self.starts] for dtype in ("<i4", "<i8"))
        are_short = self.places.kinds[self.at] == bson.INT32
        return pl.Series(np.where(are_short, short, long)).cast(pl.String)

    def booleans(self) -> pl.Series:
        """Returns booleans."""
        values = at_each_byte(self.data, "u1")[self.starts]
        self.leave(values > 1)
        return pl.Series(_BOOLEANS).gather(np.minimum(values, 1))

    def times(self) -> pl.Series:
        """Returns times."""
        values = at_each_byte(self.data, "<i8")[self.starts]
        are_plain = (values >= _FIRST_PLAIN_TIME) & (values <= _LAST_PLAIN_TIME)
        written = pl.col("time").cast(pl.Datetime("ms")).dt.to_string("%Y-%m-%d %H:%M:%S%.3f")
        trimmed = written.str.strip_chars_end("0").str.strip_chars_end(".")
        found = pl.DataFrame({"time": np.where(are_plain, values, 0)}).select(trimmed).to_series()
        others = np.flatnonzero(~are_plain)
        if not others.size:
            return found
        are_known = (values >= FIRST_TIMESTAMP) & (values <= LAST_TIMESTAMP)
        self.leave(~are_known)
        times = np.where(are_known, values, 0)[others].tolist()
        return found.scatter(others, pl.Series(list(map(timestamp_text, times))))

    def ids(self) -> pl.Series:
        """Returns UUIDs of ObjectIds."""
        self.count(1)
        object_ids = at_each_byte(self.data, f"V{OBJECT_ID_SIZE}")[self.starts]
        return uuid_texts(uuids_of(object_ids.tobytes()))

    def json(self) -> pl.Series:
        """Returns relaxed Extended JSON; null where a value takes a closer look."""
        texts = self._decoded(_json_text, _exact_json_text)
        return pl.Series(texts, dtype=pl.String)

    def arrays(self, kind: type) -> list[list[Any]]:
        """Returns arrays of one type, an empty one where a value is anything else."""

        def of_kind(value: list[Any]) -> list[Any]:
            if not all(type(each) is kind for each in value):
                raise TypeError
            return value

        return [each or [] for each in self._decoded(of_kind)]

    def arrays_of_ids(self) -> pl.Series:
        """Returns arrays of UUIDs of ObjectIds."""
        arrays = self.arrays(ObjectId)
        self.count(list(map(len, arrays)))
        joined = b"".join([each.binary for each in chain.from_iterable(arrays)])
        texts = iter(uuid_texts(uuids_of(joined)).to_list())
        found = [f"{{{','.join(islice(texts, len(array)))}}}" for array in arrays]
        return pl.Series(found, dtype=pl.String)

    def _decoded(
        self,
        made: Callable[[Any], Made],
        otherwise: Callable[[int, bytes], Made | None] = lambda _kind, _data: None,
    ) -> list[Made | None]:
        """Returns what is made of values that the driver decodes, None where a closer look is due.

        Tags and notes repeat: of values that are the same bytes one is decoded.

        Args:
            made: Makes it of a value; TypeError or ValueError where it cannot.
            otherwise: Makes it of a value that the driver does not read, given as its type and its bytes.
        """
        ends, kinds = self.places.ends[self.at].tolist(), self.places.kinds[self.at].tolist()
        each = zip(kinds, self.starts.tolist(), ends, strict=True)
        elements = [b"%c\0%b" % (kind, self.data[start:end]) for kind, start, end in each]
        found: dict[bytes, Made | None] = dict.fromkeys(elements)
        for element, values in zip(found, decoded([*found]), strict=True):
            with suppress(TypeError, ValueError):
                found[element] = made(values[""]) if values else None
            if found[element] is None:
                found[element] = otherwise(element[0], element[2:])
        for number, element in enumerate(elements):
            if found[element] is None:
                self.leave(number)
        return [found[element] for element in elements]


def usual_kinds(table: sa.Table) -> Mapping[str, frozenset[int]]:
    """Returns the BSON types that the fields of plain documents have: all others are for the ``judge``."""
    elsewhere = frozenset({bson.ARRAY, bson.NULL})
    return (
        dict.fromkeys(fields(table), elsewhere)
        | {source.field: _KINDS[source.rule] | {bson.NULL} for source in sources(table).values()}
        | {"_id": IDENTIFIERS}
    )


def decoded(elements: Sequence[bytes]) -> list[dict[str, Any]]:
    """Decodes elements of BSON by the driver, and proves that it hides nothing: encoded, they are the same.

    Returns:
        A document for each element; an empty one where the driver does not read all of it.
    """
    documents = [
        b"%b%b\0" % ((len(each) + _LENGTH + 1).to_bytes(_LENGTH, "little"), each)
        for each in elements
    ]
    with suppress(Exception):  # of bytes that are not sound, the driver raises what it likes
        found = driver.decode_all(b"".join(documents), CODEC)
        whole = driver.encode({"": found}, codec_options=CODEC)
        held = driver._array_of_documents_to_buffer(memoryview(whole)[_ARRAY_BEGINS:-1])
        if held == b"".join(documents):
            return found
    if len(elements) == 1:
        return [{}]
    half = len(elements) // 2
    return decoded(elements[:half]) + decoded(elements[half:]) if elements else []


def _leave_out_others(found: Found, name: str, are_odd: Mask) -> None:
    """Leaves documents out with an array, which a junction table holds, that is not one of ObjectIds."""
    places = found.fields[name]
    at = np.flatnonzero((places.kinds == bson.ARRAY) & ~are_odd)
    counts, _ = object_ids_in(found.data, places, at)
    rest = at[counts < 0]
    if rest.size:
        _Values(found.data, places, rest, are_odd, np.zeros(0, dtype=np.int64)).arrays(ObjectId)


def _spread(series: pl.Series, at: Numbers, count: int, otherwise: str | None) -> pl.Series:
    """Returns a column with values in some places, and something in all others."""
    if len(at) == count:
        return series
    empty = pl.Series([otherwise], dtype=pl.String).new_from_index(0, count)
    return empty.scatter(at, series) if len(at) else empty


@lru_cache(10_000)
def _uuid_of_text(text: str) -> bytes:
    return object_id_uuid(bytes.fromhex(text))


def _json_text(value: Any) -> str:
    """Returns relaxed Extended JSON of a value; TypeError or ValueError where that takes a closer look."""
    text = orjson.dumps(value, default=_extended, option=_JSON_OPTIONS)
    is_plain = b"\\u0000" not in text and b"-0.0" not in text  # which jsonb does not hold
    # NaN and the infinities are written as null, too.
    if not is_plain or (b"null" in text and not _is_finite(value)):
        raise ValueError
    return str(text, "utf-8")


def _exact_json_text(kind: int, data: bytes) -> str | None:
    """Returns the same of a value as ``bson_reader`` reads it, None where jsonb cannot hold it as it is."""
    try:
        value = bson.read_value(kind, data, 0)
        structure = relaxed(value)
    except bson.UnreadableError:
        return None
    is_sound = bson.flaw_within(value) is None and storable(structure) == structure
    return json_text(structure) if is_sound else None


def _extended(value: Any) -> Any:
    kind = type(value)
    if kind is ObjectId:
        return {"$oid": str(value)}
    if kind is DatetimeMS:
        return relaxed((bson.DATE, int(value)))
    if kind is Int64:
        return int(value)
    raise TypeError(kind.__name__)


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return type(value) is not float or math.isfinite(value)


_BOOLEANS = ["f", "t"]
IDENTIFIERS = frozenset({bson.OBJECT_ID, bson.STRING, bson.INT32, bson.INT64})
"""The types of an `_id` that plain documents have."""
_WHOLE = frozenset({bson.INT32, bson.INT64})
_KINDS: Mapping[Rule, frozenset[int]] = {
    Rule.KEY: IDENTIFIERS,
    Rule.TEXT: frozenset({bson.STRING}),
    Rule.INTEGER: _WHOLE,
    Rule.BIGINT: _WHOLE,
    Rule.BOOLEAN: frozenset({bson.BOOLEAN}),
    Rule.TIMESTAMP: frozenset({bson.DATE}),
    Rule.ENUM: frozenset({bson.STRING}),
    Rule.JSON: UNDERSTOOD,
    Rule.TEXT_ARRAY: frozenset({bson.ARRAY}),
    Rule.REFERENCE: frozenset({bson.OBJECT_ID}),
    Rule.REFERENCE_ARRAY: frozenset({bson.ARRAY}),
    Rule.REFERENCE_TEXT: frozenset({bson.STRING}),
    Rule.REFERENCE_TEXT_ARRAY: frozenset({bson.ARRAY}),
}
"""The types that a column accepts as they are (section 5)."""
