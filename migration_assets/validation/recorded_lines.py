"""The books of a table, read in step with the documents that they speak of (section 6).

They can be as long as the source is dirty, and a line can hold a document of 16 MB, so neither is held: what
stands under an ObjectId comes in the order of the ids, which is the order of the documents; what stands
under another `_id` is asked for with the documents of a batch; a long text comes when it is compared.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import ServerCursor, sql

from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.validation.extended_json import is_same_json
from migration_assets.validation.findings import Findings, What
from migration_assets.validation.identities import namespace
from migration_assets.validation.judge import Judgement, Line
from migration_assets.validation.source_ids import SourceIds

REJECTED = "rejected"
UNMAPPED = "unmapped"

_OBJECT_ID = "^[0-9a-f]{24}$"
_FETCHED = 2_000
_SHORT = 1_000
"""Bytes of the longest text that comes with its line."""


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
        # As ``judge.acceptance_text`` writes it.
        "nullif(concat_ws(' until ', accepted_by, deferred_until), '')",
        "reason",
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
"""Books whose lines are of one field; a line of the others is of the whole document."""


class Entry(NamedTuple):
    """A line of the books.

    Attributes:
        source_id: The document.
        field: The field; None for the whole document.
        kind: Kind of a lossy conversion, ``REJECTED``, ``UNMAPPED`` or ``REMEDIATED``.
        element: Position in an array, from 0.
        text: What was kept, as canonical Extended JSON; None where it is long.
        accepted_by: The remediation that accepts the loss, and the step that a deferred document waits for.
        reason: Why, in words.
        book: The table of ``migration`` that it stands in.
        place: Where it stands there.
    """

    source_id: str
    field: str | None
    kind: str
    element: int | None
    text: str | None
    accepted_by: str | None = None
    reason: str | None = None
    book: str = ""
    place: str = ""


Entries = list[Entry]


@dataclass(slots=True)
class Books:
    """The lines that a table has for one collection, or for one field of it.

    Attributes:
        connection: A connection within a transaction; one thread uses it at a time.
        table: Name of the target table.
        collection: The collection whose documents are read.
        array: The array of a relation whose lines they are; None for all lines of the table.
    """

    connection: Connection
    table: str
    collection: str
    array: str | None = None
    _cursor: ServerCursor[Any] = field(init=False)
    _ahead: Entries = field(init=False, default_factory=list)
    _is_read: bool = field(init=False, default=False)
    _others: int = field(init=False)
    """Lines under an `_id` that is no ObjectId that no document took yet."""

    def __post_init__(self) -> None:
        under_others = self._query(sql.SQL("source_id !~ {}").format(sql.Literal(_OBJECT_ID)))
        counted = self.connection.execute(
            sql.SQL("SELECT count(*) FROM ({}) e").format(under_others)
        ).fetchone()
        self._others = counted[0] if counted else 0
        under_object_ids = sql.SQL("source_id ~ {}").format(sql.Literal(_OBJECT_ID))
        self._cursor = ServerCursor(self.connection, "books")
        ordered = sql.SQL('SELECT * FROM ({}) e ORDER BY source_id COLLATE "C"')
        self._cursor.execute(ordered.format(self._query(under_object_ids)))

    def of(
        self,
        last: str | None,
        object_ids: Iterable[str | None],
        others: Sequence[str],
        unfounded: Callable[[Entry], None],
    ) -> dict[str, Entries]:
        """Returns the lines of the next documents by source id.

        Args:
            last: The greatest ObjectId among them, as 24 hex digits; None where there is none.
            object_ids: Their ObjectIds.
            others: The source ids of the others.
            unfounded: Takes a line under an ObjectId that comes before and that no document has.
        """
        found: dict[str, Entries] = {}
        wanted: set[str | None] | None = None
        while last is not None and self._fill() and self._ahead[-1].source_id <= last:
            wanted = {*object_ids} if wanted is None else wanted
            entry = self._ahead.pop()
            if entry.source_id in wanted:
                found.setdefault(entry.source_id, []).append(entry)
            else:
                unfounded(entry)
        if others and self._others:
            of_others = self.under(others)
            self._others -= sum(map(len, of_others.values()))
            found |= of_others
        return found

    def under(self, source_ids: Sequence[str]) -> dict[str, Entries]:
        """Returns the lines of some documents by source id, whatever was read before."""
        found: dict[str, Entries] = {}
        chosen = sql.SQL("source_id = ANY({})").format(sql.Literal([*source_ids]))
        for row in self.connection.execute(self._query(chosen)):
            found.setdefault(row[0], []).append(Entry._make(row))
        return found

    def rest(self, known: Callable[[], SourceIds]) -> Iterator[Entry]:
        """Yields all lines that nobody took, and ends reading; call it after the last batch.

        Args:
            known: Reads the ids of all documents of the collection; called where it is needed.
        """
        while self._fill():
            yield self._ahead.pop()
        self.close()
        if not self._others:
            return
        ids = known()
        with ServerCursor(self.connection, "other_books") as cursor:
            cursor.itersize = _FETCHED
            chosen = sql.SQL("source_id !~ {}").format(sql.Literal(_OBJECT_ID))
            for row in cursor.execute(self._query(chosen)):
                # The source id of such a document is what its UUID is the hash of (section 4).
                key = uuid.uuid5(namespace(self.collection), row[0]).bytes
                if not ids.have([key]).all():
                    yield Entry._make(row)

    def close(self) -> None:
        """Ends reading, also where a comparison stops halfway."""
        self._cursor.close()

    def text(self, entry: Entry) -> str:
        """Returns what a line has kept."""
        if entry.text is not None:
            return entry.text
        query = sql.SQL("SELECT {} FROM {} WHERE ctid = {}::tid").format(
            sql.SQL(_BOOKS[entry.book].text),
            sql.Identifier(SCHEMA, entry.book),
            sql.Literal(entry.place),
        )
        row = self.connection.execute(query).fetchone()
        return str(row[0]) if row else ""

    def _fill(self) -> bool:
        """Tells whether there is a next line, and holds it."""
        if not self._ahead and not self._is_read:
            rows = self._cursor.fetchmany(_FETCHED)
            self._ahead = [Entry._make(row) for row in reversed(rows)]
            self._is_read = not rows
        return bool(self._ahead)

    def _query(self, chosen: sql.Composed) -> sql.Composed:
        return sql.SQL(" UNION ALL ").join(
            self._of_book(name, book, chosen) for name, book in _BOOKS.items()
        )

    def _of_book(self, name: str, book: _Book, chosen: sql.Composed) -> sql.Composed:
        conditions = [sql.SQL("target_table = {}").format(sql.Literal(self.table)), chosen]
        if self.array is not None:
            conditions.append(sql.SQL("collection = {}").format(sql.Literal(self.collection)))
            if name in _OF_FIELDS:
                conditions.append(sql.SQL("field = {}").format(sql.Literal(self.array)))
        return sql.SQL(
            "SELECT source_id, {field}, {kind}, {element}, "
            "CASE WHEN octet_length({text}) <= {short} THEN {text} END, "
            "{accepted_by}, {reason}, {name}, ctid::text FROM {table} WHERE {conditions}"
        ).format(
            **{part: sql.SQL(expression) for part, expression in book._asdict().items()},
            short=sql.Literal(_SHORT),
            name=sql.Literal(name),
            table=sql.Identifier(SCHEMA, name),
            conditions=sql.SQL(" AND ").join(conditions),
        )


def expected_lines(judgement: Judgement) -> list[Line]:
    """Returns what must stand in the books of a document."""
    lines: list[Line] = list(judgement.lines)
    if judgement.rejections:
        name, reason = judgement.rejection()
        lines.append(Line(name, REJECTED, None, judgement.document, judgement.accepted_by, reason))
    if judgement.unmapped is not None:
        lines.append(Line(None, UNMAPPED, None, judgement.unmapped))
    return lines


def unmatched(
    expected: Iterable[Line], entries: Entries, text: Callable[[Entry], str]
) -> tuple[list[tuple[Line, Entry | None]], Entries]:
    """Holds what must stand in the books of a document against what does.

    Args:
        expected: What must stand there.
        entries: What stands there.
        text: Returns what a line has kept.

    Returns:
        What is not on record, each with the line that records another original for it, and the lines
        that record what is not so.
    """
    left: dict[tuple[str | None, str, int | None], Entries] = defaultdict(list)
    for entry in entries:
        left[entry.field, entry.kind, entry.element].append(entry)
    missing: list[tuple[Line, Entry | None]] = []
    for line in expected:
        alike = left[line.field, line.kind, line.element]
        same = [
            entry
            for entry in alike
            if entry.accepted_by == line.accepted_by
            and (line.reason is None or entry.reason == line.reason)
            and is_same_json(text(entry), line.original)
        ]
        if not same:
            missing.append((line, alike[0] if alike else None))
        for entry in (same or alike)[:1]:
            alike.remove(entry)
    return missing, [entry for alike in left.values() for entry in alike]


def add_missing(
    findings: Findings,
    missing: Iterable[tuple[Line, Entry | None]],
    source_id: str,
    identifier: str,
    text: Callable[[Entry], str],
) -> None:
    """Adds what should stand in the books of a document, with what stands there instead."""
    for line, other in missing:
        actual = None
        if other is not None:
            actual = _whole(text(other), other.accepted_by, line.reason and other.reason)
        findings.add(
            What.NOT_RECORDED,
            source_id=source_id,
            identifier=identifier,
            name=line.field,
            expected=_whole(line.original, line.accepted_by, line.reason),
            actual=actual,
        )


def add_unfounded(findings: Findings, entry: Entry) -> None:
    """Adds a line of the books that records what did not happen."""
    text = entry.place if entry.text is None else entry.text
    findings.add(
        What.RECORDED_WRONGLY, source_id=entry.source_id, name=entry.field, actual=text.encode()
    )


def _whole(text: str, accepted_by: str | None, reason: str | None) -> bytes:
    """Returns a line of the books as bytes that differ where the line does."""
    return "\0".join([text, accepted_by or "", reason or ""]).encode()


def recorded_conversions(connection: Connection, table: str) -> Mapping[tuple[str, str, str], int]:
    """Returns how many lossless conversions a table has on record by (collection, field, kind)."""
    query = sql.SQL(
        "SELECT collection, field, kind, sum(count)::bigint FROM {} "
        "WHERE target_table = %s GROUP BY 1, 2, 3"
    ).format(sql.Identifier(SCHEMA, bookkeeping.conversions.name))
    rows = connection.execute(query, [table])
    return {(collection, name, kind): count for collection, name, kind, count in rows}


def recorded_lines(connection: Connection, table: str) -> Mapping[str, int]:
    """Returns how many lines a table has in each book, and of each kind of lossy conversion."""
    query = sql.SQL(
        "SELECT 'rejected', count(*) FROM {rejected} WHERE target_table = %(table)s UNION ALL "
        "SELECT 'unmapped', count(*) FROM {unmapped} WHERE target_table = %(table)s UNION ALL "
        "SELECT 'remediated', count(*) FROM {remediations} WHERE target_table = %(table)s UNION ALL "
        "SELECT kind, count(*) FROM {issues} WHERE target_table = %(table)s GROUP BY 1"
    ).format(
        remediations=sql.Identifier(SCHEMA, bookkeeping.remediations.name),
        rejected=sql.Identifier(SCHEMA, bookkeeping.rejected_documents.name),
        unmapped=sql.Identifier(SCHEMA, bookkeeping.unmapped_fields.name),
        issues=sql.Identifier(SCHEMA, bookkeeping.issues.name),
    )
    return dict(connection.execute(query, {"table": table}).fetchall())


def accepted_lines(connection: Connection, table: str) -> Mapping[str, int]:
    """Returns how many losses of a table a remediation accepts: rejected documents, and each kind."""
    query = sql.SQL(
        "SELECT 'rejected', count(*) FROM {rejected} WHERE target_table = %(table)s "
        "AND accepted_by IS NOT NULL UNION ALL SELECT kind, count(*) FROM {issues} "
        "WHERE target_table = %(table)s AND accepted_by IS NOT NULL GROUP BY 1"
    ).format(
        rejected=sql.Identifier(SCHEMA, bookkeeping.rejected_documents.name),
        issues=sql.Identifier(SCHEMA, bookkeeping.issues.name),
    )
    return dict(connection.execute(query, {"table": table}).fetchall())
