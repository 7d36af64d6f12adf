"""The judge: what section 5 of the design makes of one document, read plainly and without the loader's code.

It shares with the loader the model of the tables and sets of UUIDs, and nothing else: BSON is read by
``bson_reader``, identities are computed here, a rule is a list of cases on the BSON type. Written to be
compared with the design line by line; what makes it fast enough for all rows stands in ``expected``.

Where the design leaves room:

- A text column takes the shortest text that reads back as the same double, without a trailing ``.0``.
- A time given as text with digits beyond the millisecond is altered where they are not zero.
- An empty text in an array of references is altered, a NULL being no element.
- Deprecated types are what every driver reads: a symbol is a string, undefined is null.
- A document that is not valid BSON, holds text that is not UTF-8, a field twice, an option of a regular
  expression that there is not, or a DBRef with null for a database, which drivers do not read whole, cannot
  become a row without loss: it is rejected as a whole and kept as its bytes.
- An `_id` of that sort has no Extended JSON: its bytes, as a binary value, stand for it.
- An empty text is no reference, be it the `_id` of a document or not.
- ``jsonb`` has no negative zero: -0.0 becomes 0.0, which is altered.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from migration_assets.model import Missing, Rule, Source, fields, sources, unique_columns
from migration_assets.validation import bson_reader as bson
from migration_assets.validation import reasons
from migration_assets.validation.bson_reader import Fields, UnreadableError, Value
from migration_assets.validation.extended_json import (
    canonical,
    canonical_document,
    moment,
    relaxed,
    storable,
)
from migration_assets.validation.identities import (
    Ids,
    identifier_of,
    only_id,
    resolved,
    source_id_of,
    uuid_of,
)
from migration_assets.validation.judged_remediations import NO_RULES, REMEDIATED, JudgedRules
from migration_assets.validation.scalars import digits, from_iso_8601, integral, is_negative_zero

ASYMMETRIC = "asymmetric"
COERCED = "coerced"
DEFAULTED = "defaulted"
DERIVED = "derived"
ALTERED = "altered"
NULLED = "nulled"
ORPHANED = "orphaned"
REPEATED = "repeated"
LOSSLESS = frozenset({COERCED, DEFAULTED, DERIVED})
_UNFIT = "not convertible"

FIRST_TIMESTAMP = -210_866_803_200_000
"""PostgreSQL's first timestamp, 4714-11-24 BC, in milliseconds since 1970."""
LAST_TIMESTAMP = 9_224_318_015_999_999
"""PostgreSQL's last, 294276-12-31T23:59:59.999."""

_NULLISH = frozenset({bson.NULL, bson.UNDEFINED})
_TEXTUAL = frozenset({bson.STRING, bson.SYMBOL})
_RANGES = {Rule.INTEGER: 2**31, Rule.BIGINT: 2**63}


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


class Note(NamedTuple):
    """What a rule did to a value, or to one element of it."""

    kind: str
    element: int | None
    original: Value


@dataclass(frozen=True, slots=True)
class Judgement:
    """What must have become of a document.

    Attributes:
        id: UUID of the row, 16 bytes.
        source_id: `_id` as the books write it.
        row: Value by column: ``str``, ``int``, ``bool``, milliseconds since 1970, 16 bytes of a UUID, a
            list of them, a JSON structure (``extended_json.relaxed``) or None; nothing where rejected.
        rejections: (field, reason) of whatever keeps the document from becoming a row; field is None
            where it cannot be read.
        lines: Lossy conversions, as they must stand in the books.
        conversions: (field, kind) of each lossless one.
        unmapped: The fields that the model does not know, canonical Extended JSON; None without any.
        document: The whole as it must stand in the books, where rejected.
        besides: (field, reason) of what a rejected document would lose, too.
        accepted_by: What accepts or defers a rejection, as ``acceptance_text`` writes it.
    """

    id: bytes
    source_id: str
    row: Mapping[str, Any] = field(default_factory=dict)
    rejections: tuple[tuple[str | None, str], ...] = ()
    lines: tuple[Line, ...] = ()
    conversions: tuple[tuple[str, str], ...] = ()
    unmapped: str | None = None
    document: str = ""
    besides: tuple[tuple[str, str], ...] = ()
    accepted_by: str | None = None

    def rejection(self) -> tuple[str | None, str | None]:
        """Returns field and reason as they must stand in the books; no reason where it cannot be read."""
        name, reason = self.rejections[0]
        if name is None:
            return None, None
        if len(self.rejections) > 1:
            name = ", ".join(dict.fromkeys(str(each) for each, _ in self.rejections))
            reason = "; ".join(f"{each}: {why}" for each, why in self.rejections)
        if self.besides:
            said = "; ".join(f"{each}: {why}" for each, why in dict.fromkeys(self.besides))
            reason = f"{reason} (besides, {said})"
        return name, reason


