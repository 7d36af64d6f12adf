"""Layer 4, ``types``: the table is defined as the model has it, and every value is of its type.

It reads the target only (section 9): first the catalog, then the table itself as PostgreSQL writes it,
chunk by chunk. Both are judged by what ``schemas`` derives from the model, so a column that somebody
altered is found by its definition and, where they do not fit, by its values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
import sqlalchemy as sa
from psycopg import sql

from migration_assets.target.connection import Connection
from migration_assets.text import counted
from migration_assets.validation.evidence import (
    Evidence,
    Layer,
    Phases,
    Severity,
)
from migration_assets.validation.findings import Comparison, TypeFindings, failing, failing_rows
from migration_assets.validation.rows import frames, snapshot, table_name
from migration_assets.validation.schemas import (
    AS_MODELLED,
    CATALOG,
    CATALOG_TYPES,
    ColumnDefinition,
    catalog_frame,
    held,
)

_COLUMNS = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           pg_get_expr(d.adbin, d.adrelid), array_position(i.indkey::int2[], a.attnum) + 1,
           (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
            FROM pg_enum e WHERE e.enumtypid = a.atttypid)
    FROM pg_attribute a
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
    WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""
_ROWS_AT_ONCE = 20_000
"""Rows that are judged at once, if they do not come in larger pieces: to call a schema takes milliseconds."""
_LITERAL = re.compile(r"'((?:[^']|'')*)'::.+", re.DOTALL)


def _of_definition(table: sa.Table, defined: Sequence[ColumnDefinition]) -> TypeFindings:
    """Returns what is wrong with the definition of a table."""
    findings = TypeFindings(columns=len(defined))
    frame = catalog_frame(table, defined)
    for line in failing(CATALOG, frame):
        for aspect in CATALOG_TYPES:
            actual, expected = line[aspect], line[f"model_{aspect}"]
            if actual != expected:
                check = f"{aspect} in the catalog"
                of_column = {"column": line["column"], "check": check}
                found = of_column | {"found": actual, "expected": expected}
                findings.note((line["column"], check), (line["column"], check, actual), found)
    return findings


@dataclass(slots=True)
class RowTypes:
    """Judges rows, so many at once.

    Attributes:
        table: The table.
        findings: Where it is told what is wrong with them.
    """

    table: sa.Table
    findings: TypeFindings
    _waiting: list[pl.DataFrame] = field(default_factory=list)
    _held: Mapping[tuple[str, str], pl.Expr] = field(default_factory=dict)

    def add(self, frame: pl.DataFrame) -> None:
        """Takes in some rows as PostgreSQL writes them, which are judged with others."""
        self._waiting.append(frame)
        if sum(frame.height for frame in self._waiting) >= _ROWS_AT_ONCE:
            self.judge()

    def judge(self) -> None:
        """Judges the rows that were taken in, each known by the columns of its key."""
        if not self._waiting:
            return
        frame = pl.concat(self._waiting)
        self._waiting.clear()
        self.findings.rows += frame.height
        self._held = self._held or held(self.table, frame.columns)
        holds = frame.select(
            condition.alias(str(n)) for n, condition in enumerate(self._held.values())
        )
        wrong = failing_rows(AS_MODELLED, holds)
        if not wrong:
            return
        keys = [column.name for column in self.table.primary_key if column.name in frame.columns]
        names = [" ".join(map(str, key)) for key in frame[wrong].select(keys).rows()]
        for (column, check), are_held in zip(self._held, holds[wrong], strict=True):
            for index in (~are_held).arg_true():
                name = names[index] if keys else ""
                line = {"id": name, "column": column, "check": check}
                self.findings.note((column, check), (name, column, check), line)


def check_types(_: object, connection: Connection, table: sa.Table) -> Evidence:
    """Checks the definition of a table and the type of every value in it.

    Args:
        _: The source database, which it does not read.
        connection: A connection to the target, in autocommit mode.
        table: The table.

    Returns:
        The evidence, with failures by column and check; it is sound only where it passed.
    """
    phases = Phases()
    with snapshot(connection):
        with phases.phase("definition"):
            defined = _definitions(connection, table)
            findings = _of_definition(table, defined)
        present = {column.column for column in defined}
        judged = [column.name for column in table.columns if column.name in present]
        if judged:
            query = sql.SQL("SELECT {} FROM {}").format(
                sql.SQL(", ").join(map(sql.Identifier, judged)), table_name(table)
            )
            with phases.phase("values"):
                rows = RowTypes(table, findings)
                for frame in frames(connection, table, query, judged):
                    rows.add(frame)
                rows.judge()
    return _evidence(table, findings, phases)


def definition_findings(connection: Connection, table: sa.Table) -> TypeFindings | None:
    """Returns what is found of the definition, to which rows add; None where these do not show their types.

    They are read as what the model says. So where the definition is another, or nothing holds, the table has
    to be read by itself.
    """
    findings = _of_definition(table, _definitions(connection, table))
    return None if findings.count else findings


def _definitions(connection: Connection, table: sa.Table) -> Sequence[ColumnDefinition]:
    """Returns how the columns of a table are defined in the target; none where it is missing."""
    name = table_name(table).as_string(connection)
    return [
        ColumnDefinition(column, type_, not_null, _default(expression), key, labels)
        for column, type_, not_null, expression, key, labels in connection.execute(_COLUMNS, [name])
    ]


def _default(expression: str | None) -> str | None:
    """Returns a default as the model has it: a literal without the cast that PostgreSQL adds."""
    literal = _LITERAL.fullmatch(expression) if expression is not None else None
    return literal[1].replace("''", "'") if literal is not None else expression


def types_evidence(table: sa.Table, comparison: Comparison, phases: Phases) -> Evidence | None:
    """Returns what a comparison says of types, None where it did not read all rows as they are."""
    return None if comparison.types is None else _evidence(table, comparison.types, phases)


def _evidence(table: sa.Table, findings: TypeFindings, phases: Phases) -> Evidence:
    """Returns what was found of types."""
    total = findings.count
    failed = {
        f"{column}: {check}": count for (column, check), count in sorted(findings.kinds.items())
    }
    columns = len({column for column, _ in findings.kinds})
    summary = f"{counted(total, 'failure')} in {counted(columns, 'column')}"
    return Evidence(
        table=table.name,
        layer=Layer.TYPES,
        passed=not total,
        severity=Severity.ERROR,
        is_sound=not total,
        summary=f"{summary}: {'; '.join(list(failed)[:3])}"
        if total
        else f"{findings.rows} rows and {findings.columns} columns are as modelled",
        next_step="Restore the definition of the table, then materialize it again" if total else "",
        counts={"columns": findings.columns, "rows": findings.rows, **failed},
        failures=total,
        sample=findings.sample,
        rows=findings.keys.text(),
        seconds=phases.seconds,
    )
