"""The documents of a collection held against the rows and the books of their table.

A plain document whose row is the one that it must be costs one comparison of bytes. Every other one is
judged by ``reference``, and held against its row field by field and against its lines in the books.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from psycopg import sql
from pymongo.read_concern import ReadConcern

from migration_assets.model import Rule, sources, unique_columns
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.validation import binary_copy
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.books import (
    Books,
    Entries,
    expected_lines,
    recorded_conversions,
    recorded_lines,
    unmatched,
)
from migration_assets.validation.bson_places import Documents, Mask
from migration_assets.validation.counting import count_source
from migration_assets.validation.differences import Comparison, What, totals_of
from migration_assets.validation.evidence import Phases
from migration_assets.validation.extended_json import means_same
from migration_assets.validation.json_cells import parsed_cell
from migration_assets.validation.plain_rows import (
    PlainRows,
    object_id_uuids,
    selected,
    usual_kinds,
)
from migration_assets.validation.reading import (
    RowsInStep,
    ahead,
    batches,
    ids_for,
    odd_types,
    pending_ids,
)
from migration_assets.validation.reference import (
    Judge,
    Judgement,
    identifier_of,
    object_id_of,
    object_id_uuid,
    uuid_of,
)
from migration_assets.validation.remedied import JudgedRules

_MAP = "uuid_map"

_TYPES: Mapping[Rule, str] = {
    Rule.KEY: "uuid",
    Rule.TEXT: "text",
    Rule.INTEGER: "integer",
    Rule.BIGINT: "bigint",
    Rule.BOOLEAN: "boolean",
    Rule.TIMESTAMP: "timestamp",
    Rule.JSON: "jsonb",
    Rule.TEXT_ARRAY: "text[]",
    Rule.REFERENCE: "uuid",
    Rule.REFERENCE_ARRAY: "uuid[]",
    Rule.REFERENCE_TEXT: "text",
    Rule.REFERENCE_TEXT_ARRAY: "text[]",
}
"""What a column is read as, so that a wrong type with the right values is for the layer ``types`` to find.

A timestamp is read without its precision: a digit beyond the millisecond must show.
"""


_JOINS = "SET LOCAL enable_nestloop = off"
"""PostgreSQL takes a range of UUIDs for one row where its statistics have them all in one bucket, a hundredth
of the table. It would then go through the range of the one table for each row in that of the other.
"""


def compare_documents(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    phases: Phases,
    *,
    sample_size: int,
    seed: int,
    remediations: Remediations,
) -> Comparison:
    """Holds an entity table against its collection.

    Args:
        source: The source database.
        connection: A connection to the target, within a transaction.
        table: The entity table.
        phases: Where the seconds are added.
        sample_size: How many documents to report one by one.
        seed: Which ones: the same seed, the same numbers.
        remediations: What must have been corrected or accepted on the way.
    """
    rules = JudgedRules(remediations.of(table))
    usual = usual_types(table)
    connection.execute(_JOINS)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="types") as counting:
        counted = counting.submit(count_source, source, table.name, {})
        odd = counting.submit(odd_types, source, table.name, usual)
        with phases.phase("ids"):
            drawn = drawn_numbers(source, table.name, sample_size, seed)
            comparison = _Documents(connection, table, drawn, rules, usual)
        with phases.phase("compare"):
            for step in ahead(comparison.steps(batches(source, table.name))):
                comparison.add(step)
            comparison.finish()
        with phases.phase("books"):
            result = comparison.result
            result.totals += totals_of(
                "lines", result.lines, recorded_lines(connection, table.name)
            )
            result.totals += totals_of(
                "conversions", result.conversions, recorded_conversions(connection, table.name)
            )
        with phases.phase("types"):
            result.totals += totals_of(
                "documents of",
                {table.name: counted.result().documents},
                {table.name: result.documents},
            )
            result.totals += totals_of("BSON type of", odd.result(), comparison.odd_types)
    return result


def usual_types(table: sa.Table) -> Mapping[str, AbstractSet[str]]:
    """Returns the BSON types that the fields of plain documents have, by MongoDB's names."""
    return {
        name: {bson.TYPE_NAMES[kind] for kind in kinds}
        for name, kinds in usual_kinds(table).items()
    }


def drawn_numbers(source: SourceDatabase, collection: str, size: int, seed: int) -> list[int]:
    """Draws the numbers of documents, in `_id` order, that are reported one by one."""
    # An estimate is of the present, also where the documents are read as of a moment.
    present = source[collection].with_options(read_concern=ReadConcern())
    total = present.estimated_document_count()
    drawn = random.Random(seed)  # noqa: S311 - a sample to look at, not a secret
    return drawn.sample(range(1, total + 1), min(size, total))


