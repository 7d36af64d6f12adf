"""What is wrong with the references of one document, from what they must be and what its row holds.

The words of the check ``references``; what must be is the judge's. Here belongs no reading and no SQL.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from migration_assets.model import Rule, Source
from migration_assets.validation.counting import outline
from migration_assets.validation.exact_values import ALTERED, NULLED, ORPHANED
from migration_assets.validation.findings import Comparison, Fault
from migration_assets.validation.judge import Judgement, Line
from migration_assets.validation.known_ids import KnownIds, KnownReferences
from migration_assets.validation.postgres_text import elements, uuid_text
from migration_assets.validation.recorded_lines import Unmatched

_NO_REFERENCES = frozenset({"null", '""'})
"""Originals that are no references: they are dropped, but nothing of them leads anywhere."""
Row = Mapping[str, str | None]
"""A row: each column as PostgreSQL writes it, None for NULL."""


def is_loss(line: Line) -> bool:
    """Tells whether a line of the books is of a reference that did not arrive."""
    return line.kind in (ORPHANED, ALTERED, NULLED) and line.original not in _NO_REFERENCES


def faults(
    expected: Sequence[str],
    actual: Sequence[str | None],
    *,
    is_array: bool,
    orphans: int,
    stale: int,
    unrecorded: Sequence[Fault],
    is_absent: Callable[[str], bool],
) -> Iterator[Fault]:
    """Yields what is wrong with the references of a document in one column.

    Args:
        expected: What it must hold.
        actual: What it holds; nothing for NULL.
        is_array: Whether it holds several.
        orphans: References to nothing that must stand in the books.
        stale: Lines of the books for references that do lead somewhere.
        unrecorded: Those that do not stand in the books.
        is_absent: Tells of a UUID that nothing has it. That the row has what the source has, and it leads
            nowhere, is found by itself (``reference_targets``).
    """
    wanted, held = Counter[str | None](expected), Counter(actual)
    missing = [reference for reference in (wanted - held).elements() if reference]
    surplus = [reference for reference in (held - wanted).elements() if reference != ""]
    dangling = [
        reference for reference in surplus if orphans and reference and is_absent(reference)
    ]
    stale = min(stale, len(missing))
    lost = [Fault.STALE] * stale + [Fault.LOST] * (len(missing) - stale)
    invented = len(surplus) - len(dangling)
    if is_array:
        wrong = [*lost, *unrecorded, *[Fault.INVENTED] * invented]
        is_in_order = wanted != held or list(expected) == list(actual)
        yield from wrong or ([] if is_in_order else [Fault.DIFFERENT])
    elif invented:
        yield Fault.DIFFERENT if missing or orphans else Fault.INVENTED
    elif not dangling:
        yield from lost or unrecorded


def expected_references(value: Any) -> list[str]:
    """Returns the references in a value of a judgement, as PostgreSQL writes them."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [
        uuid_text(reference) if isinstance(reference, bytes) else str(reference)
        for reference in values
    ]


def actual_references(rule: Rule, text: str | None) -> list[str | None]:
    """Returns the references in a column of a row, given as PostgreSQL writes it."""
    if text is None:
        return []
    return elements(text) if rule.is_array else [text]


def count_in(document: bytes, name: str) -> int:
    """Returns how many references a field of a document has, readable or not."""
    value = outline(document).get(name)
    elements = value if isinstance(value, list) else [value]
    return sum(element is not None and element != "" for element in elements)


class DocumentReferences:
    """The references of the documents of a collection, held against those of their rows."""

    def __init__(
        self, columns: Mapping[str, Source], known: KnownReferences, result: Comparison
    ) -> None:
        """Takes the columns that hold references, and where they come from."""
        self._columns = {name: (source.field, source.rule) for name, source in columns.items()}
        self._of_rows = {
            name: known.rows[str(source.references)]
            for name, source in columns.items()
            if not source.rule.refers_to_documents
        }
        self._result = result

    def __bool__(self) -> bool:
        """Whether there are columns that hold references."""
        return bool(self._columns)

    def compare(self, judgement: Judgement, row: Row, unmatched: Unmatched) -> None:
        """Compares a document with its row and its lines in the books."""
        for column, (name, rule) in self._columns.items():
            expected = expected_references(judgement.row[column])
            self._count(judgement, name, rule, expected)
            known = self._of_rows.get(column)
            for fault in faults(
                expected,
                actual_references(rule, row[column]),
                is_array=rule.is_array,
                orphans=_orphans(judgement.lines, name),
                stale=_orphans(unmatched.unfounded, name),
                unrecorded=[
                    Fault.UNRECORDED
                    if rule.refers_to_documents and line.kind == ORPHANED
                    else Fault.LOST
                    for line in unmatched.missing
                    if line.field == name and is_loss(line)
                ],
                is_absent=partial(_is_absent, known),
            ):
                self._add(fault, name, uuid_text(judgement.id), judgement.source_id)

    def lose(self, judgement: Judgement) -> None:
        """Takes in a document whose row is missing."""
        for column, (name, rule) in self._columns.items():
            expected = expected_references(judgement.row[column])
            self._count(judgement, name, rule, expected)
            for _ in filter(None, expected):
                self._add(Fault.LOST, name, uuid_text(judgement.id), judgement.source_id)

    def reject(self, document: bytes, judgement: Judgement, *, is_lost: bool) -> None:
        """Takes in a document that must not become a row, lost where that is not on record."""
        for name in dict.fromkeys(name for name, _ in self._columns.values()):
            count = count_in(document, name)
            self._result.references += count
            for _ in range(count if is_lost else 0):
                self._add(Fault.LOST, name, uuid_text(judgement.id), judgement.source_id)

    def invent(self, identifier: str, source_id: str | None, row: Row) -> None:
        """Takes in a row that stands for no document."""
        for column, (name, rule) in self._columns.items():
            for _ in filter(None, actual_references(rule, row[column])):
                self._add(Fault.INVENTED, name, identifier, source_id)

    def _count(self, judgement: Judgement, name: str, rule: Rule, expected: Sequence[str]) -> None:
        self._result.references += sum(map(bool, expected))
        if not rule.refers_to_documents:  # those held as text are kept as they are
            self._result.references += _orphans(judgement.lines, name)

    def _add(self, fault: Fault, name: str, identifier: str, source_id: str | None) -> None:
        self._result.faults.add(fault, source_id=source_id, identifier=identifier, name=name)


def _orphans(lines: Iterable[Line], name: str) -> int:
    """Returns how many lines say of a field that a reference leads nowhere."""
    return sum(line.kind == ORPHANED and line.field == name for line in lines)


def _is_absent(known: KnownIds | None, identifier: str) -> bool:
    """Tells of a UUID that no row has it; references held as text are not looked for among the rows."""
    return known is not None and known.is_absent(uuid.UUID(identifier).bytes)
