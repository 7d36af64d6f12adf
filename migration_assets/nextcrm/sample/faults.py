"""Faults for a sample: each kind of value that section 5 of the design has a rule for.

A fault stands in a document of its own, beside those of the clean sample, and nothing clean refers to
it: so each has exactly the consequence that the ledger says, and the rest of the sample stays the same.
Where a fault takes two documents (a reference to a rejected one) both are added.

``FAULTS`` is the table; a new kind of fault is a row of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from bson import Binary, Decimal128, Int64, Regex
from bson.datetime_ms import DatetimeMS

from migration_assets.model import Missing, Rule
from migration_assets.nextcrm.sample.hand import ODD_IDS, Hand
from migration_assets.nextcrm.sample.ledger import Expectation, Fault
from migration_assets.nextcrm.sample.places import COLLECTION, RELATION, REQUIRED, Place
from migration_assets.nextcrm.sample.population import EPOCH
from migration_assets.nextcrm.sample.values import ABSENT, FIRST_TIMESTAMP, LAST_TIMESTAMP

Expect = Callable[[Place], Expectation]


def _always(expectation: Expectation) -> Expect:
    return lambda _place: expectation


def _not_convertible(place: Place) -> Expectation:
    return Expectation.REJECTED if place.missing in REQUIRED else Expectation.NULLED


def _lost(place: Place) -> Expectation:
    """A reference that leads nowhere; one that is held as text is kept."""
    is_rejected = place.kind == Rule.REFERENCE and place.missing in REQUIRED
    return Expectation.REJECTED if is_rejected else Expectation.ORPHANED


def _emptied(place: Place) -> Expectation:
    return Expectation.REJECTED if place.missing in REQUIRED else Expectation.COERCED


def _stood_in_for(place: Place) -> Expectation:
    return {
        Missing.DEFAULT: Expectation.DEFAULTED,
        Missing.OBJECT_ID_TIME: Expectation.DERIVED,
    }.get(place.missing, Expectation.REJECTED)


_accepted = _always(Expectation.ACCEPTED)
_altered = _always(Expectation.ALTERED)
_coerced = _always(Expectation.COERCED)
_orphaned = _always(Expectation.ORPHANED)
_rejected = _always(Expectation.REJECTED)


def _anywhere(_place: Place) -> bool:
    return True


def _where_required(place: Place) -> bool:
    return place.missing in REQUIRED


def _where_derived(place: Place) -> bool:
    return place.missing is Missing.OBJECT_ID_TIME


def _where_unique(place: Place) -> bool:
    return place.unique


def _where_not_unique(place: Place) -> bool:
    return not place.unique


def _where_mirrored(place: Place) -> bool:
    return bool(place.mirror)


@dataclass(frozen=True, slots=True)
class FaultRow:
    """A row of the table.

    Attributes:
        fault: What is wrong.
        kinds: The kinds of places it applies to.
        make: Makes the faulty value; ``ABSENT`` for no value at all.
        expect: What the migration has to make of it there.
        where: To which places of these kinds it applies.
    """

    fault: Fault
    kinds: tuple[Rule | str, ...]
    make: Callable[[Hand], object]
    expect: Expect
    where: Callable[[Place], bool] = _anywhere

    def applies(self, place: Place) -> bool:
        """Returns whether the fault can be put there."""
        return place.kind in self.kinds and self.where(place)


def _without_id_time(hand: Hand) -> object:
    hand.identifier = ODD_IDS[Fault.ID_STRING](hand.population, hand.place.collection, hand.number)
    return ABSENT


def _odd_id(fault: Fault) -> Callable[[Hand], object]:
    return lambda hand: ODD_IDS[fault](hand.population, hand.place.collection, hand.number)


def _to_odd_id(fault: Fault) -> Callable[[Hand], object]:
    return lambda hand: hand.odd(fault)


def _element_to_odd_id(fault: Fault) -> Callable[[Hand], object]:
    return lambda hand: [hand.odd(fault)]


def _iso(ending: str) -> Callable[[Hand], object]:
    return lambda hand: hand.moment().isoformat(timespec="milliseconds") + ending


def _epoch(hand: Hand) -> int:
    return (hand.moment() - EPOCH) // timedelta(milliseconds=1)


def _twice(hand: Hand) -> object:
    partner = hand.partner()
    return [partner, partner]


_TEXT = (Rule.TEXT,)
_NUMBER = (Rule.INTEGER, Rule.BIGINT)
_BOOLEAN = (Rule.BOOLEAN,)
_TIME = (Rule.TIMESTAMP,)
_ENUM = (Rule.ENUM,)
_TEXTS = (Rule.TEXT_ARRAY,)
_REFERENCE = (Rule.REFERENCE,)
_REFERENCE_TEXT = (Rule.REFERENCE_TEXT,)
_REFERENCE_TEXTS = (Rule.REFERENCE_TEXT_ARRAY,)
_IDS = (Rule.REFERENCE_ARRAY, RELATION)
_SCALAR = (*_TEXT, *_NUMBER, *_BOOLEAN, *_TIME, *_ENUM, *_REFERENCE, *_REFERENCE_TEXT)

FAULTS: tuple[FaultRow, ...] = (
    # text
    FaultRow(Fault.INTEGER, _TEXT, lambda hand: hand.number, _coerced),
    FaultRow(Fault.LONG, _TEXT, lambda hand: Int64(2**53 + hand.number), _coerced),
    FaultRow(Fault.DOUBLE, _TEXT, lambda hand: hand.number + hand.random.random(), _coerced),
    FaultRow(Fault.INTEGRAL_DOUBLE, _TEXT, lambda hand: float(hand.number), _coerced),
    FaultRow(Fault.BOOLEAN, _TEXT, lambda hand: hand.number % 2 == 0, _coerced, _where_not_unique),
    FaultRow(Fault.DECIMAL, _TEXT, lambda hand: Decimal128(f"{hand.number}.50"), _coerced),
    FaultRow(Fault.OBJECT_ID, _TEXT, lambda hand: hand.nobody(), _coerced),
    FaultRow(Fault.DATE, _TEXT, lambda hand: hand.moment(), _coerced),
    FaultRow(Fault.NUL_CHARACTER, _TEXT, lambda hand: f"{hand.text()}\x00end", _altered),
    FaultRow(Fault.DOCUMENT, _TEXT, lambda hand: {"value": hand.text()}, _not_convertible),
    FaultRow(Fault.ARRAY, _TEXT, lambda hand: [hand.text()], _not_convertible),
    FaultRow(Fault.NAN, _TEXT, lambda _hand: float("nan"), _not_convertible),
    FaultRow(Fault.INFINITY, _TEXT, lambda _hand: float("-inf"), _not_convertible),
    FaultRow(Fault.BINARY, _TEXT, lambda hand: Binary(hand.text().encode()), _not_convertible),
    FaultRow(Fault.REGEX, _TEXT, lambda hand: Regex(hand.text()), _not_convertible),
    # integer and bigint
    FaultRow(Fault.INTEGRAL_DOUBLE, _NUMBER, lambda hand: float(hand.number), _coerced),
    FaultRow(Fault.INTEGRAL_DECIMAL, _NUMBER, lambda hand: Decimal128(f"{hand.number}"), _coerced),
    FaultRow(Fault.DIGITS, _NUMBER, lambda hand: f"{hand.number}", _coerced),
    FaultRow(Fault.NEGATIVE_DIGITS, _NUMBER, lambda hand: f"-{hand.number}", _coerced),
    FaultRow(Fault.FRACTION, _NUMBER, lambda hand: hand.number + 0.5, _not_convertible),
    FaultRow(
        Fault.DECIMAL_FRACTION,
        _NUMBER,
        lambda hand: Decimal128(f"{hand.number}.5"),
        _not_convertible,
    ),
    FaultRow(Fault.FRACTION_TEXT, _NUMBER, lambda hand: f"{hand.number}.5", _not_convertible),
    FaultRow(Fault.OUT_OF_RANGE, (Rule.INTEGER,), lambda _hand: Int64(2**31), _not_convertible),
    FaultRow(Fault.OUT_OF_RANGE, (Rule.INTEGER,), lambda _hand: -(2.0**40), _not_convertible),
    FaultRow(Fault.OUT_OF_RANGE, (Rule.BIGINT,), lambda _hand: 2.0**63, _not_convertible),
    FaultRow(
        Fault.DIGITS_OUT_OF_RANGE, _NUMBER, lambda _hand: "9223372036854775808", _not_convertible
    ),
    FaultRow(Fault.INFINITY, _NUMBER, lambda _hand: float("inf"), _not_convertible),
    FaultRow(Fault.BOOLEAN, _NUMBER, lambda _hand: True, _not_convertible),
    # boolean
    FaultRow(Fault.BINARY_DIGIT, _BOOLEAN, lambda _hand: 0, _coerced),
    FaultRow(Fault.BINARY_DIGIT, _BOOLEAN, lambda _hand: 1, _coerced),
    FaultRow(Fault.BOOLEAN_TEXT, _BOOLEAN, lambda _hand: "true", _coerced),
    FaultRow(Fault.BOOLEAN_TEXT, _BOOLEAN, lambda _hand: "false", _coerced),
    FaultRow(Fault.WORD, _BOOLEAN, lambda _hand: "yes", _not_convertible),
    FaultRow(Fault.OTHER_CASE, _BOOLEAN, lambda _hand: "TRUE", _not_convertible),
    FaultRow(Fault.INTEGER, _BOOLEAN, lambda _hand: 2, _not_convertible),
    # timestamp
    FaultRow(Fault.ISO_UTC, _TIME, _iso("Z"), _coerced),
    FaultRow(Fault.ISO_OFFSET, _TIME, _iso("+02:00"), _coerced),
    FaultRow(Fault.ISO_NO_OFFSET, _TIME, _iso(""), _coerced),
    FaultRow(Fault.EPOCH_LONG, _TIME, lambda hand: Int64(_epoch(hand)), _coerced),
    FaultRow(Fault.EPOCH_INTEGER, _TIME, lambda hand: hand.number, _coerced),
    FaultRow(Fault.EPOCH_DECIMAL, _TIME, lambda hand: Decimal128(f"{_epoch(hand)}"), _coerced),
    FaultRow(Fault.EPOCH_DOUBLE, _TIME, lambda hand: float(_epoch(hand)), _coerced),
    FaultRow(Fault.IMPOSSIBLE_TIME, _TIME, lambda _hand: "2023-02-30T00:00:00Z", _not_convertible),
    FaultRow(
        Fault.BEFORE_RANGE, _TIME, lambda _hand: DatetimeMS(FIRST_TIMESTAMP - 1), _not_convertible
    ),
    FaultRow(
        Fault.AFTER_RANGE, _TIME, lambda _hand: DatetimeMS(LAST_TIMESTAMP + 1), _not_convertible
    ),
    FaultRow(Fault.EPOCH_OUT_OF_RANGE, _TIME, lambda _hand: Int64(2**63 - 1), _not_convertible),
    FaultRow(Fault.FRACTION, _TIME, lambda hand: _epoch(hand) + 0.5, _not_convertible),
    FaultRow(Fault.BOOLEAN, _TIME, lambda _hand: True, _not_convertible),
    # enum
    FaultRow(
        Fault.OTHER_CASE,
        _ENUM,
        lambda hand: hand.place.labels[hand.number % len(hand.place.labels)].swapcase(),
        _not_convertible,
    ),
    FaultRow(Fault.PADDED, _ENUM, lambda hand: f" {hand.place.labels[0]} ", _not_convertible),
    # the same for several scalars
    FaultRow(
        Fault.WORD,
        (*_NUMBER, *_BOOLEAN, *_TIME, *_ENUM),
        lambda hand: hand.text(),
        _not_convertible,
    ),
    FaultRow(
        Fault.EMPTY_TEXT, (*_NUMBER, *_BOOLEAN, *_TIME, *_ENUM), lambda _hand: "", _not_convertible
    ),
    FaultRow(
        Fault.NAN, (*_NUMBER, *_BOOLEAN, *_TIME), lambda _hand: float("nan"), _not_convertible
    ),
    FaultRow(
        Fault.DOCUMENT,
        (*_NUMBER, *_BOOLEAN, *_TIME, *_ENUM),
        lambda hand: {"value": hand.text()},
        _not_convertible,
    ),
    FaultRow(Fault.NULL, _SCALAR, lambda _hand: None, _stood_in_for, _where_required),
    FaultRow(Fault.MISSING, _SCALAR, lambda _hand: ABSENT, _stood_in_for, _where_required),
    FaultRow(
        Fault.MISSING_WITHOUT_ID_TIME,
        _SCALAR,
        _without_id_time,
        _rejected,
        _where_derived,
    ),
    FaultRow(Fault.DUPLICATE, _TEXT, lambda hand: hand.first_value(), _rejected, _where_unique),
    # jsonb
    FaultRow(
        Fault.NUL_CHARACTER,
        (Rule.JSON,),
        lambda hand: ["\\u0000", {"deep": f"{hand.text()}\x00"}],
        _altered,
    ),
    # text[]
    FaultRow(Fault.LONE_VALUE, _TEXTS, lambda hand: hand.text(), _coerced),
    FaultRow(Fault.INTEGER_ELEMENT, _TEXTS, lambda hand: ["first", hand.number], _coerced),
    FaultRow(Fault.NULL_ELEMENT, _TEXTS, lambda _hand: ["first", None, "last"], _altered),
    FaultRow(Fault.DOCUMENT_ELEMENT, _TEXTS, lambda hand: ["first", {"a": hand.text()}], _altered),
    FaultRow(Fault.NUL_ELEMENT, _TEXTS, lambda hand: ["first", f"{hand.text()}\x00"], _altered),
    # references
    FaultRow(Fault.HEX, _REFERENCE, lambda hand: str(hand.stranger()), _coerced),
    FaultRow(Fault.UPPER_CASE_HEX, _REFERENCE, lambda hand: str(hand.stranger()).upper(), _coerced),
    FaultRow(Fault.EMPTY_TEXT, _REFERENCE, lambda _hand: "", _emptied),
    FaultRow(Fault.DANGLING, _REFERENCE, lambda hand: hand.nobody(), _lost),
    FaultRow(
        Fault.DANGLING_HEX,
        (*_REFERENCE, *_REFERENCE_TEXT),
        lambda hand: str(hand.nobody()),
        _lost,
    ),
    FaultRow(Fault.WORD, (*_REFERENCE, *_REFERENCE_TEXT), lambda hand: hand.text(), _lost),
    FaultRow(Fault.INTEGER, (*_REFERENCE, *_REFERENCE_TEXT), lambda hand: hand.number, _lost),
    FaultRow(Fault.BOOLEAN, _REFERENCE, lambda _hand: False, _lost),
    FaultRow(Fault.DOCUMENT, _REFERENCE, lambda hand: {"$id": hand.stranger()}, _lost),
    FaultRow(Fault.ARRAY, _REFERENCE, lambda hand: [hand.stranger()], _coerced),
    FaultRow(Fault.TO_REJECTED, _REFERENCE, lambda hand: hand.rejected(), _lost),
    *(FaultRow(Fault.TO_ODD_ID, _REFERENCE, _to_odd_id(fault), _accepted) for fault in ODD_IDS),
    FaultRow(Fault.OBJECT_ID, _REFERENCE_TEXT, lambda hand: hand.stranger(), _accepted),
    FaultRow(
        Fault.UPPER_CASE_HEX, _REFERENCE_TEXT, lambda hand: str(hand.stranger()).upper(), _accepted
    ),
    FaultRow(Fault.TO_ODD_ID, _REFERENCE_TEXT, _to_odd_id(Fault.ID_STRING), _accepted),
    # arrays of references
    FaultRow(Fault.LONE_VALUE, _REFERENCE_TEXTS, lambda hand: str(hand.stranger()), _coerced),
    FaultRow(
        Fault.NULL_ELEMENT, _REFERENCE_TEXTS, lambda hand: [str(hand.stranger()), None], _altered
    ),
    FaultRow(
        Fault.DANGLING_ELEMENT,
        _REFERENCE_TEXTS,
        lambda hand: [str(hand.stranger()), str(hand.nobody())],
        _orphaned,
    ),
    FaultRow(Fault.WORD_ELEMENT, _REFERENCE_TEXTS, lambda hand: [hand.text()], _orphaned),
    FaultRow(Fault.LONE_VALUE, _IDS, lambda hand: hand.partner(), _coerced),
    FaultRow(Fault.HEX_ELEMENT, _IDS, lambda hand: [str(hand.partner())], _coerced),
    FaultRow(Fault.NULL_ELEMENT, _IDS, lambda hand: [None, hand.partner()], _altered),
    FaultRow(Fault.DANGLING_ELEMENT, _IDS, lambda hand: [hand.partner(), hand.nobody()], _orphaned),
    FaultRow(Fault.WORD_ELEMENT, _IDS, lambda hand: [hand.text(), hand.partner()], _orphaned),
    FaultRow(Fault.INTEGER_ELEMENT, _IDS, lambda hand: [hand.number], _orphaned),
    FaultRow(Fault.DOCUMENT_ELEMENT, _IDS, lambda hand: [{"no": hand.number}], _orphaned),
    FaultRow(Fault.ELEMENT_TO_REJECTED, _IDS, lambda hand: [hand.rejected()], _orphaned),
    *(
        FaultRow(Fault.ELEMENT_TO_ODD_ID, _IDS, _element_to_odd_id(fault), _accepted)
        for fault in ODD_IDS
    ),
    FaultRow(Fault.REPEATED_ELEMENT, (RELATION,), _twice, _always(Expectation.REPEAT)),
    FaultRow(
        Fault.ONE_SIDED,
        (RELATION,),
        lambda hand: [hand.stranger()],
        _always(Expectation.ASYMMETRIC),
        _where_mirrored,
    ),
    # documents as a whole
    *(FaultRow(fault, (Rule.KEY,), _odd_id(fault), _accepted) for fault in ODD_IDS),
    FaultRow(
        Fault.UNKNOWN_FIELD,
        (COLLECTION,),
        lambda hand: {"note": hand.text(), "since": hand.moment(), "nothing": None},
        _always(Expectation.UNMAPPED),
    ),
)
"""Every kind of fault in a document, with where it applies and what has to become of it."""
