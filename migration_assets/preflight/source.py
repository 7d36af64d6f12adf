"""Findings about the source: its version, what the user may do, what stands in it, and who writes to it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from pymongo.errors import ConfigurationError, OperationFailure

from migration_assets.model import Model, Rule, fields, sources
from migration_assets.preflight.contents import Content, written_between
from migration_assets.preflight.findings import Area, Finding, error, ok, warning
from migration_assets.source.collections import collection_types, may_list_all
from migration_assets.source.connection import (
    CODEC,
    SourceClient,
    SourceDatabase,
    major,
    server_version,
)
from migration_assets.source.refusals import OLDEST_MAJOR
from migration_assets.source.snapshots import SNAPSHOT_VARIABLE
from migration_assets.source.united import doubled
from migration_assets.text import counted, listed, megabytes

NEWEST_MAJOR = 8
"""The newest MongoDB that the project is made for (section 11)."""

SAMPLED_DOCUMENTS = 1000
SAMPLED_BYTES = 32 * 1024 * 1024
"""Bounds of the sample of a collection, so that one of 15 MB documents costs no more than another."""

SAMPLE_MILLISECONDS = 10_000

_NAMES = CODEC.with_options(unicode_decode_error_handler="replace")
"""How names of fields are decoded that are to be shown."""

DEFAULT_HISTORY = 300.0
"""Seconds for which MongoDB keeps snapshots where nobody has set it otherwise."""

WRITING = frozenset(
    {
        "bypassDocumentValidation",
        "collMod",
        "convertToCapped",
        "createCollection",
        "createIndex",
        "dropCollection",
        "dropDatabase",
        "dropIndex",
        "insert",
        "remove",
        "renameCollectionSameDB",
        "update",
    }
)
"""Actions of MongoDB's privileges that change a database."""

FREEZE = (
    "Stop the application, or take away its user's right to write, before the run that counts and until "
    "the sign-off: a write after its collection was read makes the sign-off a NO-GO"
)


def version(source: SourceDatabase) -> Iterator[Finding]:
    """Yields whether the server's version is one that the project is made for."""
    found = server_version(source)
    if found is None:
        yield warning(
            Area.SOURCE,
            f"the server does not tell its version; MongoDB {OLDEST_MAJOR} to {NEWEST_MAJOR} were tried",
            "Rehearse and look at the checks",
        )
    elif major(found) <= NEWEST_MAJOR:
        yield ok(Area.SOURCE, f"MongoDB {found}")
    else:
        yield warning(
            Area.SOURCE,
            f"MongoDB {found} is newer than {NEWEST_MAJOR}, the newest that was tried "
            f"({OLDEST_MAJOR} to {NEWEST_MAJOR})",
            "Rehearse and look at the checks, or restore a dump into an older server",
        )


def url_options(source: SourceDatabase) -> Iterator[Finding]:
    """Yields which options of the URL do not count."""
    ignored = source.client.ignored if isinstance(source.client, SourceClient) else ()
    if ignored:
        yield warning(
            Area.SOURCE,
            f"{counted(len(ignored), 'option')} of the URL without effect: {listed(ignored)}; the source is "
            "read from its primary, with majority concern",
            "Nothing to do; leave them out, or correct a name that is misspelt",
        )


def reading(model: Model, source: SourceDatabase) -> Iterator[Finding]:
    """Yields whether every collection can be listed and read, by reading one `_id` of each."""
    if not may_list_all(source):
        yield warning(
            Area.SOURCE_ACCESS,
            "the user may not list the collections: one that it may not read is not seen, not migrated and "
            "not reported",
            "Give the user the role `read` on the whole database (sql/roles/mongodb.js)",
        )
    names = sorted({*collection_types(source), *model.entities})
    refused = [name for name in names if not _is_readable(source, name)]
    if refused:
        yield error(
            Area.SOURCE_ACCESS,
            f"{counted(len(refused), 'collection')} cannot be read: {listed(refused)}",
            "Give the user the role `read` on the whole database (sql/roles/mongodb.js)",
        )
    else:
        yield ok(Area.SOURCE_ACCESS, "every collection can be read")


