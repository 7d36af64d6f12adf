"""Which rows a finding is about, as a short text: a waiver is bound to it.

It is made of keys (documents, rows, fields), never of values, so it says nothing of them and is the same
for a rehearsal and for production where the same documents are at fault. The order in which they are
found does not matter, and none of them is held.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

_GROUPS, _DIGITS = 4, 4


@dataclass(slots=True)
class KeyDigest:
    """Keys as they are found.

    Attributes:
        total: The sum of their hashes; 0 where there is none.
    """

    total: int = 0

    def add(self, *key: object) -> None:
        """Takes in a key; one that comes twice counts twice."""
        text = json.dumps([None if part is None else str(part) for part in key])
        self.total += int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])

    def text(self) -> str:
        """Returns four groups of four hexadecimal digits, which YAML takes for a text; empty for no key."""
        return rows_text(self.total)


def rows_text(total: int) -> str:
    """Returns the text of a sum of hashes of keys, empty where it is 0."""
    if not total:
        return ""
    digits = hashlib.sha256(str(total).encode()).hexdigest()
    return "-".join(digits[at : at + _DIGITS] for at in range(0, _GROUPS * _DIGITS, _DIGITS))


def rows_of(*names: str) -> str:
    """Returns the text for what is known by its name alone."""
    digest = KeyDigest()
    digest.add(*names)
    return digest.text()
