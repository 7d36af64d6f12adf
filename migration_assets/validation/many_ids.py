"""Ids of many documents, and of many references, made together.

An ObjectId becomes its UUID in a few operations on whole arrays. An id of another type is written as the
books write it, and that is hashed, once for all places of a batch where it stands. Whether a reference leads
to a row is not asked here.
"""

from __future__ import annotations

from hashlib import sha1

import numpy as np
import polars as pl

from migration_assets.arrow import of_width, slices
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.identities import (
    OBJECT_ID_SIZE,
    UUID_SIZE,
    is_object_id_text,
    namespace,
    source_id_of,
)
from migration_assets.validation.placed_values import (
    LENGTH,
    Mask,
    Numbers,
    Places,
    among,
    at_each_byte,
)

IDENTIFIERS = frozenset({bson.OBJECT_ID, bson.STRING, bson.INT32, bson.INT64, bson.BINARY})
"""The types of ids that plain documents have, and plain references."""
IS_ID = among(IDENTIFIERS)
"""Of each BSON type, whether it is one of these."""
UUID_DTYPE = f"V{UUID_SIZE}"
"""What numpy takes for a UUID, as bytes."""
_AS_IT_IS = r"^[ !#-\[\]-~]+$"
"""A text that JSON holds as it is, between quotes."""
_MAY_BE_TWO = '^"[0-9a-fA-F]{24}"$'
_TEXT_SIZE = 36
_DIGITS = [at for at in range(_TEXT_SIZE) if at not in (8, 13, 18, 23)]
"""Where the digits of a UUID stand, between the dashes."""


def source_ids(data: bytes, places: Places, *, of_references: bool) -> pl.Series:
    """Returns ids that are no ObjectIds as the books write them.

    Args:
        data: The documents.
        places: Where the ids stand, in their order.
        of_references: Whether they are references. An empty text is none, and one of 24 hex digits may stand
            for two ids.

    Returns:
        Null for each that takes a closer look.
    """
    names = pl.Series([None], dtype=pl.String).new_from_index(0, len(places.kinds))
    are_texts = np.flatnonzero(places.kinds == bson.STRING)
    try:
        texts = slices(data, places.starts[are_texts] + LENGTH, places.ends[are_texts] - 1)
        text = pl.col("").cast(pl.String)
        written = pl.when(text.str.contains(_AS_IT_IS)).then(pl.format('"{}"', text))
        names = names.scatter(are_texts, texts.to_frame("").select(written).to_series())
    except pl.exceptions.ComputeError:  # one is not UTF-8; polars does not say which
        pass
    if of_references:
        names = names.set(names.str.contains(_MAY_BE_TWO).fill_null(value=False), None)
    others = names.is_null().arg_true()
    if not len(others):
        return names
    values = places.of(others.to_numpy()).cut_out(data)
    unique = [*dict.fromkeys(values)]
    source_id_by_value: dict[tuple[int, bytes], str | None] = {}
    for value, fields in zip(unique, bson.read_values(unique), strict=True):
        identifier = fields.get("")
        is_odd = not fields or (
            of_references and (identifier == "" or is_object_id_text(identifier))
        )
        source_id_by_value[value] = None if is_odd else source_id_of(identifier)
    return names.scatter(
        others, pl.Series([source_id_by_value[value] for value in values], dtype=pl.String)
    )


def keys_of_source_ids(collection: str, names: pl.Series) -> bytes:
    """Returns the UUIDs of ids that are no ObjectIds, one after the other; any in place of null."""
    texts = names.fill_null("").to_list()
    unique = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    of_namespace = sha1(namespace(collection), usedforsecurity=False)
    digests = []
    for text in unique:
        digest = of_namespace.copy()  # in two thirds of the time that it takes to begin anew
        digest.update(text.encode())
        digests.append(digest.digest()[:UUID_SIZE])
    keys = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, UUID_SIZE).copy()
    keys[:, 6] = keys[:, 6] & 0x0F | 0x50
    keys[:, 8] = keys[:, 8] & 0x3F | 0x80
    return keys[[unique[text] for text in texts]].tobytes()


def keys_of(collection: str, data: bytes, places: Places) -> tuple[bytes, Mask]:
    """Returns the UUIDs of what references refer to, one after the other, and which take a closer look.

    Args:
        collection: The collection that they refer to.
        data: The documents.
        places: Where the references stand, in their order, each of one of ``IDENTIFIERS``.
    """
    are_odd = np.zeros(len(places.kinds), dtype=np.bool_)
    are_others = places.kinds != bson.OBJECT_ID
    if not are_others.any():
        return uuids_of(object_ids(data, places.starts)), are_odd
    keys = np.empty(len(are_odd), dtype=UUID_DTYPE)
    own = uuids_of(object_ids(data, places.starts[~are_others]))
    keys[~are_others] = np.frombuffer(own, dtype=UUID_DTYPE)
    names = source_ids(data, places.of(are_others), of_references=True)
    keys[are_others] = np.frombuffer(keys_of_source_ids(collection, names), dtype=UUID_DTYPE)
    are_odd[are_others] = names.is_null().to_numpy()
    return keys.tobytes(), are_odd


def object_ids(data: bytes, starts: Numbers) -> bytes:
    """Returns ObjectIds, 12 bytes each, given where they begin."""
    return at_each_byte(data, f"V{OBJECT_ID_SIZE}")[starts].tobytes()


def uuids_of(object_ids: bytes) -> bytes:
    """Returns the UUIDs of ObjectIds, both one after the other."""
    words = np.frombuffer(object_ids, dtype=[("seconds", ">u4"), ("rest", ">u8")])
    seconds, rest = words["seconds"].astype(np.uint64), words["rest"].astype(np.uint64)
    uuid_words = np.empty((len(words), 2), dtype=">u8")
    uuid_words[:, 0] = seconds * np.uint64(1000) << np.uint64(16)
    uuid_words[:, 0] |= np.uint64(7 << 12) | rest >> np.uint64(52)
    uuid_words[:, 1] = np.uint64(1 << 63) | (rest & np.uint64((1 << 52) - 1)) << np.uint64(10)
    return uuid_words.tobytes()


def uuid_texts(uuids: bytes) -> pl.Series:
    """Returns UUIDs, 16 bytes each, as PostgreSQL writes them."""
    count = len(uuids) // UUID_SIZE
    texts = np.full((count, _TEXT_SIZE), ord("-"), dtype=np.uint8)
    texts[:, _DIGITS] = np.frombuffer(uuids.hex().encode(), dtype=np.uint8).reshape(
        count, 2 * UUID_SIZE
    )
    return of_width(texts.tobytes(), _TEXT_SIZE).cast(pl.String)


def hex_texts(object_ids: bytes) -> pl.Series:
    """Returns ObjectIds, 12 bytes each, as 24 hex digits."""
    return of_width(object_ids.hex().encode(), 2 * OBJECT_ID_SIZE).cast(pl.String)
