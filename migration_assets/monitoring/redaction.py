"""The text of a statement without its literals.

PostgreSQL's views show statements as they were sent. Most of NextCRM's have parameters, but whoever types
into psql writes values out, passwords among them, and what we show goes to logs and to Dagster.
"""

from __future__ import annotations

import re

CUT = "…"

_TOKEN = re.compile(
    r"""
      (?P<name>"(?:[^"]|"")*")                        # a quoted name stays
    | (?P<comment>--[^\n]*|/\*[^*/]*\*/)              # a comment goes
    | (?P<string>[A-Za-z]?&?'(?:[^'\\]|'')*')         # 'text', E'text', B'01', U&'text'
    | (?P<dollar>\$(?P<tag>[^\W\d]\w*)?\$.*?\$(?(tag)(?P=tag))\$)
    | (?P<parameter>\$\d+)
    | (?P<number>(?<![\w.])\.?\d[\w.]*)
    | (?P<doubt>['"\\]|/\*|\$(?!\d))                  # no longer clear what is text
    | (?P<rest>[^\W\d][\w$]*|\s+|.)                  # names may hold a dollar
    """,
    re.VERBOSE | re.DOTALL,
)


def without_literals(text: str, *, length: int = 200) -> str:
    """Returns a statement as one line with `?` for every string and number.

    Where it is not clear what belongs to a string (a backslash, a quote that is not closed because
    PostgreSQL cut the text), all that follows is left out.

    Args:
        text: The statement.
        length: Characters after which it is cut.
    """
    parts: list[str] = []
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "doubt":
            parts.append(CUT)
            break
        if kind == "comment":
            parts.append(" ")
        elif kind in ("string", "dollar", "number"):
            parts.append("?")
        else:
            parts.append(token.group())
    line = " ".join("".join(parts).split())
    return line if len(line) <= length else line[:length] + CUT
