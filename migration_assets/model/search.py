"""Indexes that the application's own schema file cannot state: full text, containment, partial.

They come on top of the contract (operations, section 7), and none refuses a value that its table takes
(section 5 of the design): a search vector holds 1 MB and an entry of a GIN index 2,712 bytes, so long texts
are indexed as far as fits in the worst case. A query uses its index only where it repeats the expression
and the language exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

SEARCHED = 20_000
"""Characters of each column that a full-text index is made of.

A character takes 10 bytes of a search vector at most: 4 as it is, 4 again within a compound word, and its
share of a position. Three columns take 600,000 of the 1,048,575 bytes that there are.
"""

CONTAINED = 500
"""Characters of each element of an array of texts that are indexed, at most 2,000 bytes."""


@dataclass(frozen=True, slots=True)
class SearchIndex:
    """An index written out by hand.

    Attributes:
        name: Name of the index.
        table: Table that it is on.
        definition: What follows ``ON table`` in CREATE INDEX.
        unbounded: The definition of earlier versions, which could refuse a value.
    """

    name: str
    table: str
    definition: str
    unbounded: str = ""


def full_text(table: str, *columns: str) -> SearchIndex:
    """Returns a full-text index in English over up to three columns joined by a blank, NULL as empty."""

    def joined(text: str) -> str:
        return " || ' ' || ".join(f"coalesce({text.format(column)}, '')" for column in columns)

    return searched(table, joined(f'left("{{}}", {SEARCHED})'), joined('"{}"'))


def searched(table: str, bounded: str, unbounded: str) -> SearchIndex:
    """Returns a full-text index in English over two expressions: as now, and as earlier versions had it."""
    definition = "USING gin (to_tsvector('english'::regconfig, {}))"
    return SearchIndex(
        f"{table}_search_idx", table, definition.format(bounded), definition.format(unbounded)
    )


def containment(table: str, column: str) -> SearchIndex:
    """Returns an index for containment queries on a JSON value: of long texts it holds hashes."""
    return SearchIndex(f"{table}_{column}_gin_idx", table, f'USING gin ("{column}")')


def array_containment(table: str, column: str) -> SearchIndex:
    """Returns an index for containment queries on an array of texts, by how each begins."""
    bounded = f'USING gin (("{column}"::character varying({CONTAINED})[]))'
    return SearchIndex(f"{table}_{column}_gin_idx", table, bounded, f'USING gin ("{column}")')
