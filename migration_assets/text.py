"""Names, numbers and texts of others, as a terminal and Markdown show them and nothing else.

Names of collections, fields and ids come from data. One may hold what moves a cursor, turns the direction
of a line, ends it, or is a link: it is text everywhere.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable

from rich import markup

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of what is no mark on paper: controls, directions, surrogates, ends of lines and paragraphs."""

SHOWN = 5
"""Names that a list gives; the count is always of all of them."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LINE_BREAK = re.compile(r"\s*[\r\n]\s*")
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+.!|~>-])")
_LINK = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\\\.)|(?=@)", re.IGNORECASE)
_WORD_JOINER = "\u2060"
"""Nobody sees it; what it divides is taken for no address of the web or of mail."""


def printable(text: str) -> str:
    r"""Returns a text as one line, with invisible characters written out, as `\x1b` or `\u202e`."""
    return "".join(
        _written_out(character) if unicodedata.category(character) in _INVISIBLE else character
        for character in text
    )


def one_line(text: str) -> str:
    """Returns a message of several lines as one, with invisible characters written out."""
    return printable(_LINE_BREAK.sub(" ", text.strip()))


def escape(text: str) -> str:
    """Returns a text as rich prints it on a terminal: without markup, and without a control of its own."""
    return markup.escape(printable(text))


def markdown(text: str) -> str:
    """Returns a text as Markdown shows it: without markup, HTML or a link of its own."""
    plain = _MARKUP.sub(r"\\\1", html.escape(printable(text), quote=False))
    return _LINK.sub(_WORD_JOINER, plain)


def code(text: str) -> str:
    """Returns a text as code in a line of Markdown."""
    plain = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", plain)), default=0))
    room = " " if plain[:1] == "`" or plain[-1:] == "`" else ""
    return f"{fence}{room}{plain}{room}{fence}"


def listed(names: Iterable[str]) -> str:
    """Returns names with commas between, the first few of them."""
    every = list(names)
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def megabytes(size: float) -> str:
    """Returns bytes in a unit to read: MB, or GB above 10,000 MB."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e10 else f"{size / 1e6:,.1f} MB"


def _written_out(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    place = ord(character)
    return (
        f"\\x{place:02x}"
        if place < 0x100
        else f"\\u{place:04x}"
        if place < 0x10000
        else f"\\U{place:08x}"
    )
