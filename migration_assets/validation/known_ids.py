"""Which ids may be referred to: asked of PostgreSQL for as many as a batch needs, never held as a whole.

A UUID is a function of a collection and an `_id`, so what a reference becomes needs nobody's ids; whether it
leads anywhere, PostgreSQL says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import sqlalchemy as sa
from psycopg import sql

from migration_assets.model import documents_referred_to, referenced_tables
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.validation.identities import Ids

_ROWS: Final = (
    "SELECT uuid_send(t.id) FROM {table} t WHERE t.id = ANY(%s::uuid[]) AND NOT EXISTS "
    "(SELECT FROM {pending} p WHERE p.target_table = {name} AND p.id = t.id)"
)
_DOCUMENTS: Final = (
    "SELECT uuid_send(id) FROM {map} WHERE collection = {name} AND id = ANY(%s::uuid[])"
)

_REMEMBERED = 20_000
"""Ids of which the answer is kept for the next batch, some 200 bytes each."""

Query = Callable[[sql.Composed, list[Any]], list[tuple[Any, ...]]]
"""Executes a query, with its parameters, on the connection of the check."""


class KnownIds:
    """Ids of the rows of a table, or of the documents of a collection.

    ``in`` answers from what was asked. An id that was not asked yet counts as not there and is noted: look
    for all that a batch refers to, ``ask``, and look again.
    """

    def __init__(self, query: Query, statement: sql.Composed) -> None:
        self._query = query
        self._statement = statement
        self._answers: dict[bytes, bool] = {}
        self._noted: set[bytes] = set()

    def __contains__(self, identifier: object) -> bool:
        """Tells whether an id is there, as far as was asked."""
        assert isinstance(identifier, bytes)
        answer = self._answers.get(identifier)
        if answer is None:
            self._noted.add(identifier)
        return bool(answer)

    def is_absent(self, identifier: bytes) -> bool:
        """Tells whether an id was asked for and is not there."""
        return self._answers.get(identifier) is False

    def ask(self) -> None:
        """Asks PostgreSQL for the ids that were noted."""
        if not self._noted:
            return
        # One text: psycopg takes ten times as long to write as many UUIDs.
        wanted = f"{{{','.join(map(bytes.hex, self._noted))}}}"
        self._answers.update(dict.fromkeys(self._noted, False))
        self._noted.clear()
        found_rows = self._query(self._statement, [wanted])
        self._answers.update((bytes(identifier), True) for (identifier,) in found_rows)

    def ask_for(self, identifiers: Iterable[bytes]) -> None:
        """Asks PostgreSQL for ids, those that were noted among them."""
        self._noted.update(
            identifier for identifier in identifiers if identifier not in self._answers
        )
        self.ask()

    def forget(self) -> None:
        """Forgets what was asked where it is much; one batch refers to what another does."""
        if len(self._answers) > _REMEMBERED:
            self._answers.clear()
        self._noted.clear()


@dataclass(frozen=True, slots=True)
class KnownReferences(Ids):
    """The ids that the references of a table may point to, as PostgreSQL has them (section 5)."""

    rows: Mapping[str, KnownIds]
    documents: Mapping[str, KnownIds]

    def __bool__(self) -> bool:
        """Whether the table has references at all."""
        return bool(self.rows or self.documents)

    def ask(self) -> None:
        """Asks for all that was noted."""
        for known in self._all():
            known.ask()

    def forget(self) -> None:
        """Forgets what was asked where it is much."""
        for known in self._all():
            known.forget()

    def _all(self) -> Iterator[KnownIds]:
        yield from self.rows.values()
        yield from self.documents.values()


def known_references(query: Query, table: sa.Table) -> KnownReferences:
    """Returns the ids that the references of a table may point to."""
    return KnownReferences(
        rows={name: KnownIds(query, _of(_ROWS, name)) for name in referenced_tables(table)},
        documents={
            name: KnownIds(query, _of(_DOCUMENTS, name)) for name in documents_referred_to(table)
        },
    )


def _of(statement: LiteralString, name: str) -> sql.Composed:
    return sql.SQL(statement).format(
        table=sql.Identifier("public", name),
        name=sql.Literal(name),
        pending=sql.Identifier(SCHEMA, bookkeeping.pending_deletes.name),
        map=sql.Identifier(SCHEMA, bookkeeping.uuid_map.name),
    )
