"""Indexes that the application's own schema file cannot state: full text, containment, partial.

They come on top of the contract (operations, section 7). A full-text query uses its index only where
it repeats the expression and the language exactly.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SearchIndex:
    """An index written out by hand.

    Attributes:
        name: Name of the index.
        table: Table that it is on.
        definition: What follows ``ON table`` in CREATE INDEX.
    """

    name: str
    table: str
    definition: str


def full_text(table: str, *columns: str) -> SearchIndex:
    """Returns a full-text index in English over columns joined by a blank, NULL as empty."""
    joined = " || ' ' || ".join(f"""coalesce("{column}", '')""" for column in columns)
    definition = f"USING gin (to_tsvector('english'::regconfig, {joined}))"
    return SearchIndex(f"{table}_search_idx", table, definition)


def containment(table: str, column: str) -> SearchIndex:
    """Returns an index for containment queries on an array or a JSON value."""
    return SearchIndex(f"{table}_{column}_gin_idx", table, f'USING gin ("{column}")')


SEARCH_INDEXES: tuple[SearchIndex, ...] = (
    SearchIndex(
        "crm_Accounts_search_idx",
        "crm_Accounts",
        "USING gin (to_tsvector('english'::regconfig, \"name\"))",
    ),
    full_text("crm_Contacts", "first_name", "last_name"),
    full_text("crm_Leads", "firstName", "lastName", "company"),
    full_text("crm_Opportunities", "name", "description"),
    full_text("Tasks", "title", "content"),
    full_text("crm_Accounts_Tasks", "title", "content"),
    full_text("Documents", "document_name", "description"),
    full_text("Invoices", "invoice_number", "partner", "description"),
    containment("crm_Contacts", "notes"),
    containment("Tasks", "tags"),
    containment("crm_Accounts_Tasks", "tags"),
    containment("Documents", "tags"),
    containment("Invoices", "invoice_items"),
    SearchIndex(
        "Users_active_idx",
        "Users",
        '("userStatus") WHERE "userStatus" = \'ACTIVE\'::"ActiveStatus"',
    ),
)

EXTENSIONS: tuple[str, ...] = ("vector", "uuid-ossp")
"""Created where the server has them; the application uses them later, the migration does not."""
