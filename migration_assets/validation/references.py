"""Layer 3, ``references``: every reference of the source is in the target or on record, and leads somewhere.

Three questions (section 9): does an id point nowhere, did the target lose a reference that the source
has, did either side lose a pair. ``source_references`` and ``target_references`` read both sides,
``document_references`` and ``pair_references`` compare them, ``unresolved`` has the schemas that give
the verdict. Nothing of it is shared with the loader but ``identity``.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from bson import ObjectId

from migration_assets.identity import document_uuid
from migration_assets.model import junction_of
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.validation import document_references, pair_references
from migration_assets.validation import recorded_references as recorded
from migration_assets.validation import target_references as target
from migration_assets.validation.evidence import SAMPLE_SIZE, Evidence, Layer, Phases, Severity
from migration_assets.validation.remedied import JudgedRules
from migration_assets.validation.source_references import references, remedied
from migration_assets.validation.target_references import ReferenceColumn
from migration_assets.validation.unresolved import Findings, Unresolved, What

_OBJECT_ID = re.compile(r"[0-9a-f]{24}")


def check_references(
    source_database: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    *,
    remediations: Remediations = NO_REMEDIATIONS,
) -> Evidence:
    """Checks the references of an entity table, or the pairs of a junction table.

    Args:
        source_database: The source; nothing is read but ids and references.
        connection: A connection to the target, in autocommit mode.
        table: The table, loaded.
        remediations: What must have been corrected or accepted on the way.

    Returns:
        The evidence. It is not sound where a reference is not in order and not on record: only a new
        load helps. References that are on record as orphaned fail the check too, since the source's
        data is at fault; pairs that only one of their two arrays has are a warning.
    """
    findings, phases = Findings(), Phases()
    relation = junction_of(table)
    with target.snapshot(connection):
        columns = target.reference_columns(connection, table)
        if relation is not None:
            with phases.phase("leading nowhere"):
                _judge_targets(connection, table, columns, findings)
            pair_references.Comparison(
                source_database, connection, table, relation, findings, phases, remediations
            ).run()
        elif columns:
            fields = {column.field: column.rule for column in columns}
            rules = JudgedRules(rule for rule in remediations.of(table) if rule.field in fields)
            batches = remedied(references(source_database, table.name, fields), rules)
            with phases.phase("leading nowhere"):  # while the source is read
                _judge_targets(connection, table, columns, findings)
            document_references.Comparison(
                source_database, connection, table, columns, batches, findings, phases
            ).run()
        with phases.phase("books"):
            orphaned, accepted = recorded.orphaned_counts(connection, table)
            findings.counts["orphaned"] = orphaned
            if accepted:
                findings.counts["accepted"] = accepted
            _complete_sample(connection, table, findings)
    return _evidence(table, findings, phases)


def _judge_targets(
    connection: Connection,
    table: sa.Table,
    columns: Sequence[ReferenceColumn],
    findings: Findings,
) -> None:
    """Judges the ids in the target that lead nowhere, foreign key or not."""
    pending = recorded.has_pending(connection)
    for column in columns:
        if column.is_text:
            continue
        for keys, ids in target.pointing_nowhere(connection, table, column):
            findings.judge(_pointing(column, What.DANGLING, keys, ids))
        if column.references in pending:
            for keys, ids in target.pointing_to_gone(connection, table, column):
                findings.judge(_pointing(column, What.GONE, keys, ids))


def _pointing(
    column: ReferenceColumn, what: What, keys: Sequence[str], ids: Sequence[str]
) -> Iterator[Unresolved]:
    for key, pointed in zip(keys, ids, strict=True):
        yield Unresolved(
            source_id=None,
            id=" ".join(str(uuid.UUID(part)) for part in key.split()),
            field=column.field,
            what=what,
            source=pointed,
            target=pointed,
            points_to_row=False,
        )


def _complete_sample(connection: Connection, table: sa.Table, findings: Findings) -> None:
    """Names the documents of the sample, and fills it up with what is on record."""
    relation = junction_of(table)
    collection = relation.left.collection if relation is not None else table.name
    for line in findings.sample:
        if line["source_id"] is None:
            key = line["id"].split()[0]
            line["source_id"] = recorded.source_id_of(connection, collection, key)
    if findings.counts["orphaned"]:
        for holder, name, field in recorded.orphaned(connection, table, findings.room):
            findings.sample.append(
                {"source_id": name, "id": _row_of(holder, name), "field": field, "what": "orphaned"}
            )
    findings.sample += findings.asymmetric[: findings.room]


def _row_of(collection: str, name: str) -> str:
    """Returns the id of the row of a document by its source id (section 4)."""
    if _OBJECT_ID.fullmatch(name):
        return str(document_uuid(collection, ObjectId(name)))
    # The source id of any other `_id` is the text that its UUID is the hash of.
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, f"mongodb:{collection}")
    return str(uuid.uuid5(namespace, name))


def _evidence(table: sa.Table, findings: Findings, phases: Phases) -> Evidence:
    failed = findings.failed()
    is_warning = failed == {"asymmetric"}
    counts = findings.counts
    return Evidence(
        table=table.name,
        layer=Layer.REFERENCES,
        passed=not failed,
        severity=Severity.WARN if is_warning else Severity.ERROR,
        is_sound="unresolved" not in failed,
        summary=_summary(findings),
        next_step=_next_step(table, findings),
        counts={**counts, "unresolved": findings.unresolved, **findings.kinds},
        failures=findings.unresolved + counts["orphaned"] + counts["asymmetric"],
        sample=findings.sample[:SAMPLE_SIZE],
        rows=findings.keys.text(),
        seconds=phases.seconds,
    )


def _summary(findings: Findings) -> str:
    counts, said = findings.counts, []
    if findings.unresolved:
        kinds = ", ".join(f"{count} {what}" for what, count in sorted(findings.kinds.items()))
        said.append(f"{findings.unresolved} references are not in order ({kinds})")
    if counts["orphaned"]:
        said.append(f"{counts['orphaned']} references are orphaned, each on record")
    if counts["accepted"]:
        said.append(f"{counts['accepted']} orphaned references are accepted by a remediation")
    if counts["asymmetric"]:
        said.append(f"{counts['asymmetric']} pairs stand in only one of the two arrays")
    return "; ".join(said) or f"all {counts['references']} references arrived and lead to a row"


def _next_step(table: sa.Table, findings: Findings) -> str:
    if findings.unresolved:
        return "Materialize the table again, after those that it refers to"
    if findings.counts["orphaned"]:
        return (
            f"Look at migration.issues where target_table = '{table.name}' and kind = 'orphaned': "
            "correct them by a remediation and materialize the table again, or waive the finding"
        )
    if findings.counts["asymmetric"]:
        return "Nothing is lost: the table has the pairs of both arrays"
    return ""
