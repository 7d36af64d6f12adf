"""Tables, indexes and foreign keys in the catalog of the target, compared with the model."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migration_assets.model import Model
from migration_assets.target import ddl
from migration_assets.target.bookkeeping import BOOKKEEPING
from migration_assets.target.connection import Connection

_DIALECT = pg.dialect()  # type: ignore[no-untyped-call]

_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""

_LABELS = """
    SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
    FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
    WHERE t.typnamespace = 'public'::regnamespace GROUP BY 1
"""

_INDEXES = """
    SELECT c.relname, pg_get_indexdef(c.oid), i.indisvalid
    FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace
"""

_FOREIGN_KEYS = """
    SELECT k.conname, t.relname, pg_get_constraintdef(k.oid), k.convalidated
    FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
    WHERE k.contype = 'f' AND t.relnamespace = 'public'::regnamespace
"""

_OBSTACLES = """
    WITH ours AS (
      SELECT c.*, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname AS name
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'public' AND c.relname = ANY(%(tables)s) AND c.relkind NOT IN ('i', 'I', 'S', 't')
         OR n.nspname = 'migration' AND c.relkind IN ('r', 'p')
    )
    SELECT name, 'is a ' || CASE relkind WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
             WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'type' END, 'kind'
    FROM ours WHERE relkind <> 'r'
    UNION ALL
    SELECT name, 'belongs to the role ' || pg_get_userbyid(relowner), 'owner'
    FROM ours WHERE relkind = 'r' AND NOT pg_has_role(relowner, 'USAGE')
    UNION ALL
    SELECT name, 'is unlogged: a crash empties it', 'unlogged'
    FROM ours WHERE relkind = 'r' AND relpersistence <> 'p'
    UNION ALL
    SELECT name, 'is kept by the access method ' || amname, 'kind'
    FROM ours JOIN pg_am a ON a.oid = relam WHERE amname <> 'heap'
    UNION ALL
    SELECT name, CASE inhrelid WHEN oid THEN 'inherits from ' || inhparent::regclass
                 ELSE 'has the child ' || inhrelid::regclass END, 'inheritance'
    FROM ours JOIN pg_inherits ON oid IN (inhrelid, inhparent)
    UNION ALL
    SELECT name, 'has the trigger ' || tgname, 'trigger'
    FROM ours JOIN pg_trigger ON tgrelid = ours.oid
    WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & 28 <> 0
    UNION ALL
    SELECT name, 'has the rule ' || rulename, 'rule'
    FROM ours JOIN pg_rewrite ON ev_class = ours.oid
    WHERE rulename <> '_RETURN' AND ev_enabled IN ('O', 'A')
    UNION ALL
    SELECT name, 'has row-level security for this role', 'security'
    FROM ours WHERE relkind IN ('r', 'p') AND row_security_active(oid)
    UNION ALL
    SELECT name, 'has the generated column ' || attname, 'generated'
    FROM ours JOIN pg_attribute ON attrelid = ours.oid
    WHERE relkind = 'r' AND (attgenerated <> '' OR attidentity = 'a') AND NOT attisdropped
    UNION ALL
    SELECT 'publication ' || pubname, 'is of all tables, the bookkeeping among them', 'publication'
    FROM pg_publication WHERE puballtables
    UNION ALL
    SELECT 'publication ' || pubname, 'is of the schema ' || nspname, 'publication'
    FROM pg_publication_namespace JOIN pg_publication p ON p.oid = pnpubid
      JOIN pg_namespace n ON n.oid = pnnspid
    WHERE nspname IN ('migration', 'migration_staging')
    UNION ALL
    SELECT name, 'is published by ' || pubname || ' without a replica identity', 'identity'
    FROM pg_publication_rel JOIN pg_publication p ON p.oid = prpubid JOIN ours ON ours.oid = prrelid
    WHERE (pubupdate OR pubdelete) AND (relreplident = 'n' OR relreplident = 'd' AND NOT EXISTS (
      SELECT FROM pg_index WHERE indrelid = ours.oid AND indisprimary))
    ORDER BY 1, 2
