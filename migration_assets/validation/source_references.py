"""The references that documents hold, read from raw BSON as UUIDs, many documents at once.

A batch is walked with numpy, all its documents in step: no value becomes a Python object. That works for
what the application itself writes (``_id`` and references are ObjectIds, arrays hold nothing else, ids
held as text are 24 hex digits). A document that holds anything else is marked *odd*: its values are
undefined here, and whoever reads the batch decodes it and judges it value by value.

Here belongs reading, not judging: that is ``references``. Nothing of it is shared with the loader but
``identity``, and the `_id` of a document, ``source.reading.identifier``.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import bson
import numpy as np
import numpy.typing as npt

from migration_assets.identity import OBJECT_ID_BYTES, document_uuid, object_id_uuids
from migration_assets.model import Rule
from migration_assets.source.connection import CODEC, Document, SourceDatabase
from migration_assets.source.reading import identifier
from migration_assets.source.replies import raw_replies
from migration_assets.validation import bson_reader
from migration_assets.validation.evidence import Phases
from migration_assets.validation.reference import source_id_of
from migration_assets.validation.remedied import JudgedRules, redone

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Uuids = npt.NDArray[np.uint64]
"""UUIDs, one a row: two numbers whose 16 bytes, as they stand in memory, are those of the UUID."""

DOCUMENTS_PER_BATCH = 20_000
_AHEAD = 2
"""Batches that may wait; each is at most one reply of the server, 16 MB."""

_MISSING, _STRING, _DOCUMENT, _ARRAY, _UNDEFINED, _OBJECT_ID, _NULL = 0, 2, 3, 4, 6, 7, 10
_EMPTY_ARRAY_BYTES = 5
_HEX_DIGITS = 2 * OBJECT_ID_BYTES
_ARRAYS = (Rule.REFERENCE_ARRAY, Rule.REFERENCE_TEXT_ARRAY)
_FIXED_SIZES = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 127: 0, 255: 0}
"""Bytes of the BSON types that always have the same, https://bsonspec.org/spec.html."""
_PADDING = bytes(256)
"""What may be looked at behind the last document, while its names are compared."""

# The loader rejects a document that is not valid UTF-8; here it is read all the same, to be missed.
_CODEC = CODEC.with_options(unicode_decode_error_handler="replace")


def _table(values: Mapping[int, int], default: int, dtype: type) -> npt.NDArray[Any]:
    made: npt.NDArray[Any] = np.full(256, default, dtype=dtype)
    for index, value in values.items():
        made[index] = value
    return made


_SIZES = _table(_FIXED_SIZES, -1, np.int64)
_NO_DIGIT = 0xFF
_DIGITS = _table({ord(digit): int(digit, 16) for digit in "0123456789abcdefABCDEF"}, 255, np.uint8)


@dataclass(frozen=True, slots=True)
class Scalars:
    """A field that holds one reference, for each document of a batch.

    Attributes:
        uuids: The UUIDs; undefined where there is none.
        present: Whether there is one.
    """

    uuids: Uuids
    present: Mask


@dataclass(frozen=True, slots=True)
class Elements:
    """A field that holds an array of references, one line for each element.

    Attributes:
        documents: Number of the document in its batch.
        positions: Position in the array, from 0.
        uuids: The UUIDs.
    """

    documents: Positions
    positions: Positions
    uuids: Uuids

    def without(self, odd: Mask) -> Elements:
        """Returns the elements of documents that are not odd."""
        kept = ~odd[self.documents]
        return Elements(self.documents[kept], self.positions[kept], self.uuids[kept])


@dataclass(frozen=True, slots=True)
class References:
    """The references of a batch of documents.

    Attributes:
        ids: The UUID of each document.
        odd: Documents that have to be decoded; their scalars and elements are undefined.
        scalars: By field.
        arrays: By field; without the elements of odd documents.
    """

    ids: Uuids
    odd: Mask
    scalars: Mapping[str, Scalars]
    arrays: Mapping[str, Elements]
    _data: bytes
    _starts: Positions
    _changed: Mapping[int, Document] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def document(self, number: int) -> Document:
        """Returns a document as pymongo decodes it, with its `_id` and the fields that were read."""
        changed = self._changed.get(number)
        return _decoded(self._data, int(self._starts[number])) if changed is None else changed

    def remedied(self, rules: JudgedRules) -> References:
        """Returns the same with what rules make of the documents; those that they change are odd."""
        changed: dict[int, Document] = {}
        for number, document in enumerate(bson_reader.split(self._data)):
            try:
                fields = bson_reader.read_document(document)
            except bson_reader.UnreadableError:
                continue  # a document that cannot be read is rejected as it is
            name = source_id_of(dict(fields)["_id"])
            if changes := rules.remedied(fields, name)[1]:
                changed[number] = redone(self.document(number), changes)
        if not changed:
            return self
        odd = self.odd.copy()
        odd[list(changed)] = True
        arrays = {name: found.without(odd) for name, found in self.arrays.items()}
        return replace(self, odd=odd, arrays=arrays, _changed=changed)


