"""Documents that are judged one by one, a batch at a time, with what the books say of them.

For a collection and its table as for an array of a relation: which documents have to be judged whatever
their rows are, what they refer to, and whether each loss is on record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl

from migration_assets.validation.documents import Documents, Identities
from migration_assets.validation.findings import Comparison
from migration_assets.validation.judge import Judge, Judgement
from migration_assets.validation.judged_remediations import JudgedRules
from migration_assets.validation.known_ids import KnownReferences
from migration_assets.validation.placed_values import Mask
from migration_assets.validation.postgres_text import uuid_text
from migration_assets.validation.recorded_lines import Lines, TableBooks, Unmatched


class JudgedDocument(NamedTuple):
    """A document that was judged.

    Attributes:
        document: The document, as BSON.
        judgement: What must have become of it.
        key: UUID of its row, as text.
        unmatched: Where the books are not as they must be.
    """

    document: bytes
    judgement: Judgement
    key: str
    unmatched: Unmatched


@dataclass(slots=True)
class Judging:
    """Judges the documents of one collection.

    Attributes:
        new_judge: Makes a judge who has seen no document.
        known: The ids that references may point to.
        rules: The remediations.
        books: The lines in the books.
        result: Where lines and conversions are counted.
    """

    new_judge: Callable[[], Judge]
    known: KnownReferences
    rules: JudgedRules
    books: TableBooks
    result: Comparison
    _judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        self._judge = self.new_judge()

    def without_judging(
        self, documents: Documents, identities: Identities, recorded: Lines, candidates: Mask
    ) -> Mask:
        """Tells which candidates are neither on record nor changed by a rule."""
        are_untouched = candidates.copy()
        if recorded:
            named = pl.Series([name for name, _ in recorded], dtype=pl.String).implode()
            are_untouched &= ~identities.source_ids.is_in(named).to_numpy()
        if self.rules.changes:
            for number in np.flatnonzero(are_untouched).tolist():
                source_id = identities.source_ids[number]
                are_untouched[number] = not self.rules.touch(documents[number], source_id)
        return are_untouched

    def judge(self, documents: Sequence[bytes], recorded: Lines) -> list[JudgedDocument]:
        """Judges documents, and finds the losses that are not on record.

        Args:
            documents: The documents, as BSON.
            recorded: Their lines in the books.
        """
        self._ask(documents)
        judgements = [self._judge.judge(document) for document in documents]
        keys = [uuid_text(judgement.id) for judgement in judgements]
        expected = {
            (judgement.source_id, key): judgement.lines
            for judgement, key in zip(judgements, keys, strict=True)
        }
        unmatched = self.books.compare(expected, recorded)
        self.result.lines.update(line.kind for judgement in judgements for line in judgement.lines)
        self.result.conversions.update(
            (self.books.collection, *conversion)
            for judgement in judgements
            for conversion in judgement.conversions
        )
        of_each = [unmatched[judgement.source_id] for judgement in judgements]
        return [*map(JudgedDocument, documents, judgements, keys, of_each)]

    def _ask(self, documents: Sequence[bytes]) -> None:
        """Asks for all that documents refer to, which judging them once tells."""
        if not self.known:
            return
        # What a rule makes of a value hangs on the first answer, and refers to something else.
        for _ in range(2 if self.rules.ask_for_ids else 1):
            asking = self.new_judge()
            for document in documents:
                asking.judge(document)
            self.known.ask()