def _is_readable(source: SourceDatabase, collection: str) -> bool:
    try:
        source[collection].find_one({}, {"_id": 1})
    except OperationFailure:
        return False
    except BSONError:  # it was read; that its `_id` is not UTF-8 is for the load to record
        return True
    return True


def writing(source: SourceDatabase) -> Iterator[Finding]:
    """Yields whether the user could write, which the migration never does."""
    try:
        answer = source.command("connectionStatus", showPrivileges=True)
        status = answer["authInfo"]
        users, privileges = status["authenticatedUsers"], status["authenticatedUserPrivileges"]
    except (OperationFailure, LookupError, TypeError):
        yield warning(
            Area.SOURCE_ACCESS,
            "whether the user may write is not known: the server does not tell (connectionStatus)",
            "Make sure that the user may only read (sql/roles/mongodb.js)",
        )
        return
    if not users:
        yield warning(
            Area.SOURCE_ACCESS,
            "the server asks nobody to log in, so whoever reaches it can write to it",
            "Give the server access control, and the migration a user with the role `read` "
            "(sql/roles/mongodb.js)",
        )
        return
    actions = writing_actions(privileges, source.name)
    if actions:
        yield warning(
            Area.SOURCE_ACCESS,
            f"the user may write to the database ({listed(sorted(actions))})",
            "The role `read` suffices; make such a user with sql/roles/mongodb.js",
        )
    else:
        yield ok(Area.SOURCE_ACCESS, "the user may read and not write")


def writing_actions(privileges: Iterable[Mapping[str, Any]], database: str) -> frozenset[str]:
    """Returns what privileges permit that changes a database.

    Args:
        privileges: As `connectionStatus` with `showPrivileges` gives them.
        database: Name of the database.
    """
    found: set[str] = set()
    for privilege in privileges:
        resource = privilege.get("resource", {})
        is_ours = resource.get("db") in ("", database) and not str(
            resource.get("collection", "")
        ).startswith("system.")
        if is_ours or resource.get("anyResource"):
            found.update(privilege.get("actions", ()))
    return frozenset(found & WRITING)


def collections(
    model: Model, source: SourceDatabase, held: Mapping[str, Content]
) -> Iterator[Finding]:
    """Yields what there is, what is missing, and what the model does not know."""
    documents = sum(each.documents for each in held.values())
    size = sum(each.size for each in held.values())
    missing = [name for name in model.entities if name not in held]
    if len(missing) == len(model.entities):
        yield error(
            Area.COLLECTIONS,
            f"the database {source.name} has none of the {len(model.entities)} collections of the model",
            "Check the name of the database at the end of the URL",
        )
        return
    yield ok(
        Area.COLLECTIONS,
        f"{len(model.entities) - len(missing)} of {len(model.entities)} collections; "
        f"{counted(documents, 'document')}, "
        f"{megabytes(size)}, in all",
    )
    if missing:
        yield warning(
            Area.COLLECTIONS,
            f"{counted(len(missing), 'collection')} of the model missing: {listed(missing)}",
            "Their tables stay empty: right where the application never used them, else check the "
            "database and the URL",
        )
    unknown = [f"{name} ({held[name].documents:,})" for name in held if name not in model.entities]
    if unknown:
        yield warning(
            Area.COLLECTIONS,
            f"{counted(len(unknown), 'collection')} with documents that the model does not know: "
            f"{listed(unknown)}",
            "Their documents are kept whole in migration.unmapped_fields; add them to the model where "
            "the application needs them",
        )
    yield from _other_types(model, source)
    for name, count, some in doubled(source):
        yield error(
            Area.COLLECTIONS,
            f"{counted(count, '`_id`')} of {name} stand in one that counts as it, too: {listed(some)}",
            "Look which of the two documents is right; take out the rule `counts_as`, or correct the source",
        )