@dataclass(frozen=True, slots=True)
class ArrayJudgement:
    """What must have become of an array of a relation.

    Attributes:
        ids: What its elements point to, in order, repeats included.
        lines: The elements that are no pair, as they must stand in the books.
        conversions: Kinds of lossless conversions, one each.
    """

    ids: tuple[bytes, ...] = ()
    lines: tuple[Line, ...] = ()
    conversions: tuple[str, ...] = ()


class Judge:
    """Judges the documents of one collection, each once or more, the first time in `_id` order."""

    def __init__(self, table: sa.Table, ids: Ids, rules: JudgedRules = NO_RULES) -> None:
        self._rules = rules
        self._table = table.name
        self._ids = ids
        self._sources = {
            name: source for name, source in sources(table).items() if source.rule is not Rule.KEY
        }
        self._of_fields = {source.field: source for source in self._sources.values()}
        self._known = fields(table)
        self._owners: dict[str, dict[Any, bytes]] = {name: {} for name in unique_columns(table)}

    def judge(self, document: bytes) -> Judgement:
        """Returns what must have become of a document given as BSON."""
        identifier = identifier_of(document)
        key, source_id = uuid_of(self._table, identifier), source_id_of(identifier)
        try:
            given = bson.read_whole(document)
        except UnreadableError as error:
            whole = canonical((bson.BINARY, (0, document)))
            return Judgement(
                key,
                source_id,
                rejections=((None, str(error)),),
                document=whole,
                accepted_by=acceptance_text(
                    *self._rules.document_accepted_by(source_id, [(None, None)])
                ),
            )
        return self._readable(key, source_id, given, identifier)

    def _readable(self, key: bytes, source_id: str, given: Fields, identifier: Value) -> Judgement:
        remedied, changes = self._rules.remedied(given, source_id)
        values = dict(remedied)
        row: dict[str, Any] = {}
        notes: list[tuple[str, Note]] = []
        rejections: list[tuple[str | None, str]] = []
        for column, source in self._sources.items():
            row[column], found, refusal = self._column(source, values.get(source.field), identifier)
            notes += [(source.field, note) for note in found]
            if refusal is not None:
                rejections.append((source.field, refusal))
        rejections += self._repeats(key, row, is_rejected=bool(rejections))
        done = [Line(each.field, REMEDIATED, each.element, each.text()) for each in changes]
        if rejections:
            wrong = [(name, values.get(str(name))) for name, _ in rejections]
            return Judgement(
                key,
                source_id,
                rejections=tuple(rejections),
                lines=tuple(done),
                document=canonical_document(given),
                besides=tuple(
                    (name, reasons.of_loss(self._of_fields[name], note.kind, note.original))
                    for name, note in notes
                    if note.kind not in LOSSLESS
                ),
                accepted_by=acceptance_text(*self._rules.document_accepted_by(source_id, wrong)),
            )
        unknown = [(name, value) for name, value in remedied if name not in self._known]
        return Judgement(
            key,
            source_id,
            row,
            lines=(
                *done,
                *(
                    self._line(source_id, name, values[name], note)
                    for name, note in notes
                    if note.kind not in LOSSLESS
                ),
            ),
            conversions=tuple((name, note.kind) for name, note in notes if note.kind in LOSSLESS),
            unmapped=canonical_document(unknown) if unknown else None,
        )

    def _line(self, source_id: str, name: str, value: Value, note: Note) -> Line:
        element = [] if note.element is None else [note.original]
        accepted_by = self._rules.accepted_by(source_id, name, value, *element)
        reason = reasons.of_loss(self._of_fields[name], note.kind, note.original)
        return Line(name, note.kind, note.element, canonical(note.original), accepted_by, reason)

    def _column(
        self, source: Source, value: Value | None, identifier: Value
    ) -> tuple[Any, list[Note], str | None]:
        """Returns what a column must hold, what happened to the value, and why it cannot be."""
        if value is None or value[0] in _NULLISH:
            return _missing(source, identifier)
        if source.rule in _ELEMENT_RULES:
            elements, notes = _array(value, _ELEMENT_RULES[source.rule], source, self._ids)
            return elements, notes, None
        result, kind = _RULES[source.rule](value, source, self._ids)
        is_nullable = source.missing is Missing.NULL
        if result is None and not is_nullable:
            return None, [], reasons.of_loss(source, kind or _UNFIT, value)
        if kind is None:
            return result, [], None
        return result, [Note(NULLED if kind == _UNFIT else kind, None, value)], None

    def _repeats(
        self, key: bytes, row: Mapping[str, Any], *, is_rejected: bool
    ) -> list[tuple[str | None, str]]:
        """Returns the unique columns whose value an earlier document has that became a row (section 5)."""
        found: list[tuple[str | None, str]] = []
        for column, owners in self._owners.items():
            if row[column] is None:
                continue
            owner = owners.get(row[column], key)
            if owner != key:
                found.append((column, reasons.NOT_UNIQUE))
            elif not is_rejected:
                owners[row[column]] = key
        return found


