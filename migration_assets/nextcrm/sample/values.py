"""Values by conversion rule, so that a new column of the model is covered without a word.

Every column gets plain values, and now and then an *awkward* one: legal, and easy to damage. Values that
say something about one field of NextCRM stand in ``documents``; values that are wrong in ``faults``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import count, cycle, islice
from random import Random
from types import MappingProxyType
from typing import Final
from uuid import UUID

from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from migration_assets.model import Missing, Rule, Source, sources, unique_columns
from migration_assets.nextcrm import ENTITIES
from migration_assets.nextcrm.sample import words
from migration_assets.nextcrm.sample.population import BEGINNING, EPOCH, LEAST, Population

Draw = Callable[[Random, int, datetime], object]
"""Makes a value from a source of random numbers, the document's number and when it was created."""

ABSENT: Final[object] = object()
"""Stands for a field that the document does not have."""

SECRET_PREFIX = "SECRET-"  # noqa: S105 - what marks a fake secret, so that a leak can be found

FIRST_TIMESTAMP = -210_866_803_200_000
"""The earliest millisecond of PostgreSQL's timestamp: 4714-11-24 BC."""
LAST_TIMESTAMP = 9_224_318_015_999_999
"""Its latest: 294276-12-31T23:59:59.999."""

_NULL, _ABSENT, _AWKWARD = 0.06, 0.14, 0.15
"""Thresholds of one random number: below the first null, below the second missing, and so on."""

_POOL = 1000
"""Values drawn for a field beforehand, which costs less than to make each when it is needed."""
_POOLED = frozenset(
    {
        Rule.TEXT,
        Rule.INTEGER,
        Rule.BIGINT,
        Rule.BOOLEAN,
        Rule.ENUM,
        Rule.JSON,
        Rule.TEXT_ARRAY,
    }
)
"""Rules whose values depend neither on the document nor on other collections."""

_DATES = (
    EPOCH,
    EPOCH - timedelta(milliseconds=1),
    EPOCH + timedelta(milliseconds=1),
    datetime(1, 1, 1),
    datetime(1, 1, 1, 0, 0, 0, 1000),
    datetime(9999, 12, 31, 23, 59, 59, 999000),
    datetime(1582, 10, 10),
    datetime(1600, 2, 29),
    datetime(1899, 12, 31, 23, 59, 59, 999000),
    datetime(1900, 2, 28, 23, 59, 59),
    datetime(2000, 2, 29),
    datetime(2024, 2, 29, 23, 59, 59, 999000),
    datetime(2016, 12, 31, 23, 59, 59, 999000),
    datetime(2023, 3, 26, 2, 30),
    datetime(2038, 1, 19, 3, 14, 8),
    datetime(2100, 2, 28, 23, 59, 59, 999000),
    DatetimeMS(FIRST_TIMESTAMP),
    DatetimeMS(-62_135_596_800_001),
    DatetimeMS(-62_167_219_200_000),
    DatetimeMS(253_402_300_800_000),
    DatetimeMS(LAST_TIMESTAMP),
)

_ITEM: Mapping[str, object] = MappingProxyType(
    {
        "zeta before alpha": 1,
        "alpha": Int64(2**63 - 1),
        "price": 19.989999999999998,
        "paid": True,
        "when": datetime(2024, 2, 29, 23, 59, 59, 999000),
        "nothing": None,
        "id": ObjectId("507f1f77bcf86cd799439011"),
        "nested": {"empty": {}, "list": [], "deep": [[{"a": [1, [2, [3]]]}]]},
    }
)


def _nested(depth: int) -> object:
    value: object = "bottom"
    for level in range(depth):
        value = {"down": value} if level % 2 else [value]
    return value


_JSONS: tuple[object, ...] = (
    [],
    {},
    "",
    "a lone string",
    "null",
    0,
    -1,
    2**31 - 1,
    Int64(2**53 + 1),
    Int64(2**63 - 1),
    Int64(-(2**63)),
    True,
    False,
    0.1 + 0.2,
    1 / 3,
    -0.5,
    5e-324,
    1.7976931348623157e308,
    1e22,
    1.0,
    float("nan"),
    float("inf"),
    float("-inf"),
    Decimal128("0.10"),
    Decimal128("9.999999999999999999999999999999999E+6144"),
    ObjectId("ffffffffffffffffffffffff"),
    Binary(b"\x00\xff binary"),
    Binary.from_uuid(UUID("013a7092-e8d8-7bcf-a1b3-5e650e404400")),
    [Regex("^a.*\\.b$", "i"), Timestamp(1, 2), MinKey(), MaxKey(), Code("x => x")],
    [EPOCH, datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999000), DatetimeMS(2**53)],
    [dict(_ITEM), {key: _ITEM[key] for key in reversed(list(_ITEM))}],
    [None, [], {}, [None], {"": None}],
    ["a", "a", "A", "á", "a\u0301", "日本語", "مرحبا", "👩‍💻"],
    {"": "empty key", "dotted.key": 1, "$price": 2, "clé": 3, '"': 4, "\\": 5, "10": 6, "9": 7},
    {"NULL": "NULL", "t": "tab\t", "n": "line\nbreak\r\n", "b": "\\.\n\\N\\u0041", "q": "'\""},
    _nested(40),
    {f"key {number:03}": number for number in range(200)},
    list(words.AWKWARD_TEXTS),
)

