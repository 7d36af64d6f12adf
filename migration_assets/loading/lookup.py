"""Which ids references may point to: PostgreSQL is asked for those that a conversion needs.

A document is converted without anybody's ids (section 8 of the design). The few whose references lead
nowhere are converted again, and those of rules that look ids up; these may ask here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import LiteralString

import sqlalchemy as sa
from psycopg import sql

from migration_assets.known_ids import Loaded, Made, assumed
from migration_assets.loading.ledger import versions_of
from migration_assets.model import documents_referred_to, model_of, referenced_tables
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.sql import identifier

_ROWS: LiteralString = """
    SELECT t.id FROM {table} t WHERE NOT EXISTS
    (SELECT FROM {pending} p WHERE p.target_table = {name} AND p.id = t.id)
"""
_OF_TEXTS: LiteralString = """
    SELECT collection, id FROM {map}
    WHERE CASE WHEN octet_length(source_id) = 26 THEN source_id ~ '^"[0-9A-Fa-f]{{24}}"$' END
"""
_MOST_TEXTS = 10_000
"""How many ids are held of documents with such an `_id`, of all collections."""
_of_texts: dict[str, Mapping[str, frozenset[bytes] | None]] = {}
"""These by collection, None for many, by the load of the map: to find them takes a walk through it."""
_MAP = identifier(bookkeeping.uuid_map)


class AskedIds:
    """Ids of rows or documents; ``in`` answers from what was asked.

    An id that was not asked yet counts as not there and is noted.
    """

    def __init__(self, query: sql.Composable) -> None:
        """Takes a query of one column, which returns the ids that there are."""
        self._query = query
        self._answers: dict[bytes, bool] = {}
        self._noted: set[bytes] = set()

    def __contains__(self, uuid_bytes: object) -> bool:
        assert isinstance(uuid_bytes, bytes)
        answer = self._answers.get(uuid_bytes)
        if answer is None:
            self._noted.add(uuid_bytes)
        return bool(answer)

    def ask(self, connection: Connection) -> bool:
        """Asks for the ids that were noted; tells whether there were any."""
        if not self._noted:
            return False
        # One text: psycopg takes ten times as long to write as many UUIDs.
        wanted = f"{{{','.join(map(bytes.hex, self._noted))}}}"
        self._answers |= dict.fromkeys(self._noted, False)
        self._noted.clear()
        query = sql.SQL("SELECT uuid_send(i.id) FROM ({}) i WHERE i.id = ANY(%s::uuid[])").format(
            self._query
        )
        with connection.cursor(binary=True) as cursor:
            self._answers |= {id_: True for (id_,) in cursor.execute(query, [wanted])}
        return True

    def forget(self) -> None:
        """Forgets what was asked."""
        self._answers.clear()


class Lookup(Loaded):
    """The ids that the references of a table may point to, which are asked for when something is made."""

    def __init__(
        self,
        connection: Connection,
        table: sa.Table,
        rows: Callable[[sa.Table], sql.Composable] | None = None,
    ) -> None:
        """Takes what is asked, and how.

        Args:
            connection: A connection to the target.
            table: The table that refers to others.
            rows: Returns the query of the ids of another table; as they are loaded where None.
        """
        self._connection = connection
        rows, tables = rows or rows_of, model_of(table).tables
        of_rows = {name: AskedIds(rows(tables[name])) for name in referenced_tables(table)}
        of_documents = {name: AskedIds(documents_of(name)) for name in documents_referred_to(table)}
        self._asked = [*of_rows.values(), *of_documents.values()]
        super().__init__(of_rows, of_documents)

    def answered(self, make: Callable[[], Made]) -> Made:
        """Returns what is made when every id that it asks for is known; it is made a few times for it."""
        for ids in self._asked:
            ids.forget()
        while True:
            answer = make()
            were_asked = [ids.ask(self._connection) for ids in self._asked]
            if not any(were_asked):
                return answer


def assumed_ids(connection: Connection, table: sa.Table) -> Loaded:
    """Returns the ids that the references of a table may point to, taken for granted."""
    version = versions_of(connection, [bookkeeping.uuid_map]).get(bookkeeping.uuid_map.name, "")
    of_texts = _of_texts.get(version)
    if of_texts is None:
        of_texts = _texts_of_map(connection)
        if version:
            _of_texts[version] = of_texts
    return assumed(referenced_tables(table), documents_referred_to(table), of_texts)


def _texts_of_map(connection: Connection) -> Mapping[str, frozenset[bytes] | None]:
    """Returns the ids of documents that have a text of 24 hex digits as `_id`, None for many."""
    query = sql.SQL(_OF_TEXTS).format(map=_MAP)
    some = sql.SQL("{} LIMIT {}").format(query, sql.Literal(_MOST_TEXTS + 1))
    ids_of: dict[str, set[bytes]] = defaultdict(set)
    rows = connection.execute(some).fetchall()
    for collection, id_ in rows:
        ids_of[collection].add(id_.bytes)
    if len(rows) <= _MOST_TEXTS:
        return {collection: frozenset(ids) for collection, ids in ids_of.items()}
    every = sql.SQL("SELECT DISTINCT collection FROM ({}) t").format(query)
    return {collection: None for (collection,) in connection.execute(every)}


def rows_of(table: sa.Table) -> sql.Composed:
    """Returns the query of the ids of a table's rows, without those whose document is gone."""
    pending = identifier(bookkeeping.pending_deletes)
    return sql.SQL(_ROWS).format(table=identifier(table), name=table.name, pending=pending)


def documents_of(name: str) -> sql.Composed:
    """Returns the query of the ids of all documents of a collection."""
    return sql.SQL("SELECT id FROM {} WHERE collection = {}").format(_MAP, name)
