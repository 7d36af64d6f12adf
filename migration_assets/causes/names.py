"""Names that mean the same: an old field or collection, and what it is called today."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

NEAR = 0.85
"""How alike two names must be, from 0 to 1."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SAME = {
    **dict.fromkeys(("date", "on", "at", "time"), "when"),
    **dict.fromkeys(("created", "create", "creation", "cdate"), "created"),
    **dict.fromkeys(("modified", "modify", "updated", "update", "edited", "changed"), "updated"),
    **dict.fromkeys(("id", "ids", "i", "ds"), ""),
    "last": "",
}
"""Words of field names that stand for each other in the applications that the project knows."""


def words(name: str) -> frozenset[str]:
    """Returns the words of a name, those that stand for each other as one, without plurals."""
    parts = (word.lower() for word in _WORDS.findall(name))
    return frozenset(filter(None, (_SAME.get(word, word.removesuffix("s")) for word in parts)))


def likeness(name: str, other: str) -> float:
    """Returns how alike two names are, from 0 to 1: by their letters, or by their words."""
    letters = SequenceMatcher(None, name.lower(), other.lower()).ratio()
    ours, theirs = words(name), words(other)
    by_words = len(ours & theirs) / len(ours | theirs) if ours | theirs else 0.0
    return max(letters, by_words)


def nearest(name: str, others: Iterable[str]) -> str | None:
    """Returns the one name that is nearest to another one, None where none is near or two are."""
    ranked = sorted(((likeness(name, other), other) for other in others), reverse=True)
    if not ranked or ranked[0][0] < NEAR:
        return None
    is_one = len(ranked) == 1 or ranked[1][0] < ranked[0][0]
    return ranked[0][1] if is_one else None