def uuids_of(data: bytes) -> Uuids:
    """Returns UUIDs, 16 bytes each, one after the other, as an array."""
    return np.frombuffer(data, dtype=np.uint64).reshape(-1, 2)


def references(
    database: SourceDatabase, collection: str, fields: Mapping[str, Rule]
) -> Iterator[References]:
    """Returns the references that the documents of a collection hold, in batches, in no order.

    Reading begins at once, and goes on while a batch is looked at.

    Args:
        database: The source.
        collection: The collection.
        fields: The fields to read, each with its rule; none for the ids of the documents alone.
    """
    return _batches(_raw(database, collection, fields, {}), collection, fields, takes_hex=True)


def array_references(
    database: SourceDatabase, collection: str, array: str, rules: JudgedRules
) -> Iterator[References]:
    """Returns the references in one array of a collection; documents without any are left out.

    Reading begins at once, and goes on while a batch is looked at.

    Args:
        database: The source.
        collection: The collection.
        array: The array.
        rules: The remediations of the array.
    """
    fields = {array: Rule.REFERENCE_ARRAY}
    # Not {"$ne": []} and not {"$ne": None}: they leave out arrays that hold such an element.
    held: dict[str, Any] = {array: {"$exists": True, "$not": {"$size": 0}}}
    condition = {} if rules.changes else held
    raw = _raw(database, collection, fields, condition)
    return remedied(_batches(raw, collection, fields, takes_hex=False), rules)


def remedied(batches: Iterator[References], rules: JudgedRules) -> Iterator[References]:
    """Returns batches with what rules make of their documents."""
    return (batch.remedied(rules) for batch in batches) if rules.changes else batches


def batch_references(
    data: bytes, collection: str, fields: Mapping[str, Rule], *, takes_hex: bool
) -> References:
    """Returns the references of documents that stand one after the other as BSON.

    Args:
        data: The documents, with `_id` and no fields but those asked for.
        collection: Their collection.
        fields: The fields to read, each with its rule.
        takes_hex: Take 24 hex digits for an ObjectId; else a document that holds them is odd. They can
            be the `_id` of a document as well, so what does not fit the target is to be looked at again.
    """
    starts = np.array(bson_reader.starts(data), dtype=np.int64)
    buffer = np.frombuffer(data + _PADDING, dtype=np.uint8)
    located = _Located.of(buffer, starts, ("_id", *fields))
    odd = located.odd | (located.kinds["_id"] != _OBJECT_ID)
    scalars: dict[str, Scalars] = {}
    arrays: dict[str, Elements] = {}
    for name, rule in fields.items():
        if rule in _ARRAYS:
            arrays[name] = _elements(located, name, odd, takes_hex=takes_hex)
        else:
            scalars[name] = _scalars(located, name, odd, takes_hex=takes_hex)
    arrays = {name: found.without(odd) for name, found in arrays.items()}
    ids = _document_ids(located, data, starts, collection)
    return References(ids, odd, scalars, arrays, data, starts)


def timed(batches: Iterator[References], phases: Phases) -> Iterator[References]:
    """Yields batches, adding the time that each takes to come to the phase ``source``."""
    while True:
        with phases.phase("source"):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _batches(
    raw: Iterator[bytes], collection: str, fields: Mapping[str, Rule], *, takes_hex: bool
) -> Iterator[References]:
    """Fetches raw batches ahead on a thread of its own; returns the references in them."""
    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
    pending = deque(reader.submit(next, raw, None) for _ in range(_AHEAD))

    def read() -> Iterator[References]:
        with reader:
            while (data := pending.popleft().result()) is not None:
                pending.append(reader.submit(next, raw, None))
                yield batch_references(data, collection, fields, takes_hex=takes_hex)

    return read()


def _raw(
    database: SourceDatabase,
    collection: str,
    fields: Iterable[str],
    condition: Mapping[str, Any],
) -> Iterator[bytes]:
    """Yields documents as BSON, as many at a time as one reply of the server holds."""
    cursor: Any = raw_replies(
        database[collection],
        filter=condition,
        projection={"_id": 1, **dict.fromkeys(fields, 1)},
        batch_size=DOCUMENTS_PER_BATCH,
    )
    with cursor:
        yield from filter(None, cursor)


