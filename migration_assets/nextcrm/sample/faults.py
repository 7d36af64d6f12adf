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
from migration_assets.nextcrm.sample.hand import ODD_IDS, FaultContext
from migration_assets.nextcrm.sample.ledger import Expectation, SampleFault
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

    fault: SampleFault
    kinds: tuple[Rule | str, ...]
    make: Callable[[FaultContext], object]
    expect: Expect
    where: Callable[[Place], bool] = _anywhere

    def applies(self, place: Place) -> bool:
        """Returns whether the fault can be put there."""
        return place.kind in self.kinds and self.where(place)


def _without_id_time(hand: FaultContext) -> object:
    hand.identifier = ODD_IDS[SampleFault.ID_STRING](
        hand.population, hand.place.collection, hand.number
    )
    return ABSENT


def _odd_id(fault: SampleFault) -> Callable[[FaultContext], object]:
    return lambda hand: ODD_IDS[fault](hand.population, hand.place.collection, hand.number)


def _to_odd_id(fault: SampleFault) -> Callable[[FaultContext], object]:
    return lambda hand: hand.odd(fault)


def _element_to_odd_id(fault: SampleFault) -> Callable[[FaultContext], object]:
    return lambda hand: [hand.odd(fault)]


def _iso(ending: str) -> Callable[[FaultContext], object]:
    return lambda hand: hand.moment().isoformat(timespec="milliseconds") + ending


def _epoch(hand: FaultContext) -> int:
    return (hand.moment() - EPOCH) // timedelta(milliseconds=1)