def acceptance_text(rules: str | None, step: str | None) -> str | None:
    """Returns what accepts or defers a rejected document as one text, as ``books`` reads it."""
    return f"{rules} until {step}" if step else rules


def judge_array(
    value: Value | None, name: str, collection: str, known: Container[bytes], *, is_loaded: bool
) -> ArrayJudgement:
    """Returns what must have become of an array of ids of a relation (section 5).

    Args:
        value: The array; a lone value is one element.
        name: The field.
        collection: The collection that its elements point to.
        known: The ids of the rows there.
        is_loaded: Whether the document that holds it became a row.
    """
    if value is None or value[0] in _NULLISH:
        return ArrayJudgement()
    is_lone = value[0] != bson.ARRAY
    found: list[bytes] = []
    lines: list[Line] = []
    conversions = [COERCED] if is_lone else []
    for position, element in enumerate([value] if is_lone else value[1]):
        if is_null(element) or _is_empty_text(element):
            why = reasons.NULL_DROPPED if is_null(element) else reasons.EMPTY_DROPPED
            lines.append(Line(name, ALTERED, position, canonical(element), reason=why))
            continue
        pointed, is_from_text = resolved(element, collection, known) if is_loaded else (None, False)
        if pointed is None:
            why = reasons.no_row(collection) if is_loaded else reasons.HOLDER_REJECTED
            lines.append(Line(name, ORPHANED, position, canonical(element), reason=why))
            continue
        found.append(pointed)
        conversions += [COERCED] if is_from_text else []
    conversions += [REPEATED] * (len(found) - len(set(found)))
    return ArrayJudgement(tuple(found), tuple(lines), tuple(conversions))


def is_null(value: Value | None) -> bool:
    """Tells whether a field is missing or null."""
    return value is None or value[0] in _NULLISH


def iso_8601(milliseconds: int) -> str:
    """Returns a time as ISO 8601, UTC, with milliseconds; a year beyond four digits has a sign."""
    year, month, day, hour, minute, second, millisecond = moment(milliseconds)
    years = f"{year:04}" if 0 <= year <= 9999 else f"{year:+07}"
    return f"{years}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"


Result = tuple[Any, str | None]
"""A converted value, None where there is none, and what happened to it."""
_Rule = Callable[[Value, Source, Ids], Result]


def _missing(source: Source, identifier: Value) -> tuple[Any, list[Note], str | None]:
    """What stands for a missing or null value (section 5, the paragraph under the table)."""
    nothing: Value = (bson.NULL, None)
    if source.missing is Missing.NULL:
        return None, [], None
    if source.missing is Missing.EMPTY_ARRAY:
        return [], [], None
    if source.missing is Missing.DEFAULT:
        return source.default, [Note(DEFAULTED, None, nothing)], None
    if source.missing is Missing.OBJECT_ID_TIME and identifier[0] == bson.OBJECT_ID:
        milliseconds = int.from_bytes(identifier[1][:4], "big") * 1000
        derived = iso_8601(milliseconds) if source.rule is Rule.TEXT else milliseconds
        return derived, [Note(DERIVED, None, nothing)], None
    return None, [], reasons.MISSING


def _array(value: Value, rule: _Rule, source: Source, ids: Ids) -> tuple[list[Any], list[Note]]:
    """An array element by element; a lone value is one element, what does not fit is dropped."""
    notes: list[Note] = []
    elements: list[Value] = value[1]
    if value[0] != bson.ARRAY:
        elements = [value]
        notes.append(Note(COERCED, None, value))
    kept = []
    for position, element in enumerate(elements):
        result, kind = (None, _UNFIT) if is_null(element) else rule(element, source, ids)
        if result is not None:
            kept.append(result)
        elif kind != ORPHANED:
            kind = ALTERED
        if kind is not None:
            notes.append(Note(kind, position, element))
    return kept, notes