def _decoded(data: bytes, start: int) -> Document:
    length = int.from_bytes(data[start : start + 4], "little")
    return bson.decode(data[start : start + length], _CODEC)


def _document_ids(located: _Located, data: bytes, starts: Positions, collection: str) -> Uuids:
    ids = np.zeros((len(starts), 2), dtype=np.uint64)
    plain = located.kinds["_id"] == _OBJECT_ID
    ids[plain] = _object_ids(located.buffer, located.values["_id"][plain])
    for number in np.flatnonzero(~plain):
        start = int(starts[number])
        length = int.from_bytes(data[start : start + 4], "little")
        identified = document_uuid(collection, identifier(data[start : start + length]))
        ids[number] = uuids_of(identified.bytes)
    return ids


@dataclass(frozen=True, slots=True)
class _Located:
    """Where the fields of documents stand.

    Attributes:
        buffer: The documents, and some padding.
        kinds: By field, the BSON type in each document, 0 where it is missing.
        values: By field, where its value begins.
        odd: Documents that could not be walked to their end.
    """

    buffer: Bytes
    kinds: Mapping[str, Bytes]
    values: Mapping[str, Positions]
    odd: Mask

    @classmethod
    def of(cls, buffer: Bytes, starts: Positions, names: Sequence[str]) -> _Located:
        """Walks the documents in step: each turn takes the next field of every document.

        Documents of a collection have their fields in much the same order, so what most of them had in
        this turn is looked for last in the next.
        """
        order = list(names)
        count = len(starts)
        kinds = {name: np.zeros(count, dtype=np.uint8) for name in names}
        values = {name: np.zeros(count, dtype=np.int64) for name in names}
        odd = np.zeros(count, dtype=np.bool_)
        walking, cursor = np.arange(count), starts + 4
        while True:
            kind = buffer[cursor]
            goes_on = kind != 0
            walking, cursor, kind = walking[goes_on], cursor[goes_on], kind[goes_on]
            if not walking.size:
                return cls(buffer, kinds, values, odd)
            value = np.zeros(len(walking), dtype=np.int64)
            found: Counter[str] = Counter()
            for name in order:
                here = np.flatnonzero(value == 0)
                if not here.size:
                    break
                here = here[_begins_with(buffer, cursor[here] + 1, name)]
                found[name] = here.size
                value[here] = cursor[here] + len(name.encode()) + 2
                odd[walking[here]] |= kinds[name][walking[here]] != _MISSING  # the name again
                kinds[name][walking[here]] = kind[here]
                values[name][walking[here]] = value[here]
            order.append(order.pop(order.index(found.most_common(1)[0][0])))
            size = _sizes(buffer, kind, value)
            goes_on = (value > 0) & (size >= 0)
            odd[walking[~goes_on]] = True
            walking, cursor = walking[goes_on], (value + size)[goes_on]


def _begins_with(buffer: Bytes, at: Positions, name: str) -> Mask:
    expected = np.frombuffer(name.encode() + b"\x00", dtype=np.uint8)
    found: Mask = (_taken(buffer, at, len(expected)) == expected).all(axis=1)
    return found


def _sizes(buffer: Bytes, kinds: Bytes, values: Positions) -> Positions:
    """Returns the bytes that values take, -1 for types that are not walked over."""
    sizes: Positions = _SIZES[kinds]
    for kind, extra in ((_STRING, 4), (_DOCUMENT, 0), (_ARRAY, 0)):
        here = np.flatnonzero((kinds == kind) & (values > 0))
        sizes[here] = _lengths(buffer, values[here]) + extra
    return sizes


def _scalars(located: _Located, name: str, odd: Mask, *, takes_hex: bool) -> Scalars:
    """Returns a field's references; marks the documents where it holds something else as odd."""
    buffer, kinds, values = located.buffer, located.kinds[name], located.values[name]
    uuids = np.zeros((len(kinds), 2), dtype=np.uint64)
    present = kinds == _OBJECT_ID
    uuids[present] = _object_ids(buffer, values[present])
    if takes_hex:
        texts = np.flatnonzero(kinds == _STRING)
        uuids[texts], are_hex = _hex_ids(buffer, values[texts])
        present[texts] = are_hex
    odd |= ~(present | np.isin(kinds, (_MISSING, _UNDEFINED, _NULL)))
    return Scalars(uuids, present)