class _Step(NamedTuple):
    """A batch of documents with what has to be held against it.

    Attributes:
        documents: The documents.
        object_ids: The ObjectId of each, None where its `_id` is none.
        rows: The rows by id.
        entries: Lines in the books by source id, of ObjectIds.
    """

    documents: Documents
    object_ids: list[bytes | None]
    rows: dict[bytes, bytes]
    entries: dict[str, Entries]


class _Documents:
    """The comparison of one collection, batch after batch."""

    def __init__(
        self,
        connection: Connection,
        table: sa.Table,
        drawn: Sequence[int],
        rules: JudgedRules,
        usual: Mapping[str, AbstractSet[str]],
    ) -> None:
        self.result = Comparison()
        self.odd_types: Counter[tuple[str, str]] = Counter()
        self._connection = connection
        self._table = table
        self._drawn = drawn
        self._columns = {
            name: sources(table)[name].rule
            for name in selected(table)
            if sources(table)[name].rule is not Rule.KEY
        }
        self._fields = {name: source.field for name, source in sources(table).items()}
        self._usual = {name.encode(): (name, types) for name, types in usual.items()}
        self._pending = pending_ids(connection, table.name)
        ids = ids_for(connection, table)
        self._judge = Judge(table, ids, rules)
        self._rules = rules
        # Who has a unique value depends on the documents before: that is not for plain rows to know.
        self._plain = None if unique_columns(table) else PlainRows(table, ids)
        self._rows = RowsInStep(connection, self._rows_query())
        self._books = Books(connection, table.name)

    def steps(self, given: Iterable[Documents]) -> Iterator[_Step]:
        """Yields batches of documents with the rows and the books that belong to them."""
        for documents in given:
            object_ids = documents.object_ids()
            others = [
                self._key(documents[number])
                for number, object_id in enumerate(object_ids)
                if object_id is None
            ]
            last = max(filter(None, object_ids), default=None)
            rows = self._rows.next(None if last is None else object_id_uuid(last), others)
            entries = {} if last is None else self._books.upto(last.hex())
            yield _Step(documents, object_ids, rows, entries)

    def add(self, step: _Step) -> None:
        """Compares the next documents."""
        documents, object_ids, rows, entries = step
        matched = [rows.pop(key, None) for key in self._keys(documents, object_ids)]
        are_plain = self._are_plain(documents, object_ids, matched)
        first = self.result.documents + 1
        are_drawn = np.isin(np.arange(first, first + len(documents)), self._drawn)
        are_done = are_plain & ~are_drawn
        if entries:
            are_done &= [not (each and each.hex() in entries) for each in object_ids]
        self.result.rows += int(np.count_nonzero(are_done))
        for number in np.flatnonzero(~are_done).tolist():
            document, object_id = documents[number], object_ids[number]
            mine = entries.pop(object_id.hex(), []) if object_id else []
            if not are_plain[number]:
                self._count_odd_types(document)
            self._examine(document, matched[number], mine, is_drawn=bool(are_drawn[number]))
        self.result.documents += len(documents)
        self._rows.leave(rows)
        for left in entries.values():
            self.result.differences.add_unfounded(left)

    def finish(self) -> None:
        """Compares what belongs to no document, and the totals."""
        for key in sorted(self._rows.rest() - self._pending):
            self._differ(What.MISSING_IN_SOURCE, key, actual=key)
        for key in self._rows.doubled:
            self._differ(What.MISSING_IN_SOURCE, key, actual=key)
        self.result.differences.add_unfounded(self._books.rest())

    def _are_plain(
        self,
        documents: Documents,
        object_ids: list[bytes | None],
        rows: list[bytes | None],
    ) -> Mask:
        """Tells which documents are plain, untouched by remediations, and have the row that they must."""
        are_plain = np.zeros(len(documents), dtype=np.bool_)
        if self._plain is None:
            return are_plain
        has_changes = self._rules.changes
        candidates = {
            number: row
            for number, (name, row) in enumerate(zip(object_ids, rows, strict=True))
            if name and row and not (has_changes and self._rules.touch(documents[number], name))
        }
        if candidates:
            chosen = list(candidates)
            are_plain[chosen] = self._plain.equal(documents.chosen(chosen), [*candidates.values()])
        return are_plain

    def _keys(self, documents: Documents, object_ids: list[bytes | None]) -> Iterator[bytes]:
        """Yields the ids of the rows of documents."""
        uuids = iter(object_id_uuids([each for each in object_ids if each is not None]))
        for number, object_id in enumerate(object_ids):
            yield self._key(documents[number]) if object_id is None else next(uuids)

    def _key(self, document: bytes) -> bytes:
        return uuid_of(self._table.name, identifier_of(document))

    def _examine(
        self, document: bytes, row: bytes | None, entries: Entries, *, is_drawn: bool
    ) -> None:
        """Judges a document by the reference, and compares it field by field and with the books."""
        judgement = self._judge.judge(document)
        mine = entries or self._books.others.pop(judgement.source_id, [])
        compared, equal = self._compare_row(judgement, row)
        if is_drawn:
            self.result.sampled.append(
                {
                    "source_id": judgement.source_id,
                    "id": _text_of(judgement.id),
                    "fields_compared": compared,
                    "fields_equal": equal,
                }
            )
        lines = expected_lines(judgement, mine)
        missing, unfounded = unmatched(lines, mine)
        identifier = _text_of(judgement.id)
        self.result.differences.add_missing(missing, judgement.source_id, identifier)
        self.result.differences.add_unfounded(unfounded)
        self.result.lines.update(line.kind for line in lines)
        self.result.conversions.update(
            (self._table.name, name, kind) for name, kind in judgement.conversions
        )

    def _compare_row(self, judgement: Judgement, row: bytes | None) -> tuple[int, int]:
        """Returns how many fields were compared, and how many are equal."""
        if judgement.rejections:
            if row is not None and judgement.id not in self._pending:
                self._differ(What.MISSING_IN_SOURCE, judgement.id, actual=row, judged=judgement)
            return 0, 0
        self.result.rows += 1
        if row is None:
            whole = repr(judgement.row).encode()
            self._differ(What.MISSING_IN_TARGET, judgement.id, expected=whole, judged=judgement)
            return len(judgement.row), 0
        equal = 0
        _, source_id, *cells = binary_copy.cells(row)
        expected: bytes | None = judgement.source_id.encode()
        if source_id != expected:
            self._differ(What.DIFFERS, judgement.id, _MAP, expected, source_id, judged=judgement)
        for (column, rule), cell in zip(self._columns.items(), cells, strict=True):
            expected, actual = _sides(rule, judgement.row[column], cell)
            if expected == actual:
                equal += 1
                continue
            name = self._fields[column]
            self._differ(What.DIFFERS, judgement.id, name, expected, actual, judged=judgement)
        return len(judgement.row), equal

    def _differ(
        self,
        what: What,
        key: bytes,
        name: str | None = None,
        expected: bytes | None = None,
        actual: bytes | None = None,
        *,
        judged: Judgement | None = None,
    ) -> None:
        object_id = object_id_of(key)
        source_id = object_id.hex() if object_id else None
        self.result.differences.add(
            what,
            source_id=judged.source_id if judged else source_id,
            identifier=_text_of(key),
            name=name,
            expected=expected,
            actual=actual,
        )

    def _count_odd_types(self, document: bytes) -> None:
        seen: set[bytes] = set()  # the server counts the first of two fields with one name
        try:
            for kind, name, _, _ in bson.spans(document):
                if name in self._usual and name not in seen:
                    known, usual = self._usual[name]
                    if bson.TYPE_NAMES[kind] not in usual:
                        self.odd_types[known, bson.TYPE_NAMES[kind]] += 1
                seen.add(name)
        except bson.UnreadableError:
            # The document is rejected as unreadable; the server's count shows what was not seen.
            return

    def _rows_query(self) -> Callable[[sql.Composed], sql.Composed]:
        """Returns the query for rows: the id, the source id that the UUID map gives it, the values.

        Both tables are read by the same condition: to look up one entry of the map for each row takes
        five times as long.
        """
        values = sql.SQL("").join(
            sql.SQL(", t.{}{}").format(
                sql.Identifier(name), sql.SQL(f"::{_TYPES[rule]}" if rule in _TYPES else "")
            )
            for name, rule in self._columns.items()
        )
        return lambda chosen: sql.SQL(
            "SELECT t.id, m.source_id{values} FROM (SELECT * FROM {table} WHERE {chosen}) t LEFT JOIN "
            "(SELECT id, source_id FROM {map} WHERE collection = {collection} AND {chosen}) m USING (id)"
        ).format(
            values=values,
            table=sql.Identifier(self._table.name),
            chosen=chosen,
            map=sql.Identifier(SCHEMA, bookkeeping.uuid_map.name),
            collection=sql.Literal(self._table.name),
        )


def _text_of(identifier: bytes) -> str:
    return str(uuid.UUID(bytes=identifier))


def _sides(rule: Rule, value: Any, cell: bytes | None) -> tuple[bytes | None, bytes | None]:
    """Returns both sides of a column as bytes that are the same where the values are."""
    if rule is not Rule.JSON or value is None or cell is None:
        is_json = rule is Rule.JSON and value is not None
        return repr(value).encode() if is_json else binary_copy.cell(rule, value), cell
    actual = parsed_cell(cell)
    expected = repr(value).encode()
    return expected, expected if means_same(value, actual) else repr(actual).encode()
