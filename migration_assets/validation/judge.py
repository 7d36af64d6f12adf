"""The judge: what section 5 of the design makes of one document, read plainly and without the loader's code.

It shares with the loader the model of the tables, and nothing else: BSON is read by ``bson_reader``,
identities are computed by ``identities``, ``rules`` say what a value becomes. What makes it fast enough for
all rows stands in ``expected``.

Where the design leaves room:

- A document that is not valid BSON, holds text that is not UTF-8, a field twice, an option of a regular
  expression that there is not, or a DBRef with null for a database, which drivers do not read whole, cannot
  become a row without loss: it is rejected as a whole and kept as its bytes.
- An `_id` of that sort has no Extended JSON: its bytes, as a binary value, stand for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from migration_assets.model import Missing, Rule, Source, fields, unique_keys, value_sources
from migration_assets.validation import loss_reasons
from migration_assets.validation.bson_reader import Fields, UnreadableBsonError, read_document
from migration_assets.validation.exact_values import (
    LOSSLESS,
    NULLED,
    REJECTED,
    REPEATED,
    UNFIT,
    UNMAPPED,
    Note,
    array,
    element_of_rejected,
    element_of_relation,
    missing,
)
from migration_assets.validation.extended_json import canonical
from migration_assets.validation.identities import (
    Ids,
    identifier_of,
    source_id_of,
    uuid_of,
    uuid_of_source_id,
)
from migration_assets.validation.judged_remediations import NO_RULES, REMEDIATED, JudgedRules
from migration_assets.validation.rules import RULES


class Line(NamedTuple):
    """What must stand in the books of a document; ``original`` is canonical Extended JSON.

    ``accepted_by`` is the remediation that accepts a loss, ``reason`` why it is one; None where nothing is
    to be said, or where it is said in the driver's words.
    """

    field: str | None
    kind: str
    element: int | None
    original: str
    accepted_by: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What must have become of a document.

    Attributes:
        id: UUID of the row, 16 bytes.
        source_id: `_id` as the books write it.
        row: Value by column: ``str``, ``int``, ``bool``, milliseconds since 1970, 16 bytes of a UUID, a
            list of them, JSON text or None; nothing where rejected.
        rejections: (field, reason) of whatever keeps the document from becoming a row; field is None
            where it cannot be read.
        lines: All that must stand in the books of it, one by one.
        conversions: (field, kind) of each lossless conversion, which the books count.
    """

    id: bytes
    source_id: str
    row: Mapping[str, Any] = field(default_factory=dict)
    rejections: tuple[tuple[str | None, str], ...] = ()
    lines: tuple[Line, ...] = ()
    conversions: tuple[tuple[str, str], ...] = ()