def _text(value: Value, source: Source, ids: Ids) -> Result:
    del ids
    kind, data = value
    if kind in _TEXTUAL:
        if reasons.too_long(source, value) is not None:
            return None, _UNFIT
        return (data, None) if "\x00" not in data else (data.replace("\x00", "\ufffd"), ALTERED)
    as_text = _as_text(kind, data)
    return (None, _UNFIT) if as_text is None else (as_text, COERCED)


def _as_text(kind: int, data: Any) -> str | None:
    match kind:
        case bson.INT32 | bson.INT64:
            return str(data)
        case bson.DOUBLE if math.isfinite(data):
            return repr(data).removesuffix(".0")
        case bson.BOOLEAN:
            return "true" if data else "false"
        case bson.DECIMAL128 if data[-1].isdigit():
            return str(data)
        case bson.OBJECT_ID:
            return str(data.hex())
        case bson.DATE:
            return iso_8601(data)
        case _:
            return None


def _integer(value: Value, source: Source, ids: Ids) -> Result:
    del ids
    kind, data = value
    number = digits(data) if kind in _TEXTUAL else integral(value)
    limit = _RANGES[source.rule]
    if number is None or not -limit <= number < limit:
        return None, _UNFIT
    if kind in (bson.INT32, bson.INT64):
        return number, None
    is_altered = str(number) != data if kind in _TEXTUAL else is_negative_zero(value)
    return number, ALTERED if is_altered else COERCED


def _boolean(value: Value, source: Source, ids: Ids) -> Result:
    del source, ids
    kind, data = value
    if kind == bson.BOOLEAN:
        return data, None
    if kind in _TEXTUAL:
        return (data == "true", COERCED) if data in ("true", "false") else (None, _UNFIT)
    number = integral(value)
    return (number == 1, COERCED) if number in (0, 1) else (None, _UNFIT)


def _timestamp(value: Value, source: Source, ids: Ids) -> Result:
    del source, ids
    kind, data = value
    happened: str | None = COERCED
    if kind == bson.DATE:
        milliseconds, happened = data, None
    elif kind in _TEXTUAL:
        milliseconds, is_whole = from_iso_8601(data)
        happened = COERCED if is_whole else ALTERED
    else:
        milliseconds = integral(value)
    if milliseconds is None or not FIRST_TIMESTAMP <= milliseconds <= LAST_TIMESTAMP:
        return None, _UNFIT
    return milliseconds, happened


def _enum(value: Value, source: Source, ids: Ids) -> Result:
    del ids
    kind, data = value
    return (data, None) if kind in _TEXTUAL and data in source.labels else (None, _UNFIT)


def _json(value: Value, source: Source, ids: Ids) -> Result:
    del source, ids
    structure = relaxed(value)
    cleaned = storable(structure)
    return cleaned, None if cleaned == structure else ALTERED


def _is_empty_text(value: Value) -> bool:
    return value[0] in _TEXTUAL and not value[1]


def _reference(value: Value, source: Source, ids: Ids) -> Result:
    if _is_empty_text(value):
        return None, COERCED
    collection = str(source.references)
    one = only_id(value)
    found, is_from_text = resolved(one or value, collection, ids.rows[collection])
    if found is not None:
        return found, COERCED if is_from_text or one else None
    return None, ORPHANED


def _reference_text(value: Value, source: Source, ids: Ids) -> Result:
    if _is_empty_text(value):
        return "", None
    collection = str(source.references)
    found, _ = resolved(value, collection, ids.documents[collection])
    if found is not None:
        return str(uuid.UUID(bytes=found)), None
    kept, _ = _text(value, source, ids)
    return (None, _UNFIT) if kept is None else (kept, ORPHANED)


_RULES: Mapping[Rule, _Rule] = {
    Rule.TEXT: _text,
    Rule.INTEGER: _integer,
    Rule.BIGINT: _integer,
    Rule.BOOLEAN: _boolean,
    Rule.TIMESTAMP: _timestamp,
    Rule.ENUM: _enum,
    Rule.JSON: _json,
    Rule.REFERENCE: _reference,
    Rule.REFERENCE_TEXT: _reference_text,
}

_ELEMENT_RULES: Mapping[Rule, _Rule] = {
    Rule.TEXT_ARRAY: _text,
    Rule.REFERENCE_ARRAY: _reference,
    Rule.REFERENCE_TEXT_ARRAY: _reference_text,
}
"""The rule of each element of an array."""
