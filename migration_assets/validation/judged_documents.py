"""Documents that are judged one by one, and held against their rows and their lines in the books."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from functools import partial

import polars as pl

from migration_assets.model import Rule, value_sources
from migration_assets.validation.comparison import compared, means_same_json
from migration_assets.validation.exact_values import REJECTED
from migration_assets.validation.expected import SOURCE_ID
from migration_assets.validation.findings import Comparison, What
from migration_assets.validation.identities import object_id_text
from migration_assets.validation.judge import Judge, Judgement
from migration_assets.validation.judged_remediations import JudgedRules
from migration_assets.validation.judging import JudgedDocument, Judging
from migration_assets.validation.known_ids import known_references
from migration_assets.validation.postgres_text import uuid_text
from migration_assets.validation.recorded_lines import Lines, TableBooks
from migration_assets.validation.reference_faults import DocumentReferences, Row
from migration_assets.validation.reference_targets import reference_columns
from migration_assets.validation.rows import ComparedTable, pending
from migration_assets.validation.rules import RULES


class JudgedDocuments:
    """The slow path of the comparison of one collection.

    Attributes:
        columns: The columns of the table besides its key.
        is_same: Tells of those of them that can be written in several ways whether two texts are the same.
        known: The ids that references may point to.
        references: What is wrong with references.
        books: The lines of the table in the books.
        judging: Judges the documents.
        result: Where findings go.
    """

    def __init__(
        self,
        compared_table: ComparedTable,
        result: Comparison,
    ) -> None:
        table = compared_table.table
        self._compared_table = compared_table
        self.columns = value_sources(table)
        self.is_same = {
            name: means_same_json
            for name, source in self.columns.items()
            if source.rule is Rule.JSON
        }
        self.result = result
        self.known = known_references(compared_table.query, table)
        self.references = DocumentReferences(reference_columns(table), self.known, result)
        rules = JudgedRules(compared_table.remediations.of(table), table, self.known)
        self.books = TableBooks(compared_table, result.values, table.name)
        new_judge = partial(Judge, table, self.known, rules)
        self.judging = Judging(new_judge, self.known, rules, self.books, result)

    def compare(
        self, documents: Sequence[bytes], rows: pl.DataFrame, recorded: Lines
    ) -> pl.DataFrame:
        """Judges documents, and returns those that must have a row held against it, as ``compared``.

        Args:
            documents: The documents, as BSON.
            rows: Their rows, as far as they are there.
            recorded: Their lines in the books.
        """
        row_of = {row["id"]: row for row in rows.iter_rows(named=True)}
        judged = self.judging.judge(documents, recorded)
        for document in judged:
            self._examine(document, row_of.get(document.key))
        loaded = [document for document in judged if not document.judgement.rejections]
        texts = [
            {
                "id": document.key,
                SOURCE_ID: document.judgement.source_id,
                **self._texts(document.judgement),
            }
            for document in loaded
        ]
        expected = pl.DataFrame(texts, schema=rows.schema)
        actual = rows.join(expected.select("id"), on="id", how="semi")
        both = compared(expected, actual, ["id"], self.is_same)
        for document, line, wanted in zip(loaded, both.iter_rows(named=True), texts, strict=True):
            self._tell(document.judgement, line, wanted, row_of.get(document.key))
        return both

    def _tell(
        self, judgement: Judgement, line: Mapping[str, bool], wanted: Row, held: Row | None
    ) -> None:
        """Takes in where a document and its row differ."""
        key = uuid_text(judgement.id)
        if held is None:
            self.differ(What.MISSING_IN_TARGET, key, expected=repr(wanted), judged=judgement)
            return
        for name in (SOURCE_ID, *self.columns):
            if not line[name]:
                field = SOURCE_ID if name == SOURCE_ID else self.columns[name].field
                self.differ(What.DIFFERS, key, field, wanted[name], held[name], judged=judgement)

    def _texts(self, judgement: Judgement) -> Row:
        return {
            n: RULES[source.rule].written(judgement.row[n]) for n, source in self.columns.items()
        }

    def _examine(self, judged: JudgedDocument, row: Row | None) -> None:
        """Holds the references of a judged document against those of its row."""
        document, judgement, key, unmatched = judged
        if judgement.rejections:
            is_lost = row is None and any(line.kind == REJECTED for line in unmatched.missing)
            self.references.reject(document, judgement, is_lost=is_lost)
            if row is not None and not pending(self._compared_table, key):
                self.differ(What.MISSING_IN_SOURCE, key, actual=repr(row), judged=judgement)
                self.references.invent(key, judgement.source_id, row)
            return
        self.result.rows += 1
        if row is None:
            self.references.lose(judgement)
        else:
            self.references.compare(judgement, row, unmatched)

    def differ(
        self,
        what: What,
        key: str,
        name: str | None = None,
        expected: str | None = None,
        actual: str | None = None,
        *,
        judged: Judgement | None = None,
    ) -> None:
        """Takes in a difference."""
        self.result.values.add(
            what,
            source_id=judged.source_id if judged else object_id_text(uuid.UUID(key).bytes),
            identifier=key,
            name=name,
            expected=None if expected is None else expected.encode(),
            actual=None if actual is None else actual.encode(),
        )