def _elements(located: _Located, name: str, odd: Mask, *, takes_hex: bool) -> Elements:
    """Returns an array's references; marks the documents where it holds something else as odd.

    An array of nothing but ObjectIds (or of texts of 24 bytes) has one length for each number of
    elements, and each element has its place: so the length says where every element must be, and
    what stands there whether it is one.
    """
    buffer, kinds, values = located.buffer, located.kinds[name], located.values[name]
    held = np.flatnonzero(kinds == _ARRAY)
    lengths = _lengths(buffer, values[held])
    first = buffer[values[held] + 4]
    is_fine = np.isin(kinds, (_MISSING, _UNDEFINED, _NULL))
    is_fine[held[lengths == _EMPTY_ARRAY_BYTES]] = True
    parts: list[Elements] = []
    for kind, size in ((_OBJECT_ID, OBJECT_ID_BYTES), (_STRING, 4 + _HEX_DIGITS + 1)):
        if kind == _STRING and not takes_hex:
            continue
        mine = first == kind
        found, fitting = _uniform(buffer, held[mine], values[held[mine]], lengths[mine], kind, size)
        is_fine[fitting] = True
        parts.append(found)
    odd |= ~is_fine
    return Elements(
        np.concatenate([part.documents for part in parts]),
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.uuids for part in parts]),
    )


def _uniform(
    buffer: Bytes, documents: Positions, values: Positions, lengths: Positions, kind: int, size: int
) -> tuple[Elements, Positions]:
    """Returns the elements of arrays of one type of one size, and the documents whose array is one.

    Args:
        buffer: The documents.
        documents: The documents that hold the arrays.
        values: Where the arrays begin.
        lengths: Their bytes.
        kind: BSON type of the elements.
        size: Bytes of an element's value.
    """
    most = int(lengths.max(initial=0)) // (size + 3) + 1
    names = [str(position) for position in range(most)]
    name_sizes = np.array([len(name) for name in names], dtype=np.int64)
    places = np.concatenate(([0], np.cumsum(name_sizes + 2 + size))) + 4
    counts = np.searchsorted(places + 1, lengths)
    is_fitting = (places + 1)[np.minimum(counts, most)] == lengths
    documents, values, counts = documents[is_fitting], values[is_fitting], counts[is_fitting]

    array = np.repeat(np.arange(len(documents)), counts)
    positions = np.arange(len(array)) - np.repeat(np.cumsum(counts) - counts, counts)
    at = values[array] + places[positions]
    width = len(names[-1]) + 1
    expected = np.frombuffer("".join(name.ljust(width, "\0") for name in names).encode(), np.uint8)
    expected = expected.reshape(most, width)[positions]
    is_beyond = np.arange(width) > name_sizes[positions][:, None]
    is_named = ((_taken(buffer, at + 1, width) == expected) | is_beyond).all(axis=1)
    value = at + 2 + name_sizes[positions]
    is_good = is_named & (buffer[at] == kind)
    if kind == _OBJECT_ID:
        uuids = _object_ids(buffer, value)
    else:
        uuids, is_hex = _hex_ids(buffer, value)
        is_good &= is_hex
    bad = np.zeros(len(documents), dtype=np.bool_)
    bad[array[~is_good]] = True
    kept = ~bad[array]
    return Elements(documents[array][kept], positions[kept], uuids[kept]), documents[~bad]


def _object_ids(buffer: Bytes, at: Positions) -> Uuids:
    return uuids_of(object_id_uuids(_taken(buffer, at, OBJECT_ID_BYTES).tobytes()))


def _hex_ids(buffer: Bytes, at: Positions) -> tuple[Uuids, Mask]:
    """Returns the UUIDs of texts of 24 hex digits, and which of the texts are that."""
    is_long_enough = _lengths(buffer, at) == _HEX_DIGITS + 1
    digits = _DIGITS[_taken(buffer, at + 4, _HEX_DIGITS)]
    is_hex: Mask = is_long_enough & (digits != _NO_DIGIT).all(axis=1)
    digits = np.where(is_hex[:, None], digits, 0).astype(np.uint8)
    object_ids = (digits[:, ::2] << 4) | digits[:, 1::2]
    return uuids_of(object_id_uuids(object_ids.tobytes())), is_hex


def _lengths(buffer: Bytes, at: Positions) -> Positions:
    return _taken(buffer, at, 4).view("<i4").ravel().astype(np.int64)


def _taken(buffer: Bytes, at: Positions, size: int) -> Bytes:
    """Returns the bytes at some places, a row for each place."""
    taken: Bytes = buffer[at[:, None] + np.arange(size)]
    return taken
