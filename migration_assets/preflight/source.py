"""Findings about the source: its version, what the user may do, and which collections stand in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bson.errors import BSONError
from pymongo.errors import OperationFailure

from migration_assets.model import Model
from migration_assets.preflight.contents import Content
from migration_assets.preflight.findings import Area, PreflightFinding, error, ok, warning
from migration_assets.source.collections import collection_types, may_list_all
from migration_assets.source.connection import SourceClient, SourceDatabase, major, server_version
from migration_assets.source.refusals import OLDEST_MAJOR
from migration_assets.source.united import doubled
from migration_assets.text import counted, listed, megabytes

NEWEST_MAJOR = 8
"""The newest MongoDB that the project is made for (section 11)."""

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


def version(source: SourceDatabase) -> Iterator[PreflightFinding]:
    """Yields whether the server's version is one that the project is made for."""
    server = server_version(source)
    if server is None:
        yield warning(
            Area.SOURCE,
            f"the server does not tell its version; MongoDB {OLDEST_MAJOR} to {NEWEST_MAJOR} were tried",
            "Rehearse and look at the checks",
        )
    elif major(server) <= NEWEST_MAJOR:
        yield ok(Area.SOURCE, f"MongoDB {server}")
    else:
        yield warning(
            Area.SOURCE,
            f"MongoDB {server} is newer than {NEWEST_MAJOR}, the newest that was tried "
            f"({OLDEST_MAJOR} to {NEWEST_MAJOR})",
            "Rehearse and look at the checks, or restore a dump into an older server",
        )


def url_options(source: SourceDatabase) -> Iterator[PreflightFinding]:
    """Yields which options of the URL do not count."""
    ignored = source.client.ignored if isinstance(source.client, SourceClient) else ()
    if ignored:
        yield warning(
            Area.SOURCE,
            f"{counted(len(ignored), 'option')} of the URL without effect: {listed(ignored)}; the source is "
            "read from its primary, with majority concern",
            "Nothing to do; leave them out, or correct a name that is misspelt",
        )


def reading(model: Model, source: SourceDatabase) -> Iterator[PreflightFinding]:
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


def writing(source: SourceDatabase) -> Iterator[PreflightFinding]:
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
    actions: set[str] = set()
    for privilege in privileges:
        resource = privilege.get("resource", {})
        is_ours = resource.get("db") in ("", database) and not str(
            resource.get("collection", "")
        ).startswith("system.")
        if is_ours or resource.get("anyResource"):
            actions.update(privilege.get("actions", ()))
    return frozenset(actions & WRITING)


def collections(
    model: Model, source: SourceDatabase, held: Mapping[str, Content]
) -> Iterator[PreflightFinding]:
    """Yields what there is, what is missing, and what the model does not know."""
    documents = sum(content.documents for content in held.values())
    size = sum(content.size for content in held.values())
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
    for name, count, examples in doubled(source):
        yield error(
            Area.COLLECTIONS,
            f"{counted(count, '`_id`')} of {name} stand in one that counts as it, too: {listed(examples)}",
            "Look which of the two documents is right; take out the rule `counts_as`, or correct the source",
        )


def _other_types(model: Model, source: SourceDatabase) -> Iterator[PreflightFinding]:
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
