"""From losses to their causes. A pure function: it reads no database.

A reference to a document that was itself rejected is lost for whatever that document was rejected for, and so
on to the root: a value that does not fit, or an id that no document has.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from migration_assets.causes.losses import EXAMPLES, REJECTED, Loss
from migration_assets.conversion.values import NOT_UNIQUE

Document = tuple[str, str]
"""A document: its collection and its source id."""

GONE = "gone"
"""The kind of a cause that is ids of a collection that no document has."""

REPEATED = "repeated"
"""The kind of a cause that is values which must be unique, and which an earlier document has."""


@dataclass(frozen=True, slots=True, order=True)
class Root:
    """What a cause is known by.

    Attributes:
        collection: Where it is to be put right: the collection of the value, or of the missing documents.
        field: The field of the value; empty for missing documents and for documents that cannot be read.
        kind: The kind of the loss, ``GONE``, or ``REPEATED``.
        known_from: Of missing documents, where their ids are known from, in words; empty where nowhere.
    """

    collection: str
    field: str
    kind: str
    known_from: str = ""


@dataclass(slots=True)
class Cause:
    """A root with all that follows from it.

    Attributes:
        root: What it is known by.
        direct: Values that the root itself concerns, by (table, collection, field, kind).
        consequences: Values lost because documents were rejected for it, by the same.
        documents: Rejected documents, direct and consequent.
        reasons: Why the direct ones were lost, each with how often.
        missing_ids: Of missing documents, each id with how many references name it.
        originals: Different values that were lost directly, for a rule to be made of.
        keys: The sum of hashes of all that is lost.
    """

    root: Root
    direct: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    consequences: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    documents: set[Document] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    missing_ids: Counter[str] = field(default_factory=Counter)
    originals: set[str] = field(default_factory=set, repr=False)
    keys: int = 0

    def concerns(self, table: str) -> bool:
        """Returns whether it causes losses of a table."""
        return any(lacking == table for lacking, *_ in (*self.direct, *self.consequences))

    @property
    def count(self) -> int:
        """How many losses it causes."""
        return self.direct.total() + self.consequences.total()


def causes_of(losses: Iterable[Loss], known_from: Mapping[Document, str]) -> list[Cause]:
    """Returns the causes of losses, the largest first.

    A document that was rejected for several fields counts under each of their causes: all of them have to be
    decided before it arrives.

    Args:
        losses: What was lost.
        known_from: Of documents that are missing, where their id is known from, in words.
    """
    every = list(losses)
    rejections: dict[Document, list[Loss]] = defaultdict(list)
    for loss in every:
        if loss.kind == REJECTED:
            rejections[loss.collection, loss.source_id].append(loss)
    causes: dict[Root, Cause] = {}
    for loss in every:
        if loss.is_accepted:
            continue
        for root, is_direct in _roots(loss, rejections, known_from, frozenset()):
            cause = causes.setdefault(root, Cause(root))
            counted = cause.direct if is_direct else cause.consequences
            counted[loss.table, loss.collection, loss.field, loss.kind] += loss.count
            cause.keys += loss.keys
            if is_direct:
                cause.reasons[loss.reason] += loss.count
                if len(cause.originals) <= EXAMPLES:
                    cause.originals.update(loss.originals)
            if loss.kind == REJECTED:
                cause.documents.add((loss.collection, loss.source_id))
            if is_direct and root.kind == GONE:
                cause.missing_ids[loss.missing_id] += loss.count
    return sorted(causes.values(), key=lambda cause: (-cause.count, cause.root))


def _roots(
    loss: Loss,
    rejections: Mapping[Document, list[Loss]],
    known_from: Mapping[Document, str],
    passed: frozenset[Document],
) -> set[tuple[Root, bool]]:
    """Returns the roots of a loss, each with whether the loss is at the root itself."""
    if not loss.missing_id:
        kind = REPEATED if loss.reason == NOT_UNIQUE else loss.kind
        return {(Root(loss.collection, loss.field, kind), True)}
    target = loss.points_to, loss.missing_id
    before = [] if target in passed else rejections.get(target, [])
    if not before:
        return {(Root(loss.points_to, "", GONE, known_from.get(target, "")), True)}
    return {
        (root, False)
        for rejection in before
        for root, _ in _roots(rejection, rejections, known_from, passed | {target})
    }
