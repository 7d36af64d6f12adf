"""What the UI's catalog says of a table: description, columns, lineage, counts. Derived from the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migration_assets.assets.keys import source_key, table_key
from migration_assets.causes.recorded import Explained
from migration_assets.causes.words import follows, what
from migration_assets.errors import MigrationError
from migration_assets.loading.records import LoadResult
from migration_assets.model import junction_of, source_of
from migration_assets.remediation.rules import Remediation
from migration_assets.text import code
from migration_assets.validation.evidence import Evidence, Layer, Severity
from migration_assets.validation.pointers import DOCUMENTATION, checks_path, quoted, statements

CAUSES_SHOWN = 20
"""Causes that a check names; the report has all of them."""

Metadata = dict[str, Any]
"""What Dagster takes as metadata."""

_DIALECT = pg.dialect()  # type: ignore[no-untyped-call]


def description(table: sa.Table) -> str:
    """Returns what a table holds, in a sentence or two of Markdown."""
    relation = junction_of(table)
    if relation is None:
        return (
            f"The documents of the collection {code(table.name)}, one row each, in "
            f"{len(table.columns)} columns."
        )
    arrays = " and ".join(
        code(f"{holder.collection}.{array}") for holder, array, _ in relation.arrays()
    )
    return f"Pairs of one relation: the union of {arrays}, each pair once."


def column_schema(table: sa.Table) -> dg.TableSchema:
    """Returns the columns of a table with types, constraints and where each comes from."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type.compile(dialect=_DIALECT),
                description=_origin(table, column),
                constraints=dg.TableColumnConstraints(nullable=bool(column.nullable)),
            )
            for column in table.columns
        ]
    )


def column_lineage(table: sa.Table) -> dg.TableColumnLineage:
    """Returns for each column the fields, and the ids of other tables, that it depends on."""
    return dg.TableColumnLineage({column.name: _inputs(table, column) for column in table.columns})


def load_metadata(result: LoadResult, rules: Sequence[Remediation] = ()) -> Metadata:
    """Returns what a load did, as the metadata of its materialization: counts, seconds, rates.

    Args:
        result: What the load did.
        rules: The remediations that concern the table.
    """
    merged = result.merged
    counts: Metadata = {
        "dagster/row_count": result.rows,
        "documents": result.documents,
        "rejected": result.tally.rejected,
        "inserted": merged.inserted,
        "updated": merged.updated,
        "deleted": merged.deleted,
        "unchanged": merged.unchanged,
        "pending deletes": merged.pending,
        "documents with unknown fields": result.tally.unmapped,
        "megabytes read": round(result.size / 1e6, 3),
        "seconds": round(result.seconds, 3),
        "documents per second": round(result.rate),
    }
    if not result.is_converted:
        counts["nothing to do"] = (
            "source, rules and table are as the last load left them: all documents were read, nothing was "
            "converted or written, and its counts stand"
        )
    elif result.as_before:
        counts["documents converted"] = result.documents - result.as_before
        counts["documents as before"] = result.as_before
    if result.seconds_before:
        counts["seconds before the interruption"] = round(result.seconds_before, 3)
    if result.moment is not None:
        counts["source as of"] = result.moment
    # Dagster takes strings as names, but no enums that are strings.
    kinds = {**result.tally.lossless, **result.tally.lossy}
    counts |= {str(kind): count for kind, count in kinds.items() if count}
    counts |= {
        f"remediation {rule.name}": result.tally.remediated.get(rule.name, 0) for rule in rules
    }
    idle = [
        rule.name
        for rule in rules
        # What accepts whatever a document loses is of its own table first.
        if (rule.field or rule.collection == result.table)
        and not result.tally.remediated.get(rule.name)
    ]
    if idle:
        counts["WARN: remediations that matched nothing here"] = ", ".join(idle)
    counts |= {f"seconds: {stage}": round(spent, 3) for stage, spent in result.stages.items()}
    return counts