"""

_ADDITIONS = """
    WITH ours AS (SELECT c.oid, c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
                  AND c.relkind = 'r' AND c.relname = ANY(%(tables)s))
    SELECT format('%%s of %%s', conname, relname) FROM pg_constraint JOIN ours ON ours.oid = conrelid
    WHERE contype IN ('c', 'x', 'f') AND conname <> ALL(%(names)s)
    UNION
    SELECT format('%%s of %%s', c.relname, ours.relname) FROM pg_index JOIN ours ON ours.oid = indrelid
    JOIN pg_class c ON c.oid = indexrelid
    WHERE indisunique AND NOT indisprimary AND c.relname <> ALL(%(names)s)
    UNION
    SELECT format('%%s, from %%s to %%s', conname, conrelid::regclass, relname)
    FROM pg_constraint JOIN ours ON ours.oid = confrelid
    WHERE contype = 'f' AND conrelid NOT IN (SELECT oid FROM ours)
    ORDER BY 1
"""

_PRIMARY_KEYS = """
    SELECT c.relname, ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY u (attnum, place)
                            JOIN pg_attribute USING (attnum) WHERE attrelid = c.oid ORDER BY place)
    FROM pg_class c LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname = ANY(%s)
"""

WAYS_OUT = {
    "kind": "Give an empty database, or put the table right",
    "owner": "Run as that role (a member of it: options=-c%20role%3D… in the URL), or REASSIGN OWNED BY it",
    "unlogged": "ALTER TABLE … SET LOGGED",
    "inheritance": "ALTER TABLE … NO INHERIT …",
    "trigger": "ALTER TABLE … DISABLE TRIGGER … until the sign-off",
    "rule": "ALTER TABLE … DISABLE RULE … until the sign-off",
    "security": "ALTER TABLE … NO FORCE ROW LEVEL SECURITY and run as the owner, or give the role BYPASSRLS",
    "generated": "Make it a plain column: ALTER TABLE … ALTER … DROP EXPRESSION, or DROP IDENTITY",
    "publication": "Make it FOR TABLES IN SCHEMA public (the bookkeeping holds originals of secret fields), "
    "or drop it until the sign-off",
    "identity": "ALTER TABLE … REPLICA IDENTITY FULL, or take it out of the publication",
    "key": "Give it the primary key of the model, or give an empty database",
}
"""What to do about each kind of obstacle."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A trigger, rule or constraint of a table that would change the loaded rows, or refuse them.

    Attributes:
        what: The table, and what is on it.
        way_out: What to do about it.
    """

    what: str
    way_out: str


_SPELLING = re.compile(r"""["()\s]|\bIF NOT EXISTS\b|\bUSING btree\b|\bpublic\.|::text\b""")
"""What PostgreSQL writes otherwise than we do, though it means the same."""


def missing_constraints(model: Model, connection: Connection) -> list[str]:
    """Returns the names of the indexes and foreign keys that the target does not have yet.

    An index whose build was interrupted, and that PostgreSQL does not use, counts as missing.
    """
    present = {name for name, _, is_valid in connection.execute(_INDEXES) if is_valid}
    present |= {name for name, *_ in connection.execute(_FOREIGN_KEYS)}
    return [name for name in ddl.constraints(model) if name not in present]


def differing_constraints(model: Model, connection: Connection) -> dict[str, str]:
    """Returns the indexes and foreign keys that have the name of one of the model, but are another.

    A foreign key that was added without a check of the existing rows (``NOT VALID``) counts as different.

    Returns:
        What each is in the target, as PostgreSQL writes it, by name.
    """
    expected = {name: _essence(statement) for name, statement in ddl.indexes(model).items()}
    differing = {
        name: definition
        for name, definition, is_valid in connection.execute(_INDEXES)
        if is_valid and name in expected and _essence(definition) != expected[name]
    }
    keys = {ddl.name_of(key): key for key in ddl.foreign_key_constraints(model)}
    for name, table, definition, is_valid in connection.execute(_FOREIGN_KEYS):
        if name not in keys:
            continue
        key = keys[name]
        is_same = table == key.table.name and _essence(definition) == _essence(_foreign_key(key))
        if not is_same or not is_valid:
            differing[name] = f"on {table}: {definition}"
    return differing


