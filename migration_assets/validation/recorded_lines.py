"""The books of a table, read with the documents that they speak of (section 6).

They can be as long as the source is dirty, and a line can hold a document of 16 MB, so neither is held: lines
are asked for with the documents of a batch, and a long text comes when it is compared. What must stand there
and what does are two frames, held against each other as rows are (``comparison``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import not_
from typing import Any, Final, LiteralString, NamedTuple

import polars as pl
from psycopg import ServerCursor, sql

from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.validation.comparison import AGREEMENT, compared
from migration_assets.validation.documents import SourceIds
from migration_assets.validation.extended_json import is_same_json
from migration_assets.validation.findings import Findings, What, failing_rows
from migration_assets.validation.identities import uuid_of_source_id
from migration_assets.validation.judge import Line
from migration_assets.validation.postgres_text import array_text
from migration_assets.validation.rows import ComparedTable

ORIGINAL = "original"

_ALL = sql.SQL("TRUE")
_FETCHED = 2_000
_SHORT = 1_000
"""Letters of the longest text that comes with its line."""
_CUT = "\x01"
"""Stands in a longer text, which JSON cannot hold, between its beginning and the place of the whole."""


class _Book(NamedTuple):
    """How the lines of a table of ``migration`` are read: in SQL."""

    field: LiteralString
    kind: LiteralString
    element: LiteralString
    text: LiteralString
    accepted_by: LiteralString
    reason: LiteralString


_BOOKS: Final[Mapping[str, _Book]] = {
    "issues": _Book("field", "kind", "element", "original", "accepted_by", "reason"),
    "rejected_documents": _Book(
        "field",
        "'rejected'",
        "NULL::int",
        "document",
        # As ``JudgedRules.document_accepted_by`` writes it.
        "nullif(concat_ws(' until ', accepted_by, deferred_until), '')",
        # Where it cannot be read, the reason is in the driver's words.
        "CASE WHEN field IS NOT NULL THEN reason END",
    ),
    "unmapped_fields": _Book("NULL", "'unmapped'", "NULL::int", "fields", "NULL", "NULL"),
    # As ``judged_remediations.entry_text`` writes it.
    "remediations": _Book(
        "field",
        "'remediated'",
        "element",
        "'[' || to_json(rule)::text || ',[' || coalesce(original, '') || '],[' "
        "|| coalesce(replacement, '') || ']]'",
        "NULL",
        "NULL",
    ),
}
_OF_FIELDS = frozenset({"issues", "remediations"})
"""Tables of the books whose lines are of one field; a line of the others is of the whole document."""


Lines = list[tuple[str, Line]]
"""Lines of the books with the source id of their document; of a long text one holds beginning and place."""

_KEY = ("source_id", "field", "kind", "element", "number")
"""What a line is known by; those that speak of the same are numbered in the order of what they keep."""
_COLUMNS: Mapping[str, type[pl.DataType]] = {
    **dict.fromkeys(("source_id", "field", "kind"), pl.String),
    "element": pl.Int64,
    **dict.fromkeys((ORIGINAL, "accepted_by", "reason"), pl.String),
}


class Unmatched(NamedTuple):
    """Where the books of a document are not as they must be.

    Attributes:
        missing: Losses of which there is no record at all.
        unfounded: Records without a loss.
    """

    missing: list[Line]
    unfounded: list[Line]


@dataclass(slots=True)
class TableBooks:
    """The lines that a table has for one collection, or for one field of it.

    Attributes:
        compared_table: The target table.
        findings: Where it is told what of them is not as it must be.
        collection: The collection whose documents are read.
        array: The array of a relation whose lines they are; None for all lines of the table.
        recorded: How many lines there are.
        taken: How many of them documents had.
    """

    compared_table: ComparedTable
    findings: Findings
    collection: str
    array: str | None = None
    recorded: int = field(init=False)
    taken: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        query = sql.SQL("SELECT count(*) FROM ({}) e").format(self._query(_ALL))
        ((self.recorded,),) = self.compared_table.query(query)

    def of(self, source_ids: pl.Series) -> Lines:
        """Returns the lines of some documents."""
        if not self.recorded:
            return []
        # One text: as so many literals they take psycopg and PostgreSQL several times as long.
        query = sql.SQL("WITH wanted AS (SELECT unnest({}::text[]) AS source_id) {}").format(
            sql.Literal(array_text(source_ids.to_list())),
            self._query(sql.SQL("source_id IN (SELECT w.source_id FROM wanted w)")),
        )
        lines = [*_lines(self.compared_table.query(query))]
        self.taken += len(lines)
        return lines

    def find_strays(self, documents: SourceIds) -> None:
        """Finds the lines that no document of the collection has."""
        with ServerCursor(self.compared_table.connection, "strays") as cursor:
            cursor.execute(self._query(_ALL))
            while rows := cursor.fetchmany(_FETCHED):
                names = [uuid_of_source_id(self.collection, row[0]).bytes for row in rows]
                have_one = documents.have(names).tolist()
                self.compare({}, [*_lines(compress(rows, map(not_, have_one)))])

    def compare(
        self, expected: Mapping[tuple[str, str], Sequence[Line]], recorded: Lines
    ) -> Mapping[str, Unmatched]:
        """Holds what must stand in the books of some documents against what does.

        Args:
            expected: What must stand there, by source id and UUID of the document.
            recorded: What stands there.

        Returns:
            Of each document, by its source id, what has no counterpart.
        """
        unmatched = defaultdict[str, Unmatched](lambda: Unmatched([], []))
        wanted = [(*names, line) for names, lines in expected.items() for line in lines]
        if not wanted and not recorded:
            return unmatched
        of_books = _numbered((source_id, *line) for source_id, line in recorded)
        of_documents = _numbered((source_id, *line) for source_id, _, line in wanted)
        both = compared(of_documents, of_books, _KEY, {ORIGINAL: self._is_original})
        wrong = failing_rows(AGREEMENT, both.drop(_KEY))
        line_of = dict(
            zip(of_books.select(_KEY).iter_rows(), (line for _, line in recorded), strict=True)
        )
        for number, key in zip(wrong, both[wrong].select(_KEY).iter_rows(), strict=True):
            there = line_of.get(key)
            if number < len(wanted):
                source_id, identifier, line = wanted[number]
                self.findings.add(
                    What.NOT_RECORDED,
                    source_id=source_id,
                    identifier=identifier,
                    name=line.field,
                    expected=_whole(line),
                    actual=None if there is None else _whole(there),
                )
                if there is None:
                    unmatched[source_id].missing.append(line)
            elif there is not None:
                source_id = key[0]
                self.findings.add(
                    What.RECORDED_WRONGLY,
                    source_id=source_id,
                    name=there.field,
                    actual=_whole(there),
                )
                unmatched[source_id].unfounded.append(there)
        return unmatched

    def _is_original(self, expected: str, kept: str) -> bool:
        """Tells whether a line has kept what it must have."""
        _, is_cut, place = kept.rpartition(_CUT)
        if not is_cut:
            return is_same_json(kept, expected)
        book, _, ctid = place.partition(" ")
        query = sql.SQL("SELECT {} FROM {} WHERE ctid = {}::tid").format(
            sql.SQL(_BOOKS[book].text), sql.Identifier(SCHEMA, book), sql.Literal(ctid)
        )
        texts = self.compared_table.query(query)
        return any(is_same_json(str(text), expected) for (text,) in texts)

    def _query(self, chosen: sql.Composable) -> sql.Composed:
        array = None if self.array is None else (self.collection, self.array)
        return _query(self.compared_table.table.name, chosen, array)


def _lines(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, Line]]:
    return ((source_id, Line(*line)) for source_id, *line in rows)


def _query(
    table: str, chosen: sql.Composable, array: tuple[str, str] | None = None
) -> sql.Composed:
    """Returns what reads the lines of a table, or of one array of a collection."""
    return sql.SQL(" UNION ALL ").join(
        _of_book(name, book, table, chosen, array) for name, book in _BOOKS.items()
    )


def _of_book(
    name: str, book: _Book, table: str, chosen: sql.Composable, array: tuple[str, str] | None
) -> sql.Composed:
    conditions = [sql.SQL("target_table = {}").format(sql.Literal(table)), chosen]
    if array is not None:
        conditions.append(sql.SQL("collection = {}").format(sql.Literal(array[0])))
        if name in _OF_FIELDS:
            conditions.append(sql.SQL("field = {}").format(sql.Literal(array[1])))
    return sql.SQL(
        "SELECT source_id, {field}, {kind} AS kind, {element}, "
        "CASE WHEN length({text}) <= {short} AND strpos({text}, {cut}) = 0 THEN {text} "
        "ELSE left({text}, {short}) || {place} || ctid::text END AS original, "
        "{accepted_by} AS accepted_by, {reason} FROM {table} WHERE {conditions}"
    ).format(
        **{part: sql.SQL(expression) for part, expression in book._asdict().items()},
        short=sql.Literal(_SHORT),
        cut=sql.Literal(_CUT),
        place=sql.Literal(f"{_CUT}{name} "),
        table=sql.Identifier(SCHEMA, name),
        conditions=sql.SQL(" AND ").join(conditions),
    )


def _numbered(lines: Iterable[tuple[Any, ...]]) -> pl.DataFrame:
    """Returns lines as a frame with the columns of their key."""
    number = pl.int_range(pl.len()).over(_KEY[:-1], order_by=ORIGINAL)
    return pl.DataFrame([*lines], schema=_COLUMNS, orient="row").with_columns(number=number)


def _whole(line: Line) -> bytes:
    """Returns what a line says of a loss as bytes that differ where it does."""
    return "\0".join([line.original, line.accepted_by or "", line.reason or ""]).encode()


def recorded_conversions(connection: Connection, table: str) -> Mapping[tuple[str, str, str], int]:
    """Returns how many lossless conversions a table has on record by (collection, field, kind)."""
    query = sql.SQL(
        "SELECT collection, field, kind, sum(count)::bigint FROM {} "
        "WHERE target_table = %s GROUP BY 1, 2, 3"
    ).format(sql.Identifier(SCHEMA, bookkeeping.conversions.name))
    rows = connection.execute(query, [table])
    return {(collection, name, kind): count for collection, name, kind, count in rows}


def recorded_lines(connection: Connection, table: str) -> tuple[Counter[str], Counter[str]]:
    """Returns how many lines a table has in its books by kind, and how many a remediation accepts."""
    every = _query(table, _ALL)
    query = sql.SQL("SELECT kind, count(*), count(accepted_by) FROM ({}) e GROUP BY 1")
    rows = connection.execute(query.format(every)).fetchall()
    return (
        Counter({kind: count for kind, count, _ in rows}),
        Counter({kind: count for kind, _, count in rows}),
    )
