"""Findings about the fields of documents: those the model does not know, and dates that are out of reach."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from pymongo.errors import OperationFailure

from migration_assets.model import Model, Rule, fields, sources
from migration_assets.preflight.contents import Content
from migration_assets.preflight.findings import SEARCHES_ALL, Area, PreflightFinding, ok, warning
from migration_assets.source.connection import CODEC, SourceDatabase
from migration_assets.text import counted, listed

SAMPLED_DOCUMENTS = 1000
SAMPLED_BYTES = 32 * 1024 * 1024
"""Bounds of the sample of a collection, so that one of 15 MB documents costs no more than another."""

SAMPLE_MILLISECONDS = 10_000

_NAMES = CODEC.with_options(unicode_decode_error_handler="replace")
"""How names of fields are decoded that are to be shown."""

_FIRST_YEAR, _LAST_YEAR = 100, 9999


def unknown_fields(
    model: Model, source: SourceDatabase, held: Mapping[str, Content]
) -> Iterator[PreflightFinding]:
    """Yields the fields that the model does not know, as far as a sample of each collection shows them."""
    sampled, unsampled, are_all_known = 0, [], True
    for name, table in model.entities.items():
        if name not in held:
            continue
        try:
            documents, seen = sampled_fields(source, name, held[name])
        except (OperationFailure, BSONError):
            unsampled.append(name)
            continue
        sampled += documents
        unknown = sorted(set(seen) - fields(table))
        if unknown:
            are_all_known = False
            names = [f"{field} ({seen[field]:,})" for field in unknown]
            yield _unknown(name, names, _sample(documents, held[name].documents))
    if are_all_known:
        every = sum(held[name].documents for name in model.entities if name in held)
        yield ok(Area.FIELDS, f"the model knows every field in {_sample(sampled, every)}")
    if unsampled:
        yield warning(
            Area.FIELDS,
            f"no sample of {listed(unsampled)}: refused, or not within {SAMPLE_MILLISECONDS // 1000} s",
            "Nothing to do: fields that the model does not know are kept and reported by the load",
        )


def _sample(looked_at: int, documents: int) -> str:
    if looked_at >= documents:
        return f"all {counted(documents, 'document')}"
    return f"a sample of {looked_at:,} of {counted(documents, 'document')}"


def _unknown(collection: str, names: list[str], sample: str) -> PreflightFinding:
    return warning(
        Area.FIELDS,
        f"{collection}: {counted(len(names), 'field')} that the model does not know, in {sample}: "
        f"{listed(names)}",
        "They are kept in migration.unmapped_fields; add a column where the application needs them",
    )


def sampled_fields(
    source: SourceDatabase, collection: str, held: Content
) -> tuple[int, dict[str, int]]:
    """Returns how many documents were looked at, and in how many of them each field stands.

    The server takes the sample and counts; no value leaves it.

    Raises:
        OperationFailure: The server refuses, or it took too long.
    """
    names = {"$map": {"input": {"$objectToArray": "$$ROOT"}, "in": "$$this.k"}}
    pipeline: list[Mapping[str, Any]] = [
        sample(held),
        {"$project": {"_id": 0, "name": names}},
        {"$unwind": "$name"},
        {"$group": {"_id": "$name", "documents": {"$sum": 1}}},
    ]
    sampled = source[collection].with_options(codec_options=_NAMES)
    cursor = sampled.aggregate(pipeline, maxTimeMS=SAMPLE_MILLISECONDS)
    seen = {str(line["_id"]): int(line["documents"]) for line in cursor}
    return seen.get("_id", 0), seen


def sample_size(held: Content) -> int:
    """Returns how many documents of a collection are looked at, bounded in number and in bytes."""
    average = max(1, held.size // max(1, held.documents))
    return max(1, min(SAMPLED_DOCUMENTS, SAMPLED_BYTES // average))


def sample(held: Content) -> Mapping[str, Any]:
    """Returns the stage that draws the documents of a collection that are looked at."""
    wanted = sample_size(held)
    return {"$limit": wanted} if held.documents <= wanted else {"$sample": {"size": wanted}}


def unreadable_dates(
    model: Model,
    source: SourceDatabase,
    held: Mapping[str, Content],
    *,
    is_sampled: bool = False,
) -> Iterator[PreflightFinding]:
    """Yields how many dates the application's own driver would not read, by field.

    It makes no valid date of those beyond year 9999, and another one of those before year 100.

    Args:
        model: The application's tables.
        source: The source database.
        held: What each collection holds.
        is_sampled: A sample of each collection is looked at instead of all documents.
    """
    where = "; a sample of each collection was looked at" if is_sampled else ""
    unreadable: list[str] = []
    ends = time.monotonic() + SAMPLE_MILLISECONDS / 1000
    unsearched = []
    for name, table in model.entities.items():
        if name not in held or not held[name].documents:
            continue
        left = int((ends - time.monotonic()) * 1000)
        try:
            drawn = [sample(held[name])] if is_sampled else []
            counts = _dates_beyond(source, name, table, left, drawn) if left > 0 else None
        except (OperationFailure, BSONError):
            counts = None
        if counts is None:
            unsearched.append(name)
            continue
        unreadable += [f"{name}.{field} ({count:,})" for field, count in counts.items() if count]
    if unreadable:
        yield warning(
            Area.FIELDS,
            f"dates before year {_FIRST_YEAR} or after {_LAST_YEAR}, which are migrated, and which the "
            f"application cannot read: {listed(unreadable)}{where}",
            "A page that shows one of them fails: correct them in the application before, or by a rule "
            "(docs/remediations.md)",
        )
    elif is_sampled:
        yield ok(Area.FIELDS, f"the application can read the dates{where}", SEARCHES_ALL)
    if unsearched:
        yield ok(
            Area.FIELDS,
            f"not searched for dates that the application cannot read: {listed(unsearched)}",
        )


def _dates_beyond(
    source: SourceDatabase,
    collection: str,
    table: sa.Table,
    milliseconds: int,
    drawn: Sequence[Mapping[str, Any]],
) -> dict[str, int]:
    names = sorted(
        {source.field for source in sources(table).values() if source.rule is Rule.TIMESTAMP}
    )
    if not names:
        return {}
    first = DatetimeMS(dt.datetime(_FIRST_YEAR, 1, 1))
    end = DatetimeMS(int(DatetimeMS(dt.datetime(_LAST_YEAR, 12, 31))) + 86_400_000)
    group: dict[str, Any] = {"_id": None}
    for number, name in enumerate(names):
        value = f"${name}"
        is_beyond = {"$or": [{"$lt": [value, first]}, {"$gte": [value, end]}]}
        is_date = {"$eq": [{"$type": value}, "date"]}
        group[f"n{number}"] = {"$sum": {"$cond": [{"$and": [is_date, is_beyond]}, 1, 0]}}
    pipeline = [*drawn, {"$group": group}]
    counted_once = list(source[collection].aggregate(pipeline, maxTimeMS=milliseconds))
    counts = counted_once[0] if counted_once else {}
    return {name: int(counts.get(f"n{number}", 0)) for number, name in enumerate(names)}
