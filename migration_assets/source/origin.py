"""Which source a target was filled from: a wrong URL must not pass for the database of before.

MongoDB gives each collection a UUID when it is created. All members of a replica set have the same, and it
stays when hosts, names or versions change. A dump that is restored has others: it is another source, which
a person can agree to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migration_assets.source.connection import SourceDatabase
from migration_assets.source.united import whole


@dataclass(frozen=True, slots=True)
class Origin:
    """A source, as what tells it from another.

    Attributes:
        database: Name of the database.
        hosts: Where it was, host and port.
        collections: UUIDs of its collections by name; empty texts where the server tells none.
    """

    database: str
    hosts: Sequence[str]
    collections: Mapping[str, str]

    @property
    def uuids(self) -> frozenset[str]:
        """The UUIDs of its collections."""
        return frozenset(filter(None, self.collections.values()))

    def __str__(self) -> str:
        """Returns it in words."""
        return f"{self.database} on {', '.join(self.hosts)}"


def origin_of(source: SourceDatabase) -> Origin:
    """Returns what tells a source from another; it takes the role `read`.

    Raises:
        SourceError: MongoDB is out of reach.
    """
    # A collection that begins to count as another is not gone.
    descriptions = whole(source).list_collections(filter={"type": {"$ne": "view"}})
    return Origin(
        database=source.name,
        hosts=sorted(f"{host}:{port}" for host, port in source.client.nodes),
        collections={
            description["name"]: _hex(description.get("info", {}).get("uuid"))
            for description in descriptions
            if not description["name"].startswith("system.")
        },
    )


def others(now: Origin, earlier: Iterable[Origin]) -> list[Origin]:
    """Returns the sources that are another than the one of now.

    Two are the same where any collection of theirs is. So one that was dropped and made anew, or restored,
    makes no other source of the rest; and one that shares with one that shares is the same. Where no UUID is
    told, name and hosts have to be the same.

    Args:
        now: The source as it is now.
        earlier: Sources of loads, the latest first.
    """
    same, places, other_origins = set(now.uuids), {(now.database, *now.hosts)}, list[Origin]()
    for origin in earlier:
        is_told = bool(same and origin.uuids)
        if same & origin.uuids if is_told else (origin.database, *origin.hosts) in places:
            same |= origin.uuids
            places.add((origin.database, *origin.hosts))
        else:
            other_origins.append(origin)
    return other_origins


def _hex(identifier: Any) -> str:
    """Returns a UUID as the driver gives it, as hex digits; empty where there is none."""
    if identifier is None:
        return ""
    return bytes(getattr(identifier, "bytes", identifier)).hex()
