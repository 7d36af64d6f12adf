"""The conversion rules: the consequences of a column's type, stated once (section 5 of the design).

Every room that treats columns by their type derives from here. What becomes of a value stands in
``migration_assets.conversion.rules`` for the loader and, sharing nothing with it on purpose, in
``migration_assets.validation.rules`` for the judge; a rule that an application has for
itself names both records.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

_UUID = pg.UUID()


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Rule:
    """A conversion rule: one row of the table in section 5 of the design.

    Attributes:
        name: In words, as messages have it. Rules of one name are the same.
        type: The PostgreSQL type of its columns; None where each has an enum type of its own.
        accepts: The BSON types that are taken as they are, as ``$type`` names them; those of the elements
            of an array; None for all.
        refers_to_rows: It holds ids of rows, as UUIDs.
        refers_to_documents: It holds ids of documents, loaded or not, as texts.
        element: The rule of each element, where it is an array.
        loader: Where the loader's record of a rule stands that an application has for itself, as
            ``package.module:NAME``.
        judge: Where the judge's does.
    """

    name: str
    type: sa.types.TypeEngine[Any] | None = field(compare=False)
    accepts: tuple[str, ...] | None = field(compare=False)
    refers_to_rows: bool = field(default=False, compare=False)
    refers_to_documents: bool = field(default=False, compare=False)
    element: Rule | None = field(default=None, compare=False)
    loader: str = field(default="", compare=False)
    judge: str = field(default="", compare=False)

    KEY: ClassVar[Rule]
    TEXT: ClassVar[Rule]
    INTEGER: ClassVar[Rule]
    BIGINT: ClassVar[Rule]
    BOOLEAN: ClassVar[Rule]
    TIMESTAMP: ClassVar[Rule]
    ENUM: ClassVar[Rule]
    JSON: ClassVar[Rule]
    TEXT_ARRAY: ClassVar[Rule]
    REFERENCE: ClassVar[Rule]
    REFERENCE_ARRAY: ClassVar[Rule]
    REFERENCE_TEXT: ClassVar[Rule]
    REFERENCE_TEXT_ARRAY: ClassVar[Rule]

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Rule: {self.name!r}>"

    @property
    def is_array(self) -> bool:
        """Whether it holds many values."""
        return self.element is not None

    @property
    def is_reference(self) -> bool:
        """Whether it holds ids of other documents."""
        return self.refers_to_rows or self.refers_to_documents


def _array_of(name: str, element: Rule) -> Rule:
    return Rule(
        name,
        None if element.type is None else pg.ARRAY(element.type),
        element.accepts,
        element.refers_to_rows,
        element.refers_to_documents,
        element,
    )


Rule.KEY = Rule("key", _UUID, None)
Rule.TEXT = Rule("text", sa.Text(), ("string",))
Rule.INTEGER = Rule("integer", sa.Integer(), ("int", "long"))
Rule.BIGINT = Rule("bigint", sa.BigInteger(), ("int", "long"))
Rule.BOOLEAN = Rule("boolean", sa.Boolean(), ("bool",))
Rule.TIMESTAMP = Rule("timestamp", pg.TIMESTAMP(precision=3), ("date",))
Rule.ENUM = Rule("enum", None, ("string",))
Rule.JSON = Rule("json", pg.JSONB(), None)
Rule.REFERENCE = Rule("reference", _UUID, ("objectId",), refers_to_rows=True)
Rule.REFERENCE_TEXT = Rule(
    "reference as text",
    sa.Text(),
    ("string", "objectId"),
    refers_to_documents=True,
)
Rule.TEXT_ARRAY = _array_of("text array", Rule.TEXT)
Rule.REFERENCE_ARRAY = _array_of("reference array", Rule.REFERENCE)
Rule.REFERENCE_TEXT_ARRAY = _array_of("reference array as text", Rule.REFERENCE_TEXT)


def declared_at(path: str, noun: str = "record") -> Any:
    """Returns the object that is declared at a path.

    Args:
        path: ``package.module:NAME``.
        noun: What it is, for the message.

    Raises:
        ValueError: There is no such path, or nothing stands there.
    """
    module_name, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"there is no {noun} at {path!r}: {error}") from error
