"""BSON values as relaxed Extended JSON, for ``jsonb`` columns.

orjson writes them; ``bson.json_util``, which is slower and knows every type, gives it the wrappers of the
rarer types, and writes what orjson cannot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import chain
from math import isfinite
from typing import Any

import orjson
from bson import Code, DBRef, Int64, ObjectId, json_util

NUL = "\x00"
REPLACEMENT = "\ufffd"

_RELAXED = json_util.RELAXED_JSON_OPTIONS
_HIDING = frozenset({DBRef, Code})
"""Types that may have a document within, which their wrapper writes."""
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
"""What orjson leaves to the wrapper: times, and types that are disguised as another, as code is a string."""
_FIRST_AS_TEXT = datetime(1970, 1, 1)
"""Relaxed Extended JSON writes a date before 1970, or after 9999, as a number."""
_ESCAPE = re.compile(r"\\(u0000|.)")
_TOKEN = re.compile(r'(?P<string>"[^"\\]*(?:\\.[^"\\]*)*")|-0\.0(?![0-9])')


def relaxed(value: Any) -> str:
    """Returns a BSON value as relaxed Extended JSON text."""
    return json_util.dumps(value, json_options=_RELAXED, separators=(",", ":"), ensure_ascii=False)


def relaxed_texts(values: Sequence[Any]) -> list[str | None]:
    """Returns BSON values as relaxed Extended JSON texts, None for None."""
    texts = [None if value is None else _fast(value) for value in values]
    # orjson writes NaN and the infinities, which JSON has no number for, as null.
    doubtful = [row for row, text in enumerate(texts) if text is not None and "null" in text]
    if not _are_written_by_orjson(values[row] for row in doubtful):
        for row in doubtful:
            if not _are_written_by_orjson([values[row]]):
                texts[row] = relaxed(values[row])
    return texts


def _fast(value: Any) -> str:
    try:
        return orjson.dumps(value, _wrapper, _OPTIONS).decode()
    except orjson.JSONEncodeError:  # nested too deeply
        return relaxed(value)


def _are_written_by_orjson(values: Iterable[Any]) -> bool:
    """Tells whether all doubles within values are finite, and nothing hides others; a level at a time."""
    level = list(values)
    while level:
        kinds = set(map(type, level))
        if not kinds.isdisjoint(_HIDING):
            return False
        if float in kinds and not all(isfinite(value) for value in level if type(value) is float):
            return False
        dicts = (value.values() for value in level if type(value) is dict)
        lists = (value for value in level if type(value) is list)
        level = list(chain.from_iterable(chain(dicts, lists)))
    return True


def _wrapper(value: Any) -> Any:
    """Returns the wrapper of Extended JSON for a type that JSON does not have; an Int64 as a number."""
    if isinstance(value, ObjectId):
        return {"$oid": str(value)}
    if isinstance(value, Int64):
        return int(value)
    if not isinstance(value, datetime):
        return json_util.default(value, _RELAXED)
    if value >= _FIRST_AS_TEXT:
        precision = "milliseconds" if value.microsecond else "seconds"
        return {"$date": f"{value.isoformat(timespec=precision)}Z"}
    return {"$date": {"$numberLong": str((value - _FIRST_AS_TEXT) // timedelta(milliseconds=1))}}


def storable(text: str) -> str:
    """Returns JSON text as ``jsonb`` can hold it: U+FFFD for every escaped U+0000, and 0.0 for -0.0."""
    return _TOKEN.sub(_storable, text)


def _storable(token: re.Match[str]) -> str:
    if token["string"] is None:
        return "0.0"
    return _ESCAPE.sub(lambda escape: REPLACEMENT if escape[1] == "u0000" else escape[0], token[0])
