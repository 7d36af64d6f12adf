"""Layer 2, ``values``: all rows held against an independent reading of the documents (section 9).

Every document is judged by section 5 (``reference``; ``plain_rows`` for those that need no conversion) and
held against its row, every column exactly; every loss that the judge sees must be on record with its
original, and nothing else may be. A sample drawn at random is judged by ``reference`` field by field and
reported as keys. The server's own count of BSON types guards the judge's reader.

Memory does not grow with the collection: a batch of documents and the same range of rows are held at a
time, and the ids that references may point to. Findings are counted in full and kept as a few keys.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import sqlalchemy as sa
from psycopg import sql

from migration_assets.model import Rule, fields, junction_of, sources, unique_columns
from migration_assets.source.connection import SourceDatabase
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.validation import binary_copy
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.books import (
    Books,
    Entries,
    recorded_conversions,
    recorded_lines,
    unmatched_issues,
)
from migration_assets.validation.differences import (
    DIFFERENCES,
    TOTALS,
    Differences,
    Total,
    What,
    failing,
    totals_frame,
    totals_of,
)
from migration_assets.validation.evidence import SAMPLE_SIZE, Evidence, Layer, Phases, Severity
from migration_assets.validation.extended_json import is_same_json, parsed, relaxed
from migration_assets.validation.pair_values import compare_pairs
from migration_assets.validation.plain_rows import PlainRow, PlainRows, selected
from migration_assets.validation.reading import (
    RowsInStep,
    batches,
    ids_for,
    one_snapshot,
    pending_ids,
    type_counts,
)
from migration_assets.validation.reference import (
    ALTERED,
    NULLED,
    Judge,
    Judgement,
    identifier_of,
    object_id_of,
    source_id_of,
    uuid_of,
)
