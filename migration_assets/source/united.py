"""A database of which some collections count as others: one collection then has the documents of both.

Remediations say which (``counts_as``). Whoever reads the source reads it so; the server unites, in the order
of `_id`. Nothing here is asked for where no rule says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bson import MaxKey
from pymongo.collection import Collection
from pymongo.cursor import RawBatchCursor
from pymongo.database import Database

from migration_assets.errors import SourceError
from migration_assets.identity import source_id
from migration_assets.source.connection import Document, SourceDatabase, open_source

_SHOWN = 3


class UnitedDatabase(Database[Document]):
    """A database in which collections have the documents of others, which are not there by themselves.

    Attributes:
        others: The collections that count as one, by the name of that one.
        whole: The database with each collection by itself.
    """

    def __init__(self, database: SourceDatabase, others: Mapping[str, Sequence[str]]) -> None:
        super().__init__(
            database.client,
            database.name,
            database.codec_options,
            database.read_preference,
            database.write_concern,
            database.read_concern,
        )
        self.others = others
        self.whole = database

    def __getitem__(self, name: str) -> Collection[Document]:
        others = self.others.get(name)
        return super().__getitem__(name) if others is None else UnitedCollection(self, name, others)

    def parts(self, name: str) -> Mapping[str, Collection[Document]]:
        """Returns the collections that make up one, that one first, by name."""
        names = [name, *self.others.get(name, ())]
        return {name: super(UnitedDatabase, self).__getitem__(name) for name in names}

    def with_options(self, *args: Any, **options: Any) -> Any:
        """Returns the same with other options, as pymongo takes them."""
        return UnitedDatabase(super().with_options(*args, **options), self.others)

    def list_collections(
        self, session: Any = None, filter: Any = None, *arguments: Any, **of: Any
    ) -> Any:
        """Lists the collections without those that count as others."""
        return super().list_collections(session, self._without_others(filter), *arguments, **of)

    def list_collection_names(
        self, session: Any = None, filter: Any = None, *arguments: Any, **of: Any
    ) -> list[str]:
        """Returns the names of the collections without those that count as others."""
        return super().list_collection_names(
            session, self._without_others(filter), *arguments, **of
        )

    def _without_others(self, condition: Mapping[str, Any] | None) -> Mapping[str, Any]:
        counted = [name for names in self.others.values() for name in names]
        return {"$and": [condition or {}, {"name": {"$nin": counted}}]}


class UnitedCollection(Collection[Document]):
    """A collection with the documents of others; it can be read, and as far as the migration does so."""

    def __init__(
        self, database: UnitedDatabase, name: str, others: Sequence[str], **options: Any
    ) -> None:
        super().__init__(database, name, **options)
        self.others = others
        self._unions: list[Mapping[str, Any]] = [{"$unionWith": other} for other in others]

    def with_options(self, codec_options: Any = None, *args: Any, **options: Any) -> Any:
        """Returns the same with other options, as pymongo takes them."""
        collection = super().with_options(codec_options, *args, **options)
        database: Any = self.database
        return UnitedCollection(
            database,
            self.name,
            self.others,
            codec_options=collection.codec_options,
            read_preference=collection.read_preference,
            write_concern=collection.write_concern,
            read_concern=collection.read_concern,
        )

    def alone(self) -> Collection[Document]:
        """Returns the collection without the documents of others."""
        return self._parts()[self.name]

    def _parts(self) -> Mapping[str, Collection[Document]]:
        database: Any = self.database
        parts: Mapping[str, Collection[Document]] = database.parts(self.name)
        return parts

    def aggregate(self, pipeline: Any, *args: Any, **options: Any) -> Any:
        """Aggregates the documents of all; what the server tells of itself is of the one alone."""
        is_of_one = any("$collStats" in stage for stage in pipeline[:1])
        return super().aggregate(
            [*(() if is_of_one else self._unions), *pipeline], *args, **options
        )

    def find_one(self, filter: Any = None, *args: Any, **options: Any) -> Any:
        """Returns a document."""
        return next(iter(self.find(filter, *args, **options)), None)

    def find(self, filter: Any = None, projection: Any = None, **options: Any) -> Any:
        """Returns documents; there are no other options than a session."""
        return self.aggregate(_stages(filter, projection), **options)

    def estimated_document_count(self, *args: Any, **options: Any) -> int:
        """Returns about how many documents there are."""
        return sum(
            part.estimated_document_count(*args, **options) for part in self._parts().values()
        )

    def raw_batches(
        self, *, filter: Any = None, projection: Any = None, batch_size: int = 0, **options: Any
    ) -> RawBatchCursor[Document]:
        """Returns batches of documents as BSON, in the order of `_id` where there is a `sort`."""
        order = [{"$sort": dict(options["sort"])}] if options.get("sort") else []
        chosen = _stages(_within(filter, options.get("min"), options.get("max")), None)
        unions = [
            {"$unionWith": {"coll": other, "pipeline": chosen}} if chosen else {"$unionWith": other}
            for other in self.others
        ]
        pipeline = [*chosen, *unions, *order, *_stages(None, projection)]
        cursor: Any = super().aggregate_raw_batches(
            pipeline, batchSize=batch_size, allowDiskUse=True
        )
        replies: RawBatchCursor[Document] = cursor  # it is read alike
        return replies


def _within(filter: Any, start: Any, end: Any) -> Any:
    """Returns a condition that also wants `_id` within bounds, in the order of all values."""
    within = [
        {operator: ["$_id", {"$literal": bound["_id"]}]}
        for operator, bound in (("$gte", start), ("$lt", end or (start and {"_id": MaxKey()})))
        if bound
    ]
    return {"$and": [filter or {}, {"$expr": {"$and": within}}]} if within else filter


def _stages(filter: Any, projection: Any) -> list[Mapping[str, Any]]:
    fields = dict.fromkeys(projection, 1) if projection else None
    return [*([{"$match": filter}] if filter else []), *([{"$project": fields}] if fields else [])]


def united(source: SourceDatabase, others: Mapping[str, Sequence[str]]) -> SourceDatabase:
    """Returns a database in which collections count as others, by the name of that one; as it is for none."""
    return UnitedDatabase(source, others) if others else source


@contextmanager
def open_united(url: str, others: Mapping[str, Sequence[str]]) -> Iterator[SourceDatabase]:
    """Opens a source in which collections count as others.

    Raises:
        SourceError: It cannot be used; the message says why and what to do.
    """
    with open_source(url) as source:
        yield united(source, others)


def whole(source: SourceDatabase) -> SourceDatabase:
    """Returns a database with each collection by itself, whether or not some count as others."""
    return source.whole if isinstance(source, UnitedDatabase) else source


def collections_of(source: SourceDatabase, name: str) -> Mapping[str, Collection[Document]]:
    """Returns the collections whose documents one has, that one first, by name."""
    return source.parts(name) if isinstance(source, UnitedDatabase) else {name: source[name]}


def require_one_of_each(source: SourceDatabase) -> None:
    """Refuses collections that count as one and have an `_id` in common.

    Raises:
        SourceError: There are such; they are named, and how many `_id`s.
    """
    for name, count, some in doubled(source):
        others = ", ".join(other for other in collections_of(source, name) if other != name)
        raise SourceError(
            f"{others} cannot count as {name}: {count:,} `_id`s stand in both, such as {', '.join(some)}",
            where=f"collection {name}",
            next_step="Look which of the two documents is right; take out the rule `counts_as`, or "
            "correct the source",
        )


def doubled(source: SourceDatabase) -> Iterator[tuple[str, int, list[str]]]:
    """Yields the collections that have two documents of one `_id`, how many there are, and some of them."""
    for name in source.others if isinstance(source, UnitedDatabase) else ():
        grouped = source[name].aggregate(
            [
                {"$group": {"_id": "$_id", "n": {"$sum": 1}}},
                {"$match": {"n": {"$gt": 1}}},
                {"$sort": {"_id": 1}},
                {"$facet": {"n": [{"$count": "n"}], "some": [{"$limit": _SHOWN}]}},
            ],
            allowDiskUse=True,
        )
        for group in grouped:
            if group["n"]:
                yield (
                    name,
                    group["n"][0]["n"],
                    [source_id(document["_id"]) for document in group["some"]],
                )