def _other_types(model: Model, source: SourceDatabase) -> Iterator[Finding]:
    types = collection_types(source)
    views = [name for name, type_ in types.items() if type_ == "view"]
    series = [name for name, type_ in types.items() if type_ == "timeseries"]
    of_model = [name for name in (*views, *series) if name in model.entities]
    if of_model:
        yield error(
            Area.COLLECTIONS,
            f"views or time series stand where the model has collections: {listed(of_model)}",
            "Migrate from the database that holds the documents themselves",
        )
    if views:
        yield ok(
            Area.COLLECTIONS, f"{counted(len(views), 'view')}, which hold no documents of their own"
        )
    if series:
        yield warning(
            Area.COLLECTIONS,
            f"{counted(len(series), 'time series')} that the model does not know: {listed(series)}",
            "Their measurements are kept whole in migration.unmapped_fields, which takes as long as they are "
            "large; drop them from the source's copy if nobody needs them",
        )


def unknown_fields(
    model: Model, source: SourceDatabase, held: Mapping[str, Content]
) -> Iterator[Finding]:
    """Yields the fields that the model does not know, as far as a sample of each collection shows them."""
    sampled, unsampled, found = 0, [], False
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
            found = True
            names = [f"{each} ({seen[each]:,})" for each in unknown]
            yield _unknown(name, names, _sample(documents, held[name].documents))
    if not found:
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


def _unknown(collection: str, names: list[str], sample: str) -> Finding:
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
    wanted = sample_size(held)
    some: Mapping[str, Any] = (
        {"$limit": wanted} if held.documents <= wanted else {"$sample": {"size": wanted}}
    )
    names = {"$map": {"input": {"$objectToArray": "$$ROOT"}, "in": "$$this.k"}}
    pipeline: list[Mapping[str, Any]] = [
        some,
        {"$project": {"_id": 0, "name": names}},
        {"$unwind": "$name"},
        {"$group": {"_id": "$name", "documents": {"$sum": 1}}},
    ]
    sampled = source[collection].with_options(codec_options=_NAMES)
    cursor = sampled.aggregate(pipeline, maxTimeMS=SAMPLE_MILLISECONDS)
    seen = {str(each["_id"]): int(each["documents"]) for each in cursor}
    return seen.get("_id", 0), seen