class Judge:
    """Judges the documents of one collection, each once or more, the first time in `_id` order."""

    def __init__(self, table: sa.Table, ids: Ids, rules: JudgedRules = NO_RULES) -> None:
        self._rules = rules
        self._table = table.name
        self._ids = ids
        self._sources = value_sources(table)
        self._known = fields(table)
        self._owners: dict[tuple[str, ...], dict[tuple[Any, ...], bytes]] = {
            columns: {} for columns in unique_keys(table)
        }

    def judge(self, document: bytes) -> Judgement:
        """Returns what must have become of a document given as BSON."""
        identifier = identifier_of(document)
        source_id = source_id_of(identifier)
        key = uuid_of_source_id(self._table, source_id).bytes
        try:
            as_read = read_document(document)
        except UnreadableBsonError as error:
            note = Note(REJECTED, None, None, str(error))
            return self._rejected(key, source_id, {}, document, [], [(None, note)])
        values, changes = self._rules.remedied(as_read, source_id)
        row: dict[str, Any] = {}
        notes: list[tuple[str | None, Note]] = []
        for column, source in self._sources.items():
            row[column], notes_of_value = self._column(source, values.get(source.field), identifier)
            notes += [(source.field, note) for note in notes_of_value]
        notes += self._repeats(key, row, is_rejected=any(n.kind == REJECTED for _, n in notes))
        lines = [
            Line(change.field, REMEDIATED, change.element, change.text()) for change in changes
        ]
        if any(note.kind == REJECTED for _, note in notes):
            return self._rejected(key, source_id, values, as_read, lines, notes)
        for name, note in notes:
            if note.kind not in LOSSLESS:
                lines.append(self._lost(source_id, str(name), values[str(name)], note))
        unknown = self._unknown(values)
        if unknown:
            lines.append(Line(None, UNMAPPED, None, canonical(unknown)))
        lossless = tuple((str(name), note.kind) for name, note in notes if note.kind in LOSSLESS)
        return Judgement(key, source_id, row, lines=tuple(lines), conversions=lossless)

    def _rejected(
        self,
        key: bytes,
        source_id: str,
        values: Fields,
        whole: Fields | bytes,
        lines: Sequence[Line],
        notes: Sequence[tuple[str | None, Note]],
    ) -> Judgement:
        """Returns that a document is rejected and kept whole; what else it would lose is said besides."""
        causes = tuple((name, note.reason) for name, note in notes if note.kind == REJECTED)
        wrong = [(name, values.get(str(name))) for name, _ in causes]
        accepted_by = self._rules.document_accepted_by(source_id, wrong)
        name, reason = causes[0]
        if len(causes) > 1:
            name = ", ".join(dict.fromkeys(str(field_name) for field_name, _ in causes))
            reason = "; ".join(f"{field_name}: {why}" for field_name, why in causes)
        losses = [loss for loss in notes if loss[1].kind not in (*LOSSLESS, REJECTED)]
        besides = "; ".join(
            dict.fromkeys(f"{field_name}: {note.reason}" for field_name, note in losses)
        )
        reason += f" (besides, {besides})" if besides else ""
        # Why it cannot be read is said in the driver's words.
        line = Line(
            name, REJECTED, None, canonical(whole), accepted_by, None if name is None else reason
        )
        return Judgement(key, source_id, rejections=causes, lines=(*lines, line))

    def _unknown(self, values: Fields) -> Fields:
        """Returns the fields that the model does not know."""
        return {name: value for name, value in values.items() if name not in self._known}

    def _lost(self, source_id: str, name: str, value: Any, note: Note) -> Line:
        element = [] if note.element is None else [note.original]
        accepted_by = self._rules.accepted_by(source_id, name, value, *element)
        original = canonical(note.original)
        return Line(name, note.kind, note.element, original, accepted_by, note.reason)

    def _column(self, source: Source, value: Any, identifier: Any) -> tuple[Any, list[Note]]:
        """Returns what a column must hold, and what happened to the value."""
        if value is None:
            return missing(source, identifier)
        rule = RULES[source.rule]
        if source.rule.is_array:
            return array(value, rule.exact, source, self._ids)
        result = rule.exact(value, source, self._ids)
        if result.value is None and source.missing is not Missing.NULL:
            return None, [Note(REJECTED, None, value, result.why(value))]
        if result.kind is None:
            return result.value, []
        kind = NULLED if result.kind == UNFIT else result.kind
        return result.value, [Note(kind, None, value, result.why(value))]

    def _repeats(
        self, key: bytes, row: Mapping[str, Any], *, is_rejected: bool
    ) -> Iterator[tuple[str, Note]]:
        """Yields the unique columns whose value an earlier document has that became a row (section 5)."""
        for columns, owners in self._owners.items():
            values = tuple(row[column] for column in columns)
            if None in values:
                continue
            if owners.get(values, key) != key:
                is_one = len(columns) == 1
                why = loss_reasons.NOT_UNIQUE if is_one else loss_reasons.NOT_UNIQUE_TOGETHER
                for column in columns:
                    yield self._sources[column].field, Note(REJECTED, None, row[column], why)
            elif not is_rejected:
                owners[values] = key


class ArrayJudge(Judge):
    """Judges the array of a relation that documents hold, and nothing else of them (section 5).

    Args:
        entity: The table of the collection that holds it.
        array: The field.
        references: The collection that its elements lead to.
        ids: The rows of both.
        rules: The remediations for it.
    """

    def __init__(
        self, entity: sa.Table, array: str, references: str, ids: Ids, rules: JudgedRules = NO_RULES
    ) -> None:
        super().__init__(entity, ids, rules)
        self._sources = {array: Source(array, Rule.REFERENCE_ARRAY, references)}
        self._owners = {}

    def _column(self, source: Source, value: Any, identifier: Any) -> tuple[Any, list[Note]]:
        """Returns what the elements of an array lead to, repeats included; None without one."""
        if value is None:
            return None, []
        row_ids, notes = array(value, element_of_relation, source, self._ids)
        if uuid_of(self._table, identifier) not in self._ids.rows[self._table]:
            row_ids, notes = array(value, element_of_rejected, source, self._ids)
        repeats = len(row_ids) - len(set(row_ids))
        return row_ids, [*notes, *[Note(REPEATED, None, value)] * repeats]

    def _unknown(self, values: Fields) -> Fields:
        """Says nothing of other fields."""
        del values
        return {}
