"""Probing the application itself: a few requests to one URL, such as its health endpoint.

The requests are few and our own, so they show what a user would see, not what users saw. The
application's own numbers, given as readings, take precedence.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from migration_assets.errors import MigrationError
from migration_assets.settings import APPLICATION_URL

REQUESTS = 5
TIMEOUT = 5.0
"""Seconds after which a request has failed."""

NOT_GIVEN = (
    f"set {APPLICATION_URL.name} to the URL of the application's health endpoint, or give a reading"
)


@dataclass(frozen=True, slots=True)
class Probe:
    """One request.

    Attributes:
        milliseconds: From the request to the end of the answer.
        is_good: It was answered in time, with a status below 400.
    """

    milliseconds: float
    is_good: bool


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Counts a redirect, to a login page for instance, as the answer."""

    def redirect_request(self, *args: Any, **names: Any) -> None:
        """Follows nothing."""


def opener() -> urllib.request.OpenerDirector:
    """Returns an opener that follows no redirects."""
    return urllib.request.build_opener(_NoRedirects)


def require_http(url: str, variable: str) -> None:
    """Refuses a URL without http:// or https://, and does not repeat it: it may hold a token.

    Raises:
        MigrationError: It is something else.
    """
    if not url.startswith(("http://", "https://")):
        raise MigrationError(
            "the URL begins neither with http:// nor with https://",
            where=variable,
            next_step="Correct or unset it",
        )


def probe(url: str, *, requests: int = REQUESTS, timeout: float = TIMEOUT) -> list[Probe]:
    """Sends requests one after the other, and returns the result of each.

    Raises:
        MigrationError: The URL is none.
    """
    require_http(url, APPLICATION_URL.name)
    client = opener()
    return [_request(client, url, timeout) for _ in range(requests)]


def _request(client: urllib.request.OpenerDirector, url: str, timeout: float) -> Probe:
    started = time.perf_counter()
    try:
        with client.open(url, timeout=timeout) as answer:
            answer.read()
            is_good = True
    except urllib.error.HTTPError as error:
        error.close()
        is_good = error.code < 400
    except (OSError, http.client.HTTPException, ValueError):
        is_good = False
    return Probe((time.perf_counter() - started) * 1000, is_good)
