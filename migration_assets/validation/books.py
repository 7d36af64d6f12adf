"""The books of a table, read in step with the documents that they speak of (section 6).

They can be as long as the source is dirty, so they are not held at once: what stands under an ObjectId
comes in the order of the ids, which is the order of the documents. What stands under another `_id`,
which is rare, is held from the start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from psycopg import ServerCursor, sql

from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.validation.extended_json import is_same_json
from migration_assets.validation.reference import Judgement, Line

REJECTED = "rejected"
UNMAPPED = "unmapped"

_OBJECT_ID = "^[0-9a-f]{24}$"
_FETCHED = 2_000

_ENTRIES: Final = (
    "SELECT source_id, field, kind, element, original, accepted_by, reason FROM {issues} "
    "WHERE target_table = {table} AND {chosen} AND {of_field} "
    "UNION ALL SELECT source_id, field, 'rejected', NULL, document, accepted_by, reason FROM {rejected} "
    "WHERE target_table = {table} AND {chosen} "
    "UNION ALL SELECT source_id, NULL, 'unmapped', NULL, fields, NULL, NULL FROM {unmapped} "
    "WHERE target_table = {table} AND {chosen} "
    # As ``remedied.entry_text`` writes it.
    "UNION ALL SELECT source_id, field, 'remediated', element, '[' || to_json(rule)::text || ',[' "
    "|| coalesce(original, '') || '],[' || coalesce(replacement, '') || ']]', NULL, NULL "
    "FROM {remediations} WHERE target_table = {table} AND {chosen} AND {of_field}"
)


class Entry(NamedTuple):
    """A line of the books.

    Attributes:
        source_id: The document.
        field: The field; None for the whole document.
        kind: Kind of a lossy conversion, ``REJECTED``, ``UNMAPPED`` or ``REMEDIATED``.
        element: Position in an array, from 0.
        text: What was kept, as canonical Extended JSON.
        accepted_by: The remediation that accepts the loss.
        reason: Why, in words.
    """

    source_id: str
    field: str | None
    kind: str
    element: int | None
    text: str
    accepted_by: str | None = None
    reason: str | None = None


Entries = list[Entry]


@dataclass(slots=True)
class Books:
    """The lines that a table has for one collection, or for one field of it.

    Attributes:
        connection: A connection within a transaction.
        table: Name of the target table.
        array: Collection and field of an array of a relation; None for all lines of the table.
        others: Lines under an `_id` that is no ObjectId and that nobody took yet.
    """

    connection: Connection
    table: str
    array: tuple[str, str] | None = None
    others: dict[str, Entries] = field(init=False, default_factory=dict)
    _cursor: ServerCursor[Any] = field(init=False)
    _ahead: Entries = field(init=False, default_factory=list)
    _is_read: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        under_others = sql.SQL("source_id !~ {}").format(sql.Literal(_OBJECT_ID))
        for row in self.connection.execute(self._query(under_others)):
            self.others.setdefault(row[0], []).append(Entry._make(row))
        under_object_ids = sql.SQL("source_id ~ {}").format(sql.Literal(_OBJECT_ID))
        self._cursor = ServerCursor(self.connection, "books")
        ordered = sql.SQL('SELECT * FROM ({}) e ORDER BY source_id COLLATE "C"')
        self._cursor.execute(ordered.format(self._query(under_object_ids)))

    def upto(self, object_id: str | None) -> dict[str, Entries]:
        """Returns the lines of the next documents by source id.

        Args:
            object_id: The last document, as 24 hex digits; None for all that are left.
        """
        found: dict[str, Entries] = {}
        while self._fill() and (object_id is None or self._ahead[-1].source_id <= object_id):
            entry = self._ahead.pop()
            found.setdefault(entry.source_id, []).append(entry)
        return found

    def rest(self) -> Entries:
        """Returns all lines that nobody took, and ends reading; call it after the last batch."""
        left = [*self.upto(None).values(), *self.others.values()]
        self._cursor.close()
        return [entry for entries in left for entry in entries]

    def _fill(self) -> bool:
        """Tells whether there is a next line, and holds it."""
        if not self._ahead and not self._is_read:
            rows = self._cursor.fetchmany(_FETCHED)
            self._ahead = [Entry._make(row) for row in reversed(rows)]
            self._is_read = not rows
        return bool(self._ahead)

    def _query(self, chosen: sql.Composed) -> sql.Composed:
        of_field = sql.SQL("TRUE").format()
        if self.array is not None:
            collection, name = map(sql.Literal, self.array)
            chosen += sql.SQL(" AND collection = {}").format(collection)
            of_field = sql.SQL("field = {}").format(name)
        return sql.SQL(_ENTRIES).format(
            issues=sql.Identifier(SCHEMA, bookkeeping.issues.name),
            rejected=sql.Identifier(SCHEMA, bookkeeping.rejected_documents.name),
            unmapped=sql.Identifier(SCHEMA, bookkeeping.unmapped_fields.name),
            remediations=sql.Identifier(SCHEMA, bookkeeping.remediations.name),
            table=sql.Literal(self.table),
            chosen=chosen,
            of_field=of_field,
        )


def expected_lines(judgement: Judgement, entries: Entries) -> list[Line]:
    """Returns what must stand in the books of a document.

    A rejected document stands under one of the fields that keep it from being loaded, whichever.
    """
    lines: list[Line] = list(judgement.lines)
    if judgement.rejections:
        reasons = dict(judgement.rejections)
        found = [each.field for each in entries if each.kind == REJECTED and each.field in reasons]
        name = (found or [*reasons])[0]
        accepted_by = judgement.accepted.get(name)
        reason = None if name is None else reasons[name]
        lines.append(Line(name, REJECTED, None, judgement.document, accepted_by, reason))
    if judgement.unmapped is not None:
        lines.append(Line(None, UNMAPPED, None, judgement.unmapped))
    return lines


def unmatched(
    expected: Iterable[Line], entries: Entries
) -> tuple[list[tuple[Line, Entry | None]], Entries]:
    """Holds what must stand in the books of a document against what does.

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
            and is_same_json(entry.text, line.original)
        ]
        if not same:
            missing.append((line, alike[0] if alike else None))
        for entry in (same or alike)[:1]:
            alike.remove(entry)
    return missing, [entry for alike in left.values() for entry in alike]


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
