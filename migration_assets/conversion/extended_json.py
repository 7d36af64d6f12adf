"""BSON values as relaxed Extended JSON, for ``jsonb`` columns.

Plain values go through the standard library's encoder; what needs a wrapper of Extended JSON goes
through ``bson.json_util``.
"""

from __future__ import annotations

import json
import re
from typing import Any

from bson import Int64, json_util

NUL = "\x00"
REPLACEMENT = "\ufffd"

_RELAXED = json_util.RELAXED_JSON_OPTIONS
_PLAIN = frozenset({str, int, Int64, float, bool, type(None)})
_ESCAPE = re.compile(r"\\(u0000|.)")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def relaxed(value: Any) -> str:
    """Returns a BSON value as relaxed Extended JSON text."""
    if _is_plain(value):
        try:
            return _encode(value)
        except ValueError:  # NaN or an infinity, which JSON has no number for
            pass
    return json_util.dumps(value, json_options=_RELAXED, separators=(",", ":"), ensure_ascii=False)


def without_nul(text: str) -> str:
    """Returns JSON text with U+FFFD for every escaped U+0000, which jsonb cannot hold."""
    return _ESCAPE.sub(lambda found: REPLACEMENT if found[1] == "u0000" else found[0], text)


def _is_plain(value: Any) -> bool:
    """Tells whether a value consists of types that JSON has itself, subclasses excluded."""
    pending = [value]
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind is dict:
            pending.extend(item.values())
        elif kind is list:
            pending.extend(item)
        elif kind not in _PLAIN:
            return False
    return True
