"""A finding: what stands against a GO, or what somebody should know. Names and counts, no values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found.

    Attributes:
        table: Table that it is about; `constraints` for what is missing of them.
        what: What is wrong, in words without values.
        next_step: What to do about it.
        check: What found it: a check, or `load`, `source`, `constraints`.
        kind: What kind it is: `failed`, `missing`, `stale`, `rejected`, `nulled` and so on.
        collection: The collection whose field it is, where it is another than the table's own.
        field: The field, collection or constraint; empty where it is about the whole table.
        count: How many of them; 0 where nobody knows, as of a check that did not run.
        rule: The remediation that would resolve it, as YAML has it; empty where none would.
        rows: Which they are, as a digest of their keys and originals; empty where nobody knows.
    """

    table: str
    what: str
    next_step: str
    check: str = ""
    kind: str = ""
    field: str = ""
    count: int = 0
    rows: str = ""
    collection: str = ""
    rule: str = ""

    @property
    def about(self) -> str:
        """The field, with its collection where that is another than the table's own."""
        return ".".join(filter(None, (self.collection, self.field)))

    @property
    def id(self) -> str:
        """The name by which a waiver knows it; it stays the same from run to run, and no other has it."""
        names = (self.collection, self.field) if self.collection else (self.field,)
        about = ".".join(_part(name, ".") for name in names if name)
        parts = (_part(self.table), self.check, self.kind, about)
        return ":".join(part for part in parts if part)

    @property
    def is_waivable(self) -> bool:
        """Whether it can be waived: what has no count hides what nobody has looked at yet."""
        return self.count > 0 and bool(self.rows)


def _part(name: str, also: str = "") -> str:
    """Returns a name as a part of an id: what divides parts is written as in a URL, `%3A` for a colon."""
    return "".join(f"%{ord(letter):02X}" if letter in f"%:{also}" else letter for letter in name)
