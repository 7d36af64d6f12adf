"""The values of one field of many documents as PostgreSQL must write them, all of them together.

A value that takes a closer look makes its document odd. What is nested is decoded by the driver, and proven
to be all that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import polars as pl

from migration_assets.arrow import slices
from migration_assets.model import Source
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.exact_values import FIRST_TIMESTAMP, LAST_TIMESTAMP
from migration_assets.validation.extended_json import jsonb_text
from migration_assets.validation.field_places import elements_in
from migration_assets.validation.identities import resolved
from migration_assets.validation.known_ids import KnownIds
from migration_assets.validation.many_ids import keys_of, uuid_texts
from migration_assets.validation.placed_values import LENGTH, Mask, Numbers, Places, at_each_byte
from migration_assets.validation.postgres_text import array_text, timestamp_text

Made = TypeVar("Made")

_FIRST_PLAIN_TIME, _LAST_PLAIN_TIME = -62_135_596_800_000, 253_402_300_799_999
"""The years 1 to 9999 in milliseconds since 1970: a time beyond them is written in another way."""
_BOOLEANS = ["f", "t"]


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a field that are there.

    Attributes:
        data: The documents.
        places: Where the values of all documents stand in it.
        at: Numbers of the documents whose values they are.
        are_odd: Which of all documents are odd; a value that takes a closer look makes its document so.
        references: How many references each document has.
        source: What the model says of the field.
        documents: By collection, the documents that references held as text may point to.
    """

    data: bytes
    places: Places
    at: Numbers
    are_odd: Mask
    references: Numbers
    source: Source
    documents: Mapping[str, KnownIds]

    @property
    def starts(self) -> Numbers:
        """Where the values begin."""
        return self.places.starts[self.at]

    def leave(self, numbers: Mask | Numbers | int) -> None:
        """Leaves documents out, given among those of ``at``."""
        self.are_odd[self.at[numbers]] = True

    def count(self, references: Numbers | list[int] | int) -> None:
        """Counts references."""
        self.references[self.at] += references

    def texts(self) -> pl.Series:
        """Returns texts; one that is not UTF-8 is null."""
        starts, ends = self.starts + LENGTH, self.places.ends[self.at] - 1
        parts = slices(self.data, starts, ends)
        try:
            texts = parts.cast(pl.String)
        except pl.exceptions.ComputeError:  # polars does not say which of them
            texts = pl.Series(list(map(_text_of, parts.to_list())), dtype=pl.String)
            self.leave(texts.is_null().to_numpy())
        if self.source.longest is not None:
            self.leave(ends - starts > self.source.longest)
        return texts

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
        texts = pl.DataFrame({"time": np.where(are_plain, values, 0)}).select(trimmed).to_series()
        others = np.flatnonzero(~are_plain)
        if not others.size:
            return texts
        are_known = (values >= FIRST_TIMESTAMP) & (values <= LAST_TIMESTAMP)
        self.leave(~are_known)
        times = np.where(are_known, values, 0)[others].tolist()
        return texts.scatter(others, pl.Series(list(map(timestamp_text, times))))

    def ids(self) -> pl.Series:
        """Returns UUIDs of what references refer to."""
        self.count(1)
        collection = str(self.source.references)
        keys, are_odd = keys_of(collection, self.data, self.places.of(self.at))
        self.leave(are_odd)
        return uuid_texts(keys)

    def json(self) -> pl.Series:
        """Returns relaxed Extended JSON; null where a value takes a closer look."""
        return pl.Series(self._decoded(_json_text), dtype=pl.String)

    def arrays_of_texts(self) -> pl.Series:
        """Returns arrays of texts."""
        return pl.Series(self._decoded(_array_text), dtype=pl.String)

    def arrays_of_ids(self) -> pl.Series:
        """Returns arrays of UUIDs of what references refer to."""
        counts, elements = elements_in(self.data, self.places.of(self.at))
        self.leave(counts < 0)
        counts = np.maximum(counts, 0)
        self.count(counts)
        keys, are_odd = keys_of(str(self.source.references), self.data, elements)
        self.leave(np.repeat(np.arange(len(counts)), counts)[are_odd])
        texts = iter(uuid_texts(keys).to_list())
        array_texts = [f"{{{','.join(islice(texts, count))}}}" for count in counts.tolist()]
        return pl.Series(array_texts, dtype=pl.String)

    def references_as_text(self) -> pl.Series:
        """Returns UUIDs of what references held as text refer to."""
        texts = self._resolved([[text] for text in self.texts()])
        return pl.Series(chain.from_iterable(texts), dtype=pl.String)

    def arrays_of_references_as_text(self) -> pl.Series:
        """Returns arrays of such."""
        arrays = [texts or [] for texts in self._decoded(_texts)]
        return pl.Series(list(map(array_text, self._resolved(arrays))), dtype=pl.String)

    def _resolved(self, arrays: Sequence[Sequence[str | None]]) -> list[list[str]]:
        """Returns the UUIDs of ids given as text; an empty text stays.

        A document with a text that leads nowhere is odd.
        """
        collection = str(self.source.references)
        documents = self.documents[collection]
        texts = {text for text in chain.from_iterable(arrays) if text}
        for text in texts:  # notes what to ask for
            resolved(text, collection, documents)
        documents.ask()
        keys = {text: resolved(text, collection, documents)[0] for text in texts}
        known = {text: key for text, key in keys.items() if key is not None}
        written = {"": ""} | dict(zip(known, uuid_texts(b"".join(known.values())), strict=True))
        self.leave(np.array([not written.keys() >= {*array} for array in arrays]))
        self.count([sum(map(bool, array)) for array in arrays])
        return [[written.get(str(text), "") for text in array] for array in arrays]

    def _decoded(self, decode: Callable[[Any], Made | None]) -> list[Made | None]:
        """Returns what is made of values that the driver decodes, None where a closer look is due.

        Tags and notes repeat: of values that are the same bytes one is decoded.

        Args:
            decode: Makes it of a value; None where it cannot.
        """
        elements = self.places.of(self.at).cut_out(self.data)
        unique = [*dict.fromkeys(elements)]
        made_of = {
            element: decode(fields[""]) if fields else None
            for element, fields in zip(unique, bson.read_values(unique), strict=True)
        }
        for number, element in enumerate(elements):
            if made_of[element] is None:
                self.leave(number)
        return [made_of[element] for element in elements]


def _text_of(utf_8: bytes) -> str | None:
    try:
        return str(utf_8, "utf-8")
    except UnicodeDecodeError:
        return None


def _json_text(value: Any) -> str | None:
    """Returns a value as JSON; None where jsonb cannot hold it as it is."""
    text, loss = jsonb_text(value)
    return text if loss is None else None


def _array_text(value: list[Any]) -> str | None:
    texts = _texts(value)
    return None if texts is None else array_text(texts)


def _texts(value: list[Any]) -> list[str] | None:
    """Returns an array; None where not all of it is text."""
    return value if all(type(element) is str for element in value) else None
