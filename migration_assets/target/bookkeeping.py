"""The bookkeeping tables, schema `migration` of the target database (section 6).

Every table here names the asset (`target_table`) that wrote a row, so that materializing a table again
replaces its own books and nobody else's. Originals are canonical Extended JSON in text columns, since
jsonb cannot hold every BSON value.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

SCHEMA = "migration"
STAGING_SCHEMA = "migration_staging"

BOOKKEEPING = sa.MetaData(
    schema=SCHEMA,
    naming_convention={"pk": "%(table_name)s_pkey", "ix": "%(table_name)s_%(column_0_N_name)s_idx"},
)


def _by_source_id(book: str) -> sa.Index:
    """Returns the index by which the lines of a batch of documents are found.

    Of hashes: a B-tree holds no `_id` of more than 2,704 bytes.
    """
    return sa.Index(f"{book}_source_id_idx", "source_id", postgresql_using="hash")


uuid_map = sa.Table(
    "uuid_map",
    BOOKKEEPING,
    sa.Column("collection", sa.Text(), primary_key=True),
    sa.Column("id", pg.UUID(), primary_key=True),
    sa.Column("source_id", sa.Text(), nullable=False),
    comment="The UUID of every document. The primary key proves that the map is one-to-one.",
)

rejected_documents = sa.Table(
    "rejected_documents",
    BOOKKEEPING,
    sa.Column("target_table", sa.Text(), nullable=False, index=True),
    sa.Column("collection", sa.Text(), nullable=False),
    sa.Column("source_id", sa.Text(), nullable=False),
    sa.Column(
        "field", sa.Text(), comment="all that are wrong; NULL where the document cannot be read"
    ),
    sa.Column("reason", sa.Text(), nullable=False),
    sa.Column("document", sa.Text(), nullable=False, comment="canonical Extended JSON"),
    sa.Column("accepted_by", sa.Text(), comment="the remediations that accept or defer it"),
    sa.Column("deferred_until", sa.Text(), comment="the later step that it waits for"),
    _by_source_id("rejected_documents"),
    comment="Documents that did not become a row, whole.",
)

issues = sa.Table(
    "issues",
    BOOKKEEPING,
    sa.Column("target_table", sa.Text(), nullable=False, index=True),
    sa.Column("collection", sa.Text(), nullable=False),
    sa.Column("source_id", sa.Text(), nullable=False),
    sa.Column("field", sa.Text(), nullable=False),
    sa.Column("kind", sa.Text(), nullable=False),
    sa.Column("element", sa.Integer(), comment="position in the array, from 0"),
    sa.Column("reason", sa.Text(), nullable=False),
    sa.Column("original", sa.Text(), nullable=False, comment="canonical Extended JSON"),
    sa.Column("accepted_by", sa.Text(), comment="the remediation that accepts it"),
    sa.CheckConstraint("kind IN ('altered', 'nulled', 'orphaned')", name="issues_kind_check"),
    _by_source_id("issues"),
    comment="Lossy conversions, one row each, with the original value.",
)

conversions = sa.Table(
    "conversions",
    BOOKKEEPING,
    sa.Column("target_table", sa.Text(), primary_key=True),
    sa.Column("collection", sa.Text(), primary_key=True),
    sa.Column("field", sa.Text(), primary_key=True),
    sa.Column("kind", sa.Text(), primary_key=True),
    sa.Column("reason", sa.Text(), primary_key=True),
    sa.Column("count", sa.BigInteger(), nullable=False),
    comment="Lossless conversions, counted.",
)

unmapped_fields = sa.Table(
    "unmapped_fields",
    BOOKKEEPING,
    sa.Column("target_table", sa.Text(), nullable=False, index=True),
    sa.Column("collection", sa.Text(), nullable=False),
    sa.Column("source_id", sa.Text(), nullable=False),
    sa.Column("fields", sa.Text(), nullable=False, comment="canonical Extended JSON"),
    _by_source_id("unmapped_fields"),
    comment="Fields that the model does not know, kept.",
)

remediations = sa.Table(
    "remediations",
    BOOKKEEPING,
    sa.Column("target_table", sa.Text(), nullable=False, index=True),
    sa.Column("collection", sa.Text(), nullable=False),
    sa.Column("source_id", sa.Text(), nullable=False),
    sa.Column("field", sa.Text(), nullable=False),
    sa.Column("rule", sa.Text(), nullable=False, comment="its name in the file"),
    sa.Column("element", sa.Integer(), comment="position in the array of the source, from 0"),
    sa.Column("original", sa.Text(), comment="canonical Extended JSON, NULL where missing"),
    sa.Column("replacement", sa.Text(), comment="canonical Extended JSON, NULL where dropped"),
    _by_source_id("remediations"),
    comment="Values that a remediation changed before conversion, with the original.",
)

pending_deletes = sa.Table(
    "pending_deletes",
    BOOKKEEPING,
    sa.Column("target_table", sa.Text(), primary_key=True),
    sa.Column("id", pg.UUID(), primary_key=True),
    comment="Rows whose document is gone, kept until no row of another table refers to them.",
)

loads = sa.Table(
    "loads",
    BOOKKEEPING,
    sa.Column("id", pg.UUID(), primary_key=True),
    sa.Column("target_table", sa.Text(), nullable=False, index=True),
    sa.Column("started_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("finished_at", sa.TIMESTAMP(timezone=True), comment="NULL until merged"),
    sa.Column("plan", sa.Text(), nullable=False, comment="what the rows depend on, as a digest"),
    sa.Column("removals", sa.Text(), comment="what its references lost, as a digest"),
    sa.Column("remediations", sa.Text(), nullable=False, comment="their digest, empty for none"),
    sa.Column("program", sa.Text(), comment="what converted, as a digest"),
    sa.Column("base", pg.UUID(), comment="the load whose documents it knows, NULL for none"),
    sa.Column("version", pg.UUID(), comment="the load that last changed a row, NULL until merged"),
    sa.Column("fingerprints", pg.JSONB(), nullable=False, comment="by collection"),
    sa.Column("source", pg.JSONB(), comment="database, hosts, and UUIDs of collections by name"),
    sa.Column("statistics", pg.JSONB(), nullable=False),
    sa.Column("documents", sa.Text(), comment="what was read, as a digest, NULL until merged"),
    sa.Column("rows_mark", sa.Text(), comment="changes when a row is touched, NULL until merged"),
    sa.Column("books_mark", sa.Text(), comment="the same for its books"),
    sa.Column("transaction", sa.BigInteger(), comment="that merged, counted in 64 bits"),
    comment="The ledger of loads: one row each time a table was brought to the source's state.",
)

batches = sa.Table(
    "batches",
    BOOKKEEPING,
    sa.Column("load_id", pg.UUID(), primary_key=True),
    sa.Column("number", sa.Integer(), primary_key=True),
    sa.Column("range", pg.JSONB(), nullable=False, comment="the collection, and which _ids"),
    sa.Column("lines", sa.BigInteger(), comment="rows and books, NULL until committed"),
    sa.Column("digest", sa.Text(), comment="documents, bytes, and the sums of their digests"),
    sa.Column("bytes_digest", sa.Text(), comment="of all bytes in the order of _id"),
    sa.Column("tally", pg.JSONB()),
    sa.Column("committed_at", sa.TIMESTAMP(timezone=True), comment="NULL until then"),
    comment="The ledger of ranges: each commits together with its rows in staging.",
)

document_digests = sa.Table(
    "document_digests",
    BOOKKEEPING,
    sa.Column("load_id", pg.UUID(), primary_key=True),
    sa.Column("number", sa.Integer(), primary_key=True),
    sa.Column("target_table", sa.Text(), nullable=False),
    sa.Column("keys", sa.LargeBinary(), nullable=False, comment="UUIDs, 16 bytes each"),
    sa.Column("digests", sa.LargeBinary(), nullable=False, comment="16 bytes each, zeros for none"),
    comment="What tells the next load of a table which documents are others, a row for each range.",
)

check_results = sa.Table(
    "check_results",
    BOOKKEEPING,
    sa.Column("target_table", sa.Text(), primary_key=True),
    sa.Column("check_name", sa.Text(), primary_key=True),
    sa.Column("load_id", pg.UUID(), comment="the load that was checked"),
    sa.Column("passed", sa.Boolean(), nullable=False),
    sa.Column("severity", sa.Text(), nullable=False),
    sa.Column("summary", sa.Text(), nullable=False),
    sa.Column("evidence", pg.JSONB(), nullable=False, comment="keys and counts, never values"),
    sa.Column("evaluated_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("versions", pg.JSONB(), comment="of the tables that its ids point to, by name"),
    sa.Column("rows_mark", sa.Text(), comment="of the rows that were checked, as in loads"),
    sa.Column("books_mark", sa.Text(), comment="the same for its books"),
    comment="The latest result of every check.",
)

sign_offs = sa.Table(
    "sign_offs",
    BOOKKEEPING,
    sa.Column("signed_at", sa.TIMESTAMP(timezone=True), primary_key=True),
    sa.Column("verdict", sa.Text(), nullable=False),
    sa.Column("report", pg.JSONB(), nullable=False),
    sa.Column("approver", sa.Text(), comment="NULL where nobody has signed"),
    sa.Column("role", sa.Text()),
    sa.Column("decision", sa.Text(), comment="approve or decline"),
    sa.Column("waivers", pg.JSONB(), comment="with the findings that they are for"),
    sa.Column("digest", sa.Text(), comment="SHA-256 of the canonical form of the report"),
    sa.Column("withdrawn_at", sa.TIMESTAMP(timezone=True), comment="NULL while a GO stands"),
    sa.Column("withdrawn_by", sa.Text()),
    sa.Column("withdrawal_reason", sa.Text()),
    comment="Every sign-off, GO or NO-GO.",
)

runs = sa.Table(
    "runs",
    BOOKKEEPING,
    sa.Column("id", pg.UUID(), primary_key=True, comment="as Dagster has it"),
    sa.Column("held_as", sa.Text(), nullable=False, comment="runs of one hold let each other in"),
    sa.Column("state", sa.Text(), nullable=False, comment="running, ended or interrupted"),
    sa.Column("started_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("heartbeat_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("held_until", sa.TIMESTAMP(timezone=True), comment="for the next step"),
    sa.Column("ended_at", sa.TIMESTAMP(timezone=True), comment="NULL until then"),
    sa.Column("moment", sa.Text(), comment="of the source, seconds and operation; NULL for none"),
    comment="The runs: one at a time holds the target, between its steps too.",
)

created_objects = sa.Table(
    "created_objects",
    BOOKKEEPING,
    sa.Column("kind", sa.Text(), primary_key=True),
    sa.Column("schema", sa.Text(), primary_key=True, comment="empty where it is in no schema"),
    sa.Column("name", sa.Text(), primary_key=True),
    sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.func.now()),
    comment="What this project created in the database: what a rollback removes, and nothing else.",
)

monitoring_samples = sa.Table(
    "monitoring_samples",
    BOOKKEEPING,
    sa.Column("taken_at", sa.TIMESTAMP(timezone=True), primary_key=True),
    sa.Column("database_bytes", sa.BigInteger(), nullable=False),
    sa.Column("status", sa.Text(), nullable=False, comment="the worst of the KPIs"),
    sa.Column("kpis", pg.JSONB(), nullable=False, comment="value and status of each, by name"),
    sa.Column("counters", pg.JSONB(), nullable=False, comment="what was counted, by name"),
    sa.Column(
        "statements", pg.JSONB(), comment="calls and milliseconds by id, of the newest sample only"
    ),
    comment="The history of monitoring after go-live.",
)

BOOKS: tuple[sa.Table, ...] = (
    rejected_documents,
    issues,
    conversions,
    unmapped_fields,
    remediations,
)
"""What a load writes about its documents; replaced when the table is loaded again."""


def staged_name(book: str) -> str:
    """Returns the name of the table in ``migration_staging`` that stages a kind of books.

    The dot keeps it apart from the tables that stage rows, which are named as their targets.
    """
    return f"books.{book}"
