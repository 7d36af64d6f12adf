"""Database URLs, shown without their secrets."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=://).*@")
_QUERY = re.compile(r"\?.*$")
_URL = re.compile(r"\b(?:mongodb(?:\+srv)?|postgres(?:ql)?(?:\+\w+)?)://\S+")


def redacted(url: str) -> str:
    """Returns a URL without user, password and parameters."""
    return _QUERY.sub("", _CREDENTIALS.sub("", url))


def without_urls(message: str) -> str:
    """Returns a driver's message as one line in which every URL is redacted."""
    return _URL.sub(lambda match: redacted(match.group()), " ".join(message.split()))