def _twice(hand: FaultContext) -> object:
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
    FaultRow(SampleFault.INTEGER, _TEXT, lambda hand: hand.number, _coerced),
    FaultRow(SampleFault.LONG, _TEXT, lambda hand: Int64(2**53 + hand.number), _coerced),
    FaultRow(SampleFault.DOUBLE, _TEXT, lambda hand: hand.number + hand.random.random(), _coerced),
    FaultRow(SampleFault.INTEGRAL_DOUBLE, _TEXT, lambda hand: float(hand.number), _coerced),
    FaultRow(
        SampleFault.BOOLEAN, _TEXT, lambda hand: hand.number % 2 == 0, _coerced, _where_not_unique
    ),
    FaultRow(SampleFault.DECIMAL, _TEXT, lambda hand: Decimal128(f"{hand.number}.50"), _coerced),
    FaultRow(SampleFault.OBJECT_ID, _TEXT, lambda hand: hand.nobody(), _coerced),
    FaultRow(SampleFault.DATE, _TEXT, lambda hand: hand.moment(), _coerced),
    FaultRow(SampleFault.NUL_CHARACTER, _TEXT, lambda hand: f"{hand.text()}\x00end", _altered),
    FaultRow(SampleFault.DOCUMENT, _TEXT, lambda hand: {"value": hand.text()}, _not_convertible),
    FaultRow(SampleFault.ARRAY, _TEXT, lambda hand: [hand.text()], _not_convertible),
    FaultRow(SampleFault.NAN, _TEXT, lambda _hand: float("nan"), _not_convertible),
    FaultRow(SampleFault.INFINITY, _TEXT, lambda _hand: float("-inf"), _not_convertible),
    FaultRow(
        SampleFault.BINARY, _TEXT, lambda hand: Binary(hand.text().encode()), _not_convertible
    ),
    FaultRow(SampleFault.REGEX, _TEXT, lambda hand: Regex(hand.text()), _not_convertible),
    # integer and bigint
    FaultRow(SampleFault.INTEGRAL_DOUBLE, _NUMBER, lambda hand: float(hand.number), _coerced),
    FaultRow(
        SampleFault.INTEGRAL_DECIMAL, _NUMBER, lambda hand: Decimal128(f"{hand.number}"), _coerced
    ),
    FaultRow(SampleFault.DIGITS, _NUMBER, lambda hand: f"{hand.number}", _coerced),
    FaultRow(SampleFault.NEGATIVE_DIGITS, _NUMBER, lambda hand: f"-{hand.number}", _coerced),
    FaultRow(SampleFault.FRACTION, _NUMBER, lambda hand: hand.number + 0.5, _not_convertible),
    FaultRow(
        SampleFault.DECIMAL_FRACTION,
        _NUMBER,
        lambda hand: Decimal128(f"{hand.number}.5"),
        _not_convertible,
    ),
    FaultRow(SampleFault.FRACTION_TEXT, _NUMBER, lambda hand: f"{hand.number}.5", _not_convertible),
    FaultRow(
        SampleFault.OUT_OF_RANGE, (Rule.INTEGER,), lambda _hand: Int64(2**31), _not_convertible
    ),
    FaultRow(SampleFault.OUT_OF_RANGE, (Rule.INTEGER,), lambda _hand: -(2.0**40), _not_convertible),
    FaultRow(SampleFault.OUT_OF_RANGE, (Rule.BIGINT,), lambda _hand: 2.0**63, _not_convertible),
    FaultRow(
        SampleFault.DIGITS_OUT_OF_RANGE,
        _NUMBER,
        lambda _hand: "9223372036854775808",
        _not_convertible,
    ),
    FaultRow(SampleFault.INFINITY, _NUMBER, lambda _hand: float("inf"), _not_convertible),
    FaultRow(SampleFault.BOOLEAN, _NUMBER, lambda _hand: True, _not_convertible),
    # boolean
    FaultRow(SampleFault.BINARY_DIGIT, _BOOLEAN, lambda _hand: 0, _coerced),
    FaultRow(SampleFault.BINARY_DIGIT, _BOOLEAN, lambda _hand: 1, _coerced),
    FaultRow(SampleFault.BOOLEAN_TEXT, _BOOLEAN, lambda _hand: "true", _coerced),
    FaultRow(SampleFault.BOOLEAN_TEXT, _BOOLEAN, lambda _hand: "false", _coerced),
    FaultRow(SampleFault.WORD, _BOOLEAN, lambda _hand: "yes", _not_convertible),
    FaultRow(SampleFault.OTHER_CASE, _BOOLEAN, lambda _hand: "TRUE", _not_convertible),
    FaultRow(SampleFault.INTEGER, _BOOLEAN, lambda _hand: 2, _not_convertible),
    # timestamp
    FaultRow(SampleFault.ISO_UTC, _TIME, _iso("Z"), _coerced),
    FaultRow(SampleFault.ISO_OFFSET, _TIME, _iso("+02:00"), _coerced),
    FaultRow(SampleFault.ISO_NO_OFFSET, _TIME, _iso(""), _coerced),
    FaultRow(SampleFault.EPOCH_LONG, _TIME, lambda hand: Int64(_epoch(hand)), _coerced),
    FaultRow(SampleFault.EPOCH_INTEGER, _TIME, lambda hand: hand.number, _coerced),
    FaultRow(
        SampleFault.EPOCH_DECIMAL, _TIME, lambda hand: Decimal128(f"{_epoch(hand)}"), _coerced
    ),
    FaultRow(SampleFault.EPOCH_DOUBLE, _TIME, lambda hand: float(_epoch(hand)), _coerced),
    FaultRow(
        SampleFault.IMPOSSIBLE_TIME, _TIME, lambda _hand: "2023-02-30T00:00:00Z", _not_convertible
    ),
    FaultRow(
        SampleFault.BEFORE_RANGE,
        _TIME,
        lambda _hand: DatetimeMS(FIRST_TIMESTAMP - 1),
        _not_convertible,
    ),
    FaultRow(
        SampleFault.AFTER_RANGE,
        _TIME,
        lambda _hand: DatetimeMS(LAST_TIMESTAMP + 1),
        _not_convertible,
    ),
    FaultRow(
        SampleFault.EPOCH_OUT_OF_RANGE, _TIME, lambda _hand: Int64(2**63 - 1), _not_convertible
    ),
    FaultRow(SampleFault.FRACTION, _TIME, lambda hand: _epoch(hand) + 0.5, _not_convertible),
    FaultRow(SampleFault.BOOLEAN, _TIME, lambda _hand: True, _not_convertible),
    # enum
    FaultRow(
        SampleFault.OTHER_CASE,
        _ENUM,
        lambda hand: hand.place.labels[hand.number % len(hand.place.labels)].swapcase(),
        _not_convertible,
    ),
    FaultRow(SampleFault.PADDED, _ENUM, lambda hand: f" {hand.place.labels[0]} ", _not_convertible),
    # the same for several scalars
    FaultRow(
        SampleFault.WORD,
        (*_NUMBER, *_BOOLEAN, *_TIME, *_ENUM),
        lambda hand: hand.text(),
        _not_convertible,
    ),
    FaultRow(
        SampleFault.EMPTY_TEXT,
        (*_NUMBER, *_BOOLEAN, *_TIME, *_ENUM),
        lambda _hand: "",
        _not_convertible,
    ),
    FaultRow(
        SampleFault.NAN, (*_NUMBER, *_BOOLEAN, *_TIME), lambda _hand: float("nan"), _not_convertible
    ),
    FaultRow(
        SampleFault.DOCUMENT,
        (*_NUMBER, *_BOOLEAN, *_TIME, *_ENUM),
        lambda hand: {"value": hand.text()},
        _not_convertible,
    ),
    FaultRow(SampleFault.NULL, _SCALAR, lambda _hand: None, _stood_in_for, _where_required),
    FaultRow(SampleFault.MISSING, _SCALAR, lambda _hand: ABSENT, _stood_in_for, _where_required),
    FaultRow(
        SampleFault.MISSING_WITHOUT_ID_TIME,
        _SCALAR,
        _without_id_time,
        _rejected,
        _where_derived,
    ),
    FaultRow(
        SampleFault.DUPLICATE, _TEXT, lambda hand: hand.first_value(), _rejected, _where_unique
    ),
    # jsonb
    FaultRow(
        SampleFault.NUL_CHARACTER,
        (Rule.JSON,),
        lambda hand: ["\\u0000", {"deep": f"{hand.text()}\x00"}],
        _altered,
    ),
    # text[]
    FaultRow(SampleFault.LONE_VALUE, _TEXTS, lambda hand: hand.text(), _coerced),
    FaultRow(SampleFault.INTEGER_ELEMENT, _TEXTS, lambda hand: ["first", hand.number], _coerced),
    FaultRow(SampleFault.NULL_ELEMENT, _TEXTS, lambda _hand: ["first", None, "last"], _altered),
    FaultRow(
        SampleFault.DOCUMENT_ELEMENT, _TEXTS, lambda hand: ["first", {"a": hand.text()}], _altered
    ),
    FaultRow(
        SampleFault.NUL_ELEMENT, _TEXTS, lambda hand: ["first", f"{hand.text()}\x00"], _altered
    ),
    # references
    FaultRow(SampleFault.HEX, _REFERENCE, lambda hand: str(hand.stranger()), _coerced),
    FaultRow(
        SampleFault.UPPER_CASE_HEX, _REFERENCE, lambda hand: str(hand.stranger()).upper(), _coerced
    ),
    FaultRow(SampleFault.EMPTY_TEXT, _REFERENCE, lambda _hand: "", _emptied),
    FaultRow(SampleFault.DANGLING, _REFERENCE, lambda hand: hand.nobody(), _lost),
    FaultRow(
        SampleFault.DANGLING_HEX,
        (*_REFERENCE, *_REFERENCE_TEXT),
        lambda hand: str(hand.nobody()),
        _lost,
    ),
    FaultRow(SampleFault.WORD, (*_REFERENCE, *_REFERENCE_TEXT), lambda hand: hand.text(), _lost),
    FaultRow(SampleFault.INTEGER, (*_REFERENCE, *_REFERENCE_TEXT), lambda hand: hand.number, _lost),
    FaultRow(SampleFault.BOOLEAN, _REFERENCE, lambda _hand: False, _lost),
    FaultRow(SampleFault.DOCUMENT, _REFERENCE, lambda hand: {"$id": hand.stranger()}, _lost),
    FaultRow(SampleFault.ARRAY, _REFERENCE, lambda hand: [hand.stranger()], _coerced),
    FaultRow(SampleFault.TO_REJECTED, _REFERENCE, lambda hand: hand.rejected(), _lost),
    *(
        FaultRow(SampleFault.TO_ODD_ID, _REFERENCE, _to_odd_id(fault), _accepted)
        for fault in ODD_IDS
    ),
    FaultRow(SampleFault.OBJECT_ID, _REFERENCE_TEXT, lambda hand: hand.stranger(), _accepted),
    FaultRow(
        SampleFault.UPPER_CASE_HEX,
        _REFERENCE_TEXT,
        lambda hand: str(hand.stranger()).upper(),
        _accepted,
    ),
    FaultRow(SampleFault.TO_ODD_ID, _REFERENCE_TEXT, _to_odd_id(SampleFault.ID_STRING), _accepted),
    # arrays of references
    FaultRow(SampleFault.LONE_VALUE, _REFERENCE_TEXTS, lambda hand: str(hand.stranger()), _coerced),
    FaultRow(
        SampleFault.NULL_ELEMENT,
        _REFERENCE_TEXTS,
        lambda hand: [str(hand.stranger()), None],
        _altered,
    ),
    FaultRow(
        SampleFault.DANGLING_ELEMENT,
        _REFERENCE_TEXTS,
        lambda hand: [str(hand.stranger()), str(hand.nobody())],
        _orphaned,
    ),
    FaultRow(SampleFault.WORD_ELEMENT, _REFERENCE_TEXTS, lambda hand: [hand.text()], _orphaned),
    FaultRow(SampleFault.LONE_VALUE, _IDS, lambda hand: hand.partner(), _coerced),
    FaultRow(SampleFault.HEX_ELEMENT, _IDS, lambda hand: [str(hand.partner())], _coerced),
    FaultRow(SampleFault.NULL_ELEMENT, _IDS, lambda hand: [None, hand.partner()], _altered),
    FaultRow(
        SampleFault.DANGLING_ELEMENT, _IDS, lambda hand: [hand.partner(), hand.nobody()], _orphaned
    ),
    FaultRow(SampleFault.WORD_ELEMENT, _IDS, lambda hand: [hand.text(), hand.partner()], _orphaned),
    FaultRow(SampleFault.INTEGER_ELEMENT, _IDS, lambda hand: [hand.number], _orphaned),
    FaultRow(SampleFault.DOCUMENT_ELEMENT, _IDS, lambda hand: [{"no": hand.number}], _orphaned),
    FaultRow(SampleFault.ELEMENT_TO_REJECTED, _IDS, lambda hand: [hand.rejected()], _orphaned),
    *(
        FaultRow(SampleFault.ELEMENT_TO_ODD_ID, _IDS, _element_to_odd_id(fault), _accepted)
        for fault in ODD_IDS
    ),
    FaultRow(SampleFault.REPEATED_ELEMENT, (RELATION,), _twice, _always(Expectation.REPEAT)),
    FaultRow(
        SampleFault.ONE_SIDED,
        (RELATION,),
        lambda hand: [hand.stranger()],
        _always(Expectation.ASYMMETRIC),
        _where_mirrored,
    ),
    # documents as a whole
    *(FaultRow(fault, (Rule.KEY,), _odd_id(fault), _accepted) for fault in ODD_IDS),
    FaultRow(
        SampleFault.UNKNOWN_FIELD,
        (COLLECTION,),
        lambda hand: {"note": hand.text(), "since": hand.moment(), "nothing": None},
        _always(Expectation.UNMAPPED),
    ),
)
"""Every kind of fault in a document, with where it applies and what has to become of it."""
