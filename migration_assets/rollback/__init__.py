"""Rollback: taking the migration back without losing what was written since.

The story: ``baseline`` stages what the source's documents convert to, ``gains`` tells which rows of the
target differ from it, ``identifiers`` and ``values`` turn those rows back into documents, ``arrays``
and ``operations`` are what they change there, ``export`` writes them as files, ``apply`` brings the files
into MongoDB, and ``removal`` takes away what this project created in PostgreSQL, after ``target_state`` was
compared. The source is only ever read; ``apply`` writes to a MongoDB that
is named for it, and to no other.
"""