_TEXT_ARRAYS: tuple[object, ...] = (
    [],
    [""],
    ["", ""],
    ["NULL", "null", "{}", "{NULL}"],
    ["a,b", 'say "hi"', "back\\slash", "{curly}", "it's"],
    ["twice", "twice", "Twice"],
    [" blanks ", "\ttab", "line\nbreak", "\\."],
    ["Příliš žluťoučký", "Größe", "Київ", "日本語", "مرحبا", "👍🏽"],
    list(words.AWKWARD_TEXTS),
    [f"tag {number}" for number in range(300)],
)

_SMALL_INTEGERS = (0, 1, -1, 255, 2**31 - 1, -(2**31))
_LARGE_INTEGERS = (
    *(2**31, -(2**31) - 1, 2**32, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)),
    Int64(0),
    Int64(7),
)

AWKWARD: Mapping[Rule, tuple[object, ...]] = MappingProxyType(
    {
        Rule.TEXT: words.AWKWARD_TEXTS,
        Rule.INTEGER: _SMALL_INTEGERS,
        Rule.BIGINT: (*_SMALL_INTEGERS, *_LARGE_INTEGERS),
        Rule.BOOLEAN: (True, False),
        Rule.TIMESTAMP: _DATES,
        Rule.JSON: _JSONS,
        Rule.TEXT_ARRAY: _TEXT_ARRAYS,
    }
)
"""Legal values at the ends of what a column can hold. Each occurs in a sample of any size."""

RARE: Mapping[Rule, tuple[object, ...]] = MappingProxyType({Rule.TEXT: words.LONG_TEXTS})
"""Like ``AWKWARD``, but too large to occur more than a few times."""


def pick(options: Sequence[object]) -> Draw:
    """Returns what draws one of the options."""
    chosen, size = tuple(options), len(options)
    return lambda random, _number, _created: chosen[int(random.random() * size)]


def whole(low: int, high: int) -> Draw:
    """Returns what draws an integer from low to high, both included."""
    size = high - low + 1
    return lambda random, _number, _created: low + int(random.random() * size)


def moment(low: int, high: int) -> Draw:
    """Returns what draws a time between low and high seconds after the document's creation."""
    steps = Random(low)  # noqa: S311 - a sample, not a secret
    size = (high - low) * 1000
    delays = [timedelta(seconds=low, milliseconds=int(steps.random() * size)) for _ in range(_POOL)]
    return lambda random, _number, created: created + delays[int(random.random() * _POOL)]


def several(draw: Draw, most: int) -> Draw:
    """Returns what draws a list of up to so many values."""

    def draws(random: Random, number: int, created: datetime) -> object:
        return [draw(random, number, created) for _ in range(int(random.random() * (most + 1)))]

    return draws


def identifier(population: Population, collection: str) -> Draw:
    """Returns what draws the `_id` of an existing document, an older one more often; else None."""
    ids = population.ids(collection)
    size = len(ids)
    if not size:
        return lambda _random, _number, _created: None

    def draw(random: Random, _number: int, _created: datetime) -> object:
        drawn = random.random()
        return ids[int(drawn * drawn * size)]

    return draw


def as_hex(draw: Draw) -> Draw:
    """Returns what draws the same as text."""
    return lambda random, number, created: str(draw(random, number, created))


def secret(random: Random, _number: int, _created: datetime) -> object:
    """Draws a fake secret."""
    return f"{SECRET_PREFIX}{random.getrandbits(160):040x}"


def plain(source: Source, population: Population) -> Draw:
    """Returns what draws ordinary values for a column, by its rule alone."""
    target = source.references
    match source.rule:
        case Rule.TEXT if source.secret:
            return secret
        case Rule.TEXT:
            return pick(words.SENTENCES)
        case Rule.INTEGER | Rule.BIGINT:
            return whole(0, 1000)
        case Rule.BOOLEAN:
            return pick((True, False))
        case Rule.TIMESTAMP:
            return moment(0, 2 * 365 * 86_400)
        case Rule.ENUM:
            return pick(source.labels)
        case Rule.JSON:
            return several(pick(words.TAGS), 4)
        case Rule.TEXT_ARRAY:
            return several(pick(words.TAGS), 3)
        case Rule.REFERENCE if target is not None:
            return identifier(population, target)
        case Rule.REFERENCE_ARRAY if target is not None:
            return several(identifier(population, target), 4)
        case Rule.REFERENCE_TEXT if target is not None:
            return as_hex(identifier(population, target))
        case Rule.REFERENCE_TEXT_ARRAY if target is not None:
            return several(as_hex(identifier(population, target)), 3)
        case _:
            raise ValueError(f"no values for {source.field}: {source.rule}")


