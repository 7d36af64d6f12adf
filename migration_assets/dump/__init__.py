"""Restoring a dump of mongodump without MongoDB's tools: a rehearsal needs only last night's backup.

A dump is a directory of `.bson` files with `.metadata.json` beside them, or an archive; either may be
compressed by gzip. It is read as a stream, a batch of documents at a time, and its documents go to the
server as the bytes that they are. Indexes, validators and capped sizes are left out: a migration reads
without the first, and the others could refuse documents that are there.
"""

from migration_assets.dump.reading import Dump, open_dump
from migration_assets.dump.restoring import Restored, restore

__all__ = ["Dump", "Restored", "open_dump", "restore"]
