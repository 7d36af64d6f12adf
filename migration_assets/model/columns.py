"""Builders for the columns of the model: the PostgreSQL type and where the value comes from.

A column is a plain :class:`sqlalchemy.Column`; what SQLAlchemy has no word for (the MongoDB field, the
conversion rule, the collection that an id points to) is a :class:`Source` in ``Column.info``.
Here belongs how a column is declared. Which columns there are stands in the package of the application, such
as ``migration_assets.nextcrm``; how a value is converted stands in ``migration_assets.conversion``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migration_assets.model.rules import Rule

NOW = "CURRENT_TIMESTAMP"


class Missing(enum.StrEnum):
    """What stands for a missing or null value (section 5, the paragraph under the table)."""

    NULL = "null"
    """NULL: the column is nullable."""
    EMPTY_ARRAY = "empty array"
    """``{}``: the column is an array."""
    DEFAULT = "default"
    """The literal of :attr:`Source.default`, counted as ``defaulted``."""
    OBJECT_ID_TIME = "time of the ObjectId"
    """The time in the document's own ``_id``, counted as ``derived``."""
    REJECT = "reject"
    """Nothing can: the document is rejected."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the value of a column comes from.

    Attributes:
        field: Name of the MongoDB field, in the application's own case.
        rule: Conversion rule, section 5 of the design.
        references: Collection whose documents the ids point to.
        missing: What stands for a missing or null value.
        default: The literal for ``Missing.DEFAULT``.
        labels: The values of the enum for ``Rule.ENUM``.
        secret: The value must never be shown outside the bookkeeping.
        longest: Bytes in UTF-8 of the longest text that the indexes on the column take for certain; None
            without any. ``tables.entity`` derives it: as declared, two sources are the same without it.
    """

    field: str
    rule: Rule
    references: str | None = None
    missing: Missing = Missing.NULL
    default: str | int | bool | None = None
    labels: tuple[str, ...] = ()
    secret: bool = False
    longest: int | None = dataclass_field(default=None, compare=False)


Column = sa.Column[Any]


def source_of(column: Column) -> Source:
    """Returns the source of an entity table's column.

    Raises:
        KeyError: The column belongs to a junction table, which has no field of its own.
    """
    source: Source = column.info["source"]
    return source


def _missing(rule: Rule, default: object, *, required: bool, derived: bool) -> Missing:
    if rule.is_array:
        return Missing.EMPTY_ARRAY
    if not required:
        return Missing.NULL
    if derived:
        return Missing.OBJECT_ID_TIME
    if default is not None and default != NOW:
        return Missing.DEFAULT
    return Missing.REJECT


def column(
    name: str,
    rule: Rule,
    *constraints: sa.ForeignKey,
    type_: sa.types.TypeEngine[Any] | None = None,
    required: bool = False,
    default: str | int | bool | None = None,
    derived: bool = False,
    index: bool = False,
    references: str | None = None,
    labels: tuple[str, ...] = (),
    secret: bool = False,
) -> Column:
    """Returns a column of any rule, one of an application's own too.

    Args:
        name: Field and column.
        rule: The conversion rule.
        constraints: Foreign keys.
        type_: The type in PostgreSQL, where the rule does not say it.
        required: NOT NULL.
        default: The literal that the schema has, and that stands for a missing value where NOT NULL.
        derived: A missing value is the time of the ObjectId.
        index: A secondary index on this column alone.
        references: Collection whose documents the ids point to.
        labels: The values of the enum.
        secret: The value must never be shown outside the bookkeeping.

    Raises:
        ValueError: No type is given.
    """
    if (type_ := type_ or rule.type) is None:
        raise ValueError(f"{name} has no type: the rule {rule} does not say one")
    source = Source(
        field=name,
        rule=rule,
        references=references,
        missing=_missing(rule, default, required=required, derived=derived),
        default=None if default == NOW else default,
        labels=labels,
        secret=secret,
    )
    return sa.Column(
        name,
        type_,
        *constraints,
        nullable=not required,
        server_default=_server_default(default),
        index=index,
        info={"source": source},
    )


def _server_default(default: str | int | bool | None) -> str | sa.TextClause | None:
    if default is None or default == NOW:
        return None if default is None else sa.text(NOW)
    if isinstance(default, str):
        return default
    return sa.text(str(default).lower())


def from_field(field: str, column: Column) -> Column:
    """Returns a column whose MongoDB field has another name: ``from_field("desc", text("description"))``."""
    column.info["source"] = replace(source_of(column), field=field)
    return column