def _awkward(source: Source, population: Population) -> tuple[object, ...]:
    if source.secret:
        return tuple(f"{SECRET_PREFIX}{text}" for text in words.AWKWARD_TEXTS)
    if source.rule is Rule.ENUM:
        return source.labels
    if source.references is None:
        return AWKWARD[source.rule]
    ids = population.ids(source.references)
    first, second, last = ids[0], ids[1], ids[len(ids) - 1]
    arrays: tuple[list[ObjectId], ...] = (
        [],
        [first],
        [last, first, second],
        [first, first],
        [first, second, first],
    )
    match source.rule:
        case Rule.REFERENCE_ARRAY:
            return arrays
        case Rule.REFERENCE_TEXT:
            return ("", str(last))
        case Rule.REFERENCE_TEXT_ARRAY:
            return (*([str(item) for item in array] for array in arrays), [""], ["", str(last), ""])
        case _:
            return (first, last)


@dataclass(frozen=True, slots=True)
class SampleField:
    """A field of a collection, and how to draw its values.

    Attributes:
        name: Name of the MongoDB field.
        draw: Draws any value: mostly an ordinary one, now and then null, missing or awkward.
        ordinary: Draws an ordinary value.
        turns: Draw the values of the ``LEAST`` documents that together show everything there is.
    """

    name: str
    draw: Draw
    ordinary: Draw
    turns: tuple[Draw, ...]


def is_optional(source: Source) -> bool:
    """Returns whether the application may leave the field out, or set it to null."""
    return source.missing in (Missing.NULL, Missing.EMPTY_ARRAY)


def field_of(
    collection: str, source: Source, population: Population, ordinary: Draw | None = None
) -> SampleField:
    """Returns how to draw the values of a column.

    Args:
        collection: The collection it belongs to.
        source: Where its values come from.
        population: The documents that references may point to.
        ordinary: Draws its ordinary values; by its rule where not given.
    """
    ordinary = ordinary or plain(source, population)
    unique = source.field in unique_columns(ENTITIES[collection])
    awkward = () if unique else _awkward(source, population)
    position = _positions()[collection, source.field]
    may_be_large = not source.secret and source.longest is None
    everything = (*awkward, *(RARE.get(source.rule, ()) if may_be_large else ()))
    turns = _turns(everything, position, ordinary, optional=is_optional(source))
    draw = ordinary if unique else _mixed(ordinary, awkward, optional=is_optional(source))
    if source.rule in _POOLED and not unique and source.missing is not Missing.OBJECT_ID_TIME:
        random = population.random(collection, source.field)
        size = min(_POOL, len(population.ids(collection)))
        draw = pick([draw(random, 0, BEGINNING) for _ in range(size)])
    return SampleField(source.field, draw, ordinary, turns)


def _mixed(ordinary: Draw, awkward: tuple[object, ...], *, optional: bool) -> Draw:
    size = len(awkward)

    def required_value(random: Random, number: int, created: datetime) -> object:
        if random.random() < _AWKWARD - _ABSENT:
            return awkward[int(random.random() * size)]
        return ordinary(random, number, created)

    def optional_value(random: Random, number: int, created: datetime) -> object:
        drawn = random.random()
        if drawn >= _AWKWARD:
            return ordinary(random, number, created)
        if drawn < _NULL:
            return None
        return ABSENT if drawn < _ABSENT else awkward[int(random.random() * size)]

    return optional_value if optional else required_value


def _turns(
    everything: tuple[object, ...], position: int, ordinary: Draw, *, optional: bool
) -> tuple[Draw, ...]:
    """Returns what draws null, missing and awkward values in an order that differs between columns.

    The columns of a rule share its values out among them: each goes on where the one before stopped.
    """
    places = LEAST - 2
    values = islice(cycle(everything), position * places, (position + 1) * places)
    turns = [pick([value]) for value in (*((None, ABSENT) if optional else ()), *values)]
    turns += [ordinary] * (LEAST - len(turns))
    shift = position % LEAST
    return (*turns[shift:], *turns[:shift])


@cache
def _positions() -> Mapping[tuple[str, str], int]:
    """Returns the place of each column among those of the same rule."""
    counters: dict[object, count[int]] = {}
    positions = {}
    for name in sorted(ENTITIES):
        for source in sources(ENTITIES[name]).values():
            kind = (source.rule, source.secret, source.labels, source.references)
            positions[name, source.field] = next(counters.setdefault(kind, count()))
    return MappingProxyType(positions)