def sample_size(held: Content) -> int:
    """Returns how many documents of a collection are looked at, bounded in number and in bytes."""
    average = max(1, held.size // max(1, held.documents))
    return max(1, min(SAMPLED_DOCUMENTS, SAMPLED_BYTES // average))


def unreadable_dates(
    model: Model, source: SourceDatabase, held: Mapping[str, Content]
) -> Iterator[Finding]:
    """Yields how many dates the application's own driver would not read, by field.

    It makes no valid date of those beyond year 9999, and another one of those before year 100.
    """
    found: list[str] = []
    ends = time.monotonic() + SAMPLE_MILLISECONDS / 1000
    unsearched = []
    for name, table in model.entities.items():
        if name not in held or not held[name].documents:
            continue
        left = int((ends - time.monotonic()) * 1000)
        try:
            counts = _dates_beyond(source, name, table, left) if left > 0 else None
        except (OperationFailure, BSONError):
            counts = None
        if counts is None:
            unsearched.append(name)
            continue
        found += [f"{name}.{each} ({count:,})" for each, count in counts.items() if count]
    if found:
        yield warning(
            Area.FIELDS,
            f"dates before year {_FIRST_YEAR} or after {_LAST_YEAR}, which are migrated, and which the "
            f"application cannot read: {listed(found)}",
            "A page that shows one of them fails: correct them in the application before, or by a rule "
            "(docs/remediations.md)",
        )
    if unsearched:
        yield ok(
            Area.FIELDS,
            f"not searched for dates that the application cannot read: {listed(unsearched)}",
        )


_FIRST_YEAR, _LAST_YEAR = 100, 9999


def _dates_beyond(
    source: SourceDatabase, collection: str, table: sa.Table, milliseconds: int
) -> dict[str, int]:
    names = sorted({each.field for each in sources(table).values() if each.rule is Rule.TIMESTAMP})
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
    counted_once = list(source[collection].aggregate([{"$group": group}], maxTimeMS=milliseconds))
    counts = counted_once[0] if counted_once else {}
    return {name: int(counts.get(f"n{number}", 0)) for number, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Whether all tables can be read at one point in time.

    Attributes:
        are_possible: A read at a snapshot was tried and went well.
        history: For how many seconds the server keeps a snapshot.
        is_known: The user may read that setting; else it is MongoDB's default.
    """

    are_possible: bool
    history: float = DEFAULT_HISTORY
    is_known: bool = False


def snapshots(model: Model, source: SourceDatabase) -> Snapshots | None:
    """Returns what the server can do for reads at one point in time; None on a standalone server."""
    try:
        hello = source.command("hello")
    except OperationFailure:
        return None
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        return None
    setting = _history(source)
    found = partial(Snapshots, history=setting or DEFAULT_HISTORY, is_known=setting is not None)
    try:
        with source.client.start_session(snapshot=True) as session:
            source[next(iter(model.entities))].find_one({}, {"_id": 1}, session=session)
    except (OperationFailure, ConfigurationError):
        return found(are_possible=False)
    except BSONError:  # it was read, though it is not UTF-8
        return found(are_possible=True)
    return found(are_possible=True)


def _history(source: SourceDatabase) -> float | None:
    name = "minSnapshotHistoryWindowInSeconds"
    try:
        return float(source.client.admin.command({"getParameter": 1, name: 1})[name])
    except (OperationFailure, LookupError, TypeError, ValueError):
        return None


def freeze(possible: Snapshots | None, *, is_wanted: bool = False) -> Iterator[Finding]:
    """Yields whether writes must be frozen for the tables to be of one point in time.

    Args:
        possible: What the server can do; None on a standalone server.
        is_wanted: The run is to read every collection as of one moment.
    """
    if is_wanted and (possible is None or not possible.are_possible):
        yield error(
            Area.FREEZE,
            f"{SNAPSHOT_VARIABLE} is on, but this server cannot be read as of one moment: writes must "
            "be frozen",
            f"Unset {SNAPSHOT_VARIABLE} and stop the application's writes, or migrate from a member of "
            "a replica set",
        )
        return
    if possible is None:
        yield warning(
            Area.FREEZE,
            "a standalone server cannot be read at one point in time: writes must be frozen",
            FREEZE,
        )
        return
    origin = (
        "as set" if possible.is_known else "MongoDB's default; the user may not read the setting"
    )
    said = f"kept for {possible.history:,.0f} s ({origin}: minSnapshotHistoryWindowInSeconds)"
    if is_wanted:
        yield ok(
            Area.FREEZE,
            f"every collection will be read as of one moment; a snapshot is {said}",
            f"For the run that counts: {FREEZE[0].lower()}{FREEZE[1:]}",
        )
    elif possible.are_possible:
        yield ok(
            Area.FREEZE,
            f"snapshot reads are possible ({SNAPSHOT_VARIABLE}=on); a snapshot is {said}",
            FREEZE,
        )
    else:
        yield warning(
            Area.FREEZE,
            f"the server refuses snapshot reads, though a snapshot is {said}: writes must be frozen",
            FREEZE,
        )


def writes(
    before: Mapping[str, Content], after: Mapping[str, Content], seconds: float
) -> Iterator[Finding]:
    """Yields whether somebody wrote between two looks at the collections."""
    within = f"within {seconds:.1f} s"
    written = written_between(before, after)
    if written:
        yield warning(
            Area.FREEZE,
            f"{counted(len(written), 'collection')} written to {within}: {listed(written)}",
            FREEZE,
        )
    elif any(each.writes is None for each in after.values()):
        yield ok(
            Area.FREEZE,
            f"no count of documents changed {within}; updates cannot be seen by this user",
        )
    else:
        yield ok(Area.FREEZE, f"nobody wrote {within}, which is no proof that nobody will")