def is_unbounded(model: Model, name: str, definition: str) -> bool:
    """Tells whether an index is an addition as earlier versions built it, which could refuse a value."""
    former = ddl.unbounded_search_indexes(model).get(name)
    return former is not None and _essence(definition) == _essence(former)


def _foreign_key(key: sa.ForeignKeyConstraint) -> str:
    """Returns a foreign key as PostgreSQL writes it, but for the spelling."""
    columns = ", ".join(key.columns.keys())
    referred = ", ".join(element.column.name for element in key.elements)
    actions = "".join(
        f" ON {event} {action}"
        for event, action in (("UPDATE", key.onupdate), ("DELETE", key.ondelete))
        if action not in (None, "NO ACTION")
    )
    return f"FOREIGN KEY ({columns}) REFERENCES {key.referred_table.name}({referred}){actions}"


def _essence(definition: str) -> str:
    return _SPELLING.sub("", definition.replace("COALESCE", "coalesce"))


def differences(
    model: Model, connection: Connection, tables: Collection[str] | None = None
) -> list[str]:
    """Returns in words how the columns and enums of the target differ from the model.

    Args:
        model: The application's tables.
        connection: A connection to the target.
        tables: Names of tables, all where None; where it is not all of them, enums that are missing are no
            difference.
    """
    tables = model.tables if tables is None else tables
    columns: dict[tuple[str, str], tuple[str, bool]] = {
        (table, column): (type_, not_null)
        for table, column, type_, not_null in connection.execute(_COLUMNS)
    }
    texts = []
    for table in (model.tables[name] for name in tables):
        expected = {
            column.name: (type_name(column.type), not column.nullable) for column in table.columns
        }
        actual = {column: columns[name, column] for name, column in columns if name == table.name}
        for column in expected.keys() | actual.keys():
            if expected.get(column) != actual.get(column):
                texts.append(
                    f"{table.name}.{column} is {_words(actual.get(column))}, "
                    f"not {_words(expected.get(column))}"
                )
    labels: dict[str, list[str]] = dict(connection.execute(_LABELS).fetchall())
    texts += [
        f"enum {enum.name} has other labels"
        for enum in model.enums
        if labels.get(str(enum.name), [] if len(tables) == len(model.tables) else list(enum.enums))
        != list(enum.enums)
    ]
    return sorted(texts)


def obstacles(connection: Connection, tables: Iterable[sa.Table]) -> list[Obstacle]:
    """Returns the obstacles that would change rows on their way into the tables, refuse or hide them.

    Args:
        connection: A connection to the target.
        tables: Tables of the application; those of the bookkeeping are looked at besides.
    """
    expected_keys = {
        table.name: [column.name for column in table.primary_key]
        for table in tables
        if table.metadata is not BOOKKEEPING
    }
    names = list(expected_keys)
    rows = connection.execute(_OBSTACLES, {"tables": names}).fetchall()
    hindrances = [Obstacle(f"{name} {what}", WAYS_OUT[kind]) for name, what, kind in rows]
    for name, key in connection.execute(_PRIMARY_KEYS, [names]).fetchall():
        if key != (expected := expected_keys[name]):
            what = f"{name} has {', '.join(key) or 'nothing'} as its primary key, not {', '.join(expected)}"
            hindrances.append(Obstacle(what, WAYS_OUT["key"]))
    return hindrances


def additions(model: Model, connection: Connection) -> list[str]:
    """Returns the constraints and unique indexes that the model does not have: they may refuse a row."""
    names = {"tables": list(model.tables), "names": list(ddl.constraints(model))}
    return [name for (name,) in connection.execute(_ADDITIONS, names)]


def _words(column: tuple[str, bool] | None) -> str:
    if column is None:
        return "missing"
    type_, not_null = column
    return f"{type_} NOT NULL" if not_null else type_


def type_name(type_: object) -> str:
    """Returns a type as ``format_type`` of PostgreSQL writes it."""
    if isinstance(type_, pg.ENUM):
        return _DIALECT.identifier_preparer.quote(str(type_.name))
    compiled = str(type_.compile(dialect=_DIALECT))  # type: ignore[attr-defined]
    return compiled.lower()
