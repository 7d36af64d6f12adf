"""Where the two databases are: the URLs of the settings, else the embedded servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migration_assets.settings import SOURCE_URL, TARGET_URL

if TYPE_CHECKING:
    from migration_assets.embedded import Urls


def source_url() -> str:
    """Returns the URL of the source: ``SOURCE_MONGODB_URL``, else the embedded server's.

    Raises:
        MigrationError: The variable is unset, and no embedded server is running.
    """
    return SOURCE_URL.read() or _embedded_urls().mongodb_url


def target_url() -> str:
    """Returns the URL of the target: ``TARGET_POSTGRES_URL``, else the embedded server's.

    Raises:
        MigrationError: The variable is unset, and no embedded server is running.
    """
    return TARGET_URL.read() or _embedded_urls().postgres_url


def _embedded_urls() -> Urls:
    # Most installations lack the extra for embedded servers, so it is imported where it is used.
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    return EmbeddedServers(default_directory()).urls