def key() -> Column:
    """Returns ``id uuid``, the primary key, made from ``_id`` (section 4)."""
    source = Source(field="_id", rule=Rule.KEY, missing=Missing.REJECT)
    return sa.Column("id", pg.UUID(), primary_key=True, nullable=False, info={"source": source})


def version(*, required: bool = True, default: int | None = None) -> Column:
    """Returns ``__v integer``; missing where NOT NULL is 0 with or without a default in the schema."""
    counter = column("__v", Rule.INTEGER, required=required, default=default)
    if required:
        counter.info["source"] = Source("__v", Rule.INTEGER, missing=Missing.DEFAULT, default=0)
    return counter


def text(
    name: str,
    *,
    required: bool = False,
    default: str | None = None,
    derived: bool = False,
    index: bool = False,
    secret: bool = False,
) -> Column:
    """Returns a ``text`` column; ``derived`` marks a creation time that the application holds as text."""
    return column(
        name,
        Rule.TEXT,
        required=required,
        default=default,
        derived=derived,
        index=index,
        secret=secret,
    )


def integer(
    name: str, *, required: bool = False, default: int | None = None, index: bool = False
) -> Column:
    """Returns an ``integer`` column, 32 bits."""
    return column(name, Rule.INTEGER, required=required, default=default, index=index)


def bigint(
    name: str, *, required: bool = False, default: int | None = None, index: bool = False
) -> Column:
    """Returns a ``bigint`` column, 64 bits."""
    return column(name, Rule.BIGINT, required=required, default=default, index=index)


def boolean(
    name: str, *, required: bool = False, default: bool | None = None, index: bool = False
) -> Column:
    """Returns a ``boolean`` column."""
    return column(name, Rule.BOOLEAN, required=required, default=default, index=index)


def timestamp(
    name: str, *, required: bool = False, default: str | None = None, index: bool = False
) -> Column:
    """Returns a ``timestamp(3)`` column, UTC, milliseconds.

    A NOT NULL timestamp is taken for a creation or modification time: a missing one is the time of the
    ObjectId.
    """
    return column(
        name,
        Rule.TIMESTAMP,
        required=required,
        default=default,
        derived=True,
        index=index,
    )


def choice(
    name: str,
    labels: pg.ENUM,
    *,
    required: bool = False,
    default: str | None = None,
    index: bool = False,
) -> Column:
    """Returns a column of an enum type."""
    return column(
        name,
        Rule.ENUM,
        type_=labels,
        required=required,
        default=default,
        index=index,
        labels=tuple(labels.enums),
    )


def json(name: str) -> Column:
    """Returns a ``jsonb`` column that takes any BSON value."""
    return column(name, Rule.JSON)


def text_array(name: str) -> Column:
    """Returns a ``text[]`` column."""
    return column(name, Rule.TEXT_ARRAY)


def reference(
    name: str,
    collection: str,
    *,
    required: bool = False,
    foreign_key: bool = True,
    on_delete: str | None = None,
    index: bool = False,
) -> Column:
    """Returns a ``uuid`` column that holds the id of a document of another collection.

    Args:
        name: Field and column.
        collection: The collection, and so the table, that the id points to.
        required: NOT NULL.
        foreign_key: Declared in the target schema. The reference is checked either way.
        on_delete: Action of the foreign key; SET NULL where nullable, else RESTRICT.
        index: A secondary index on this column alone.
    """
    action = on_delete or ("RESTRICT" if required else "SET NULL")
    constraint = [sa.ForeignKey(f"{collection}.id", onupdate="CASCADE", ondelete=action)]
    return column(
        name,
        Rule.REFERENCE,
        *(constraint if foreign_key else []),
        required=required,
        index=index,
        references=collection,
    )


def reference_array(name: str, collection: str) -> Column:
    """Returns a ``uuid[]`` column that holds ids of documents of another collection, in order."""
    return column(
        name,
        Rule.REFERENCE_ARRAY,
        references=collection,
    )


def reference_text(name: str, collection: str, *, required: bool = False) -> Column:
    """Returns a ``text`` column that holds an id as text."""
    return column(name, Rule.REFERENCE_TEXT, required=required, references=collection)


def reference_text_array(name: str, collection: str) -> Column:
    """Returns a ``text[]`` column that holds ids as text."""
    return column(
        name,
        Rule.REFERENCE_TEXT_ARRAY,
        references=collection,
    )