def check_result(
    evidence: Evidence,
    key: dg.AssetKey,
    again: str = "",
    causes: Sequence[Explained] = (),
) -> dg.AssetCheckResult:
    """Returns evidence as the result of its asset check.

    Args:
        evidence: The evidence.
        key: The asset that was checked.
        again: What to press after a correction, where that is not plain.
        causes: Of the losses on record that make it red.
    """
    metadata: Metadata = {str(name): count for name, count in evidence.counts.items()}
    metadata["failures"] = evidence.failures
    if evidence.next_step:
        metadata["what to do"] = evidence.next_step
    if again and not evidence.passed and evidence.severity is Severity.ERROR:
        metadata["what to press"] = dg.MetadataValue.md(again)
    if causes:
        metadata["causes"] = dg.MetadataValue.table(
            records=[
                dg.TableRecord(
                    {"cause": what(cause), "what follows": follows(cause), "rule": rules.text()}
                )
                for cause, rules in causes[:CAUSES_SHOWN]
            ],
            schema=dg.TableSchema(
                [dg.TableColumn(name) for name in ("cause", "what follows", "rule")]
            ),
        )
    metadata |= looking_metadata(evidence.table, evidence.layer)
    if evidence.sample:
        columns = list(dict.fromkeys(name for line in evidence.sample for name in line))
        metadata["sample"] = dg.MetadataValue.table(
            records=[
                dg.TableRecord({name: _cell(line.get(name)) for name in columns})
                for line in evidence.sample
            ],
            schema=dg.TableSchema([dg.TableColumn(name) for name in columns]),
        )
    metadata |= {f"seconds: {name}": round(spent, 3) for name, spent in evidence.seconds.items()}
    is_error = evidence.severity is Severity.ERROR
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=evidence.layer.value,
        passed=evidence.passed,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=evidence.summary,
        metadata=metadata,
    )


def check_not_run(key: dg.AssetKey, layer: Layer, error: Exception) -> dg.AssetCheckResult:
    """Returns the result of a check that an error of its step kept from running: it has failed."""
    reason = error.__cause__ if isinstance(error, dg.RetryRequested) else error
    reason_in_words = str(reason) if isinstance(reason, MigrationError) else type(reason).__name__
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=layer.value,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"the check could not run: {reason_in_words}",
        metadata=looking_metadata(key.path[-1], layer),
    )


def looking_metadata(table: str, layer: Layer) -> Metadata:
    """Returns where to look at what a check is about: its page, and SQL to copy."""
    return {
        "documentation": DOCUMENTATION[layer],
        "sql": dg.MetadataValue.md(f"```sql\n{statements(table, layer)}\n```"),
    }


def guide(table: sa.Table) -> dg.MarkdownMetadataValue:
    """Returns what to do with a table in the UI: where its checks are, what each is for, where to look."""
    name = quoted(table.name, "'")
    lines = [f"[The four checks of this table]({checks_path(table.name)}):", ""]
    lines += [f"- `{layer}`: more in `{DOCUMENTATION[layer]}`" for layer in Layer]
    lines += [
        "",
        "A red check says what to do, and has SQL to look at it. What is not as it was:",
        "",
        "```sql",
        "SELECT collection, field, kind, reason, count(*) FROM migration.issues",
        f"WHERE target_table = {name} GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC;",
        "SELECT source_id, field, reason FROM migration.rejected_documents",
        f"WHERE target_table = {name};",
        "```",
        "",
        "[The sign-off](/assets/migration/sign_off) gathers the findings of all tables: `docs/sign-off.md`.",
    ]
    return dg.MetadataValue.md("\n".join(lines))


def _cell(value: object) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else str(value or "")


def _origin(table: sa.Table, column: sa.Column[object]) -> str:
    relation = junction_of(table)
    if relation is not None:
        sides = {relation.left.column: relation.left, relation.right.column: relation.right}
        return f"id of {sides[column.name].collection}"
    source = source_of(column)
    pointing = f", points to {source.references}" if source.references else ""
    secret = ", secret" if source.secret else ""
    return f"from {code(source.field)} as {source.rule}{pointing}{secret}"


def _inputs(table: sa.Table, column: sa.Column[object]) -> list[dg.TableColumnDep]:
    relation = junction_of(table)
    if relation is not None:
        inputs = [
            dg.TableColumnDep(asset_key=source_key(holder.collection), column_name=array)
            for holder, array, _ in relation.arrays()
        ]
        sides = {relation.left.column: relation.left, relation.right.column: relation.right}
        referred = sides[column.name].collection
        return [*inputs, dg.TableColumnDep(asset_key=table_key(referred), column_name="id")]
    source = source_of(column)
    inputs = [dg.TableColumnDep(asset_key=source_key(table.name), column_name=source.field)]
    if source.references:
        key = table_key(source.references)
        inputs.append(dg.TableColumnDep(asset_key=key, column_name="id"))
    return inputs
