"""Values as the fields of BSON documents, for tests of what is done with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bson

from migration_assets.source.connection import CODEC
from migration_assets.source.fields import Field
from migration_assets.source.walk import FieldFinder


def field_of(values: Iterable[Any]) -> Field:
    """Returns values as a field of documents, one each."""
    documents = (bson.encode({"f": value}, codec_options=CODEC) for value in values)
    return FieldFinder(["f"]).find(b"".join(documents)).fields["f"]
